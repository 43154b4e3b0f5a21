"""Figures of the axes' importance: a bar for each axis, and a line for each configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, LinearColorMapper, NumeralTickFormatter, Range1d

from engine import DIVERGED
from service.report.layout import Drawing
from service.report.legend import Key
from service.report.style import FONT, GROUND, SMALL, TEXT, VIRIDIS, as_float32, make_clickable, make_figure
from service.results.axes import Axis, display_name, format_value, short_value
from service.results.colours import line_colour
from service.results.importance import Importance
from service.results.metrics import METRICS, PARAMS, lower_is_better
from service.results.trials_table import run_ids

_FAINT = 0.3  # opacity of the bars of the total share
_LABELS = 7  # along an axis of the parallel coordinates
_CHARACTER, _APART = 6.5, 20  # width of a character and distance of two columns of labels, in pixels
_BESIDE = 6  # pixels between an outer axis and its labels
_LOST_HEIGHT = -0.2  # of configurations without a rank; the worst rank is 0
_LOST = "#8a929c"
_RIBBON, _WIDEST = 0.6, 0.2  # greatest width of the lines of a value: of the room between two values, of the figure


def importance_drawing(shares: Sequence[Importance]) -> Drawing:
    """Return bars of each axis's share of the variance, by itself and with its interactions."""
    names = [display_name(share.axis) for share in reversed(shares)]
    plot = make_figure(30 * len(names) + 62, y_range=names, x_range=Range1d(start=0, end=1))
    source = ColumnDataSource(
        {
            "name": names,
            "first_order": [share.first_order for share in reversed(shares)],
            "total": [share.total for share in reversed(shares)],
        }
    )
    colour = line_colour(0)
    options = {"y": "name", "height": 0.62, "source": source, "fill_color": colour, "line_color": None}
    total = plot.hbar(right="total", fill_alpha=_FAINT, **options)
    plot.hbar(right="first_order", **options)
    plot.ygrid.visible = False
    plot.yaxis.major_tick_line_color = None
    plot.xaxis[0].formatter = NumeralTickFormatter(format="0%")
    plot.xaxis[0].axis_label = "share of the variance of the ranks"
    tooltips = [("", "@name"), ("on its own", "@first_order{0.0%}"), ("with its interactions", "@total{0.0%}")]
    plot.add_tools(HoverTool(tooltips=tooltips, renderers=[total], mode="hline"))
    keys = [Key("on its own", colour), Key("with its interactions", f"{colour}{round(255 * _FAINT):02x}")]
    return Drawing(plot, keys=keys)


def parallel_drawing(table: pd.DataFrame, metric: str, axes: Sequence[Axis]) -> Drawing:
    """Return a parallel-coordinates plot: a line for each combination of values; the last axis ranks its median.

    Lines that cross an axis at the same value are spread by rank.

    table: see `service.results.trials_table`.
    metric: the metric's name, without prefix.
    axes: the axes to show, from left to right.
    """
    configurations = _configurations(table, metric, axes)
    has_lost = bool(configurations["median"].isna().any())
    plot = make_figure(
        380,
        x_range=Range1d(start=-0.05, end=len(axes) + 0.05),
        y_range=Range1d(start=min(_LOST_HEIGHT * has_lost, -0.1) - 0.05, end=1.14),
    )
    _draw_lines(plot, configurations, metric, axes)
    labels = [_axis_labels(axis) for axis in axes]
    labels.append({1.0: "best", 0.0: "worst", **({_LOST_HEIGHT: "diverged"} if has_lost else {})})
    sides = ["right", *["center"] * (len(labels) - 2), "left"]
    for x, (texts, side) in enumerate(zip(labels, sides, strict=True)):
        _draw_labels(plot, x, texts, side)
    names = [*(axis.label for axis in axes), "rank"]
    x_axis = plot.xaxis[0]
    x_axis.ticker = FixedTicker(ticks=list(range(len(names))))
    x_axis.major_label_overrides = dict(enumerate(names))
    x_axis.axis_line_color = x_axis.major_tick_line_color = None
    plot.yaxis.visible = plot.ygrid.visible = False
    plot.xgrid.grid_line_alpha = 1.0
    keys = [Key("worst to best", mark="viridis"), *([Key("most trials diverged", _LOST, "line")] if has_lost else [])]
    widths = [_CHARACTER * max(map(len, [name, *texts.values()])) for name, texts in zip(names, labels, strict=True)]
    plot.min_border_left, plot.min_border_right = round(widths[0] + _APART), round(widths[-1] + _APART)
    return Drawing(plot, keys=keys, min_width=len(names) * round(max(widths) + _APART) + 30)


