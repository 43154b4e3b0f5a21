"""Scores of a sweep: recorded for each trial, ranked by, verified, kept, and conditions of its outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.errors import SweepInterruptedError
from experiments.spec import load_spec
from service.api import RecordedSweep, load_sweep
from service.execution.plan import make_plan
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json
from tests.service.observers import Interrupting

_SCORES = {
    "fit": {"sum": "loss_ratio"},
    "late": {"mean": "loss_ratio", "last": 5, "cap": 1e6},
    "peak": {"max": "loss"},
    "solved": {"first": "loss_ratio<0.5"},
}
_SPEC: dict[str, Any] = {
    "name": "scored",
    "dataset": {"name": "moons", "samples": 40, "validation_fraction": 0.2},
    "model": {"hidden": [4], "activation": "relu"},
    "loss": "mean_squared_error",
    "steps": 20,
    "grid": {"learning_rate": {"logspace": [0.01, 1e40], "points": 6}, "seed": {"range": 3}},
    "record": {"points": 21, "scores": _SCORES},
}


def _run(uri: str, **record: Any) -> RecordedSweep:
    spec = {**_SPEC, "record": {**_SPEC["record"], **record}}
    return load_sweep(run_sweep(load_spec(spec), tracking_uri=uri, inline=True).sweep, tracking_uri=uri)


@pytest.mark.parametrize("runs", ["all", "summary", {"top": 4}])
def test_they_are_recorded_ranked_by_and_verified(uri: str, runs: Any) -> None:
    sweep = _run(uri, runs=runs)
    table, at = sweep.trials, ("--tracking-uri", uri)
    assert 0 < (table["outcome"] == "diverged").sum() < len(table)
    assert table["metrics.solved"].isna().any()
    assert np.isposinf(table["metrics.fit"][table["outcome"] == "diverged"]).all()
    top = run_for_json("top", sweep.id, *at, "--by", "late", "--trials", "-n", "4")["top"]
    finished = table[table["outcome"] != "diverged"]
    assert [trial["metrics"]["late"] for trial in top] == sorted(finished["metrics.late"])[:4]
    unsolved = run_for_json("top", sweep.id, *at, "--where", "solved=null", "--trials", "-n", "40")["top"]
    assert len(unsolved) == finished["metrics.solved"].isna().sum() > 0
    assert all(trial["metrics"].get("solved") is None for trial in unsolved)
    assert run_command("verify", sweep.id, *at).exit_code == 0
    if runs == "all":
        loss = sweep._store.curve(top[0]["run_id"], "loss")
        ratios = [value / loss[0][1] for _, value in loss]
        assert sweep._store.curve(top[0]["run_id"], "fit") == [(20, sum(ratios[:-1]))]
        assert "solved" in run_command("show", top[0]["run_id"], *at).stdout


def test_a_score_that_no_trial_has_ranks_none_and_says_so(uri: str) -> None:
    scores = {**_SCORES, "below": {"first": "loss<0"}}
    sweep = _run(uri, runs="summary", scores=scores)
    result = run_command("top", sweep.id, "--by", "below", "--tracking-uri", uri)
    assert (result.exit_code, result.stdout.strip()) == (0, "")
    assert "no trial that finished has a value of below" in result.stderr


def test_a_false_score_is_noticed(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = _run(uri, runs="summary")
    monkeypatch.setattr("engine.kernels.compiled.finished", _wrong)
    result = run_command("verify", sweep.id, "--tracking-uri", uri)
    assert result.exit_code == 1
    assert "metrics.peak" in result.stdout + result.stderr


def _wrong(*arguments: Any) -> dict[str, Any]:
    from engine.scores import finished

    values = finished(*arguments)
    return {name: value * (1 + 2**-52) if name == "peak" else value for name, value in values.items()}


@pytest.mark.parametrize("runs", ["all", "summary"])
def test_a_resumed_and_an_extended_sweep_have_the_same(uri: str, runs: str) -> None:
    record = {**_SPEC["record"], "runs": runs, "outcomes": {"converged": "late<0.9", "exploding": "late>=1"}}
    whole = _run(uri, **record)
    spec = load_spec({**_SPEC, "name": "cut", "record": record})
    with pytest.raises(SweepInterruptedError):
        run_sweep(spec, tracking_uri=uri, inline=True, observer=Interrupting(6), shard_size=4)
    assert 0 < len(load_sweep("cut", tracking_uri=uri).trials) < 18
    run_sweep(spec, tracking_uri=uri, inline=True, resume="cut")
    columns = [name for name in whole.trials.columns if name != "run_id"]
    pd.testing.assert_frame_equal(_sorted("cut", uri)[columns], _sorted(whole.id, uri)[columns], check_exact=True)
    smaller = {**_SPEC, "name": "grown", "record": record, "grid": {**_SPEC["grid"], "seed": {"range": 2}}}
    grown = load_sweep(run_sweep(load_spec(smaller), tracking_uri=uri, inline=True).sweep, tracking_uri=uri)
    grown.extend("grid.seed.range=3", inline=True)
    keys = ["params.learning_rate", "params.seed"]
    ours, theirs = (
        sweep.trials.sort_values(keys).reset_index(drop=True)[["trial", "outcome", *(f"metrics.{s}" for s in _SCORES)]]
        for sweep in (load_sweep("grown", tracking_uri=uri), whole)
    )
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def _sorted(sweep: str, uri: str) -> pd.DataFrame:
    return load_sweep(sweep, tracking_uri=uri).trials.sort_values("number").reset_index(drop=True)


def test_an_outcome_is_that_of_the_condition(uri: str) -> None:
    sweep = _run(uri, outcomes={"converged": "late<0.9", "exploding": "late>=1"})
    table, plain = sweep.trials, _run(uri).trials
    late = table["metrics.late"]
    expected = plain["outcome"].mask(late < 0.9, "converged").mask(late >= 1, "exploding")
    expected = expected.mask(plain["outcome"] == "diverged", "diverged")
    assert table["outcome"].tolist() == expected.tolist()
    assert (table["outcome"] != plain["outcome"]).any()
    tags = {info.number: info.outcome for info in sweep._store.trials(sweep.info)}
    assert [tags[number] for number in table["number"]] == expected.tolist()
    assert (table["trial"] == plain["trial"]).all()  # a label is no part of a trial's identity
    run = table["run_id"][table["outcome"] == "converged"].iloc[0]
    assert run_command("explain", run, "--tracking-uri", uri).exit_code == 0


def test_the_dry_run_counts_their_points() -> None:
    without = {**_SPEC, "record": {"points": 21}}
    assert make_plan(load_spec(_SPEC)).metric_rows - make_plan(load_spec(without)).metric_rows == 18 * len(_SCORES)


_MAP: dict[str, Any] = {
    **dict(load_spec("fractal_point").source.data),
    "name": "map",
    "steps": 60,
    "grid": {f"learning_rate.layer{n}": {"logspace": [0.01, 1e4], "points": 17} for n in (1, 2)},
    "record": {
        "runs": "summary", "weights": "none", "curves": "none", "points": 3,
        "scores": {"late": {"mean": "loss_ratio", "last": 20, "cap": 1e6}},
    },
}  # fmt: skip


def _map(uri: str, **changes: Any) -> RecordedSweep:
    spec = {**_MAP, **changes, "record": {**_MAP["record"], **changes.get("record", {})}}
    return load_sweep(run_sweep(load_spec(spec), tracking_uri=uri, inline=True).sweep, tracking_uri=uri)


def test_a_map_is_drawn_and_its_edge_measured_by_them(uri: str) -> None:
    plain, labelled = _map(uri), _map(uri, record={"outcomes": {"converged": "late<1", "exploding": "late>=1"}})
    at = ("--tracking-uri", uri)
    by_condition = run_for_json("edge", plain.id, "--where", "late<1", "--nudge", "5", *at)
    by_outcome = run_for_json("edge", labelled.id, "--nudge", "5", *at)
    assert by_condition == {**by_outcome, "sweep": plain.id}
    assert by_condition["pixels"] not in (0, run_for_json("edge", plain.id, *at)["pixels"])
    from service.report.contents import gather

    phase = gather(plain._store, plain.info, "late").phases[0]
    assert phase.metric == "late"
    late = plain.trials["metrics.late"].where(plain.trials["outcome"] != "diverged").to_numpy()
    np.testing.assert_array_equal(np.sort(phase.median.ravel()), np.sort(late))


@pytest.mark.parametrize("by", ["lost", "outcome"])
def test_a_map_is_refined_by_them(uri: str, by: str) -> None:
    record = {"outcomes": {"converged": "late<1", "exploding": "late>=1"}}
    dense = _map(uri, record=record)
    grid = {name: {**axis, "points": 9} for name, axis in _MAP["grid"].items()}
    refined = _map(uri, name="refined", grid=grid, refine={"to": 17, "by": by, "audit": 0}, record=record)
    assert len(refined.trials) < len(dense.trials)
    same = dense.trials.set_index("number").loc[refined.trials["number"], "outcome"]
    assert same.tolist() == refined.trials["outcome"].tolist()
