"""The metric of a search ranks its leaderboard, everywhere where no other metric is given."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.errors import SpecError
from experiments.spec import load_spec
from service.api import RecordedSweep, load_sweep, sweep
from service.cli.promoted import print_choice
from service.execution.plan import make_plan
from service.inspection.best import best_of
from service.results.leaderboard import Entry
from tests.service.conftest import run_command, run_for_json

_SPEC: dict[str, Any] = {
    "name": "searched",
    "dataset": {"name": "moons", "samples": 60, "noise": 0.3, "validation_fraction": 0.25},
    "model": {"hidden": [3]},
    "steps": 18,
    "search": {"method": "halving", "trials": 12, "first": 2, "metric": "validation_balanced_accuracy"},
    "grid": {"learning_rate": {"loguniform": [0.001, 10]}, "seed": {"range": 2}},
    "record": {"points": 3},
}
_METRIC = "validation_balanced_accuracy"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordedSweep, str]:
    """Return a sweep by halving that was compared by a measure, and its store."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('searched') / 'mlflow.db'}"
    return sweep(_SPEC, tracking_uri=uri, inline=True), uri


def test_the_leaderboard_ranks_by_the_metric_of_the_search(searched: tuple[RecordedSweep, str]) -> None:
    found, uri = searched
    assert found.objective == _METRIC
    values = found.trials[f"metrics.{_METRIC}"]
    assert values.notna().all()  # although `record` does not ask for the measure
    assert found.best()[f"metrics.{_METRIC}"] == values.max() > values.min()
    assert found.info.metrics[f"best_{_METRIC}"] == values.max()
    means = found.leaderboard()["mean"].tolist()
    assert means == sorted(means, reverse=True)
    assert run_for_json("top", "searched", "--tracking-uri", uri)["by"] == _METRIC
    assert run_for_json("top", "searched", "--by", "loss", "--tracking-uri", uri)["by"] == "loss"


def test_show_and_the_report_rank_by_the_metric_of_the_search(
    searched: tuple[RecordedSweep, str], tmp_path: Path
) -> None:
    found, uri = searched
    shown = run_command("show", "searched", "--tracking-uri", uri).stdout
    assert f"The best by {_METRIC}" in shown
    rows = [line.split() for line in shown.splitlines()]
    settings = {f"search.{name}": value for name, value in _SPEC["search"].items()}
    assert run_for_json("show", "searched", "--tracking-uri", uri)["settings"] == settings
    assert all([name, str(value)] in rows for name, value in settings.items())
    assert ["search", "halving"] not in rows
    (page, *_) = found.report(keep=False).write(tmp_path / "page.html")
    assert f"Ranked by the mean of {_METRIC.replace('_', ' ')}" in page.read_text(encoding="utf-8")


def test_promote_says_which_trial_it_takes(searched: tuple[RecordedSweep, str]) -> None:
    found, uri = searched
    at = ("--tracking-uri", uri)
    best, trials = found.best(), len(found.trials)
    said = run_command("promote", "searched", "--name", "one", *at).stderr
    assert f"run {best['run_id']}, the best of the {trials} single trials of searched/{found.id}" in said
    assert f": {_METRIC} {best[f'metrics.{_METRIC}']:.5g}, test_balanced_accuracy " in said
    where = "stopped early, at" if best["outcome"] == "stopped" else f"{best['outcome']}, trained to"
    assert f"{where} step {best['last_step']} of 18" in said
    assert f"of {len(found.leaderboard())}, by the mean over its 2 seeds or folds" in said
    worst = found.trials.sort_values("metrics.loss").iloc[-1]
    assert worst["outcome"] == "stopped"
    named = run_command("promote", worst["run_id"], "--name", "two", *at).stderr
    assert f"run {worst['run_id']}, stopped early, at step {worst['last_step']} of 18" in named


def test_promote_chooses_by_another_metric(searched: tuple[RecordedSweep, str]) -> None:
    found, uri = searched
    at = ("--name", "three", "--tracking-uri", uri)
    best, promoted = found.best("loss"), run_for_json("promote", "searched", "--by", "loss", *at)
    assert (promoted["run_id"], promoted["by"], promoted["value"]) == (best["run_id"], "loss", best["metrics.loss"])
    assert promoted["outcome"] == best["outcome"]
    wrong = run_command("promote", "searched", "--by", "los", *at)
    assert (wrong.exit_code, "did you mean 'validation_loss'" in wrong.stderr) == (2, True)
    assert run_command("promote", str(best["run_id"]), "--by", "loss", *at).exit_code == 2


def test_promote_names_the_first_configurations_trial_if_it_takes_another(
    searched: tuple[RecordedSweep, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found, _ = searched
    best = best_of(found._store, found.info)
    first = Entry(1, False, {"learning_rate": 1.0}, 2, 2, 0.9, 0.8, 1.0, "1234567890")
    second = Entry(2, False, {"learning_rate": 2.0}, 2, 2, 0.5, 0.4, 0.6, best.trial.run_id)
    print_choice(best.trial, replace(best, entry=second, leader=first, configurations=2, repeated=True), "--name one")
    said = capsys.readouterr().err
    assert "not single trials; its configuration has rank 2 of 2, by the mean over its 2 seeds or folds, 0.5" in said
    assert "the first there has the mean 0.9; its best trial: `gradgrid promote 12345678 --name one`" in said


def test_promote_takes_a_trial_that_has_a_run(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    table = sweep({**_SPEC, "record": {"points": 2, "runs": {"top": 1}}}, tracking_uri=uri, inline=True).trials
    (run,) = table["run_id"].dropna()
    said = run_command("promote", "searched", "--name", "one", "--tracking-uri", uri).stderr
    assert f"run {run}, the only trial of searched/" in said


def test_promote_of_a_sweep_without_runs_says_what_to_do(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    found = sweep({**_SPEC, "record": {"points": 2, "runs": "summary"}}, tracking_uri=uri, inline=True)
    refused = run_command("promote", "searched", "--name", "one", "--tracking-uri", uri)
    assert refused.exit_code == 2
    assert f"no trial of searched/{found.id} has a run, because of `record: {{runs: summary}}`" in refused.stderr
    assert "start a new sweep with `record: {runs: {top: 1}}`" in refused.stderr


def test_a_sampler_is_told_the_metric_of_the_search(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    search = {"method": "tpe", "trials": 6, "batch": 3, "metric": "test_accuracy"}
    told = sweep({**_SPEC, "search": search}, tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", inline=True)
    assert told.objective == "test_accuracy"
    assert load_sweep("searched", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}").objective == "test_accuracy"


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"method": "sobol", "trials": 4, "metric": "loss"}, "metric belongs to method halving, hyperband, tpe, cmaes"),
        ({"method": "tpe", "trials": 4, "metric": "los"}, "search.metric: moons has no metric 'los'"),
    ],
)
def test_a_metric_that_decides_nothing_is_refused(search: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_plan(load_spec({**_SPEC, "search": search}))
