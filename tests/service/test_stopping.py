"""Halving, Hyperband and early stopping: who stops where, to the bits of the whole grid; and resumed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.outcomes import WILD
from experiments.errors import SpecError, StoreError, SweepInterruptedError
from experiments.spec import load_spec
from experiments.stopping import STOPPED
from service.api import load_sweep
from service.execution.observer import NullObserver
from service.execution.plan import make_plan
from service.execution.worker import train_shard
from service.results.quantile_bands import Curves
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials

_SPEC: dict[str, Any] = {
    "name": "stopping",
    "dataset": {"name": "moons", "samples": 40, "noise": 0.2},
    "model": {"hidden": [3]},
    "schedule": "cosine",
    "steps": 36,
    "search": {"method": "halving", "trials": 20, "first": 4},
    "grid": {"learning_rate": {"loguniform": [0.01, 1e60]}, "activation": ["relu", "tanh"], "seed": {"range": 2}},
    "record": {"points": 5, "curves": "none"},
}
_RUNGS = (4, 12, 36)


def _whole_curves(spec: dict[str, Any], metric: str) -> np.ndarray[Any, Any]:
    """Return the metric of every trial at every step of the whole grid, (trials, steps + 1); NaN once diverged."""
    section = {key: value for key, value in spec.items() if key not in ("search", "early_stopping")}
    if "trials" in spec.get("search", {}):
        section["search"] = {"method": "sobol", "trials": spec["search"]["trials"]}
    plan = make_plan(load_spec({**section, "record": {"points": spec["steps"] + 1}}))
    curves = np.full((plan.trials, spec["steps"] + 1), np.nan)
    for shard in plan.shards(1):
        history = train_shard(shard, plan.datasets).history
        values = history.curves[metric].astype(float)
        diverged = np.flatnonzero(history.diverged)
        ends = values[diverged, -1]
        values[diverged, -1] = np.nan
        values[diverged, history.last_step[diverged]] = ends
        curves[shard.numbers] = values
    return curves


def _halved(curves: np.ndarray[Any, Any], rungs: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return the rung at which each trial leaves: one configuration of two seeds in three goes on."""
    means = curves.reshape(-1, 2, curves.shape[1]).mean(axis=1)
    left, still_in = np.full(len(means), rungs[-1]), list(range(len(means)))
    for rung in rungs[:-1]:
        still_in.sort(key=lambda k: (np.isnan(means[k, rung]), means[k, rung] if means[k, rung] < np.inf else 0, k))
        keep = max(1, len(means) // 3 ** (rungs.index(rung) + 1))
        left[still_in[keep:]] = rung
        still_in = still_in[:keep]
    return np.repeat(left, 2)


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    uri = f"sqlite:///{tmp_path_factory.mktemp('halved') / 'mlflow.db'}"
    table = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True).table
    assert run_for_json("verify", "stopping", "--tracking-uri", uri)["differences"] == []
    return table


def test_the_worst_leave_at_each_rung_with_the_bits_of_the_whole_grid(halved: pd.DataFrame) -> None:
    curves = _whole_curves(_SPEC, "test_loss")
    left = _halved(curves, _RUNGS)
    assert halved["number"].tolist() == list(range(40))
    diverged = (halved["outcome"] == "diverged").to_numpy()
    assert 0 < diverged.sum() < 30
    stopped = (halved["outcome"] == STOPPED).to_numpy()
    lost = halved["outcome"].isin(WILD).to_numpy()
    assert (lost & ~diverged).any()
    assert stopped.tolist() == ((left < 36) & ~lost).tolist()
    assert set(left[stopped]) == {4, 12}
    assert halved["outcome_step"][stopped].tolist() == left[stopped].tolist()
    assert halved["last_step"][~diverged].tolist() == left[~diverged].tolist()
    finals = halved["metrics.test_loss"].to_numpy()
    assert finals[~diverged].tolist() == curves[np.arange(40), left][~diverged].tolist()


def test_identities_are_those_of_the_grid(halved: pd.DataFrame) -> None:
    ids = make_plan(load_spec({**_SPEC, "search": {"method": "sobol", "trials": 20}})).trial_ids
    assert halved["trial"].tolist() == list(ids)


@pytest.mark.parametrize("after", [1, 10, 30, 39])
def test_an_interrupted_sweep_goes_on_to_the_same_trials(halved: pd.DataFrame, uri: str, after: int) -> None:
    with pytest.raises(SweepInterruptedError):
        run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, observer=Interrupting(after), shard_size=3)
    rest = run_for_json("resume", "stopping", "--inline", "--tracking-uri", uri)
    assert (rest["trials"], rest["missing"]) == (40, 0)
    assert_same_trials(load_sweep("stopping", tracking_uri=uri).trials, halved)


