"""A figure of every trial as a point over one axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, FixedTicker, LogTicker, Range1d

from engine import DIVERGED
from engine.arrays import Floats
from service.report.layout import Drawing
from service.report.legend import Key
from service.report.style import as_float32, make_clickable, make_figure, number_formatter, range_of, set_scale
from service.results.axes import NO_AXIS, Axis, display_name, format_value, short_value
from service.results.colours import line_colour
from service.results.metrics import METRICS, lower_is_better
from service.results.scales import Scale, is_calm, scale_of, without_outliers
from service.results.trials_table import run_ids

_MARGIN = 0.09  # share of the frame above and below, for the marks at its edges
_EDGE = 0.03  # distance of those marks from the edge, as a share of the frame
_SPREAD = 0.7  # width over which the points of a value are spread, as a share of the distance to the next
_FEW_TICKS = 12
_LOGARITHMS = math.log(1e-300), math.log(1e300)  # of the ends of an axis
_INSIDE, _ABOVE, _BELOW, _DIVERGED = "circle", "triangle", "inverted_triangle", "x"
MOST_COLOURS = 12
"""The greatest number of colours in the legend; with more values there is no legend."""


@dataclass(frozen=True)
class _Points:
    """The points of the trials. y: (trials,) heights inside the frame. markers: (trials,) Bokeh's names of markers."""

    y: Floats
    markers: np.ndarray[Any, Any]


def trials_drawing(table: pd.DataFrame, metric: str, columns: Axis, rows: Axis) -> Drawing:
    """Return a figure of each trial's metric over one axis, coloured by the other.

    The scale is chosen from the trials that neither exploded nor diverged, without outliers at the worse end. Values
    beyond it are triangles at the edge; diverged trials are crosses there.

    table: see `service.results.trials_table`.
    metric: the metric's name, without prefix.
    columns, rows: the two axes; `rows` may be NO_AXIS.
    """
    values = table[METRICS + metric].to_numpy(dtype=float)
    scale = (_scale(table, values, metric) or Scale(0.0, 1.0, False)).widened(_MARGIN)
    points = _points(table, values, metric, scale)
    plot = _frame(scale, columns)
    row = np.zeros(len(table), dtype=int) if rows is NO_AXIS else rows.indices(table)
    column = columns.indices(table)
    data = {
        "x": as_float32(_x(columns, column, row, len(rows.values))),
        "y": as_float32(points.y),
        "number": table["number"].to_numpy(dtype="int32"),
        "outcome": table["outcome"].to_numpy(dtype=object),
        "colour": np.array([line_colour(int(k)) for k in row], dtype=object),
        "column": _values(columns, column),
        "row": np.array([format_value(rows.values[k]) if k >= 0 else "" for k in row], dtype=object),
        "run": run_ids(table).to_numpy(dtype=object),
    }
    tooltips = [("trial", "@number"), (columns.label, "@column{%.3g}" if columns.is_numeric else "@column")]
    tooltips += [] if rows is NO_AXIS else [(rows.label, "@row")]
    tooltips += [("outcome", "@outcome"), ("run", "@run")]
    inside = points.markers == _INSIDE
    _draw_points(plot, data, inside, _INSIDE, [*tooltips, (display_name(metric), "@y{%.4g}")])
    edge = {"marker": points.markers, "value": as_float32(values)}
    _draw_points(plot, data | edge, ~inside, "marker", [*tooltips, (display_name(metric), "@value{%.4g}")])
    plot.xaxis[0].axis_label, plot.yaxis[0].axis_label = columns.label, display_name(metric)
    return Drawing(plot, keys=_keys(points, rows))


def _draw_points(plot: Any, data: Mapping[str, Any], mask: Any, marker: str, tooltips: Any) -> None:
    """Draw the trials of a mask, with tooltips and a click that opens the run.

    data: column -> values of all trials. mask: (trials,) the trials to draw. marker: a marker, or a column of markers.
    """
    if not mask.any():
        return
    columns = {name: values[mask] for name, values in data.items()}
    source = ColumnDataSource({k: v.tolist() if v.dtype == object else v for k, v in columns.items()})
    scatter = plot.scatter(
        "x", "y", marker=marker, source=source, size=6, fill_color="colour", fill_alpha=0.55, line_color="colour",
        line_alpha=0.55,
    )  # fmt: skip
    scatter.nonselection_glyph = scatter.selection_glyph = None
    make_clickable(plot, source, tooltips, [scatter])


