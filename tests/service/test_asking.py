"""Searches by Optuna: the points come in batches, get better, are kept, and are resumed to the same."""

import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.asking import dimensions
from experiments.errors import SpecError, SweepInterruptedError, UserError
from experiments.search import COORDINATES, SearchSpec
from experiments.spec import load_spec
from service.api import load_sweep
from service.execution.asking import Sampler, check_sampler
from service.execution.plan import make_plan, plan_with_points
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json, write_spec
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials

_SPEC: dict[str, Any] = {
    "name": "asking",
    "dataset": {"name": "moons", "samples": 40, "noise": 0.2},
    "model": {"hidden": [3]},
    "steps": 10,
    "search": {"method": "tpe", "trials": 30, "batch": 10},
    "grid": {
        "learning_rate": {"loguniform": [0.001, 1e40]},
        "activation": ["relu", "tanh"],
        "clip_norm": [None, 0.5, 1.0],
        "seed": {"range": 2},
    },
    "record": {"points": 3, "curves": "none"},
}
_PARAMS = ["params.learning_rate", "params.activation", "params.clip_norm", "params.seed"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    uri = f"sqlite:///{tmp_path_factory.mktemp('asked') / 'mlflow.db'}"
    table = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True).table
    assert run_for_json("verify", "asking", "--tracking-uri", uri)["differences"] == []
    return table


def test_each_point_is_trained_with_every_seed(asked: pd.DataFrame) -> None:
    assert asked["number"].tolist() == list(range(60))
    assert asked["params.seed"].tolist() == [0, 1] * 30
    points = asked[_PARAMS[:3]].iloc[::2].reset_index(drop=True)
    assert points.equals(asked[_PARAMS[:3]].iloc[1::2].reset_index(drop=True))
    assert points.drop_duplicates().shape == (30, 3)


def test_later_batches_are_better(asked: pd.DataFrame) -> None:
    """Most of the first batch's learning rates are far too large; the last batch's are not."""
    rates = np.log10(asked["params.learning_rate"])
    assert rates[:20].median() > 5
    assert rates[40:].median() < 3
    losses = asked["metrics.test_loss"]
    assert losses[40:].median() < losses[:20].median()


def test_optuna_itself_chooses_the_points(asked: pd.DataFrame) -> None:
    """A study that is told the recorded losses asks for the recorded points."""
    import optuna

    space = {
        "learning_rate": optuna.distributions.FloatDistribution(0.0, 1.0),
        "activation": optuna.distributions.CategoricalDistribution(range(2)),
        "clip_norm": optuna.distributions.CategoricalDistribution(range(3)),
    }
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, multivariate=True, n_startup_trials=10))
    diverged = asked["outcome"] == "diverged"
    values = asked["metrics.test_loss"].where(~diverged).groupby(asked["number"] // 2).sum(min_count=2) / 2
    for batch in range(3):
        trials = [study.ask(space) for _ in range(10)]
        rows = asked.iloc[20 * batch : 20 * batch + 20 : 2]
        clips = [None, 0.5, 1.0]
        for trial, (_, row) in zip(trials, rows.iterrows(), strict=True):
            assert ["relu", "tanh"][trial.params["activation"]] == row["params.activation"]
            assert clips[trial.params["clip_norm"]] == (
                None if pd.isna(row["params.clip_norm"]) else row["params.clip_norm"]
            )
            rate = 0.001 * (1e40 / 0.001) ** trial.params["learning_rate"]
            assert np.log(row["params.learning_rate"]) == pytest.approx(np.log(rate), abs=1e-6)
        known = values[: 10 * batch + 10]
        for trial, value in zip(trials, known.fillna(known.max())[-10:], strict=True):
            study.tell(trial, value)


@pytest.mark.parametrize("after", [1, 25, 59])
def test_an_interrupted_search_goes_on_to_the_same_points(asked: pd.DataFrame, uri: str, after: int) -> None:
    with pytest.raises(SweepInterruptedError):
        run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, observer=Interrupting(after), shard_size=3)
    rest = run_for_json("resume", "asking", "--inline", "--tracking-uri", uri)
    assert (rest["trials"], rest["missing"]) == (60, 0)
    assert_same_trials(load_sweep("asking", tracking_uri=uri).trials, asked)


