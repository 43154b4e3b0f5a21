"""The trials' table of a running sweep: any order in, the order of the numbers out, however large."""

from contextlib import closing
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from service.results import row_spool
from service.results.row_spool import RowSpool, count_runs, main_metrics, read_overview, read_row, read_run_ids
from service.results.trials_table import FIRST_COLUMNS, OUTCOME_COLUMNS


def _rows(numbers: list[int], **columns: Any) -> pa.Table:
    texts = [f"trial{n}" for n in numbers]
    return pa.table(
        {
            "number": pa.array(numbers, pa.int64()),
            "trial": texts,
            "run_id": pa.array([None] * len(numbers), pa.string()),
            **columns,
            "outcome": ["improving"] * len(numbers),
            "outcome_step": pa.array([0] * len(numbers), pa.int64()),
            "last_step": pa.array([9] * len(numbers), pa.int64()),
        }
    )


@pytest.mark.parametrize(("in_memory", "at_once"), [(50_000, 100_000), (4, 3), (1, 1)])
def test_rows_come_out_by_number_whatever_is_kept_in_memory(
    monkeypatch: pytest.MonkeyPatch, in_memory: int, at_once: int
) -> None:
    monkeypatch.setattr(row_spool, "_IN_MEMORY", in_memory)
    monkeypatch.setattr(row_spool, "_AT_ONCE", at_once)
    with closing(RowSpool()) as spool:
        for numbers in ([6, 7, 8], [0, 2], [1], [], [11, 3, 4]):
            spool.add(_rows(numbers, **{"metrics.loss": [n / 2 for n in numbers]}))
        assert len(spool) == 9
        table = pa.parquet.read_table(spool.write())
    assert table.column("number").to_pylist() == [0, 1, 2, 3, 4, 6, 7, 8, 11]
    assert table.column("metrics.loss").to_pylist() == [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 3.5, 4.0, 5.5]
    assert table.column("trial").to_pylist()[-1] == "trial11"


def test_columns_that_only_some_rows_have_are_missing_in_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_spool, "_AT_ONCE", 2)
    with closing(RowSpool()) as spool:
        spool.add(_rows([0, 1], **{"params.seed": [3, 4], "metrics.loss": [1.0, 2.0]}))
        spool.add(_rows([2, 3], **{"params.momentum": [0.9, 0.5], "params.seed": [1.5, 2.5], "metrics.b": [5.0, 6.0]}))
        table = pa.parquet.read_table(spool.write())
    expected = ["params.momentum", "params.seed", *OUTCOME_COLUMNS, "metrics.b", "metrics.loss"]
    assert sorted(table.column_names) == sorted([*FIRST_COLUMNS, *expected])
    assert table.column_names[:3] == FIRST_COLUMNS
    assert table.column("params.momentum").to_pylist() == [None, None, 0.9, 0.5]
    assert table.column("params.seed").to_pylist() == [3.0, 4.0, 1.5, 2.5]
    assert table.column("metrics.loss").to_pylist() == [1.0, 2.0, None, None]


def test_run_ids_that_came_later_are_filled_in() -> None:
    with closing(RowSpool()) as spool:
        spool.add(_rows([0, 1, 2]))
        spool.add_run(1, "run1")
        file = spool.write()
        assert pa.parquet.read_table(file).column("run_id").to_pylist() == [None, "run1", None]
        assert read_row(file, 1)["run_id"] == "run1"


def test_an_empty_table_has_the_columns_of_every_table() -> None:
    with closing(RowSpool()) as spool:
        table = pa.parquet.read_table(spool.write())
    assert (table.num_rows, table.column_names) == (0, [*FIRST_COLUMNS, *OUTCOME_COLUMNS])


def test_an_overview_has_only_the_columns_that_summaries_need() -> None:
    names = ["params.seed", "params.steps", "metrics.loss", "metrics.grad_norm", "metrics.validation_loss"]
    names.append("metrics.test_loss")
    with closing(RowSpool()) as spool:
        spool.add(_rows([0], **{name: [0.5] for name in names}))
        overview = read_overview(spool.write(), "validation_loss", ["seed", "absent"])
        assert main_metrics(spool.write(), "grad_norm") == ["loss", "test_loss", "validation_loss", "grad_norm"]
    assert set(overview.columns) == {
        "number", "params.seed", "outcome", "outcome_step", "metrics.validation_loss", "metrics.test_loss"
    }  # fmt: skip


def test_an_overview_has_the_values_of_the_table_in_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_spool, "_AT_ONCE", 4)
    outcomes = ["improving"] * 4 + ["diverged", "dead"] * 3
    with closing(RowSpool()) as spool:
        rows = _rows(list(range(10)), **{"params.seed": [3] * 10, "metrics.loss": [*range(9), None]})
        spool.add(rows.set_column(rows.column_names.index("outcome"), "outcome", [outcomes]))
        overview, whole = read_overview(spool.write(), "loss", ["seed"]), pd.read_parquet(spool.write())
    assert overview["outcome"].dtype == "category"
    assert overview["outcome"].cat.codes.dtype == np.int8
    plain = overview.assign(outcome=overview["outcome"].astype(whole["outcome"].dtype))
    pd.testing.assert_frame_equal(plain, whole[list(overview.columns)], check_dtype=False)
    assert {plain[name].dtype for name in ("number", "params.seed", "outcome_step")} == {np.dtype(np.int32)}
    for outcome in ("diverged", "exploding"):  # the latter is no category
        assert ((overview["outcome"] != outcome) == (whole["outcome"] != outcome)).all()


@pytest.mark.parametrize("at_once", [50_000, 3, 1])
def test_run_ids_are_read_for_some_trials(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(row_spool, "_AT_ONCE", at_once)
    numbers = [0, 1, 4, 5, 6, 9, 12]
    ids = [None if number == 5 else f"run{number}" for number in numbers]
    with closing(RowSpool()) as spool:
        assert count_runs(spool.write()) == 0
        spool.add(_rows(numbers).set_column(2, "run_id", pa.array(ids, pa.string())))
        file = spool.write()
        assert read_run_ids(file, [12, 5, 0]) == ["run12", None, "run0"]
        assert read_run_ids(file, numbers) == ids
        assert read_run_ids(file, []) == []
        assert count_runs(file) == 6
        with pytest.raises(KeyError):
            read_run_ids(file, [0, 7])


def test_the_files_are_there_as_long_as_the_spool() -> None:
    closed, dropped = RowSpool(), RowSpool()
    files = [spool.write() for spool in (closed, dropped)]
    assert all(file.exists() for file in files)
    closed.close()
    del dropped
    assert not any(file.parent.exists() for file in files)


def test_the_table_is_written_again_only_if_something_was_added() -> None:
    with closing(RowSpool()) as spool:
        spool.add(_rows([0]))
        file = spool.write()
        before = file.stat().st_mtime_ns
        assert spool.write() == file
        assert file.stat().st_mtime_ns == before
        spool.add(_rows([1]))
        assert pa.parquet.read_table(spool.write()).num_rows == 2
        spool.add_run(1, "run1")
        assert pa.parquet.read_table(spool.write()).column("run_id").to_pylist() == [None, "run1"]


def test_whole_numbers_that_need_more_bits_keep_them() -> None:
    with closing(RowSpool()) as spool:
        spool.add(_rows([0, 1], **{"params.seed": [2**40, -1]}))
        overview = read_overview(spool.write(), "loss", ["seed"])
    assert overview["params.seed"].tolist() == [2**40, -1]
    assert overview["number"].dtype == np.int32
