"""Figures of compared sweeps: how their trials are distributed, matched trials, and differences along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, NumeralTickFormatter, Range1d

from engine import DIVERGED
from engine.arrays import Floats
from service.report.layout import Drawing
from service.report.legend import Key
from service.report.style import (
    TEXT,
    as_float32,
    hover,
    make_clickable,
    make_figure,
    number_formatter,
    range_of,
    set_scale,
    set_values,
)
from service.results.axes import Axis, display_name, format_value
from service.results.colours import line_colour
from service.results.metrics import METRICS, PARAMS, lower_is_better
from service.results.scales import Scale, is_calm, scale_of, without_outliers

_VERTICES = 400  # of a line of the distribution
_MARGIN, _EDGE = 0.06, 0.025  # of the frame of matched trials: around the points, of the marks at its edges
_FENCE = 1.5  # interquartile ranges beyond which a quartile does not count for a scale (Tukey 1977)
_INSIDE, _BEYOND, _BELOW, _LOST = "circle", "triangle", "inverted_triangle", "x"
_WIDTH = 0.6  # that the marks of one value take up, as a share of the distance to the next


def distribution_drawing(tables: Sequence[pd.DataFrame], labels: Sequence[str], metric: str) -> Drawing:
    """Return a line for each sweep: the share of its trials that are at least as good as a value of the metric.

    tables: the trials of each sweep; see `service.results.trials_table`.
    labels: the sweeps' names.
    metric: the metric's name, without prefix.
    """
    lower = lower_is_better(metric)
    calm = [table[METRICS + metric].to_numpy(dtype=float)[is_calm(table["outcome"])] for table in tables]
    values = without_outliers(np.concatenate(calm), lower_is_better=lower)
    scale = (scale_of(values, logarithmic=lower) or Scale(0.0, 1.0, False)).widened(_MARGIN)
    plot = make_figure(
        320, x_axis_type="log" if scale.logarithmic else "linear", x_range=range_of(scale),
        y_range=Range1d(start=0, end=1.03),
    )  # fmt: skip
    set_scale(plot.xaxis[0], scale, 6)
    plot.yaxis[0].formatter = NumeralTickFormatter(format="0%")
    plot.xaxis[0].axis_label = display_name(metric)
    plot.yaxis[0].axis_label = "trials at least as good"
    lines = [_steps(table, metric, scale, lower) for table in tables]
    source = ColumnDataSource(
        {
            "xs": [as_float32(x) for x, _ in lines],
            "ys": [as_float32(y) for _, y in lines],
            "colour": [line_colour(k) for k in range(len(lines))],
            "label": list(labels),
        }
    )
    renderer = plot.multi_line("xs", "ys", source=source, line_color="colour", line_width=2, line_join="round")
    plot.add_tools(hover([("", "@label"), (display_name(metric), "$x{%.4g}"), ("trials", "$y{0.0%}")], [renderer]))
    return Drawing(plot, keys=[Key(label, line_colour(k), "line") for k, label in enumerate(labels)])


def _steps(table: pd.DataFrame, metric: str, scale: Scale, lower: bool) -> tuple[Floats, Floats]:
    """Return the vertices of a line of steps, from the best value to the worse end of the scale."""
    values = table[METRICS + metric].to_numpy(dtype=float)
    finished = np.sort(values[(table["outcome"] != DIVERGED).to_numpy() & np.isfinite(values)])
    ordered = finished if lower else finished[::-1]
    ranks = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), _VERTICES)).round().astype(int))
    shares = (ranks + 1) / max(len(table), 1)
    best, worst = (scale.low, scale.high) if lower else (scale.high, scale.low)
    x = np.concatenate([[best], np.repeat(scale.drawable(ordered[ranks]), 2), [worst]])
    y = np.concatenate([[0.0], np.stack([np.append(0.0, shares)[:-1], shares], axis=1).ravel(), shares[-1:]])
    return x, y if len(shares) else np.zeros(2)


def pairs_drawing(pairs: pd.DataFrame, metric: str, names: tuple[str, str], variants: Sequence[str]) -> Drawing:
    """Return matched trials as points: the first sweep's value across, the second's up, and a line of equal values.

    The scale is chosen from the pairs of which none exploded or diverged.

    pairs: see `service.results.matching.Matching`.
    metric: the metric's name, without prefix.
    names: the labels of the two sweeps.
    variants: the labels of the combinations of values that are not shared.
    """
    lower = lower_is_better(metric)
    both = pairs[["first", "second"]].to_numpy(dtype=float)
    calm = both[pairs["calm"].to_numpy(dtype=bool)]
    values = without_outliers((calm if len(calm) else both).ravel(), lower_is_better=lower)
    scale = (scale_of(values, logarithmic=lower) or Scale(0.0, 1.0, False)).widened(_MARGIN)
    kind = "log" if scale.logarithmic else "linear"
    plot = make_figure(
        380, tools="pan,wheel_zoom,box_zoom,reset", x_axis_type=kind, y_axis_type=kind, x_range=range_of(scale),
        y_range=range_of(scale),
    )  # fmt: skip
    plot.toolbar_location, plot.toolbar.logo = "above", None
    for axis, name in ((plot.xaxis[0], names[0]), (plot.yaxis[0], names[1])):
        set_scale(axis, scale, 6)
        axis.axis_label = f"{display_name(metric)} of {name}"
    plot.line([scale.low, scale.high], [scale.low, scale.high], line_color=TEXT, line_dash="dashed", line_alpha=0.6)
    markers = _markers(both, scale)
    places = _places(both, scale, lower)
    numbers = pairs["variant"].to_numpy()
    data = pd.DataFrame(
        {
            "x": as_float32(places[:, 0]), "y": as_float32(places[:, 1]), "marker": markers,
            "colour": [line_colour(int(k)) for k in numbers], "label": _labels(pairs),
            "variant": [variants[int(k)] for k in numbers], "first": _value_texts(both[:, 0]),
            "second": _value_texts(both[:, 1]), "run": pairs["run"],
        }
    )  # fmt: skip
    source = ColumnDataSource({str(name): column.tolist() for name, column in data.items()})
    scatter = plot.scatter(
        "x", "y", marker="marker", source=source, size=6, fill_color="colour", fill_alpha=0.5, line_color="colour",
        line_alpha=0.6,
    )  # fmt: skip
    scatter.nonselection_glyph = scatter.selection_glyph = None
    tooltips = [("", "@variant"), ("", "@label"), (names[0], "@first"), (names[1], "@second")]
    make_clickable(plot, source, tooltips, [scatter])
    return Drawing(plot, keys=_pair_keys(variants, markers))


def _pair_keys(variants: Sequence[str], markers: np.ndarray[Any, Any]) -> list[Key]:
    keys = [Key(text, line_colour(k), "dot") for k, text in enumerate(variants)] if 1 < len(variants) <= 8 else []
    marks = {_BEYOND: Key("beyond the frame", mark="up"), _LOST: Key("diverged in one or both", mark="cross")}
    return keys + [key for marker, key in marks.items() if (markers == marker).any()]


def _markers(values: Floats, scale: Scale) -> np.ndarray[Any, Any]:
    heights = scale.fractions(values)
    outside = ((heights < 0) | (heights > 1)).any(axis=1)
    return np.select([np.isnan(values).any(axis=1), outside], [_LOST, _BEYOND], _INSIDE).astype(object)


def _places(values: Floats, scale: Scale, lower: bool) -> Floats:
    """Return the points, those beyond the frame at its edge, lost trials at the worse edge."""
    ends = scale.at(_EDGE), scale.at(1 - _EDGE)
    return np.clip(np.where(np.isnan(values), ends[1] if lower else ends[0], values), *ends)


def _labels(pairs: pd.DataFrame) -> list[str]:
    """Return the values that both partners have, as text."""
    names = [name for name in pairs.columns if name.startswith(PARAMS)]
    short = [name.removeprefix(PARAMS) for name in names]
    rows = pairs[names].itertuples(index=False, name=None)
    return [", ".join(f"{n} {format_value(v)}" for n, v in zip(short, row, strict=True)) for row in rows]


def _value_texts(values: Floats) -> list[str]:
    return ["diverged" if np.isnan(value) else f"{value:.4g}" for value in values]


def axis_drawing(rows: pd.DataFrame, axis: Axis, metric: str, variants: Sequence[str]) -> Drawing:
    """Return the differences along an axis: for each value the median, and a bar from the first to the third quartile.

    A median beyond the frame is a triangle at its edge.

    rows: see `service.results.comparison_rows.quartiles_along`.
    axis: the axis.
    metric: the metric's name, without prefix.
    variants: the labels of the combinations of values that are not shared.
    """
    scale = _signed_scale(rows[["low", "high"]].to_numpy(dtype=float).ravel())
    ends = -0.6, len(axis.values) - 0.4
    plot = make_figure(380, x_range=Range1d(start=ends[0], end=ends[1]), y_range=range_of(scale))
    plot.line(ends, [0, 0], line_color=TEXT, line_dash="dashed", line_alpha=0.6)
    set_values(plot.xaxis[0], axis)
    plot.xgrid.visible = False
    plot.yaxis[0].formatter = number_formatter()
    plot.yaxis[0].axis_label = f"difference in {display_name(metric)}"
    variant = rows["variant"].to_numpy(dtype=int)
    heights = scale.fractions(rows["middle"].to_numpy(dtype=float))
    markers = np.select([heights > 1, heights < 0], [_BEYOND, _BELOW], _INSIDE).astype(object)
    shown = {name: scale.drawable(rows[name].to_numpy(dtype=float)) for name in ("low", "high")}
    source = ColumnDataSource(
        {
            "x": as_float32(rows["position"].to_numpy() + _WIDTH * ((variant + 0.5) / len(variants) - 0.5)),
            "y": as_float32(np.clip(rows["middle"], scale.at(_EDGE), scale.at(1 - _EDGE))),
            **{name: as_float32(values) for name, values in shown.items()},
            "marker": markers.tolist(),
            "colour": [line_colour(int(k)) for k in variant],
            "variant": [variants[int(k)] for k in variant],
            "value": [format_value(axis.values[int(k)]) for k in rows["position"]],
            "pairs": rows["pairs"].to_numpy(dtype="int32"),
            "median": [f"{value:.4g}" for value in rows["middle"]],
            "quartiles": [f"{low:.3g} to {high:.3g}" for low, high in zip(rows["low"], rows["high"], strict=True)],
        }
    )
    plot.segment("x", "low", "x", "high", source=source, line_color="colour", line_width=3, line_alpha=0.5)
    dots = plot.scatter("x", "y", marker="marker", source=source, size=8, fill_color="colour", line_color=None)
    names = [
        ("", "@variant"),
        (axis.label, "@value"),
        *((name, f"@{name}") for name in ("median", "quartiles", "pairs")),
    ]
    plot.add_tools(hover(names, [dots]))
    beyond = {_BEYOND: Key("median above the frame", mark="up"), _BELOW: Key("median below the frame", mark="down")}
    return Drawing(plot, keys=[key for marker, key in beyond.items() if (markers == marker).any()])


def _signed_scale(ends: Floats) -> Scale:
    """Return a scale around 0 and the ends of the bars, without those that lie far from the others."""
    first, third = np.quantile(ends, [0.25, 0.75])
    reach = _FENCE * 2 * (third - first)
    inside = np.append(ends[(ends >= first - reach) & (ends <= third + reach)], 0.0)
    return (scale_of(inside, logarithmic=False) or Scale(-1.0, 1.0, False)).widened(0.08)