def _configurations(table: pd.DataFrame, metric: str, axes: Sequence[Axis]) -> pd.DataFrame:
    """Return a row per combination of values: its median, its rank from 0 to 1, and its best run; the best come last.

    The median is NaN if more than half of the trials diverged.
    """
    names = [PARAMS + axis.name for axis in axes]
    rows = table.assign(run_id=run_ids(table), value=table[METRICS + metric].where(table["outcome"] != DIVERGED))
    rows = rows.assign(missing=rows["value"].isna()).dropna(subset=names)
    lower = lower_is_better(metric)
    grouped = rows.sort_values("value", ascending=lower, kind="stable").groupby(names, sort=False)
    frame = grouped.agg(median=("value", "median"), missing=("missing", "mean"), run=("run_id", "first"))
    frame["median"] = frame["median"].where(frame["missing"] <= 0.5)
    ranks = frame["median"].rank(ascending=not lower) - 1
    frame["rank"] = ranks / max(ranks.max(), 1)
    return frame.sort_values("rank", kind="stable", na_position="first").reset_index()


def _draw_lines(plot: Any, configurations: pd.DataFrame, metric: str, axes: Sequence[Axis]) -> None:
    spread = configurations["rank"].fillna(0.0).to_numpy(dtype=float) - 0.5
    heights = [_spread(axis) * spread + configurations[PARAMS + axis.name].map(_heights(axis)) for axis in axes]
    heights.append(configurations["rank"].fillna(_LOST_HEIGHT).to_numpy(dtype=float))
    values = configurations[[PARAMS + axis.name for axis in axes]].itertuples(index=False, name=None)
    source = ColumnDataSource(
        {
            "xs": [as_float32(range(len(heights)))] * len(configurations),
            "ys": list(as_float32(np.stack(heights, axis=1))),
            "rank": as_float32(configurations["rank"]),
            "label": [", ".join(map(format_value, row)) for row in values],
            "median": ["none" if np.isnan(median) else f"{median:.4g}" for median in configurations["median"]],
            "run": configurations["run"].tolist(),
        }
    )
    colour = {"field": "rank", "transform": LinearColorMapper(palette=VIRIDIS[::-1], low=0, high=1, nan_color=_LOST)}
    alpha = float(np.clip(60 / max(len(configurations), 1), 0.08, 0.6))
    lines = plot.multi_line("xs", "ys", source=source, line_color=colour, line_alpha=alpha, line_width=1.5)
    lines.nonselection_glyph = lines.selection_glyph = None
    lines.hover_glyph = lines.glyph.clone(line_alpha=1.0, line_width=3)
    tooltips = [("", "@label"), (f"median {display_name(metric)}", "@median"), ("best run", "@run")]
    make_clickable(plot, source, tooltips, [lines])


def _axis_labels(axis: Axis) -> dict[float, str]:
    """Return height -> text of a few values of an axis."""
    heights = _heights(axis)
    return {heights[axis.values[k]]: short_value(axis.values[k]) for k in axis.spread_indices(_LABELS)}


def _draw_labels(plot: Any, x: int, texts: Mapping[float, str], align: str) -> None:
    """Draw labels beside an outer axis, or on an inner one, each on a ground that hides the lines behind it.

    x: the axis.
    texts: height -> text.
    align: `right` for labels left of the axis, `left` for labels right of it, `center` for labels on it.
    """
    offset = {"right": -_BESIDE, "center": 0, "left": _BESIDE}[align]
    plot.text(
        [x] * len(texts), list(texts), list(texts.values()), text_color=TEXT, text_font=value(FONT),
        text_font_size=SMALL, text_align=align, text_baseline="middle", x_offset=offset, level="annotation",
        background_fill_color=GROUND, background_fill_alpha=1.0, padding=3, border_radius=3,
    )  # fmt: skip


def _spread(axis: Axis) -> float:
    """Return the distance between the lines of the best and the worst configuration with one value."""
    return min(_WIDEST, _RIBBON / max(len(axis.values) - 1, 1))


def _heights(axis: Axis) -> dict[Any, float]:
    """Return value -> height, from 0 to 1."""
    return {name: index / max(len(axis.values) - 1, 1) for index, name in enumerate(axis.values)}
