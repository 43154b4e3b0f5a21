"""Sweeps from Python."""

import pandas as pd
import pytest

import service
from experiments.errors import NotFoundError
from service import RecordedSweep, load_sweep, sweep
from tests.service.conftest import SPEC, Recorded


@pytest.fixture
def found(recorded: Recorded) -> RecordedSweep:
    return load_sweep("small", tracking_uri=recorded.uri)


def test_a_sweep_is_run_and_found_again(uri: str) -> None:
    made = sweep(SPEC, "grid.seed.range=1", tracking_uri=uri, inline=True)
    assert len(made.trials) == 4
    again = load_sweep(made.id, tracking_uri=uri)
    pd.testing.assert_frame_equal(again.trials, made.trials)
    assert repr(again) == f"<sweep small/{made.id}, finished>"
    assert callable(service.sweep)  # and no module of that name took its place


def test_trials_best_and_leaderboard(found: RecordedSweep, recorded: Recorded) -> None:
    pd.testing.assert_frame_equal(found.trials, recorded.result.table)
    best = recorded.result.best
    assert best is not None
    assert found.best()["run_id"] == best["run_id"]
    assert found.best("accuracy")["metrics.accuracy"] == found.trials["metrics.accuracy"].max()
    board = found.leaderboard(where=["activation=relu"])
    assert list(board["activation"]) == ["relu"]
    assert found.leaderboard()["rank"].iloc[0] == 1
    with pytest.raises(NotFoundError, match="no trial of"):
        found.best("nothing")


def test_curves_are_those_of_the_runs(found: RecordedSweep, recorded: Recorded) -> None:
    chosen = found.trials.head(2)
    curves = found.curves("loss", chosen)
    assert list(curves.columns) == ["number", "run_id", "step", "value"]
    for run_id, own in curves.groupby("run_id"):
        history = recorded.client.get_metric_history(str(run_id), "loss")
        assert list(zip(own["step"], own["value"], strict=True)) == [(m.step, m.value) for m in history]
    assert set(curves["number"]) == {0, 1}
    weights = found.final_weights(chosen.iloc[0]["run_id"])
    assert weights is not None
    assert weights[0]["name"] == "layer1.weight"


def test_a_notebook_shows_the_leaderboard(found: RecordedSweep) -> None:
    page = found._repr_html_()
    assert page.startswith(f"<b>small/{found.id} by test_loss</b><table")
    assert "relu" in page


def test_a_missing_sweep_is_reported(recorded: Recorded) -> None:
    with pytest.raises(NotFoundError, match="has no sweep 'nothing'"):
        load_sweep("nothing", tracking_uri=recorded.uri)
