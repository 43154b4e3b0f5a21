"""How the report's Bokeh figures look, and what a click on them does.

Colours of text and lines are placeholders that the page replaces by those of its light or dark ground; grounds are
transparent. A click on what stands for a trial calls the page's `openRun`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    HoverTool,
    TapTool,
)
from bokeh.palettes import Magma256, Viridis256
from bokeh.plotting import figure

TEXT, LINES, GROUND = "#010203", "#040506", "#070809"
"""What the page replaces."""

VIRIDIS, MAGMA = Viridis256[::-4], Magma256[::-4]
MAX_LABELS = 14
_OPEN = "const at = source.selected.indices[0]; if (at !== undefined) { openRun(source.data.run[at]); "
_LARGEST = float(np.finfo("float32").max)


def single(values: Any) -> Any:
    """As float32, which halves a page; what is too large for it is its largest."""
    return np.clip(np.asarray(values, dtype=float), -_LARGEST, _LARGEST).astype("float32")


def make_figure(height: int, **options: Any) -> Any:
    made = figure(
        height=height, sizing_mode="stretch_width", toolbar_location=None, background_fill_color=None,
        border_fill_color=None, outline_line_color=None, min_border_right=12, **{"tools": "", **options},
    )  # fmt: skip
    for axis in made.axis:
        axis.axis_line_color = axis.major_tick_line_color = LINES
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = TEXT
        axis.axis_label_text_font_style = "normal"
        axis.major_label_text_font = axis.axis_label_text_font = "system-ui"
    made.grid.grid_line_color = LINES
    made.grid.grid_line_alpha = 0.5
    made.title.text_color = TEXT
    made.title.text_font = "system-ui"
    made.title.text_font_style = "normal"
    made.title.text_font_size = "12px"
    return made


def hover(tooltips: Sequence[tuple[str, str]], renderers: Sequence[Any]) -> Any:
    """Shows (name, field) pairs; numbers are `@name{%.4g}`."""
    numbers = {field.partition("{")[0]: "printf" for _, field in tooltips if "{%" in field}
    options = {"formatters": numbers, "renderers": list(renderers), "point_policy": "follow_mouse"}
    return HoverTool(tooltips=list(tooltips), **options)


def make_clickable(made: Any, source: ColumnDataSource, tooltips: Any, renderers: Sequence[Any]) -> None:
    """Hovering shows the tooltips, and a click leads to the run."""
    made.add_tools(hover(tooltips, renderers))
    callback = CustomJS(args={"source": source}, code=_OPEN + "source.selected.indices = []; }")
    made.add_tools(TapTool(renderers=list(renderers), callback=callback))
