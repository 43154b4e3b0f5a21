"""Curves with their bands as Bokeh figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, MultiLine, Patches, Range1d

from engine.arrays import Floats
from service.report.panels import Panel, Scale, scale_of
from service.report.style import hover, make_figure, single
from service.results.colours import line_colour


def panel_figures(panels: Sequence[Panel], what: str) -> list[Any]:
    """A figure a panel, all on one scale."""
    scale = scale_of(panels)
    return [_panel(panel, what, scale) for panel in panels]


def _panel(panel: Panel, what: str, scale: Scale) -> Any:
    made = make_figure(
        210,
        title=panel.title,
        y_axis_type="log" if scale.logarithmic else "linear",
        y_range=Range1d(start=scale.low, end=scale.high),
        x_range=Range1d(start=panel.steps[0], end=panel.steps[-1] or 1),
    )
    steps = single(panel.steps)
    bands = ColumnDataSource(_bands(panel, steps, scale))
    made.add_glyph(bands, Patches(xs="xs", ys="ys", fill_color="colour", fill_alpha=0.2, line_color=None))
    lines = ColumnDataSource(
        {
            "xs": [steps] * len(panel.lines),
            "ys": [single(scale.shown(line.middle)) for line in panel.lines],
            "colour": [line_colour(line.place) for line in panel.lines],
            "label": [line.label or what for line in panel.lines],
        }
    )
    drawn = made.add_glyph(lines, MultiLine(xs="xs", ys="ys", line_color="colour", line_width=2))
    made.add_tools(hover([("", "@label"), (what, "$y{%.3g}"), ("step", "$x{%.0f}")], [drawn]))
    return made


def _bands(panel: Panel, steps: Floats, scale: Scale) -> dict[str, list[Any]]:
    """The outlines of the quartiles, as far as both are finite."""
    found: dict[str, list[Any]] = {"xs": [], "ys": [], "colour": []}
    for line in panel.lines:
        if line.low is not None and line.high is not None:
            low, high = scale.shown(line.low), scale.shown(line.high)
            known = np.isfinite(low) & np.isfinite(high)
            found["xs"].append(np.concatenate([steps[known], steps[known][::-1]]))
            found["ys"].append(single(np.concatenate([low[known], high[known][::-1]])))
            found["colour"].append(line_colour(line.place))
    return found
