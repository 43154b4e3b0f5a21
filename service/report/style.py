"""How the report's Bokeh figures look, and what a click on them does.

Colours of text and lines are placeholders that the page replaces by those of its light or dark ground; grounds are
transparent. The functions `openRun`, `evenly` and `numberText` that figures call are in page.js.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    CustomLabelingPolicy,
    FixedTicker,
    HoverTool,
    Range1d,
    TapTool,
)
from bokeh.palettes import Magma256, Viridis256
from bokeh.plotting import figure

from service.results.axes import Axis, short_value
from service.results.scales import Scale

TEXT, LINES, GROUND = "#010203", "#040506", "#070809"
"""Placeholders that the page replaces."""

VIRIDIS = Viridis256[::-4]
MAGMA = Magma256[40:240:4]
"""Without its ends, which vanish on a dark or a light ground."""

FONT, SMALL = "system-ui, sans-serif", "11px"
_OPEN = "const at = source.selected.indices[0]; if (at !== undefined) { openRun(source.data.run[at]); "
_LARGEST = float(np.finfo("float32").max)
_MOST_TILTED = 30  # names along an axis that are all shown


def as_float32(values: Any) -> Any:
    """As float32, which halves a page; a value too large for it becomes its largest."""
    return np.clip(np.asarray(values, dtype=float), -_LARGEST, _LARGEST).astype("float32")


def make_figure(height: int, **options: Any) -> Any:
    """An empty figure as wide as its place on the page."""
    plot = figure(
        height=height, sizing_mode="stretch_width", toolbar_location=None, background_fill_color=None,
        border_fill_color=None, outline_line_color=None, min_border_right=14, min_border_top=8,
        **{"tools": "", **options},
    )  # fmt: skip
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = LINES
        axis.minor_tick_line_color = None
        axis.major_tick_in = 0
        axis.major_label_text_color = axis.axis_label_text_color = TEXT
        axis.axis_label_text_font_style = "normal"
        axis.major_label_text_font = axis.axis_label_text_font = FONT
        axis.major_label_text_font_size = SMALL
        axis.axis_label_text_font_size = "12px"
        axis.axis_label_standoff = 6
        axis.major_label_policy = evenly_spaced_labels()
    plot.grid.grid_line_color = LINES
    plot.grid.grid_line_alpha = 0.5
    return plot


def evenly_spaced_labels() -> Any:
    """Shows every label, or every second, third, ... until none touches its neighbour."""
    return CustomLabelingPolicy(code="return evenly(indices, distance);")


def number_formatter() -> Any:
    """Plain numbers near 1, powers of ten beyond."""
    return CustomJSTickFormatter(code="return numberText(tick);")


def set_scale(axis: Any, scale: Scale, count: int = 6) -> None:
    """Ticks of an axis or a colour bar at round values."""
    ticks = scale.ticks(count)
    if ticks is not None:
        axis.ticker = FixedTicker(ticks=ticks)
    axis.formatter = number_formatter()


def range_of(scale: Scale) -> Any:
    return Range1d(start=scale.low, end=scale.high)


def set_values(plot_axis: Any, axis: Axis) -> None:
    """A label for each value of a swept axis at 0, 1, 2, ...; numbers are thinned out where they would touch."""
    count = len(axis.values)
    plot_axis.ticker = FixedTicker(ticks=list(range(count)))
    plot_axis.major_label_overrides = {k: short_value(value) for k, value in enumerate(axis.values)}
    plot_axis.major_tick_line_color = None
    plot_axis.axis_label = axis.label
    if not axis.is_numeric and plot_axis.dimension == 0 and _is_crowded(axis) and count <= _MOST_TILTED:
        plot_axis.major_label_orientation = 0.9


def _is_crowded(axis: Axis) -> bool:
    return sum(len(short_value(value)) + 2 for value in axis.values) > 40  # characters, on a phone


def hover(tooltips: Sequence[tuple[str, str]], renderers: Sequence[Any], **options: Any) -> Any:
    """Shows (name, field) pairs; numbers are `@name{%.4g}`."""
    numbers = {field.partition("{")[0]: "printf" for _, field in tooltips if "{%" in field}
    shown = {
        "formatters": numbers,
        "renderers": list(renderers),
        "point_policy": "follow_mouse",
        "visible": False,
        **options,
    }
    return HoverTool(tooltips=list(tooltips), **shown)


def make_clickable(plot: Any, source: ColumnDataSource, tooltips: Any, renderers: Sequence[Any]) -> None:
    """Hovering shows the tooltips, and a click opens the run."""
    plot.add_tools(hover(tooltips, renderers))
    callback = CustomJS(args={"source": source}, code=_OPEN + "source.selected.indices = []; }")
    plot.add_tools(TapTool(renderers=list(renderers), callback=callback, visible=False))
