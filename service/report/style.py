"""The look of the report's Bokeh figures, and the action of a click on them.

Colours of text and lines are placeholders, because the page has a light and a dark theme; backgrounds are transparent.
Figures call the functions `openRun`, `evenly` and `numberText` of page.js.
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
"""Placeholders that page.js replaces by the theme's colours."""

VIRIDIS = Viridis256[::-4]
MAGMA = Magma256[40:240:4]
"""Magma without its ends, which can't be seen on a dark or a light ground."""

FONT, SMALL = "system-ui, sans-serif", "11px"
_OPEN = "const at = source.selected.indices[0]; if (at !== undefined) { openRun(source.data.run[at]); "
_LARGEST = float(np.finfo("float32").max)
_MOST_TILTED = 30  # greatest number of names along an axis that are all shown, tilted


def as_float32(values: Any) -> Any:
    """Return values as float32, which halves the page's size. Values that are too large for it become its largest."""
    return np.clip(np.asarray(values, dtype=float), -_LARGEST, _LARGEST).astype("float32")


def make_figure(height: int, **options: Any) -> Any:
    """Return an empty figure as wide as its place on the page. height: in pixels. options: of Bokeh's `figure`."""
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
    """Return a policy that shows every label, or every second, third, ... so that none touches its neighbour."""
    return CustomLabelingPolicy(code="return evenly(indices, distance);")


def number_formatter() -> Any:
    """Return a formatter that writes numbers near 1 plainly, and others as powers of ten."""
    return CustomJSTickFormatter(code="return numberText(tick);")


def set_scale(axis: Any, scale: Scale, count: int = 6) -> None:
    """Set at most `count` ticks of an axis or a colour bar, at round values."""
    ticks = scale.ticks(count)
    if ticks is not None:
        axis.ticker = FixedTicker(ticks=ticks)
    axis.formatter = number_formatter()


def range_of(scale: Scale) -> Any:
    """Return the Bokeh range of a scale."""
    return Range1d(start=scale.low, end=scale.high)


def set_values(plot_axis: Any, axis: Axis) -> None:
    """Label 0, 1, 2, ... on a figure's axis with the values of a swept axis. Labels that touch are left out."""
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
    """Return a tool that shows tooltips.

    tooltips: (label, field) pairs; a field is `@name`, or `@name{%.4g}` for a number.
    renderers: the glyphs that have the tooltips.
    options: of Bokeh's HoverTool.
    """
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
    """Show tooltips when the mouse hovers over the renderers, and open the run of `source.data["run"]` on a click."""
    plot.add_tools(hover(tooltips, renderers))
    callback = CustomJS(args={"source": source}, code=_OPEN + "source.selected.indices = []; }")
    plot.add_tools(TapTool(renderers=list(renderers), callback=callback, visible=False))
