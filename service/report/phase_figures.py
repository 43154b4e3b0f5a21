"""The phase diagram as Bokeh figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    LinearColorMapper,
    LogColorMapper,
    NumeralTickFormatter,
    Range1d,
    Rect,
)

from engine.arrays import Floats
from service.report.layout import Block, Drawing, even_columns
from service.report.legend import BEYOND, NO_VALUE, Key, outcome_keys
from service.report.style import (
    FONT,
    LINES,
    MAGMA,
    SMALL,
    TEXT,
    VIRIDIS,
    as_float32,
    hover,
    make_clickable,
    make_figure,
    set_scale,
    set_values,
)
from service.results.axes import NO_AXIS, display_name, format_value
from service.results.colours import OUTCOME_COLOURS
from service.results.metrics import lower_is_better
from service.results.phase_diagram import PhaseDiagram, scale_of_median
from service.results.scales import Scale

_CELL, _LOWEST, _HIGHEST, _STRIP = 34, 120, 520, 56  # pixels
_LABELS = 58  # pixels of the labels below a map
_SIDES = 46, 54  # pixels left and right of the strips of a single axis, so that they are aligned
_WIDE = 60  # columns from which a map gets the whole width
_CELL_SHAPE: Any = {"x": "x", "y": "y", "width": 1, "height": 1, "line_color": None}


def phase_blocks(phase: PhaseDiagram, counts: Mapping[str, int]) -> list[Block]:
    """Return maps of the median, the outcome and the onset of failure, and of the share of each outcome.

    phase: the phase diagram.
    counts: outcome -> number of trials in the sweep.
    """
    maps = [map_ for map_ in (_median_map(phase), _outcome_map(phase), _onset_map(phase)) if map_ is not None]
    columns = 1 if phase.rows is NO_AXIS or len(phase.columns.values) > _WIDE else len(maps)
    blocks = [Block(maps, columns=columns)]
    shares = {} if phase.rows is NO_AXIS else phase.shown_shares()
    if len(shares) > 1:
        drawings = [_share_map(phase, outcome, share) for outcome, share in shares.items()]
        keys = [Key("none of a cell's trials to all of them", "#8a929c", "ramp")]
        per_row = 1 if columns == 1 else even_columns(len(drawings))
        blocks.append(Block(drawings, "Share of each outcome", keys, per_row, _rare_outcomes(phase, counts)))
    return blocks


def _rare_outcomes(phase: PhaseDiagram, counts: Mapping[str, int]) -> str:
    """Return a sentence on the outcomes without a map; empty if there are none."""
    shown = phase.shown_shares()
    rest = [f"{counts[name]:,} {name}" for name in phase.shares if name not in shown]
    return f"Too rare for a map, or the same everywhere: {', '.join(rest)}." if rest else ""


def _median_map(phase: PhaseDiagram) -> Drawing | None:
    scale = scale_of_median(phase)
    if scale is None:
        return None
    lower = lower_is_better(phase.metric)
    kind = LogColorMapper if scale.logarithmic else LinearColorMapper
    mapper = kind(palette=VIRIDIS if lower else VIRIDIS[::-1], low=scale.low, high=scale.high, nan_color="#00000000")
    plot = _heat_map(phase, phase.median, mapper, scale)
    keys = _mark_missing(plot, phase.diverged_cells, "more than half diverged")
    if phase.cells_without_value.any():
        keys.append(Key("empty: most have no value", "#00000000"))
    worse = phase.worse_than(scale)
    if worse.any():
        _hatch(plot, worse, "\\", BEYOND, fill="#00000000")
        keys.append(Key(f"{'above' if lower else 'below'} the scale", mark="beyond"))
    return Drawing(plot, f"Median {display_name(phase.metric)}", keys=keys)


def _outcome_map(phase: PhaseDiagram) -> Drawing:
    if phase.rows is NO_AXIS:
        return Drawing(_share_bars(phase), "Share of each outcome", keys=outcome_keys(phase.shares))
    outcomes = phase.modal_outcome
    shown = [name for name in phase.shares if (outcomes == name).any()]
    pixels = np.zeros((*outcomes.shape, 4), dtype=np.uint8)
    for name in shown:
        pixels[outcomes == name, :3] = list(bytes.fromhex(OUTCOME_COLOURS[name][1:]))
    pixels[..., 3] = np.where(phase.trials > 0, 255 * (0.25 + 0.75 * phase.modal_share), 0)
    plot = _cells(phase)
    plot.image_rgba([pixels.view(np.uint32)[..., 0]], **_extent(phase))
    _make_readable(plot, phase)
    return Drawing(plot, "Most frequent outcome", keys=outcome_keys(dict.fromkeys(shown)))


def _onset_map(phase: PhaseDiagram) -> Drawing | None:
    if not np.isfinite(phase.onset_step).any():
        return None
    scale = Scale(0.0, max(float(np.nanmax(phase.onset_step)), 1.0), False)
    mapper = LinearColorMapper(palette=MAGMA, low=scale.low, high=scale.high, nan_color="#00000000")
    plot = _heat_map(phase, phase.onset_step, mapper, scale)
    keys = _mark_missing(plot, np.isnan(phase.onset_step) & (phase.trials > 0), "no trial failed")
    return Drawing(plot, "Onset of failure", "median step", keys)


def _share_map(phase: PhaseDiagram, outcome: str, share: Floats) -> Drawing:
    shades = [f"{OUTCOME_COLOURS[outcome]}{round(255 * k / 20):02x}" for k in range(21)]
    mapper = LinearColorMapper(palette=shades, low=0, high=1, nan_color="#00000000")
    plot = _heat_map(phase, share, mapper)
    plot.background_fill_color, plot.background_fill_alpha = LINES, 0.25
    return Drawing(plot, outcome.capitalize())


def _share_bars(phase: PhaseDiagram) -> Any:
    """Return stacked bars of the shares of all outcomes along a single axis."""
    width = len(phase.columns.values)
    plot = make_figure(190 + _LABELS, x_range=Range1d(start=-0.5, end=width - 0.5), y_range=Range1d(start=0, end=1))
    names = list(phase.shares)
    columns = {name: as_float32(np.nan_to_num(phase.shares[name][0])) for name in names}
    values = [format_value(value) for value in phase.columns.values]
    source = ColumnDataSource({"x": list(range(width)), "value": values, **columns})
    colours = [OUTCOME_COLOURS[name] for name in names]
    bars = plot.vbar_stack(names, x="x", width=0.92, fill_color=colours, line_color=None, source=source)
    for name, bar in zip(names, bars, strict=True):
        plot.add_tools(hover([(phase.columns.label, "@value"), (name, f"@{name}{{0%}}")], [bar]))
    set_values(plot.xaxis[0], phase.columns)
    plot.yaxis[0].formatter = NumeralTickFormatter(format="0%")
    plot.xgrid.visible = False
    plot.min_border_left, plot.min_border_right = _SIDES
    return plot


def _heat_map(phase: PhaseDiagram, values: Floats, mapper: Any, scale: Scale | None = None) -> Any:
    plot = _cells(phase)
    plot.image([as_float32(values)], color_mapper=mapper, **_extent(phase))
    _make_readable(plot, phase)
    if scale is not None:
        bar = ColorBar(
            color_mapper=mapper, width=9, padding=4, label_standoff=4, background_fill_color=None,
            major_label_text_color=TEXT, major_tick_line_color=None, bar_line_color=None, border_line_color=None,
            major_label_text_font_size=SMALL, major_label_text_font=FONT,
        )  # fmt: skip
        set_scale(bar, scale, 4)
        plot.add_layout(bar, "right")
    return plot


def _mark_missing(plot: Any, cells: np.ndarray[Any, Any], label: str) -> list[Key]:
    """Hatch cells without a value, and return their legend entry."""
    if not cells.any():
        return []
    _hatch(plot, cells, "/", NO_VALUE, fill=f"{NO_VALUE}22")
    return [Key(label, mark="hatched")]


def _hatch(plot: Any, cells: np.ndarray[Any, Any], pattern: str, colour: str, fill: str) -> None:
    y, x = np.nonzero(cells)
    glyph = Rect(
        **_CELL_SHAPE, fill_color=fill, hatch_pattern=pattern, hatch_scale=7, hatch_color=colour, hatch_alpha=0.7,
        hatch_weight=1,
    )  # fmt: skip
    plot.add_glyph(ColumnDataSource({"x": as_float32(x), "y": as_float32(y)}), glyph)


def _cells(phase: PhaseDiagram) -> Any:
    """Return an empty figure of the cells, the first row on top."""
    rows, width = phase.median.shape
    height = _STRIP if phase.rows is NO_AXIS else min(max(_CELL * rows, _LOWEST), _HIGHEST)
    x_range, y_range = Range1d(start=-0.5, end=width - 0.5), Range1d(start=rows - 0.5, end=-0.5)
    plot = make_figure(height + _LABELS, x_range=x_range, y_range=y_range)
    plot.grid.visible = False
    return plot


def _extent(phase: PhaseDiagram) -> dict[str, float]:
    """Return the position and size of an image of all cells."""
    rows, width = phase.median.shape
    return {"x": -0.5, "y": -0.5, "dw": width, "dh": rows}


def _source(phase: PhaseDiagram) -> ColumnDataSource:
    """Return the cells' positions and the texts of their tooltips."""
    rows, width = phase.median.shape
    y, x = np.divmod(np.arange(rows * width), width)
    return ColumnDataSource(
        {
            "x": as_float32(x),
            "y": as_float32(y),
            "column": [format_value(phase.columns.values[j]) for j in x],
            "row": [format_value(phase.rows.values[i]) for i in y],
            "median": ["none" if math.isnan(value) else f"{value:.4g}" for value in phase.median.ravel()],
            "onset": ["-" if math.isnan(value) else f"{value:.0f}" for value in phase.onset_step.ravel()],
            "trials": phase.trials.ravel().astype("int32"),
            "outcomes": _outcome_texts(phase, y, x),
            "run": phase.best.ravel().tolist(),
        }
    )


