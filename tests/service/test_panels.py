"""The scales of a figure's frames, and the lines that leave them."""

import math

import numpy as np

from service.report.panels import Line, Panel, ScaleRule, exits, panel_scales


def _panel(*values: float, calm: bool = True) -> Panel:
    curve = np.array(values)
    return Panel("", tuple(range(len(values))), (Line("", 0, curve, calm=curve if calm else None),))


def test_panels_share_a_scale_that_fills_each_of_them() -> None:
    first, second = panel_scales([_panel(1.0, 0.1, 0.01), _panel(0.9, 0.3, 0.03)], ScaleRule())
    assert first == second
    assert first.logarithmic
    assert 0.005 < first.low < 0.01
    assert 1.0 < first.high < 2.0


def test_a_panel_that_a_shared_scale_would_flatten_has_its_own() -> None:
    deep, flat = panel_scales([_panel(1.0, 1e-3, 1e-6), _panel(1.0, 0.9, 0.8)], ScaleRule())
    assert deep.logarithmic
    assert flat.logarithmic
    assert deep.low < 1e-6
    assert 0.7 < flat.low < 0.8


def test_exploded_and_diverged_trials_have_no_part_in_a_scale() -> None:
    lines = (
        Line("", 0, np.array([1.0, 0.5, 0.2]), calm=np.array([1.0, 0.5, 0.2])),
        Line("", 1, np.array([1.0, 1e6, math.inf])),
    )
    (scale,) = panel_scales([Panel("", (0, 10, 20), lines)], ScaleRule())
    assert scale.high < 2
    assert [exit_.above for exit_ in exits(lines[1], (0, 10, 20), scale)] == [True]
    assert 0 < exits(lines[1], (0, 10, 20), scale)[0].step < 10
    assert exits(lines[0], (0, 10, 20), scale) == []
    (lost,) = panel_scales([_panel(0.5, math.inf, math.inf, calm=False)], ScaleRule())
    assert lost.low < 0.5 < lost.high < 500


def test_values_below_a_logarithmic_scale_leave_the_frame() -> None:
    (scale,) = panel_scales([_panel(1.0, 0.1, 0.0, 0.1)], ScaleRule())
    assert scale.logarithmic
    (exit_,) = exits(_panel(1.0, 0.1, 0.0, 0.1).lines[0], (0, 1, 2, 3), scale)
    assert not exit_.above
    assert 1 < exit_.step < 2
    (shallow,) = panel_scales([_panel(1.0, 1e-3, 1e-9)], ScaleRule(deepest=1e-6))
    assert shallow.low > 1e-7


def test_layers_that_lie_together_are_drawn_together() -> None:
    (scale,) = panel_scales([_panel(1.0, 0.9, 0.1)], ScaleRule(least_decades=2.0))
    assert scale.high / scale.low > 100
    (narrow,) = panel_scales([_panel(1.0, 0.99, 0.5), _panel(1.0, 1e-9)], ScaleRule(least_decades=2.0))[:1]
    assert narrow.high / narrow.low < 0.5**-3.2  # the curve still fills a third
