"""The metric of a search ranks its leaderboard, everywhere where no other metric is given."""

from pathlib import Path
from typing import Any

import pytest

from experiments.errors import SpecError
from experiments.spec import load_spec
from service.api import RecordedSweep, load_sweep, sweep
from service.execution.plan import make_plan
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
    (page, *_) = found.report(keep=False).write(tmp_path / "page.html")
    assert f"Ranked by the mean of {_METRIC.replace('_', ' ')}" in page.read_text(encoding="utf-8")


def test_a_sampler_is_told_the_metric_of_the_search(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    search = {"method": "tpe", "trials": 6, "batch": 3, "metric": "test_accuracy"}
    told = sweep({**_SPEC, "search": search}, tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", inline=True)
    assert told.objective == "test_accuracy"
    assert load_sweep("searched", tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}").objective == "test_accuracy"


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"method": "sobol", "trials": 4, "metric": "loss"}, "metric belongs to method halving, hyperband, tpe or cma"),
        ({"method": "tpe", "trials": 4, "metric": "los"}, "search.metric: moons has no metric 'los'"),
    ],
)
def test_a_metric_that_decides_nothing_is_refused(search: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_plan(load_spec({**_SPEC, "search": search}))
