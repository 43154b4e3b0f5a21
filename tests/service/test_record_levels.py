"""Levels of recording: every run, the best, or the table alone; with or without weights."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from experiments.errors import NotFoundError, SpecError, SweepInterruptedError
from experiments.spec import load_spec
from service.execution.plan import make_plan
from service.inspection.explain import trial_of_number
from service.inspection.verify import verify
from service.recording.artifact_writers import LocalArtifactWriter
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import SPEC, Recorded, run_command, run_for_json
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials


def _spec(**record: Any) -> dict[str, Any]:
    return {**SPEC, "record": {"points": 6, **record}}


@pytest.mark.parametrize(("runs", "count"), [("summary", 0), ({"top": 3}, 3), ({"top": 99}, 6)])
def test_the_table_holds_every_trial_with_or_without_runs(recorded: Recorded, uri: str, runs: Any, count: int) -> None:
    """Half of the trials diverge. Those are never among the best."""
    result = run_sweep(load_spec(_spec(runs=runs)), tracking_uri=uri, inline=True)
    store = Store(uri)
    sweep = store.find_sweep(result.sweep)
    assert_same_trials(store.table(sweep), recorded.result.table)
    assert result.recorded == 12
    trials = list(store.trials(sweep))
    assert len(trials) == count == result.runs == result.table["run_id"].notna().sum()
    of_number = dict(zip(result.table["number"], result.table["run_id"], strict=True))
    assert result.run_ids([7, 0, 3]) == [None if pd.isna(of_number[n]) else of_number[n] for n in (7, 0, 3)]
    best = recorded.result.table[recorded.result.table["outcome"] != "diverged"].sort_values("metrics.test_loss")
    assert {t.tags["gradgrid.trial"] for t in trials} == set(best["trial"].head(count))
    by_trial = {t.tags["gradgrid.trial"]: t for t in recorded.store.trials(recorded.store.find_sweep("small"))}
    for trial in trials:
        same = by_trial[trial.tags["gradgrid.trial"]]
        assert trial.metrics == same.metrics
        assert store.curve(trial.run_id, "loss") == recorded.store.curve(same.run_id, "loss")
        assert store.final_weights(trial.run_id) == recorded.store.final_weights(same.run_id)
    client = MlflowClient(uri)
    assert not [a.path for a in client.list_artifacts(sweep.run_id) if a.path == "rows"]


@pytest.mark.parametrize("runs", ["summary", {"top": 3}])
def test_a_sweep_without_every_run_is_resumed_and_verified(recorded: Recorded, uri: str, runs: Any) -> None:
    resolved = load_spec(_spec(runs=runs))
    with pytest.raises(SweepInterruptedError, match="5 of 12 trials are recorded"):
        run_sweep(resolved, tracking_uri=uri, inline=True, observer=Interrupting(5), shard_size=1)
    store = Store(uri)
    (sweep,) = store.sweeps()
    assert len(store.read_rows(sweep)) == 5
    result = run_sweep(resolved, tracking_uri=uri, inline=True, resume=sweep.sweep)
    assert result.recorded == 7
    assert_same_trials(result.table, recorded.result.table)
    verdict = verify(store, store.find_sweep(sweep.sweep))
    assert (verdict.trials, verdict.differences) == (12, ())
    again = run_sweep(resolved, tracking_uri=uri, inline=True, resume=sweep.sweep)
    assert (again.recorded, again.trials) == (0, 12)


@pytest.mark.parametrize("runs", ["all", "summary"])
def test_a_trial_is_found_by_its_number_while_a_sweep_runs_and_after_it(uri: str, runs: Any) -> None:
    resolved = load_spec(_spec(runs=runs))
    with pytest.raises(SweepInterruptedError):
        run_sweep(resolved, tracking_uri=uri, inline=True, observer=Interrupting(5), shard_size=1)
    store = Store(uri)
    (sweep,) = store.sweeps()
    early = trial_of_number(store, sweep, 3)
    with pytest.raises(NotFoundError, match=r"has recorded no trial 7; it has 5 trials"):
        trial_of_number(store, sweep, 7)
    run_sweep(resolved, tracking_uri=uri, inline=True, resume=sweep.sweep)
    sweep = store.find_sweep(sweep.sweep)
    late = trial_of_number(store, sweep, 3)
    assert (late.number, late.params) == (3, early.params)
    assert late.metrics == pytest.approx(early.metrics, rel=0, abs=0, nan_ok=True)
    assert bool(late.run_id) == (runs == "all")
    with pytest.raises(NotFoundError, match=r"has recorded no trial 12; it has 12 trials"):
        trial_of_number(store, sweep, 12)


def test_rows_that_were_cut_off_in_the_middle_are_trained_again(recorded: Recorded, uri: str) -> None:
    resolved = load_spec(_spec(runs="summary"))
    with pytest.raises(SweepInterruptedError):
        run_sweep(resolved, tracking_uri=uri, inline=True, observer=Interrupting(5), shard_size=1)
    store = Store(uri)
    (sweep,) = store.sweeps()
    client = MlflowClient(uri)
    folder = Path(client.get_run(sweep.run_id).info.artifact_uri.removeprefix("file://"))
    (folder / "rows").mkdir()
    (folder / "rows" / "00000006-00000007.parquet").write_bytes((folder / "trials.parquet").read_bytes()[:100])
    assert len(store.read_rows(sweep)) == 5
    result = run_sweep(resolved, tracking_uri=uri, inline=True, resume=sweep.sweep)
    assert_same_trials(result.table, recorded.result.table)


def test_a_verdict_of_rows_finds_a_figure_that_was_changed(recorded: Recorded, uri: str) -> None:
    result = run_sweep(load_spec(_spec(runs="summary")), tracking_uri=uri, inline=True)
    store = Store(uri)
    folder = Path(MlflowClient(uri).get_run(result.sweep_run_id).info.artifact_uri.removeprefix("file://"))
    table = pd.read_parquet(folder / "trials.parquet")
    table.loc[2, "metrics.loss"] *= 1 + 1e-15
    table.to_parquet(folder / "trials.parquet", index=False)
    (difference,) = verify(store, store.find_sweep(result.sweep)).significant
    assert (difference.run_id, difference.figure) == ("trial 2", "metrics.loss")


def test_runs_without_weights_have_none_and_are_shown_and_verified_so(recorded: Recorded, uri: str) -> None:
    result = run_sweep(load_spec(_spec(weights="none")), tracking_uri=uri, inline=True)
    client, store = MlflowClient(uri), Store(uri)
    sweep = store.find_sweep(result.sweep)
    runs = list(store.trials(sweep))
    assert len(runs) == 12
    assert all(client.list_artifacts(run.run_id) == [] for run in runs)
    verdict = verify(store, sweep)
    assert (verdict.trials, verdict.differences) == (12, ())
    shown = run_command("show", runs[0].run_id, "--tracking-uri", uri)
    assert (shown.exit_code, "no weights were recorded" in shown.stdout) == (0, True)
    assert run_for_json("show", runs[0].run_id, "--tracking-uri", uri)["final_weights"] is None


def test_commands_show_a_sweep_without_runs(recorded: Recorded, uri: str, tmp_path: Path) -> None:
    spec = tmp_path / "small.yaml"
    spec.write_text(json.dumps(_spec(runs="summary")))
    values = run_for_json("sweep", str(spec), "--inline", "--tracking-uri", uri)
    assert values["best"]["run_id"] is None
    assert values["best"]["metrics"] == recorded.result.best["metrics"]  # type: ignore[index]
    top = run_for_json("top", "small", "-n", "3", "--tracking-uri", uri)["top"]
    assert top[0]["metrics"] == values["best"]["metrics"]
    shown = run_command("show", "small", "--tracking-uri", uri)
    assert shown.exit_code == 0
    result = run_command("sweep", str(spec), "--inline", "--tracking-uri", uri)
    assert "all in trials.parquet" in result.stderr


@pytest.mark.parametrize("runs", ["al", 3, {"top": 0}, {"top": True}, {"top": 3, "x": 1}, {"best": 3}, None])
def test_wrong_levels_are_refused(runs: Any) -> None:
    with pytest.raises(SpecError, match=r"record\.runs: should be all, summary, or \{top: N\}"):
        load_spec(_spec(runs=runs))


@pytest.mark.parametrize(("runs", "count"), [("all", 12), ("summary", 0), ({"top": 3}, 3), ({"top": 99}, 12)])
def test_a_dry_run_counts_the_runs(runs: Any, count: int) -> None:
    plan = make_plan(load_spec(_spec(runs=runs)))
    assert plan.runs == count
    assert plan.metric_rows == make_plan(load_spec(_spec())).metric_rows * count // 12


def test_a_shards_curves_are_written_before_its_rows(
    recorded: Recorded, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial whose row is there counts as recorded: if its curves came later, a kill could lose them."""
    written: list[str] = []

    def note(writer: LocalArtifactWriter, path: str, content: bytes) -> None:
        written.append(path.partition("/")[0])

    monkeypatch.setattr(LocalArtifactWriter, "write_file", note)
    run_sweep(load_spec(_spec(runs="summary")), tracking_uri=uri, inline=True, shard_size=6)
    assert written == ["curves", "rows", "curves", "rows"]
