"""Sweeps and trials are found by their own runs, even if the user changes experiments."""

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from mlflow import MlflowClient

from experiments.errors import NotFoundError, StoreError
from experiments.spec import load_spec
from service.execution.result import SweepResult
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import TINY, run_command, run_for_json
from tests.service.trial_records import make_record, write

_ODD_NAMES = ("it's", 'a "quote"', "50% of _x_", "größe 高さ", "a/b/c", "x" * 250, "; DROP TABLE runs", "`")


def _tiny(uri: str, **options: str) -> SweepResult:
    return run_sweep(load_spec(TINY), tracking_uri=uri, inline=True, **options)  # type: ignore[arg-type]


def test_a_sweep_in_an_experiment_that_was_there_before_is_found(uri: str, tmp_path: Path) -> None:
    Store(uri, create=True)
    client = MlflowClient(uri)
    own = client.create_experiment("tiny", tags={"team": "mine"})
    run = client.create_run(own, run_name="mine").info.run_id
    before = client.get_experiment(own).tags
    sweep = _tiny(uri).sweep
    option = ("--tracking-uri", uri)
    assert [s["sweep"] for s in run_for_json("list", *option)["sweeps"]] == [sweep]
    assert len(run_for_json("top", "tiny", *option)["top"]) == 3
    assert run_for_json("show", "tiny", *option)["sweep"] == sweep
    assert run_command("report", "tiny", "-o", str(tmp_path / "page.html"), *option).exit_code == 0
    assert run_for_json("resume", "tiny", "--inline", *option)["trials"] == 3
    assert client.get_experiment(own).tags == before
    assert run_command("delete", "tiny", "--yes", *option).exit_code == 0
    assert run_for_json("list", *option) == {"sweeps": []}
    assert client.get_run(run).info.lifecycle_stage == client.get_experiment(own).lifecycle_stage == "active"


def test_renamed_and_restored_experiments_change_nothing(uri: str) -> None:
    result = _tiny(uri)
    client, store = MlflowClient(uri), Store(uri)
    parent = client.get_run(result.sweep_run_id).info.experiment_id
    client.rename_experiment(parent, "what I did last year")
    client.rename_experiment(result.experiment_id, "its trials")
    client.delete_experiment_tag(parent, "gradgrid.kind")
    client.delete_experiment_tag(result.experiment_id, "gradgrid.kind")
    for reading in (store, Store(uri, direct=False)):
        assert [s.sweep for s in reading.sweeps()] == [result.sweep]
        assert len(list(reading.trials(reading.find_sweep("tiny")))) == 3
    assert _tiny(uri, resume=result.sweep).trials == 3
    client.delete_experiment(parent)
    client.restore_experiment(parent)
    assert store.find_sweep("tiny").sweep == result.sweep
    again = _tiny(uri)  # in a new experiment of its name
    assert {s.sweep for s in store.sweeps()} == {result.sweep, again.sweep}


def test_a_trial_is_found_by_its_run_and_its_sweep_by_the_trial(uri: str) -> None:
    result = _tiny(uri)
    store = Store(uri)
    whole = str(result.table["run_id"].iloc[0])
    for name in (whole, whole[:9]):
        found = store.find(name)
        assert isinstance(found, TrialInfo)
        assert found.run_id == whole
        assert store.sweep_of(found).sweep == result.sweep
    sweep = store.find(result.sweep_run_id)
    assert isinstance(sweep, SweepInfo)
    own = MlflowClient(uri).create_run("0").info.run_id
    for name in (own, own[:9], "0" * 32, "it's", "%"):
        with pytest.raises(NotFoundError, match="no trial's run id begins so"):
            store.find(name)


def test_the_beginning_of_several_run_ids_is_refused(uri: str) -> None:
    ids = _tiny(uri).table["run_id"].tolist()
    common = next(ids[0][:length] for length in range(32, 0, -1) if len({run_id[:length] for run_id in ids}) == 1)
    with pytest.raises(NotFoundError, match=f"several runs begin with '{common}': give more of the run id"):
        Store(uri).find(common)
    for run_id in ids:
        assert Store(uri).find(run_id[: len(common) + 1]).run_id == run_id


