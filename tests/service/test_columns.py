"""Which columns of the trials' table are read, and tables that are read in parts."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from mlflow import MlflowClient

from experiments.spec import load_spec
from service.inspection.export import FORMATS
from service.recording import recorded_table, sqlite_reader
from service.recording.recorded_table import read_table
from service.recording.store import Store
from service.recording.trials_file import read_tables
from service.results.columns import columns_to_rank, main_columns
from service.results.leaderboard import ranked
from service.results.trials_table import shown_params
from service.run import run_sweep
from tests.service.conftest import SPEC, Recorded

_NAMES = ["number", "trial", "run_id", "params.loss", "params.seed", "outcome", "metrics.loss", "metrics.accuracy"]


def test_a_leaderboard_reads_what_it_shows_and_what_conditions_mention() -> None:
    assert main_columns(_NAMES, ["seed"], ["accuracy"]) == [*("number", "params.seed", "outcome", "metrics.accuracy")]
    plain = columns_to_rank(["seed"], "accuracy")(_NAMES)
    assert plain == ["number", "run_id", "params.seed", "outcome", "metrics.accuracy"]
    assert set(columns_to_rank([], "accuracy", ["loss=huber or seed<3"])(_NAMES)) == {
        *("number", "run_id", "params.loss", "params.seed", "outcome", "metrics.loss", "metrics.accuracy")
    }
    assert "trial" in columns_to_rank(["seed"], "accuracy", more=["trial"])(_NAMES)


@pytest.mark.parametrize(("metric", "where"), [("recall", []), ("loss", ["sed=3"]), ("loss", ["nonsense"])])
def test_all_columns_are_read_for_a_message_that_suggests_another_name(metric: str, where: list[str]) -> None:
    assert columns_to_rank(["seed"], metric, where)(_NAMES) == _NAMES


def test_fewer_columns_give_the_same_leaderboard(recorded: Recorded) -> None:
    store = Store(recorded.uri)
    sweep = store.find_sweep("small")
    every, some = (read_table(store, sweep, choose) for choose in (None, columns_to_rank(sweep.swept, "accuracy")))
    assert len(some.columns) < len(every.columns)
    names = shown_params(every.columns, sweep.swept)
    assert ranked(some, "accuracy", names) == ranked(every, "accuracy", names)
    rows = some.iloc[[5, 0, 3]]
    pd.testing.assert_frame_equal(store.whole_rows(sweep, rows), every.iloc[[5, 0, 3]].reset_index(drop=True))


def test_a_running_sweep_is_read_some_runs_at_a_time(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(recorded.uri)
    sweep = store.find_sweep("small")
    expected, whole = list(store.trials(sweep)), recorded_table._table_of_runs(store.trials(sweep), None)
    monkeypatch.setattr(sqlite_reader, "_PAGE", 5)
    monkeypatch.setattr(recorded_table, "_AT_ONCE", 5)
    assert [trial.run_id for trial in store.trials(sweep)] == [trial.run_id for trial in expected]
    pd.testing.assert_frame_equal(recorded_table._table_of_runs(store.trials(sweep), None), whole)
    choose = columns_to_rank(sweep.swept, "loss")
    chosen = recorded_table._table_of_runs(store.trials(sweep), choose)
    pd.testing.assert_frame_equal(chosen, whole[list(choose(whole.columns.tolist()))])


def test_a_deleted_run_is_no_run_in_a_table_that_is_read_in_parts(uri: str) -> None:
    run_sweep(load_spec(SPEC), tracking_uri=uri, inline=True)
    store = Store(uri)
    sweep = store.find_sweep("small")
    deleted = store.table(sweep)["run_id"][2]
    MlflowClient(uri).delete_run(deleted)
    for other in (store, Store(uri, direct=False)):
        whole = pa.concat_tables(other.tables(sweep)).to_pandas()
        assert whole["run_id"].isna().tolist() == [number == 2 for number in range(12)]
        pd.testing.assert_frame_equal(whole, other.table(sweep))


@pytest.mark.parametrize("ending", ["parquet", "csv", "json"])
def test_a_table_is_exported_in_parts_as_in_one(recorded: Recorded, tmp_path: Path, ending: str) -> None:
    store = Store(recorded.uri)
    sweep = store.find_sweep("small")
    whole = pa.concat_tables(store.tables(sweep))
    steps = pa.array([None, *range(1, len(whole))], pa.int64())
    whole = whole.set_column(whole.column_names.index("last_step"), "last_step", steps)
    pyarrow.parquet.write_table(whole, tmp_path / "parts.parquet", row_group_size=5)
    parts = list(read_tables(tmp_path / "parts.parquet", sweep, lost=[]))
    assert list(map(len, parts)) == [5, 5, 2]
    files = [tmp_path / f"{name}.{ending}" for name in ("whole", "parts")]
    assert [FORMATS[ending](iter(t), file) for t, file in zip(([whole], parts), files, strict=True)] == [12, 12]
    if ending == "parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(files[1]), whole.to_pandas())
        return
    texts = [file.read_text(encoding="utf-8") for file in files]
    assert texts[0] == texts[1]
    read = pd.read_csv if ending == "csv" else pd.read_json
    assert np.array_equal(read(io.StringIO(texts[1]))["last_step"], [np.nan, *range(1, 12)], equal_nan=True)


@pytest.mark.parametrize("ending", ["parquet", "csv", "json"])
def test_a_table_without_rows_is_exported_with_its_columns(tmp_path: Path, ending: str) -> None:
    empty = pa.table({"number": pa.array([], pa.int64()), "outcome": pa.array([], pa.string())})
    file = tmp_path / f"t.{ending}"
    assert FORMATS[ending](iter([empty]), file) == 0
    if ending == "json":
        assert pd.read_json(file).empty
    else:
        assert list((pd.read_csv if ending == "csv" else pd.read_parquet)(file).columns) == ["number", "outcome"]