def _outcome_texts(phase: PhaseDiagram, y: Any, x: Any) -> list[str]:
    return [
        ", ".join(
            f"{round(share[i, j] * phase.trials[i, j])} {name}"
            for name, share in phase.shares.items()
            if share[i, j] > 0
        )
        for i, j in zip(y, x, strict=True)
    ]


def _make_readable(plot: Any, phase: PhaseDiagram) -> None:
    """Add labels along the sides, tooltips, and a click that opens the best run."""
    source = _source(phase)
    cells = plot.add_glyph(source, Rect(**_CELL_SHAPE, fill_alpha=0))
    set_values(plot.xaxis[0], phase.columns)
    set_values(plot.yaxis[0], phase.rows)
    if phase.rows is NO_AXIS:
        plot.yaxis.visible = False
        plot.min_border_left = _SIDES[0]
    elif not phase.rows.is_numeric:
        plot.yaxis[0].axis_label = None
    row = [] if phase.rows is NO_AXIS else [(phase.rows.label, "@row")]
    tooltips = [
        (phase.columns.label, "@column"), *row, (f"median {display_name(phase.metric)}", "@median"),
        ("trials", "@trials"), ("outcomes", "@outcomes"), ("failing from step", "@onset"), ("best run", "@run"),
    ]  # fmt: skip
    make_clickable(plot, source, tooltips, [cells])
