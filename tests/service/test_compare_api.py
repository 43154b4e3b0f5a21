"""Comparing sweeps from Python: the same as the command's comparison."""

from pathlib import Path
from typing import Any

import pytest

from experiments.errors import NotFoundError, UserError
from service import RecordedSweep, compare, load_sweep, sweep
from tests.service.conftest import run_for_json

_SPEC: dict[str, Any] = {
    "name": "one",
    "dataset": {"name": "xor"},
    "model": {"hidden": [2]},
    "optimizer": "adam",
    "steps": 5,
    "grid": {"learning_rate": [0.01, 0.1], "seed": {"range": 3}},
    "record": {"points": 2},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordedSweep, RecordedSweep, str]:
    """Return a sweep with Adam and the same with SGD, and their store."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('pair') / 'mlflow.db'}"
    first = sweep(_SPEC, tracking_uri=uri, inline=True)
    return first, sweep(_SPEC, "name=two", "optimizer=sgd", tracking_uri=uri, inline=True), uri


def test_it_is_the_comparison_of_the_command(pair: tuple[RecordedSweep, RecordedSweep, str]) -> None:
    first, second, uri = pair
    told = run_for_json("top", "one", "two", "--tracking-uri", uri)
    both = compare("one", second, by=None, tracking_uri=uri)
    assert both.metric == told["by"] == "loss"
    assert (both.differences, both.notes) == (told["differences"], told["notes"])
    assert len(both.trials) == 12
    board = both.leaderboard()
    assert board["mean"].tolist() == [entry["mean"] for entry in told["entries"]]
    assert board["sweep"].tolist() == [entry["sweep"] for entry in told["entries"]]
    (difference,) = told["matched"][0]["differences"]
    (row,) = both.matched().to_dict("records")
    assert (row["first"], row["second"]) == (first.id, second.id)
    assert (row["first.optimizer"], row["second.optimizer"], row["pairs"]) == ("adam", "sgd", 6)
    assert [row[name] for name in ("mean", "low", "high")] == [difference[n] for n in ("mean", "low", "high")]
    assert [row["first_quartile"], row["median"], row["third_quartile"]] == difference["quartiles"]
    assert row["mean"] == pytest.approx((second.trials["metrics.loss"] - first.trials["metrics.loss"]).mean())


def test_conditions_and_the_metric_are_taken(pair: tuple[RecordedSweep, RecordedSweep, str], tmp_path: Path) -> None:
    both = compare(*pair[:2], by="accuracy", where=["learning_rate=0.1"])
    assert both.metric == "accuracy"
    assert compare(*pair[:2], where="learning_rate=0.1").trials.equals(both.trials)
    assert len(pair[0].leaderboard(where="learning_rate=0.1")) == 1
    assert set(both.trials["params.learning_rate"]) == {0.1}
    (page,) = both.report().write(tmp_path / "both.html")
    assert "one" in page.read_text(encoding="utf-8")


def test_the_leaderboard_takes_another_metric_and_conditions(pair: tuple[RecordedSweep, RecordedSweep, str]) -> None:
    both = compare(*pair[:2])
    by_accuracy = compare(*pair[:2], by="accuracy").leaderboard()
    assert both.leaderboard(by="accuracy").equals(by_accuracy)
    assert not both.leaderboard().equals(by_accuracy)
    slow = both.leaderboard(where="learning_rate<0.05")
    assert slow["mean"].tolist() == compare(*pair[:2], where="learning_rate<0.05").leaderboard()["mean"].tolist()
    with pytest.raises(NotFoundError, match="no trial has the metric 'acuracy'; did you mean 'accuracy'"):
        both.leaderboard("acuracy")
    measured = sweep(_SPEC, "name=measured", "record.measures=[f1_macro]", tracking_uri=pair[2], inline=True)
    with pytest.raises(NotFoundError, match=f"no trial of {pair[0].id} has the metric 'f1_macro'"):
        compare(pair[0], measured).leaderboard(by="f1_macro")


def test_sweeps_without_partners_have_the_columns(pair: tuple[RecordedSweep, RecordedSweep, str]) -> None:
    whole = compare(*pair[:2]).matched()
    third = sweep(_SPEC, "name=three", "grid.seed=[7, 8]", tracking_uri=pair[2], inline=True)
    matched = compare(pair[0], third).matched()
    assert len(matched) == 0
    assert list(matched) == [name for name in whole if not name.endswith(".optimizer")]


def test_what_can_not_be_compared_is_refused(pair: tuple[RecordedSweep, RecordedSweep, str], tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    other = sweep(_SPEC, tracking_uri=uri, inline=True)
    with pytest.raises(UserError, match="different stores can't be compared"):
        compare(pair[0], other)
    with pytest.raises(UserError, match="needs two sweeps, not 1"):
        compare(load_sweep("one", tracking_uri=uri))
    with pytest.raises(UserError, match=r"needs two sweeps, not 0; name them: `compare\('first', 'second'\)`"):
        compare(tracking_uri=f"sqlite:///{tmp_path / 'nothing.db'}")
    with pytest.raises(UserError, match="are the same sweep"):
        compare(other, "one")
