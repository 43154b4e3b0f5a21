"""The phase diagram as Bokeh figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.models import (
    BasicTickFormatter,
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    LinearColorMapper,
    LogColorMapper,
    Range1d,
    Rect,
)

from engine.arrays import Floats
from service.report.style import MAGMA, MAX_LABELS, TEXT, VIRIDIS, make_clickable, make_figure, single
from service.results.axes import NO_AXIS, tick, words
from service.results.colours import OUTCOME_COLOURS
from service.results.metrics import lower_is_better
from service.results.phase_diagram import Phase, scale_of_median


def phase_figures(phase: Phase) -> dict[str, Any]:
    """Heading -> heat map: the median, the commonest outcome, when trouble began, and the share of each outcome."""
    found = {
        f"Median {words(phase.metric)}": _heat_map(phase, phase.median, _median_mapper(phase)),
        "Commonest outcome": _outcome_map(phase),
    }
    if np.isfinite(phase.began).any():
        high = float(np.nanmax(phase.began))
        mapper = LinearColorMapper(palette=MAGMA, low=0, high=max(high, 1.0), nan_color="#00000000")
        found["Step at which trouble began"] = _heat_map(phase, phase.began, mapper)
    for name, share in phase.shares.items():
        shades = [f"{OUTCOME_COLOURS[name]}{round(12 + 243 * k / 20):02x}" for k in range(21)]
        mapper = LinearColorMapper(palette=shades, low=0, high=1, nan_color="#00000000")
        found[f"Share {name}"] = _heat_map(phase, share, mapper)
    return found


def _median_mapper(phase: Phase) -> Any:
    palette = VIRIDIS if lower_is_better(phase.metric) else VIRIDIS[::-1]
    low, high, logarithmic = scale_of_median(phase) or (0.0, 1.0, False)
    kind = LogColorMapper if logarithmic else LinearColorMapper
    return kind(palette=palette, low=low, high=high if high > low else low + 1, nan_color="#88888833")


def _heat_map(phase: Phase, values: Floats, mapper: Any) -> Any:
    made, source = _cells(phase, {"value": values.ravel()})
    cells = made.rect(
        "x", "y", 1, 1, source=source, line_color=None, fill_color={"field": "value", "transform": mapper}
    )
    _finish_cells(made, source, phase, cells)
    bar = ColorBar(
        color_mapper=mapper, width=8, padding=2, label_standoff=4, background_fill_color=None,
        major_label_text_color=TEXT, major_tick_line_color=None, bar_line_color=None, border_line_color=None,
        major_label_text_font_size="10px", formatter=BasicTickFormatter(precision=2),
    )  # fmt: skip
    made.add_layout(bar, "right")
    return made


def _outcome_map(phase: Phase) -> Any:
    shares = np.nan_to_num(np.stack(list(phase.shares.values()))).max(axis=0).ravel()
    colours = [OUTCOME_COLOURS[name] for name in phase.commonest.ravel()]
    made, source = _cells(phase, {"colour": colours, "strength": 0.25 + 0.75 * shares})
    glyph = Rect(x="x", y="y", width=1, height=1, line_color=None, fill_color="colour", fill_alpha="strength")
    cells = made.add_glyph(source, glyph)
    _finish_cells(made, source, phase, cells)
    return made


def _cells(phase: Phase, columns: Mapping[str, Any]) -> tuple[Any, ColumnDataSource]:
    rows, width = phase.median.shape
    y, x = np.divmod(np.arange(rows * width), width)
    ends = [
        ", ".join(
            f"{round(share[i, j] * phase.trials[i, j])} {name}"
            for name, share in phase.shares.items()
            if share[i, j] > 0
        )
        for i, j in zip(y, x, strict=True)
    ]
    source = ColumnDataSource(
        {
            "x": single(x),
            "y": single(y),
            "across": [tick(phase.across.values[j]) for j in x],
            "down": [tick(phase.down.values[i]) for i in y],
            "median": ["of none" if math.isnan(value) else f"{value:.4g}" for value in phase.median.ravel()],
            "began": ["-" if math.isnan(value) else f"{value:.0f}" for value in phase.began.ravel()],
            "trials": phase.trials.ravel().astype("int32"),
            "ends": ends,
            "run": phase.best.ravel().tolist(),
            **{name: single(v) if isinstance(v, np.ndarray) else v for name, v in columns.items()},
        }
    )
    height = min(34 * rows, 520) + 74
    made = make_figure(
        height, x_range=Range1d(start=-0.5, end=width - 0.5), y_range=Range1d(start=rows - 0.5, end=-0.5)
    )
    made.grid.visible = False
    return made, source


def _finish_cells(made: Any, source: ColumnDataSource, phase: Phase, cells: Any) -> None:
    for axis, values in ((made.xaxis[0], phase.across), (made.yaxis[0], phase.down)):
        shown = list(values.chosen(MAX_LABELS))
        axis.ticker = FixedTicker(ticks=shown)
        axis.major_label_overrides = {k: tick(values.values[k]) for k in shown}
        axis.axis_label = values.label if values.is_numeric else None
    made.xaxis[0].axis_label = phase.across.label
    made.xaxis[0].major_label_orientation = 0.9
    below = [] if phase.down is NO_AXIS else [(phase.down.label, "@down")]
    tooltips = [
        (phase.across.label, "@across"), *below, (f"median {words(phase.metric)}", "@median"),
        ("trials", "@trials"), ("they", "@ends"), ("trouble from step", "@began"), ("best run", "@run"),
    ]  # fmt: skip
    make_clickable(made, source, tooltips, [cells])
