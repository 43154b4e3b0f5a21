"""Pictures made of characters: a heat map of a sweep and sparklines of curves. They say the same without colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.text import Text

from engine import DIVERGED
from engine.arrays import Floats
from service.results.axes import NO_AXIS, Axis, axis_pairs, display_name, format_value, swept_axes
from service.results.colours import OUTCOME_COLOURS
from service.results.metrics import METRICS, lower_is_better
from service.results.phase_diagram import FAILURE_OUTCOMES, PhaseDiagram, make_phase_diagram, scale_of_median
from service.results.scales import Scale
from service.results.trials_table import shown_params

_SHADES = "█▓▒░·"  # the best first
_COLOURS = ("#d8e219", "#5ec962", "#21918c", "#3b528b", "#443983")  # of viridis; legible on light and dark ground
_LETTERS = {"vanishing": "v", "exploding": "e", "dead": "d", DIVERGED: "×"}
_BARS = "▁▂▃▄▅▆▇█"
_MAX_ROWS = 16
_LABEL = 14
_SPREAD = 10.0  # times the least, from which on a sparkline's heights are logarithms


def sweep_map(table: pd.DataFrame, metric: str, swept: Sequence[str], width: int = 80) -> Text | None:
    """The heat map of a sweep's table over its first two axes; None where no axis but the seed was swept."""
    if METRICS + metric not in table or not len(table):
        return None
    axes = swept_axes(table, shown_params(table.columns, swept))
    return heat_map(make_phase_diagram(table, metric, *axis_pairs(axes)[0]), width) if axes else None


def heat_map(phase: PhaseDiagram, width: int = 80) -> Text:
    """The median in shades, the fuller the better; a letter where most trials came into trouble."""
    rows = phase.rows.spread_indices(_MAX_ROWS)
    labels = ["" if phase.rows is NO_AXIS else format_value(phase.rows.values[k])[: _LABEL - 2] for k in rows]
    margin = max(len(label) for label in labels) + 2
    columns = phase.columns.spread_indices(max(width - margin - 1, 4))
    cell = 2 if len(columns) * 2 + margin < width else 1
    goodness = _goodness(phase)
    commonest = phase.modal_outcome
    text = Text(no_wrap=True)
    text.append(f"median {display_name(phase.metric)}", style="bold")
    text.append(f" by {phase.columns.label}{'' if phase.rows is NO_AXIS else f' and {phase.rows.label}'}\n")
    for label, row in zip(labels, rows, strict=True):
        text.append(f"{label:>{margin - 2}}  ")
        for column in columns:
            sign, style = _sign(goodness[row, column], str(commonest[row, column]))
            text.append(sign * cell, style=style)
        text.append("\n")
    text.append(" " * margin + _ruler(phase.columns, columns, cell) + "\n")
    text.append(_legend(phase, rows, columns))
    return text


def _goodness(phase: PhaseDiagram) -> Floats:
    """From 0, the worst, to 1, the best; NaN where there is none."""
    scale = scale_of_median(phase) or Scale(0.0, 1.0, False)
    share = np.clip(scale.fractions(phase.median), 0.0, 1.0)
    return 1 - share if lower_is_better(phase.metric) else share


def _sign(goodness: float, outcome: str) -> tuple[str, str]:
    if outcome in FAILURE_OUTCOMES:
        return _LETTERS[outcome], OUTCOME_COLOURS[outcome]
    if math.isnan(goodness):
        return " ", ""
    place = min(int((1 - goodness) * len(_SHADES)), len(_SHADES) - 1)
    return _SHADES[place], _COLOURS[place]


def _ruler(across: Axis, columns: Sequence[int], cell: int) -> str:
    """The first, the middle and the last value, each below its cell."""
    length = len(columns) * cell
    line = [" "] * (length + 12)
    for place in (0, len(columns) - 1, len(columns) // 2):
        name = format_value(across.values[columns[place]])
        begin = place * cell if place < len(columns) - 1 else max(place * cell + cell - len(name), 0)
        if all(sign == " " for sign in line[max(begin - 1, 0) : begin + len(name) + 1]):
            line[begin : begin + len(name)] = name
    return "".join(line).rstrip()


def _legend(phase: PhaseDiagram, rows: Sequence[int], columns: Sequence[int]) -> str:
    shown = phase.modal_outcome[np.ix_(rows, columns)]
    parts = []
    scale = scale_of_median(phase)
    if scale:
        best, worst = scale.low, scale.high
        best, worst = (best, worst) if lower_is_better(phase.metric) else (worst, best)
        parts.append(f"{_SHADES[0]} {best:.3g} to {_SHADES[-1]} {worst:.3g}")
    parts += [f"{_LETTERS[name]} most {name}" for name in FAILURE_OUTCOMES if (shown == name).any()]
    return "  ".join(parts)


def sparkline(values: Sequence[float]) -> str:
    """A bar a value, by its logarithm where they are positive and far apart; × for one that is not finite."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "×" * len(values)
    low, high = min(finite), max(finite)
    logarithmic = low > 0 and high > _SPREAD * low
    ends = (math.log(low), math.log(high)) if logarithmic else (low, high)

    def bar(value: float) -> str:
        if not math.isfinite(value):
            return "×"
        height = math.log(value) if logarithmic else value
        share = (height - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else 0.0
        return _BARS[min(int(share * len(_BARS)), len(_BARS) - 1)]

    return "".join(map(bar, values))