def test_a_longer_search_begins_with_the_shorter_one(asked: pd.DataFrame, uri: str) -> None:
    short = load_spec(_SPEC, ("search.trials=20",))
    run_sweep(short, tracking_uri=uri, inline=True)
    at = ("--tracking-uri", uri)
    assert run_for_json("extend", "asking", "--set", "search.trials=30", "--dry-run", *at)["new"] == 20
    run_for_json("extend", "asking", "--set", "search.trials=30", "--inline", *at)
    table = load_sweep("asking", tracking_uri=uri).trials
    assert_same_trials(table, asked)
    assert run_for_json("verify", "asking", *at)["differences"] == []


def test_a_run_that_was_lost_is_trained_again(asked: pd.DataFrame, uri: str) -> None:
    table = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True).table
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        for name in ("metrics", "latest_metrics", "params", "tags", "runs"):
            database.execute(f"DELETE FROM {name} WHERE run_uuid = ?", (table["run_id"][3],))
    database.close()
    rest = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, resume="asking")
    assert rest.recorded == 1
    assert_same_trials(rest.table, asked)


def test_a_budget_ends_it_in_order(asked: pd.DataFrame, uri: str) -> None:
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, minutes=0.0)
    assert (result.trials, result.planned) == (0, 60)
    rest = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, resume="asking")
    assert (rest.trials, rest.planned) == (60, 60)
    assert_same_trials(rest.table, asked)


def test_cmaes_goes_where_the_loss_is_small(uri: str) -> None:
    spec = {**_SPEC, "search": {"method": "cmaes", "trials": 60, "batch": 10}}
    table = run_sweep(load_spec(spec), tracking_uri=uri, inline=True).table
    rates = np.log10(table["params.learning_rate"])
    assert rates[100:].median() < rates[:20].median() - 5
    assert run_for_json("verify", "asking", "--tracking-uri", uri)["differences"] == []


def test_points_that_are_equal_are_trained_once_and_count_each_time(uri: str) -> None:
    """There are six points, so most of those that are asked for are equal to earlier ones."""
    spec = {**_SPEC, "grid": {**_SPEC["grid"], "learning_rate": [0.01]}}
    result = run_sweep(load_spec(spec), tracking_uri=uri, inline=True)
    assert 2 < result.trials <= 12
    assert not result.table.duplicated(_PARAMS).any()


def test_points_of_another_version_of_optuna_are_told_in_place_of_its_own() -> None:
    block = make_plan(load_spec(_SPEC)).resolved.blocks[0]
    search = SearchSpec.model_validate(_SPEC["search"])
    samplers = [Sampler(search, dimensions(block)) for _ in range(2)]
    first = [sampler.ask(10) for sampler in samplers]
    assert first[0].tolist() == first[1].tolist()
    other = (first[0] + np.uint64(1)) % np.uint64(COORDINATES)
    samplers[0].tell(other, np.arange(10.0))
    samplers[1].tell(first[1], np.arange(10.0))
    assert [len(s._study.get_trials(states=[s._optuna.trial.TrialState.COMPLETE])) for s in samplers] == [10, 10]
    best = {d.name: d.value(coordinate) for d, coordinate in zip(dimensions(block), other[0].tolist(), strict=True)}
    assert samplers[0]._study.best_params == best
    assert samplers[0].ask(10).shape == (10, 3)


@pytest.mark.parametrize("values", [0, 1, 2, 3, 7, 1000])
def test_a_dimension_gives_back_what_it_was_given(values: int) -> None:
    from experiments.asking import Dimension

    dimension = Dimension("a", values)
    for value in range(values):
        assert dimension.value(dimension.coordinate(value)) == value
    for coordinate in [] if values else [0, 1, 12345, COORDINATES - 1]:
        assert dimension.coordinate(dimension.value(coordinate)) == coordinate