class _InterruptingComparisons(NullObserver):
    """Presses Ctrl-C when trials are compared for the nth time."""

    def __init__(self, times: int) -> None:
        self.left, self.compared = times, list[tuple[int, int]]()

    def comparing(self, trials: int, steps: int) -> None:
        self.compared.append((trials, steps))
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_rungs_that_were_decided_are_not_trained_again(halved: pd.DataFrame, uri: str) -> None:
    first, second = _InterruptingComparisons(2), _InterruptingComparisons(99)
    with pytest.raises(SweepInterruptedError):
        run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, observer=first)
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, resume="stopping", observer=second)
    assert first.compared == [(40, 4), (12, 12)]
    assert second.compared == [(12, 12)]
    assert_same_trials(result.table, halved)


class _Clock(NullObserver):
    """A clock that goes on by a minute each time it is read."""

    def __init__(self) -> None:
        self.minutes = 0

    def now(self) -> float:
        self.minutes += 1
        return 60.0 * self.minutes


def test_a_comparison_that_the_budget_cut_short_goes_on(
    halved: pd.DataFrame, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time it gets a little further, so that any budget comes to an end."""
    sweep, runs = None, 0
    recorded = 0
    while recorded < 40:
        with monkeypatch.context() as patch:
            patch.setattr("service.run.time.monotonic", _Clock().now)
            result = run_sweep(
                load_spec(_SPEC), tracking_uri=uri, inline=True, resume=sweep, minutes=25, shard_size=9,
            )  # fmt: skip
        sweep, runs, recorded = result.sweep, runs + 1, result.trials
        assert runs < 20
    assert runs > 1
    assert_same_trials(load_sweep("stopping", tracking_uri=uri).trials, halved)


def test_what_was_decided_is_never_half_written(halved: pd.DataFrame, uri: str) -> None:
    with pytest.raises(SweepInterruptedError):
        run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, observer=_InterruptingComparisons(2))
    sweep = load_sweep("stopping", tracking_uri=uri)
    folder = Path(sweep._store.run_location(sweep.info).removeprefix("file://"))
    names = [path.name for path in folder.iterdir()]
    assert "steps.parquet" in names
    assert not [name for name in names if name.startswith("steps.parquet.")]
    (folder / "steps.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(StoreError, match=r"steps.parquet of the sweep .* can't be read"):
        run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, resume="stopping")


def test_the_leaderboard_tells_that_trials_were_stopped(uri: str) -> None:
    table = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True).table
    stopped = (table["outcome"] == STOPPED).sum()
    shown = run_command("top", "stopping", "--tracking-uri", uri)
    assert f"{stopped} of 40 trials were stopped early" in shown.stderr
    others = run_command("top", "stopping", "--where", f"outcome!={STOPPED}", "--tracking-uri", uri)
    assert "were stopped early" not in others.stderr


def test_stopped_trials_have_as_many_points_for_a_step_as_the_others() -> None:
    plan = make_plan(load_spec({**_SPEC, "steps": 360, "record": {"points": 31}}))
    plan = replace(plan, steps=np.repeat([4, 36, 120, 360], plan.trials // 4))
    points = {shard.config.steps: len(shard.config.recorded_steps) for shard in plan.shards(1)}
    assert points == {4: 2, 36: 4, 120: 11, 360: 31}


def test_curves_of_other_lengths_make_one_line(uri: str) -> None:
    """Trials that stop at different steps have points at different steps."""
    run_sweep(load_spec({**_EARLY, "record": {"points": 9}}), tracking_uri=uri, inline=True)
    sweep = load_sweep("early", tracking_uri=uri)
    curves, table = sweep._store.curves(sweep.info), sweep.trials
    values = Curves(curves, table).matrix("loss")
    steps = np.array(Curves(curves, table).steps)
    assert len(steps) > 9  # more than those of any trial
    for row, (_, trial) in zip(values, table.iterrows(), strict=True):
        if trial["outcome"] == "diverged":
            continue
        own = curves[curves["number"] == trial["number"]]
        inside = steps <= trial["last_step"]
        assert np.isfinite(row[inside]).all()
        assert np.isnan(row[~inside]).all()
        assert np.allclose(row[inside], np.interp(steps[inside], own["step"], own["loss"]), rtol=1e-12)


def test_a_stopped_trial_is_no_partner_of_a_longer_one(uri: str) -> None:
    whole = {**_SPEC, "name": "whole", "search": {"method": "sobol", "trials": 20}}
    for spec in (_SPEC, whole):
        run_sweep(load_spec(spec), tracking_uri=uri, inline=True)
    stopped = load_sweep("stopping", tracking_uri=uri).trials["outcome"].isin([STOPPED, "exploding"]).sum()
    told = run_for_json("top", "stopping", "whole", "--tracking-uri", uri)
    (matched,) = told["matched"]
    assert stopped > 10
    assert (matched["first_alone"], matched["second_alone"], matched["pairs"]) == (stopped, stopped, 40 - stopped)
    assert all(d["equal"] + d["lost"] == d["pairs"] for d in matched["differences"])


@pytest.mark.parametrize("configurations", [1, 2, 3, 6, 20])
@pytest.mark.parametrize("method", ["halving", "hyperband"])
def test_the_dry_run_tells_the_share_of_steps_that_is_trained(
    uri: str, monkeypatch: pytest.MonkeyPatch, method: str, configurations: int
) -> None:
    search = {"method": method, "trials": configurations, "first": 4}
    grid = {**_SPEC["grid"], "learning_rate": {"loguniform": [0.01, 0.1]}}
    resolved = load_spec({**_SPEC, "search": search, "grid": grid})
    trained = []

    def counted(shard: Any, *args: Any) -> Any:
        trained.append(shard.trials * shard.config.steps)
        return train_shard(shard, *args)

    for module in ("worker", "shard_tables"):
        monkeypatch.setattr(f"service.execution.{module}.train_shard", counted)
    plan = make_plan(resolved)
    assert plan.ladder is not None
    run_sweep(resolved, tracking_uri=uri, inline=True)
    assert sum(trained) / (36 * plan.trials) == pytest.approx(plan.ladder.share)


def test_a_budget_that_is_over_ends_it_in_order(halved: pd.DataFrame, uri: str) -> None:
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, minutes=0.0)
    assert (result.trials, result.planned) == (0, 40)
    assert load_sweep("stopping", tracking_uri=uri).info.status == "KILLED"
    rest = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, resume="stopping")
    assert_same_trials(rest.table, halved)


def test_a_stopped_trial_is_explained_and_shown(uri: str) -> None:
    run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True)
    table = load_sweep("stopping", tracking_uri=uri).trials
    row = table[table["outcome"] == STOPPED].iloc[0]
    told = run_for_json("explain", "stopping", "--trial", str(row["number"]), "--tracking-uri", uri)
    assert told["step"] == row["last_step"]
    shown = run_command("show", row["run_id"], "--tracking-uri", uri).stdout
    assert f"{STOPPED} after {row['last_step']} steps" in " ".join(shown.split())


def test_the_whole_grid_can_be_halved_by_any_metric_and_without_curves(uri: str) -> None:
    spec = {
        **_SPEC,
        "search": {"method": "halving", "first": 12, "metric": "test_balanced_accuracy"},
        "grid": {"learning_rate": [0.01, 0.1, 0.5, 1e30], "activation": ["relu", "tanh"]},
        "record": {"runs": {"top": 2}, "curves": "none", "weights": "none"},
    }
    table = run_sweep(load_spec(spec), tracking_uri=uri, inline=True).table
    assert (table["last_step"] == 36).sum() == 8 // 3
    assert table["run_id"].notna().sum() == 2
    assert run_for_json("verify", "stopping", "--tracking-uri", uri)["differences"] == []


def test_hyperband_begins_brackets_at_later_rungs(uri: str) -> None:
    spec = {**_SPEC, "search": {**_SPEC["search"], "method": "hyperband"}}
    plan = make_plan(load_spec(spec))
    assert plan.ladder is not None
    table = run_sweep(load_spec(spec), tracking_uri=uri, inline=True).table
    finished = table[table["outcome"] != "diverged"]
    for bracket in plan.ladder.brackets:
        members = finished[np.isin(plan.configurations[finished["number"]], bracket.members)]
        assert (members["last_step"] >= _RUNGS[bracket.first]).all()
    last = plan.ladder.brackets[-1].members
    whole = table[np.isin(plan.configurations[table["number"]], last)]
    assert not (whole["outcome"] == STOPPED).any()


_EARLY: dict[str, Any] = {
    "name": "early",
    "dataset": {"name": "moons", "samples": 40, "noise": 0.4, "validation_fraction": 0.25},
    "model": {"hidden": [6]},
    "optimizer": "adam",
    "steps": 203,
    "early_stopping": {"patience": 10, "every": 2},
    "grid": {"learning_rate": [0.01, 0.3, 1e30], "activation": ["relu", "tanh"], "seed": {"range": 4}},
    "record": {"points": 5},
}


def _first_stop(curve: np.ndarray[Any, Any], patience: int, every: int) -> int:
    best, since = curve[0], 0
    for step in range(every, len(curve), every):
        if np.isnan(curve[step]):
            return step
        if curve[step] < best:
            best, since = curve[step], step
        if step - since >= patience:
            return step
    return len(curve) - 1


@pytest.mark.parametrize("every", [1, 2, 7])
def test_a_trial_stops_when_its_validation_loss_has_not_fallen(uri: str, every: int) -> None:
    spec = {**_EARLY, "early_stopping": {"patience": 10, "every": every}}
    curves = _whole_curves(spec, "validation_loss")
    steps = np.array([_first_stop(curve, 10, every) for curve in curves])
    table = run_sweep(load_spec(spec), tracking_uri=uri, inline=True).table
    diverged = (table["outcome"] == "diverged").to_numpy()
    assert table["last_step"][~diverged].tolist() == steps[~diverged].tolist()
    lost = table["outcome"].isin(WILD).to_numpy()
    assert (table["outcome"] == STOPPED).tolist() == ((steps < 203) & ~lost).tolist()
    assert len(set(steps)) > 5
    finals = table["metrics.validation_loss"].to_numpy()
    assert finals[~diverged].tolist() == curves[np.arange(len(steps)), steps][~diverged].tolist()
    assert run_for_json("verify", "early", "--tracking-uri", uri)["differences"] == []


def test_early_stopping_is_resumed(uri: str) -> None:
    whole = run_sweep(load_spec(_EARLY), tracking_uri=uri, inline=True).table
    with pytest.raises(SweepInterruptedError):
        run_sweep(load_spec(_EARLY), tracking_uri=uri, inline=True, observer=Interrupting(9), shard_size=2)
    sweep = load_sweep("early", tracking_uri=uri)
    assert 0 < len(sweep.trials) < len(whole)
    run_for_json("resume", sweep.id, "--inline", "--tracking-uri", uri)
    assert_same_trials(load_sweep(sweep.id, tracking_uri=uri).trials, whole)


def test_trials_of_different_lengths_stop_too(uri: str) -> None:
    spec = {**_EARLY, "grid": {**_EARLY["grid"], "steps": [3, 50, 120]}}
    del spec["steps"]
    table = run_sweep(load_spec(spec), tracking_uri=uri, inline=True).table
    finished = table[table["outcome"] != "diverged"]
    assert (finished["last_step"] <= finished["params.steps"]).all()
    assert (finished[finished["params.steps"] == 3]["last_step"] == 3).all()


@pytest.mark.slow
def test_ray_workers_halve_to_the_same_bits(halved: pd.DataFrame, uri: str) -> None:
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, workers=2, shard_size=7)
    assert_same_trials(result.table, halved)


def test_the_dry_run_tells_the_rungs() -> None:
    told = run_for_json("sweep", "moons", "--dry-run", "--set", "search={method: halving, first: 10, factor: 4}")
    plan = make_plan(load_spec("moons"))
    configurations = int(plan.configurations.max()) + 1
    assert told["rungs"][0] == {"steps": 10, "configurations": configurations, "leave": configurations * 3 // 4}
    text = run_command("sweep", "moons", "--dry-run", "--set", "search={method: halving, first: 10}").stdout
    assert f"rungs     {configurations:,} to step 10, " in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("search={method: halving}", "method halving needs first, the steps after which the worst leave"),
        ("search={method: sobol, trials: 4, first: 3}", "first belongs to method halving or hyperband, not sobol"),
        ("search.factor=1", "search.factor should be greater than or equal to 2"),
        ("search.min_resources=36", "unknown key 'min_resources'; write `first: 36`"),
        ("search.first=36", r"search.first is 36, and should be less than steps, 36"),
        ("search.metric=acuracy", "search.metric: moons has no metric 'acuracy'; did you mean 'accuracy'"),
        ("search.metric=r2", "has no metric 'r2'"),
        ("early_stopping={patience: 3}", "halving stops trials itself; leave early_stopping or search out"),
        ("extensions=[[search.trials=30]]", "a sweep with halving can't be extended: which trials go on depends on"),
    ],
)
def test_what_does_not_go_with_halving_is_refused(change: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_plan(load_spec(_SPEC, (change,)))


def test_halving_compares_trials_at_the_same_steps() -> None:
    spec = {**_SPEC, "grid": {**_SPEC["grid"], "steps": [10, 20]}}
    del spec["steps"]
    with pytest.raises(SpecError, match="halving needs one number of steps for all trials"):
        make_plan(load_spec(spec))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("early_stopping={every: 3}", "patience"),
        ("early_stopping={patience: 203}", "patience is 203, and should be less than steps, 203: no trial could"),
        ("early_stopping={patience: 3, every: 4}", "every should be at most patience, 3, not 4"),
        ("early_stopping={patience: 3, metric: balanced_accuracy}", "has no metric 'balanced_accuracy'"),
        ("early_stopping={patience: 3, metric: test_loss}", "has no metric 'test_loss'"),
        ("extensions=[[grid.seed.range=5]]", "a sweep with early_stopping can't be extended"),
    ],
)
def test_what_does_not_go_with_early_stopping_is_refused(change: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_plan(load_spec(_EARLY, (change,)))
