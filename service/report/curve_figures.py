"""Curves and their bands as Bokeh figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, MultiLine, Patches, Range1d, Scatter, Span

from engine.arrays import Floats
from service.report.layout import Drawing
from service.report.legend import Key
from service.report.panels import Panel, exits
from service.report.style import as_float32, hover, make_figure, range_of, set_scale
from service.results.colours import LEVEL_COLOUR, line_colour
from service.results.scales import Scale

_EDGE = 0.025  # distance of a mark from the frame's edge, as a share of the frame


def panel_drawings(panels: Sequence[Panel], scales: Sequence[Scale], metric: str) -> list[Drawing]:
    """Return a drawing for each panel, on its scale. metric: the label of the y axis."""
    return [
        Drawing(_panel(panel, metric, scale), panel.title, ", ".join(panel.reasons))
        for panel, scale in zip(panels, scales, strict=True)
    ]


def exit_keys(panels: Sequence[Panel], scales: Sequence[Scale]) -> list[Key]:
    """Return the legend of the marks where lines leave their frames; empty if none does."""
    pairs = zip(panels, scales, strict=True)
    above = {exit_.above for panel, scale in pairs for line in panel.lines for exit_ in exits(line, panel.steps, scale)}
    keys = {True: Key("rises out of the frame", mark="up"), False: Key("falls out of the frame, or to 0", mark="down")}
    return [key for side, key in keys.items() if side in above]


def _panel(panel: Panel, metric: str, scale: Scale) -> Any:
    plot = make_figure(
        230,
        y_axis_type="log" if scale.logarithmic else "linear",
        y_range=range_of(scale),
        x_range=Range1d(start=panel.steps[0], end=panel.steps[-1] or 1),
    )
    set_scale(plot.yaxis[0], scale, 5)
    plot.yaxis[0].axis_label, plot.xaxis[0].axis_label = metric, "step"
    plot.xaxis[0].ticker.desired_num_ticks = 5
    steps = as_float32(panel.steps)
    bands = ColumnDataSource(_bands(panel, steps, scale))
    plot.add_glyph(bands, Patches(xs="xs", ys="ys", fill_color="colour", fill_alpha=0.2, line_color=None))
    lines = ColumnDataSource(
        {
            "xs": [steps] * len(panel.lines),
            "ys": [as_float32(scale.drawable(line.middle)) for line in panel.lines],
            "colour": [line_colour(line.index) for line in panel.lines],
            "label": [line.label or metric for line in panel.lines],
        }
    )
    renderer = plot.add_glyph(lines, MultiLine(xs="xs", ys="ys", line_color="colour", line_width=2, line_join="round"))
    if (level := panel.level_on(scale)) is not None:
        plot.add_layout(Span(location=level, line_color=LEVEL_COLOUR, line_dash="dashed", line_width=1.5))
    _mark_exits(plot, panel, scale)
    plot.add_tools(hover([("", "@label"), (metric, "$y{%.3g}"), ("step", "$x{%.0f}")], [renderer]))
    return plot


def _mark_exits(plot: Any, panel: Panel, scale: Scale) -> None:
    """Draw a triangle at the edge of the frame where a line leaves it."""
    marks = [(exit_, line_colour(line.index)) for line in panel.lines for exit_ in exits(line, panel.steps, scale)]
    if marks:
        source = ColumnDataSource(
            {
                "x": [exit_.step for exit_, _ in marks],
                "y": [scale.at(1 - _EDGE if exit_.above else _EDGE) for exit_, _ in marks],
                "colour": [colour for _, colour in marks],
                "marker": ["triangle" if exit_.above else "inverted_triangle" for exit_, _ in marks],
            }
        )
        plot.add_glyph(source, Scatter(x="x", y="y", size=9, marker="marker", fill_color="colour", line_color=None))


def _bands(panel: Panel, steps: Floats, scale: Scale) -> dict[str, list[Any]]:
    """Return the outlines of the bands. An infinite quartile is drawn beyond the frame."""
    outlines: dict[str, list[Any]] = {"xs": [], "ys": [], "colour": []}
    for line in panel.lines:
        if line.low is not None and line.high is not None:
            low, high = scale.drawable(line.low), scale.drawable(line.high)
            drawable = np.isfinite(low) & np.isfinite(high)
            outlines["xs"].append(np.concatenate([steps[drawable], steps[drawable][::-1]]))
            outlines["ys"].append(as_float32(np.concatenate([low[drawable], high[drawable][::-1]])))
            outlines["colour"].append(line_colour(line.index))
    return outlines