def test_deleted_runs_are_reported_with_the_way_back(uri: str) -> None:
    result = _tiny(uri)
    client, store = MlflowClient(uri), Store(uri)
    sweep, trial = store.find_sweep("tiny"), str(result.table["run_id"].iloc[0])
    client.delete_run(trial)
    with pytest.raises(NotFoundError, match=f"{trial} was deleted: `gradgrid resume {sweep.sweep}` brings it back"):
        store.find_trial(trial[:12])
    client.delete_run(sweep.run_id)
    restore = f"`mlflow runs restore --run-id {sweep.run_id}` brings it back, with MLFLOW_TRACKING_URI={uri}"
    for name in ("tiny", sweep.sweep):
        with pytest.raises(NotFoundError, match=restore):
            store.find_sweep(name)
    client.restore_run(sweep.run_id)
    store.delete(store.find_sweep("tiny"))
    assert store.sweeps() == []
    both = rf"`mlflow runs restore .*` and `mlflow experiments restore --experiment-id {sweep.experiment_id}` bring it"
    with pytest.raises(NotFoundError, match=both):
        store.find_sweep("tiny")
    parent = client.get_run(sweep.run_id).info.experiment_id
    client.delete_experiment(parent)
    with pytest.raises(NotFoundError, match=rf"`mlflow experiments restore --experiment-id {parent}` and `mlflow exp"):
        store.find_sweep("tiny")
    with pytest.raises(StoreError, match=rf"'tiny' was deleted: `mlflow experiments restore --experiment-id {parent}`"):
        _tiny(uri)


def test_a_sweep_whose_trials_experiment_was_deleted_is_not_resumed_into_it(uri: str) -> None:
    result = _tiny(uri)
    client = MlflowClient(uri)
    client.delete_experiment(result.experiment_id)
    shown = run_command("top", "tiny", "--tracking-uri", uri)
    assert "3 of the 3 runs" in shown.stderr
    way = rf"was deleted: `mlflow experiments restore --experiment-id {result.experiment_id}` brings it back"
    with pytest.raises(StoreError, match=way):
        _tiny(uri, resume="tiny")
    client.restore_experiment(result.experiment_id)
    assert _tiny(uri, resume="tiny").table["run_id"].tolist() == result.table["run_id"].tolist()
    client._tracking_client.store._hard_delete_run(result.table["run_id"].iloc[0])
    Store(uri).delete(Store(uri).find_sweep("tiny"))
    client.restore_run(result.sweep_run_id)
    client._tracking_client.store._hard_delete_experiment(result.experiment_id)
    with pytest.raises(StoreError, match="was deleted for good: start a new sweep"):
        _tiny(uri, resume="tiny")
    Store(uri).delete(Store(uri).find_sweep("tiny"))  # as far as there is something left
    assert Store(uri).sweeps() == []


def test_more_than_a_thousand_experiments_and_sweeps_some_with_odd_names(uri: str) -> None:
    store = Store(uri, create=True)
    first = store.begin("20260101-000000-aaaa", "s", {"name": "s"}, {"gradgrid.objective": "loss"}, {})
    names = [*_ODD_NAMES, *(f"mine {n}" for n in range(1_600))]
    engine = sqlalchemy.create_engine(uri)
    with engine.begin() as connection:
        statement = "INSERT INTO experiments (name, artifact_location, lifecycle_stage, workspace, creation_time, "
        statement += "last_update_time) VALUES (:name, '/nowhere', 'active', 'default', 1900000000000, 1900000000000)"
        connection.execute(sqlalchemy.text(statement), [{"name": name} for name in names])
    engine.dispose()
    client = MlflowClient(uri)
    tags = {"gradgrid.kind": "sweep", "gradgrid.objective": "loss", "gradgrid.experiment": first.experiment_id}
    sweeps = [
        make_record(
            n, trial=f"t{n}", tags={**tags, "gradgrid.spec": f"s{n}", "gradgrid.sweep": f"20260101-{n:06}-bbbb"}
        )
        for n in range(1_100)
    ]
    where = client.get_experiment_by_name("mine 0")
    assert where is not None
    with closing(store.recorder(first).open()) as recorder:
        recorder._experiment_id = int(where.experiment_id)  # type: ignore[attr-defined]
        write(recorder, first, sweeps)
    last = client.create_run(client.get_experiment_by_name("mine 1599").experiment_id)  # type: ignore[union-attr]
    for name, value in {**tags, "gradgrid.spec": "last", "gradgrid.sweep": "20260101-999999-cccc"}.items():
        client.set_tag(last.info.run_id, name, value)
    for reading in (Store(uri), Store(uri, direct=False)):  # from the file, and page by page
        assert len({sweep.sweep for sweep in reading.sweeps()}) == len(reading.sweeps()) == 1_102
        for name in ("s", "s0", "s1099", "last", "20260101-001099"):
            assert reading.find_sweep(name).spec == ("s1099" if name.startswith("2026") else name)
    with closing(store.recorder(first).open()) as recorder:
        (run_id,) = write(recorder, first, [make_record(1)]).values()
        assert store.find(run_id[:10]).run_id == run_id
