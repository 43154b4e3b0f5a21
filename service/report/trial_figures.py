"""Every trial, every configuration, and what the axes explain, as Bokeh figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import BasicTickFormatter, ColumnDataSource, FixedTicker, HoverTool, LinearColorMapper, Range1d

from engine import DIVERGED
from engine.arrays import Floats
from service.report.style import GROUND, MAX_LABELS, TEXT, VIRIDIS, make_clickable, make_figure, single
from service.results.axes import NO_AXIS, Axis, tick, words
from service.results.colours import line_colour
from service.results.importance import Importance
from service.results.metrics import METRICS, PARAMS, lower_is_better
from service.results.trials_table import run_ids


def trials_figure(table: pd.DataFrame, metric: str, across: Axis, down: Axis) -> Any:
    """A point a trial: the metric over one axis, coloured by the other."""
    logarithmic_y = _is_logarithmic(table[METRICS + metric]) and lower_is_better(metric)
    places = across.is_numeric and len(across.values) > 1
    kind = {"x_axis_type": "log"} if across.is_logarithmic else {}
    ends = _ends(table[METRICS + metric].to_numpy(dtype=float), logarithmic_y)
    made = make_figure(
        380,
        tools="pan,wheel_zoom,box_zoom,reset",
        y_axis_type="log" if logarithmic_y else "linear",
        y_range=Range1d(start=ends[0], end=ends[1]),
        **kind,
    )
    made.toolbar_location = "above"
    made.toolbar.logo = None
    x = table[PARAMS + across.name].to_numpy(dtype=float) if places else across.codes(table).astype(float)
    if not places:
        shown = list(across.chosen(MAX_LABELS))
        made.xaxis[0].ticker = FixedTicker(ticks=shown)
        made.xaxis[0].major_label_overrides = {k: tick(across.values[k]) for k in shown}
    below = np.zeros(len(table), dtype=int) if down is NO_AXIS else down.codes(table)
    source = ColumnDataSource(
        {
            "x": single(x),
            "y": single(table[METRICS + metric]),
            "number": table["number"].to_numpy(dtype="int32"),
            "ends": table["outcome"].tolist(),
            "colour": [line_colour(int(k)) for k in below],
            "down": [tick(down.values[k]) if k >= 0 else "" for k in below],
            "run": run_ids(table).tolist(),
        }
    )
    points = made.scatter("x", "y", source=source, size=6, fill_color="colour", fill_alpha=0.55, line_color=None)
    points.nonselection_glyph = points.selection_glyph = None
    made.xaxis[0].axis_label, made.yaxis[0].axis_label = across.label, words(metric)
    rows = [("trial", "@number"), (across.label, "@x{%.3g}" if places else "@x"), (words(metric), "@y{%.4g}")]
    rows += [] if down is NO_AXIS else [(down.label, "@down")]
    make_clickable(made, source, [*rows, ("outcome", "@ends"), ("run", "@run")], [points])
    return made


def parallel_figure(table: pd.DataFrame, metric: str, axes: Sequence[Axis]) -> Any:
    """Parallel coordinates: a line a configuration, over its axes to the median that its seeds came to, by rank."""
    columns = [PARAMS + axis.name for axis in axes]
    rows = table.assign(run_id=run_ids(table), value=table[METRICS + metric].where(table["outcome"] != DIVERGED))
    grouped = rows.groupby(columns, dropna=True, sort=False)
    medians = grouped["value"].median()
    ranks = medians.rank(ascending=not lower_is_better(metric), pct=True, na_option="top").fillna(0.0)
    best = rows.sort_values("value", ascending=lower_is_better(metric)).groupby(columns, sort=False)["run_id"].first()
    keys = [key if isinstance(key, tuple) else (key,) for key in medians.index]
    heights = [_heights(axis) for axis in axes]
    ys = [
        [*(height[v] for height, v in zip(heights, key, strict=True)), rank]
        for key, rank in zip(keys, ranks, strict=True)
    ]
    order = np.argsort(ranks.to_numpy(), kind="stable")  # the best are drawn last, on top
    mapper = LinearColorMapper(palette=VIRIDIS[::-1], low=0, high=1)
    source = ColumnDataSource(
        {
            "xs": [single(range(len(axes) + 1))] * len(ys),
            "ys": [single(ys[k]) for k in order],
            "rank": single(ranks.to_numpy()[order]),
            "what": [", ".join(tick(v) for v in keys[k]) for k in order],
            "median": single(medians.to_numpy()[order]),
            "run": best.reindex(medians.index).fillna("").to_numpy()[order].tolist(),
        }
    )
    made = make_figure(340, x_range=Range1d(start=-0.25, end=len(axes) + 0.25), y_range=Range1d(start=-0.06, end=1.06))
    alpha = float(np.clip(60 / len(ys), 0.08, 0.6))
    lines = made.multi_line(
        "xs", "ys", source=source, line_color={"field": "rank", "transform": mapper}, line_alpha=alpha, line_width=1.5
    )
    lines.nonselection_glyph = lines.selection_glyph = None
    lines.hover_glyph = lines.glyph.clone(line_alpha=1.0, line_width=3)
    made.xaxis[0].ticker = FixedTicker(ticks=list(range(len(axes) + 1)))
    names = [axis.label for axis in axes]
    made.xaxis[0].major_label_overrides = dict(enumerate([*names, "rank"]))
    made.yaxis.visible = False
    made.ygrid.visible = False
    made.xgrid.grid_line_alpha = 1.0
    for place, axis in enumerate(axes):
        shown = [axis.values[k] for k in axis.chosen(7)]
        made.text(
            [place] * len(shown), [_heights(axis)[value] for value in shown], list(map(tick, shown)),
            text_color=TEXT, text_font_size="10px", x_offset=5, text_baseline="middle", background_fill_color=GROUND,
            background_fill_alpha=0.7,
        )  # fmt: skip
    make_clickable(
        made, source, [("", "@what"), (f"median {words(metric)}", "@median{%.4g}"), ("best run", "@run")], [lines]
    )
    return made


def _heights(axis: Axis) -> dict[Any, float]:
    return {value: place / max(len(axis.values) - 1, 1) for place, value in enumerate(axis.values)}


def importance_figure(shares: Sequence[Importance]) -> Any:
    """Bars: an axis's share of the variance alone, and with its interactions."""
    names = [words(share.axis) for share in reversed(shares)]
    made = make_figure(34 * len(names) + 60, y_range=names, x_range=Range1d(start=0, end=1))
    source = ColumnDataSource(
        {
            "name": names,
            "alone": [share.alone for share in reversed(shares)],
            "together": [share.together for share in reversed(shares)],
        }
    )
    made.hbar(
        y="name",
        right="together",
        height=0.62,
        source=source,
        fill_color=line_colour(0),
        fill_alpha=0.3,
        line_color=None,
    )
    bars = made.hbar(y="name", right="alone", height=0.62, source=source, fill_color=line_colour(0), line_color=None)
    made.ygrid.visible = False
    made.xaxis[0].formatter = BasicTickFormatter(precision=1)
    tooltips = [("", "@name"), ("alone", "@alone{0.0%}"), ("with its interactions", "@together{0.0%}")]
    made.add_tools(HoverTool(tooltips=tooltips, renderers=[bars], mode="hline"))
    return made


def _ends(values: Floats, logarithmic: bool) -> tuple[float, float]:
    """Where nearly all of the values are; the rest is found by zooming out."""
    finite = values[np.isfinite(values) & ((values > 0) | (not logarithmic))]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(end) for end in np.quantile(finite, [0.005, 0.99]))
    margin = (high / low) ** 0.08 if logarithmic else 0.08 * (high - low) or 0.5
    return (low / margin, high * margin) if logarithmic else (low - margin, high + margin)


def _is_logarithmic(values: pd.Series) -> bool:
    finite = values[np.isfinite(values.astype(float))]
    return bool(len(finite)) and finite.min() > 0 and finite.max() > 10 * finite.min()
