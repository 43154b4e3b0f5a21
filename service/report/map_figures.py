"""A large phase diagram as one picture that zooms and pans, and its edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.events import SelectionGeometry, Tap
from bokeh.models import (
    BoxSelectTool,
    ColorBar,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
)

from engine.arrays import Array
from service.report.layout import Block, Drawing
from service.report.legend import Key
from service.report.style import (
    FONT,
    SMALL,
    TEXT,
    as_float32,
    evenly_spaced_labels,
    make_figure,
    number_formatter,
)
from service.results.axes import Axis, display_name, format_value
from service.results.colours import line_colour
from service.results.edge import LEAST_SIDE, Edge, measure_edge
from service.results.map_pixels import (
    CALM,
    NOTHING,
    calm_scale,
    cells_without_colour,
    lost_label,
    lost_scale,
    lost_text,
    map_pixels,
    scale_ticks,
    shades,
)
from service.results.metrics import lower_is_better
from service.results.phase_diagram import PhaseDiagram
from service.results.rank_scale import RankScale

_MOST = 720  # pixels along a side; of a larger map some values are drawn, evenly spread
_HEIGHT = 560  # pixels on the page
_TICKS = 7


def map_block(phase: PhaseDiagram, sweep: str) -> Block:
    """Return the map of a phase diagram, beside its edge.

    phase: the phase diagram. sweep: the sweep's id, for the commands that a click and a drag give.
    """
    lost = phase.lost_cells
    drawings = [_map_drawing(phase, sweep)]
    if min(lost.shape) >= LEAST_SIDE and (edge := measure_edge(lost)).pixels:
        drawings.append(_edge_drawing(edge))
    words = (
        "Hover over a pixel for its numbers; click it for the command that trains and explains its trial. Drag with "
        "the box for the command that trains the part inside, closer."
    )
    shown = _shown(phase)
    if any(len(axis.values) > len(some) for axis, some in zip((phase.rows, phase.columns), shown, strict=True)):
        words += f" {len(shown[1]):,} x {len(shown[0]):,} of {phase.trials.size:,} cells are drawn."
    return Block(drawings, columns=2, words=words)


def _shown(phase: PhaseDiagram) -> tuple[Sequence[int], Sequence[int]]:
    """Return the indices of the rows and columns that are drawn."""
    return phase.rows.spread_indices(_MOST), phase.columns.spread_indices(_MOST)


def _map_drawing(phase: PhaseDiagram, sweep: str) -> Drawing:
    rows, columns = _shown(phase)
    values = [[float(axis.values[k]) for k in some] for axis, some in ((phase.columns, columns), (phase.rows, rows))]
    plot = make_figure(
        _HEIGHT,
        x_range=Range1d(start=-0.5, end=len(columns) - 0.5, bounds=(-0.5, len(columns) - 0.5)),
        y_range=Range1d(start=-0.5, end=len(rows) - 0.5, bounds=(-0.5, len(rows) - 0.5)),
    )
    plot.toolbar_location = "above"
    plot.grid.visible = False
    source = ColumnDataSource(_images(phase, rows, columns))
    extent = {"x": -0.5, "y": -0.5, "dw": len(columns), "dh": len(rows)}
    picture = plot.image_rgba(image="pixels", source=source, **extent)
    for side, axis, some in ((plot.xaxis[0], phase.columns, values[0]), (plot.yaxis[0], phase.rows, values[1])):
        _set_ticks(side, axis, some)
    _add_tools(plot, picture, phase, values, sweep)
    scale, of_lost = calm_scale(phase), lost_scale(phase)
    if scale:
        plot.add_layout(_colour_bar(scale, CALM if lower_is_better(phase.metric) else CALM[::-1]), "right")
    keys = []
    if of_lost:
        ends = " to ".join(lost_text(phase, end) for end in (of_lost.low, of_lost.high))
        keys = [Key(f"lost, {lost_label(phase)} from {ends}", mark="lost")]
    if cells_without_colour(phase).any():
        keys.append(Key("no value", f"#{bytes(NOTHING).hex()}"))
    return Drawing(plot, f"Median {display_name(phase.metric)}, and {lost_label(phase)} of lost trials", keys=keys)


def _images(phase: PhaseDiagram, rows: Sequence[int], columns: Sequence[int]) -> dict[str, list[Any]]:
    """Return the pixels, and for each pixel its numbers."""
    some = np.ix_(rows, columns)
    pixels = np.full((len(rows), len(columns), 4), 255, dtype=np.uint8)
    pixels[..., :3] = map_pixels(phase)[some]
    images = {
        "pixels": [pixels.view(np.uint32)[..., 0]],
        "median": [as_float32(np.nan_to_num(phase.median[some], nan=np.inf))],
        "onset": [as_float32(np.nan_to_num(phase.onset_step[some], nan=-1.0))],
        "outcome": [phase.modal_codes[some]],
        "number": [phase.number[some].astype(np.int32)],
    }
    if phase.lost_median is not None:
        images["lost"] = [as_float32(np.nan_to_num(phase.lost_median[some], nan=np.inf))]
    return images


def _set_ticks(side: Any, axis: Axis, values: Sequence[float]) -> None:
    """Label an axis of pixels with a few of its values."""
    shown = sorted({round(k * (len(values) - 1) / (_TICKS - 1)) for k in range(_TICKS)})
    side.ticker = FixedTicker(ticks=shown)
    side.major_label_overrides = {k: format_value(values[k]) for k in shown}
    side.axis_label = axis.label
    side.major_label_policy = evenly_spaced_labels()


def _add_tools(plot: Any, picture: Any, phase: PhaseDiagram, values: Sequence[Sequence[float]], sweep: str) -> None:
    """Add tooltips, zooming and panning, and the commands of a click and of a drag with the box."""
    arguments = {"values": values, "names": [phase.columns.name, phase.rows.name], "sweep": sweep}
    at = [CustomJSHover(args={"values": some}, code="return axisText(values, value);") for some in values]
    outcome = CustomJSHover(args={"names": list(phase.shares)}, code="return names[value] ?? 'no trial';")
    median = CustomJSHover(code="return value < 3e38 ? String(Number(value.toPrecision(4))) : 'none';")
    onset = CustomJSHover(code="return value < 0 ? 'none' : String(Math.round(value));")
    tooltips = [
        (phase.columns.label, "$x{custom}"), (phase.rows.label, "$y{custom}"),
        (f"median {display_name(phase.metric)}", "@median{custom}"), ("outcome", "@outcome{custom}"),
        ("failing from step", "@onset{custom}"), ("trial", "@number"),
    ]  # fmt: skip
    if phase.lost_by:
        tooltips.append((f"median {display_name(phase.lost_by)}", "@lost{custom}"))
    formatters = {"$x": at[0], "$y": at[1], "@median": median, "@outcome": outcome, "@onset": onset, "@lost": median}
    hover = HoverTool(tooltips=tooltips, formatters=formatters, renderers=[picture], point_policy="follow_mouse")
    box, wheel = BoxSelectTool(), WheelZoomTool()
    plot.add_tools(PanTool(), wheel, box, ResetTool(), hover)
    plot.toolbar.active_scroll = None
    plot.toolbar.logo = None
    click = CustomJS(
        args={"source": picture.data_source, **arguments}, code="clickMap(cb_obj, source, values, names, sweep);"
    )
    plot.js_on_event(Tap, click)
    plot.js_on_event(SelectionGeometry, CustomJS(args=arguments, code="dragMap(cb_obj, values, names, sweep);"))


def _colour_bar(scale: RankScale, colours: Sequence[str]) -> ColorBar:
    palette = [_hex(colour) for colour in shades(np.linspace(0.0, 1.0, 64), colours)]
    ticks = scale_ticks(scale)
    return ColorBar(
        color_mapper=LinearColorMapper(palette=palette, low=0.0, high=1.0), width=9, padding=4, label_standoff=4,
        ticker=FixedTicker(ticks=list(ticks)), major_label_overrides=ticks,
        background_fill_color=None, major_label_text_color=TEXT, major_tick_line_color=None, bar_line_color=None,
        border_line_color=None, major_label_text_font_size=SMALL, major_label_text_font=FONT,
    )  # fmt: skip


def _hex(colour: Array) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour.tolist())


def _edge_drawing(edge: Edge) -> Drawing:
    """Return the number of squares that the edge is in by their side, with the line whose slope is the dimension."""
    used = edge.counts > 0
    sizes, counts = edge.sizes[used].astype(float), edge.counts[used].astype(float)
    plot = make_figure(
        _HEIGHT,
        x_axis_type="log",
        y_axis_type="log",
        x_range=Range1d(start=sizes[0] / 1.2, end=sizes[-1] * 1.2),
        y_range=Range1d(start=max(counts.min() / 1.5, 0.5), end=counts.max() * 1.5),
    )
    plot.xaxis[0].axis_label = "side of a square, in cells"
    plot.yaxis[0].axis_label = "squares that the edge partly fills"
    plot.xaxis[0].formatter = plot.yaxis[0].formatter = number_formatter()
    if not math.isnan(edge.dimension):
        plot.line(sizes, edge.fitted(sizes), line_color=line_colour(1), line_width=2)
    fitted = np.arange(len(sizes)) < edge.fitted_sizes
    for some, fill in ((fitted, line_colour(0)), (~fitted, None)):
        if some.any():
            plot.scatter(sizes[some], counts[some], size=9, line_color=line_colour(0), fill_color=fill, line_width=2)
    keys = [
        Key("in the fit", line_colour(0), "dot"),
        *([Key("too large for it", line_colour(0), "ring")] if not fitted.all() else []),
        Key("a line through their logarithms", line_colour(1), "line"),
    ]
    note = f"dimension {edge.dimension:.2f} ± {edge.error:.2f}; {edge.pixels:,} blocks of 2 x 2 cells"
    return Drawing(plot, "Edge", note, keys=keys)