def _values(axis: Axis, indices: Any) -> np.ndarray[Any, Any]:
    """Return each trial's value on an axis: numbers if all are numbers, else texts."""
    if axis.is_numeric:
        return np.asarray(as_float32(np.where(indices >= 0, np.asarray(axis.values, dtype=float)[indices], np.nan)))
    return np.array([format_value(axis.values[k]) if k >= 0 else "" for k in indices], dtype=object)


def _scale(table: pd.DataFrame, values: Floats, metric: str) -> Scale | None:
    calm = values[is_calm(table["outcome"])]
    finite = calm if np.isfinite(calm).any() else values[(table["outcome"] != DIVERGED).to_numpy()]
    lower = lower_is_better(metric)
    return scale_of(without_outliers(finite, lower_is_better=lower), logarithmic=lower)


def _points(table: pd.DataFrame, values: Floats, metric: str, scale: Scale) -> _Points:
    heights = scale.fractions(values)
    diverged = (table["outcome"] == DIVERGED).to_numpy() | np.isnan(values)
    above, below = ~diverged & (heights > 1), ~diverged & (heights < 0)
    top, bottom = scale.at(1 - _EDGE), scale.at(_EDGE)
    y = np.where(above, top, np.where(below, bottom, values))
    y[diverged] = top if lower_is_better(metric) else bottom
    markers = np.select([diverged, above, below], [_DIVERGED, _ABOVE, _BELOW], _INSIDE).astype(object)
    return _Points(y, markers)


def _frame(scale: Scale, columns: Axis) -> Any:
    x_range, x_type = _x_range(columns)
    plot = make_figure(
        400, tools="pan,wheel_zoom,box_zoom,reset", y_axis_type="log" if scale.logarithmic else "linear",
        y_range=range_of(scale), x_axis_type=x_type, x_range=x_range,
    )  # fmt: skip
    plot.toolbar_location = "above"
    plot.toolbar.logo = None
    set_scale(plot.yaxis[0], scale, 8)
    x_axis, count = plot.xaxis[0], len(columns.values)
    x_axis.formatter = number_formatter()
    if not columns.is_numeric:
        x_axis.ticker = FixedTicker(ticks=list(range(count)))
        x_axis.major_label_overrides = {k: short_value(value) for k, value in enumerate(columns.values)}
        x_axis.major_label_orientation = 0.9 if sum(map(len, map(short_value, columns.values))) > 40 else 0
    elif count <= _FEW_TICKS:
        x_axis.ticker = FixedTicker(ticks=list(columns.values))
        x_axis.major_label_overrides = {value: format_value(value) for value in columns.values}
    elif x_type == "log":
        x_axis.ticker = LogTicker()
    return plot


def _positions(columns: Axis) -> Floats:
    """Return the position of each value: its number or logarithm, or 0, 1, 2, ... for words."""
    values = columns.values if columns.is_numeric else range(len(columns.values))
    positions = np.asarray(list(values), dtype=float)
    return np.log(positions) if columns.is_logarithmic else positions


def _least_distance(columns: Axis) -> float:
    """Return the least distance between the positions of two values."""
    positions = _positions(columns)
    return float(np.diff(positions).min()) if len(positions) > 1 else 1.0


def _x_range(columns: Axis) -> tuple[Any, str]:
    positions, distance = _positions(columns), _least_distance(columns)
    ends = np.array([positions[0] - 0.6 * distance, positions[-1] + 0.6 * distance])
    start, end = map(float, np.exp(np.clip(ends, *_LOGARITHMS)) if columns.is_logarithmic else ends)
    return Range1d(start=start, end=end), "log" if columns.is_logarithmic else "linear"


def _x(columns: Axis, column: Any, row: Any, rows: int) -> Floats:
    """Return the x coordinate of each trial: its value, moved a little so that the colours are side by side."""
    offsets = (np.maximum(row, 0) + 0.5) / rows - 0.5
    positions = _positions(columns)[np.maximum(column, 0)] + _SPREAD * _least_distance(columns) * offsets
    positions[column < 0] = np.nan
    return np.asarray(np.exp(positions) if columns.is_logarithmic else positions)


def _keys(points: _Points, rows: Axis) -> list[Key]:
    keys = [] if rows is NO_AXIS else [Key(short_value(v), line_colour(k), "dot") for k, v in enumerate(rows.values)]
    keys = keys if len(keys) <= MOST_COLOURS else []
    shown = set(points.markers.tolist())
    marks = {_ABOVE: Key("above the frame", mark="up"), _BELOW: Key("below the frame", mark="down")}
    marks[_DIVERGED] = Key("diverged", mark="cross")
    return keys + [key for mark, key in marks.items() if mark in shown]