def test_a_few_points_need_not_have_every_value() -> None:
    """A point may have no use for a hyperparameter that another optimiser takes."""
    grid = {"optimizer": ["sgd", "momentum"], "momentum": {"uniform": [0.1, 0.9]}}
    plan = make_plan(load_spec({**_SPEC, "grid": grid}))
    points = np.array([[0, 5], [1, 7]], dtype=np.uint64)  # both by sgd
    assert plan_with_points(plan, points).trials == 1


def test_without_optuna_nothing_is_written_and_the_extra_is_named(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"search by tpe needs Optuna: pip install 'gradgrid\[search\]'"):
        run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True)
    assert run_for_json("list", "--tracking-uri", uri)["sweeps"] == []


def test_cmaes_needs_its_package_too(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    spec = {**_SPEC, "search": {"method": "cmaes", "trials": 20}}
    with pytest.raises(UserError, match=r"search by cmaes needs Optuna: pip install 'gradgrid\[search\]'"):
        run_sweep(load_spec(spec), tracking_uri=uri, inline=True)


def test_the_dry_run_tells_the_counts_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    search = "search={method: tpe, trials: 40}"
    grid = "grid={learning_rate: {loguniform: [0.01, 1]}, seed: {range: 3}}"
    text = run_command("sweep", "moons", "--dry-run", "--set", search, "--set", grid).stdout
    assert "120 trials (40 tpe points of learning_rate x 3 seed)" in text
    assert "all 40 points are asked for before any result is known" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("search={method: tpe}", "method tpe needs trials, the number of points"),
        ("search={method: sobol, trials: 3, batch: 2}", "batch belongs to method tpe, cmaes or optuna, not sobol"),
        ("early_stopping={patience: 3}", "early_stopping does not go with a search by tpe"),
        ("grid.only=[learning_rate<1]", "a search by tpe trains every point that it asks for; leave only out"),
        ("grid=[{learning_rate: [1, 2]}, {learning_rate: [3]}]", "a search by tpe has one block of axes, not 2"),
        ("extensions=[[grid.seed.range=30]]", "is extended by search.trials alone"),
    ],
)
def test_what_does_not_go_with_it_is_refused(change: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_plan(load_spec(_SPEC, (change,)))


@pytest.mark.parametrize("sampler", ["NSGAIISampler", "RandomSampler", "QMCSampler"])
def test_any_sampler_of_optuna_can_be_asked(sampler: str, uri: str) -> None:
    spec = {**_SPEC, "search": {**_SPEC["search"], "method": "optuna", "sampler": sampler, "trials": 20}}
    table = run_sweep(load_spec(spec), tracking_uri=uri, inline=True).table
    assert 2 <= len(table) <= 40
    assert run_for_json("verify", "asking", "--tracking-uri", uri)["differences"] == []


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"sampler": "NSGAIISampler"}, "method optuna and sampler go together"),
        ({"method": "optuna"}, "method optuna and sampler go together"),
        ({"method": "optuna", "sampler": "NSGASampler"}, "did you mean"),
        ({"method": "optuna", "sampler": "TPE"}, "did you mean 'TPESampler'"),
        ({"method": "optuna", "sampler": "GridSampler"}, "can't be used by its name alone"),
        ({"method": "optuna", "sampler": "BaseSampler"}, "can't be used by its name alone"),
    ],
)
def test_samplers_that_do_not_fit_are_refused(search: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_spec(tmp_path, {**_SPEC, "search": {**_SPEC["search"], **search}})
    result = run_command("sweep", path, "--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert result.exit_code != 0
    assert re.search(rf"asking\.yaml:\d+.*{message}", result.stderr, re.DOTALL)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_sampler_that_can_not_draw_these_axes_says_so(uri: str) -> None:
    search = {**_SPEC["search"], "method": "optuna", "sampler": "BruteForceSampler"}
    with pytest.raises(UserError, match=r"Optuna's BruteForceSampler can't choose points of these axes: .*step"):
        run_sweep(load_spec({**_SPEC, "search": search}), tracking_uri=uri, inline=True)


def test_a_sampler_that_needs_pytorch_is_refused_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    spec = {**_SPEC, "search": {**_SPEC["search"], "method": "optuna", "sampler": "GPSampler"}}
    with pytest.raises(UserError, match="needs PyTorch: pip install torch"):
        check_sampler(make_plan(load_spec(spec)))
