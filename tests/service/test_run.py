"""The main job: the same numbers in every way to run it, and no half-made sweep if it can't run."""

import gc
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from experiments.errors import ClusterError, NotFoundError, SpecError, StoreError, SweepInterruptedError
from experiments.spec import load_spec
from experiments.stopping import TRIAL_OUTCOMES
from service.execution.observer import NullObserver
from service.execution.plan import Plan
from service.recording.infos import SweepInfo
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import SPEC, Recorded
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials


@pytest.mark.parametrize("shard_size", [1, 2, 5])
def test_the_same_bits_with_any_shard_size(recorded: Recorded, uri: str, shard_size: int) -> None:
    result = run_sweep(recorded.resolved, tracking_uri=uri, inline=True, shard_size=shard_size)
    assert_same_trials(result.table, recorded.result.table)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_same_bits_from_ray_with_any_number_of_workers(recorded: Recorded, uri: str, workers: int) -> None:
    result = run_sweep(recorded.resolved, tracking_uri=uri, workers=workers, shard_size=3)
    assert_same_trials(result.table, recorded.result.table)
    written = Store(uri).find_sweep(result.sweep)
    client = MlflowClient(uri)
    parquet = pd.read_parquet(client.download_artifacts(written.run_id, "trials.parquet", str(Path.cwd())))
    assert_same_trials(parquet, recorded.result.table)


def test_the_result_counts_outcomes_and_names_the_best(recorded: Recorded) -> None:
    result = recorded.result
    assert (result.trials, result.finished, result.diverged) == (12, 6, 6)
    assert sum(result.outcomes.values()) == 12
    assert set(result.outcomes) == set(TRIAL_OUTCOMES)
    best = result.best
    assert best is not None
    finished = result.table[result.table["outcome"] != "diverged"]
    assert best["metrics"]["test_loss"] == finished["metrics.test_loss"].min()
    assert best["params"]["loss"] == "mean_squared_error"
    assert isinstance(best["metrics"]["loss"], float)


def test_the_results_table_is_in_a_file_as_long_as_the_result(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = run_sweep(load_spec(SPEC), tracking_uri=uri, inline=True)
    store = Store(uri)
    assert len(list(tmp_path.glob("gradgrid-*/trials.parquet"))) == 1
    pd.testing.assert_frame_equal(result.read_table(), store.table(store.find_sweep(result.sweep)))
    del result
    gc.collect()
    assert not list(tmp_path.glob("gradgrid-*/*"))


def test_a_sweep_in_which_all_diverge_has_no_best(uri: str) -> None:
    spec = {**SPEC, "grid": {"learning_rate": [1e30], "activation": ["relu"]}}
    result = run_sweep(load_spec(spec), tracking_uri=uri, inline=True)
    assert (result.diverged, result.best) == (1, None)


def test_an_interrupted_sweep_is_resumed_with_the_same_bits(recorded: Recorded, uri: str) -> None:
    with pytest.raises(
        SweepInterruptedError,
        match=r"5 of 12 trials are recorded; `gradgrid resume \S+ --tracking-uri sqlite:\S+ --inline` trains the rest",
    ):
        run_sweep(recorded.resolved, tracking_uri=uri, inline=True, observer=Interrupting(5), shard_size=1)
    store = Store(uri)
    (sweep,) = store.sweeps()
    assert sweep.status == "KILLED"
    assert len(list(store.trials(sweep))) == 5
    half = MlflowClient(uri).create_run(sweep.experiment_id, tags={"gradgrid.trial": "half-written"})
    watching = Interrupting(1000)
    result = run_sweep(recorded.resolved, tracking_uri=uri, inline=True, resume=sweep.sweep, observer=watching)
    assert watching.done == 5
    assert result.sweep == sweep.sweep
    assert_same_trials(result.table, recorded.result.table)
    trials = list(store.trials(sweep))
    assert len({t.tags["gradgrid.trial"] for t in trials}) == len(trials) == 12
    assert MlflowClient(uri).get_run(half.info.run_id).info.lifecycle_stage == "deleted"
    resumed = store.find_sweep(sweep.sweep)
    assert resumed.status == "FINISHED"
    assert result.best is not None
    assert resumed.metrics["best_test_loss"] == result.best["metrics"]["test_loss"] < sweep.metrics["best_test_loss"]


class _StoppingAtOnce(NullObserver):
    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        raise KeyboardInterrupt


def test_a_sweep_interrupted_before_its_first_trial_is_resumed_too(recorded: Recorded, uri: str) -> None:
    with pytest.raises(SweepInterruptedError, match="0 of 12 trials are recorded"):
        run_sweep(recorded.resolved, tracking_uri=uri, inline=True, observer=_StoppingAtOnce())
    (sweep,) = Store(uri).sweeps()
    assert (sweep.status, sweep.metrics["trials"]) == ("KILLED", 0)
    result = run_sweep(recorded.resolved, tracking_uri=uri, inline=True, resume=sweep.sweep)
    assert_same_trials(result.table, recorded.result.table)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"steps": 21}, "its spec"),
        ({"dataset": {**SPEC["dataset"], "seed": 1}}, "its data and its spec"),  # type: ignore[dict-item]
    ],
)
def test_a_sweep_is_not_resumed_with_another_spec_or_data(
    recorded: Recorded, change: dict[str, Any], differs: str
) -> None:
    other = load_spec({**SPEC, **change})
    with pytest.raises(SpecError, match=f"can't be resumed: {differs} changed since"):
        run_sweep(other, tracking_uri=recorded.uri, inline=True, resume=recorded.result.sweep)


def test_resuming_a_sweep_that_is_not_there(recorded: Recorded) -> None:
    with pytest.raises(NotFoundError, match="has no sweep 'nope'"):
        run_sweep(recorded.resolved, tracking_uri=recorded.uri, inline=True, resume="nope")


class _Failing(NullObserver):
    """An observer whose store fails under it."""

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        pass

    def advance(self, trials: int, best: float | None) -> None:
        raise StoreError("the disk is full")

    def end(self) -> None:
        pass


def test_a_sweep_that_fails_says_so_and_how_to_go_on(recorded: Recorded, uri: str) -> None:
    with pytest.raises(StoreError, match=r"the disk is full\nrecorded trials stay; `gradgrid resume"):
        run_sweep(recorded.resolved, tracking_uri=uri, inline=True, observer=_Failing())
    assert [sweep.status for sweep in Store(uri).sweeps()] == ["FAILED"]


def test_nothing_is_written_when_ray_cannot_be_reached(recorded: Recorded, uri: str) -> None:
    with pytest.raises(ClusterError, match=r"nothing listens at 127\.0\.0\.1:1 .*ray start --head"):
        run_sweep(recorded.resolved, tracking_uri=uri, address="127.0.0.1:1")
    assert Store(uri, create=True).sweeps() == []


def test_two_sweeps_of_a_spec_are_kept_apart(recorded: Recorded, uri: str) -> None:
    first = run_sweep(recorded.resolved, tracking_uri=uri, inline=True)
    second = run_sweep(recorded.resolved, tracking_uri=uri, inline=True)
    store = Store(uri)
    assert {s.sweep for s in store.sweeps()} == {first.sweep, second.sweep}
    assert store.find_sweep("small").sweep == second.sweep
    assert store.find_sweep(first.sweep_run_id).sweep == first.sweep
    assert store.find_sweep(f"small/{first.sweep}").sweep == first.sweep
    assert len(list(store.trials(store.find_sweep(first.sweep)))) == 12
    with pytest.raises(NotFoundError, match="2 sweeps begin with '20'"):
        store.find_sweep("20")
