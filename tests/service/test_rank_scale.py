"""Scales of ranks, and the colours of maps that use them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from service.api import load_sweep
from service.results.axes import Axis
from service.results.map_pixels import calm_scale, lost_label, lost_scale, map_pixels, scale_ticks
from service.results.phase_diagram import PhaseDiagram, make_phase_diagram
from service.results.rank_scale import rank_scale
from tests.service.conftest import Recorded, run_command


def test_values_stand_at_their_ranks_whatever_their_distances() -> None:
    values = np.array([1e-300, 0.5, 3.0, 1e200, math.nan, math.inf])
    scale = rank_scale(values)
    assert scale is not None
    np.testing.assert_allclose(scale.fractions(values)[:4], [0, 1 / 3, 2 / 3, 1])
    assert np.isnan(scale.fractions(values)[4])
    assert scale.fractions(values)[5] == 1.0
    assert (scale.low, scale.high) == (1e-300, 1e200)
    assert list(scale.spread(2).values()) == pytest.approx([1e-300, 1e200])


def test_equal_values_share_a_rank_and_nearly_equal_ones_do_too() -> None:
    scale = rank_scale(np.array([[1.0, 1.0 + 1e-9, 1.0 - 1e-9], [2.0, -5.0, 0.0]]))
    assert scale is not None
    assert scale.values.tolist() == [-5.0, 0.0, 1.0, 2.0]
    assert np.ptp(scale.fractions(np.array([1.0, 1.0004, 0.9996]))) == 0.0
    assert scale.heights.tolist() == [0.0, 0.2, 0.6, 1.0]


def test_one_value_or_none() -> None:
    assert rank_scale(np.array([math.nan, math.inf])) is None
    scale = rank_scale(np.full(7, 3.0))
    assert scale is not None
    assert scale.fractions(np.array([3.0, 4.0])).tolist() == [0.0, 0.0]
    assert scale_ticks(scale) == {0.0: "3"}


@pytest.mark.parametrize("more", [[40.0] * 10, np.linspace(4.0, 39.0, 40), [500.0] * 60, np.linspace(4.0, 900.0, 997)])
def test_a_tick_stands_where_its_value_does(more: list[float]) -> None:
    scale = rank_scale(np.array([3.0] * 10 + [8.5] * 70 + list(more)))
    assert scale is not None
    ticks = scale_ticks(scale)
    assert {0.0, 1.0} <= ticks.keys()
    for position, text in ticks.items():
        assert scale.fractions(np.array([float(text)]))[0] == position


def _phase(lost_by: str, delay: tuple[float, float] = (7.0, 2.0)) -> PhaseDiagram:
    """Return a diagram of 2 x 2 cells, of which those of the upper row are lost, all at the same step."""
    table = pd.DataFrame(
        {
            "params.a": [1, 2, 1, 2], "params.b": [1, 1, 2, 2], "outcome_step": 9, "run_id": None, "number": range(4),
            "outcome": ["improving", "improving", "exploding", "diverged"],
            "metrics.loss": [0.1, 0.2, 5.0, math.nan], "metrics.delay": [3.0, 4.0, *delay],
        }
    )  # fmt: skip
    return make_phase_diagram(table, "loss", Axis("a", (1, 2)), Axis("b", (1, 2)), lost_by=lost_by)


def test_lost_cells_have_the_colours_of_the_step_or_of_a_metric() -> None:
    by_step, by_delay = _phase(""), _phase("delay")
    assert (lost_label(by_step), lost_label(by_delay)) == ("step of failure", "median delay")
    assert (map_pixels(by_step)[0] == map_pixels(by_delay)[0]).all()
    assert map_pixels(by_step)[1].tolist() == [[74, 13, 8], [74, 13, 8]]
    assert map_pixels(by_delay)[1].tolist() == [[248, 220, 192], [74, 13, 8]]
    of_lost, calm = lost_scale(by_delay), calm_scale(by_delay)
    assert of_lost is not None
    assert calm is not None
    assert (of_lost.low, of_lost.high, calm.high) == (2.0, 7.0, 0.2)


def test_lost_cells_without_a_value_are_grey_and_infinite_ones_have_the_last_colour() -> None:
    nothing, last = [128, 128, 128], [248, 220, 192]
    assert map_pixels(_phase("delay", (math.nan, math.nan)))[1].tolist() == [nothing, nothing]
    assert map_pixels(_phase("delay", (math.inf, math.nan)))[1].tolist() == [last, nothing]
    assert map_pixels(_phase("delay", (math.inf, 2.0)))[1, 0].tolist() != map_pixels(_phase("delay"))[0, 0].tolist()


def test_a_sweep_without_a_map_says_so(recorded: Recorded) -> None:
    sweep = load_sweep("small", tracking_uri=recorded.uri)
    assert "There is no map" in sweep.report(lost_by="test_loss", keep=False).page
    assert "There is no map" not in sweep.report(keep=False).page


def test_a_metric_that_no_trial_has_is_refused(recorded: Recorded) -> None:
    at = ("--tracking-uri", recorded.uri)
    result = run_command("report", "small", *at, "--lost-by", "test_los")
    assert result.exit_code == 2
    assert "no trial has the metric 'test_los'; did you mean 'test_loss'?" in result.stderr
    result = run_command("report", "small", "small", *at, "--lost-by", "test_loss")
    assert result.exit_code == 2
    assert "--lost-by is for the report of one sweep" in result.stderr
