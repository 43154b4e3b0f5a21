"""The user's data on its way through a sweep: the notes of a dry run, and data from Python from start to report."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.data.frames import given_frame
from experiments.errors import DataError, DataWarning, SpecError, SweepInterruptedError
from experiments.spec import load_spec
from service import RecordedSweep, load_sweep, sweep
from service.inspection.explain import explain
from service.inspection.verify import verify
from service.recording.store import Store
from service.report.report import make_report
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json, write_spec
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials

_SPEC: dict[str, Any] = {"name": "people", "steps": 5, "model": {"hidden": [2]}, "grid": {"seed": {"range": 4}}}
_SECTION = {"encode": "one_hot", "missing": {"age": "median", "member": "drop"}}


def _people() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    member = pd.array([bool(k) for k in rng.integers(0, 2, 40)], dtype="boolean")
    member[[1, 2]] = None
    return pd.DataFrame(
        {
            "age": np.where(np.arange(40) % 9 == 4, np.nan, rng.integers(20, 70, 40)),
            "city": [["Oslo", "Rome", "Paris"][k] for k in rng.integers(0, 3, 40)],
            "member": member,
            "fee": 0.03,
            "kind": [["a", "b"][k] for k in rng.integers(0, 2, 40)],
        }
    )


def _file_spec(folder: Path) -> str:
    _people().to_csv(folder / "people.csv", index=False)
    return write_spec(folder, {**_SPEC, "dataset": {"path": "people.csv", "target": "kind", **_SECTION}})


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> RecordedSweep:
    uri = f"sqlite:///{tmp_path_factory.mktemp('given') / 'mlflow.db'}"
    spec = {**_SPEC, "dataset": {"missing": _SECTION["missing"]}}
    with pytest.warns(DataWarning):
        return sweep(spec, "dataset.encode=one_hot", data=_people(), target="kind", tracking_uri=uri, inline=True)


def test_a_dry_run_shows_how_columns_become_inputs(tmp_path: Path) -> None:
    spec = _file_spec(tmp_path)
    output = run_command("sweep", spec, "--dry-run").stdout
    assert "data      people, classification: 28 samples, 10 to test on, 6 inputs\n" in output
    assert "encoded   4 columns make 6 inputs: city (Oslo, Paris, Rome)\n" in output
    assert "empty     2 rows dropped, 4 cells filled\n" in output
    assert "note      2 rows were left out for an empty cell; 38 remain\n" in output
    assert "note      constant in the training part, so nothing can be learned from it: 'fee'\n" in output
    data = run_for_json("sweep", spec, "--dry-run")["data"]
    assert (data["columns"], data["inputs"], data["encoded"]) == (4, 6, {"city": ["Oslo", "Paris", "Rome"]})
    assert (data["rows_dropped"], data["cells_filled"], len(data["notes"])) == (2, 4, 3)


def test_a_sweep_prints_its_notes_on_stderr_as_it_begins(tmp_path: Path, uri: str) -> None:
    result = run_command("sweep", _file_spec(tmp_path), "--inline", "--tracking-uri", uri)
    assert "\nnote: 2 rows were left out for an empty cell; 38 remain\n" in result.stderr
    assert "'fee'" in result.stderr
    assert "note" not in result.stdout
    assert "note" not in run_command("sweep", "xor", "--dry-run").stdout


def test_refusals_name_the_keys(tmp_path: Path) -> None:
    spec = _file_spec(tmp_path)
    result = run_command("sweep", spec, "--dry-run", "--set", "dataset.encode=null")
    assert result.exit_code == 2
    assert "people.csv, line 2: column 'city' holds 'Rome', which is not a number" in result.stderr
    assert "write encode: one_hot under dataset" in result.stderr
    result = run_command("sweep", spec, "--dry-run", "--set", "dataset.missing=refuse")
    assert "people.csv, line 3: column 'member' is empty (2 such cells; 'age' has empty cells too)" in result.stderr


def test_data_from_python_give_the_sweep_of_a_file_of_them(given: RecordedSweep, tmp_path: Path, uri: str) -> None:
    with pytest.warns(DataWarning, match="people: 2 rows were left out for an empty cell"):
        of_file = sweep(_file_spec(tmp_path), tracking_uri=uri, inline=True)
    assert of_file.info.tags["gradgrid.fingerprint"] == given.info.tags["gradgrid.fingerprint"]
    assert of_file.notes == given.notes
    assert_same_trials(given.trials, of_file.trials)


def test_inspecting_a_sweep_needs_the_store_alone(given: RecordedSweep) -> None:
    store = Store(given._store.uri)
    verdict = verify(store, store.find_sweep(given.id))
    assert (verdict.trials, verdict.differences) == (4, ())
    run_id = str(given.best()["run_id"])
    assert explain(store, store.find_trial(run_id)).units
    assert "people" in make_report(store, store.find_sweep(given.id)).page
    predictions = given.model(run_id).predict(_people().drop(index=[1, 2]))
    assert set(predictions["prediction"]) <= {"a", "b"}


def test_an_interrupted_sweep_of_data_from_python_is_resumed_from_the_store(given: RecordedSweep, uri: str) -> None:
    spec = {**_SPEC, "dataset": _SECTION}
    frame, target = given_frame(_people(), "kind")
    with pytest.raises(SweepInterruptedError, match="2 of 4 trials"):
        run_sweep(
            load_spec(spec, frame=frame, target=target),
            tracking_uri=uri,
            inline=True,
            observer=Interrupting(2),
            shard_size=1,
        )
    assert run_command("resume", "people", "--inline", "--tracking-uri", uri).exit_code == 0
    again = load_sweep("people", tracking_uri=uri)
    assert_same_trials(given.trials, again.trials)


def test_a_sweep_is_not_resumed_with_other_data(uri: str) -> None:
    frame, target = given_frame(_people(), "kind")
    spec = {**_SPEC, "dataset": _SECTION}
    result = run_sweep(load_spec(spec, frame=frame, target=target), tracking_uri=uri, inline=True)
    changed = load_spec(spec, frame=frame.assign(age=frame["age"] ** 2), target=target)
    with pytest.raises(SpecError, match="can't be resumed: its data changed"):
        run_sweep(changed, tracking_uri=uri, inline=True, resume=result.sweep)


@pytest.mark.slow
def test_arrays_travel_through_ray(uri: str) -> None:
    """The results are the bits of a sweep in this process."""
    features = np.random.default_rng(0).normal(size=(30, 2))
    targets = (features.sum(axis=1) > 0).astype(int)
    found = [
        sweep("xor", "steps=5", "grid.seed.range=2", data=features, target=targets, tracking_uri=uri, **how)
        for how in ({"inline": True}, {"workers": 1})
    ]
    assert found[0]._store.spec(found[0].info)["dataset"] == {"target": "target"}
    assert_same_trials(found[0].trials, found[1].trials)
    model = found[0].model(str(found[0].best()["run_id"]))
    assert model.features == ["x0", "x1"]
    assert len(model.predict(features)) == 30


def test_data_too_large_to_be_kept_begin_no_sweep(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.data.frames.MAX_BYTES", 1_000)
    with pytest.raises(DataError, match="Write it to a file"):
        sweep({**_SPEC, "dataset": _SECTION}, data=_people(), target="kind", tracking_uri=uri, inline=True)
    assert Store(uri).sweeps() == []


def test_a_target_goes_with_data(uri: str) -> None:
    with pytest.raises(DataError, match="target goes with data"):
        sweep("xor", target="y", tracking_uri=uri)
