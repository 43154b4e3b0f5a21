"""Pictures made of characters: a heat map of a sweep and sparklines of curves. They can be read without colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.text import Text

from engine.arrays import Array, Floats
from engine.outcomes import DEAD, DIVERGED, EXPLODING, VANISHING
from service.results.axes import NO_AXIS, Axis, axis_pairs, display_name, format_value, swept_axes
from service.results.colours import OUTCOME_COLOURS
from service.results.intervals import in_intervals
from service.results.map_pixels import CALM, LOST, calm_scale, lost_scale, lost_text, map_pixels, shades
from service.results.metrics import METRICS, lower_is_better
from service.results.phase_diagram import FAILURE_OUTCOMES, PhaseDiagram, make_picture_diagram, scale_of_median
from service.results.scales import Scale

_SHADES = "█▓▒░·"  # from the best to the worst
_COLOURS = ("#d8e219", "#5ec962", "#21918c", "#3b528b", "#443983")  # of viridis; legible on light and dark ground
_LETTERS = {VANISHING: "v", EXPLODING: "e", DEAD: "d", DIVERGED: "×"}
_BARS = "▁▂▃▄▅▆▇█"
_MAX_ROWS = 16
_AROUND = 6  # lines of a picture's title, ruler and legend, and of the prompt
_BAR = 12  # characters of a scale
_LABEL = 14  # characters
_SPREAD = 10.0  # a sparkline is logarithmic if its largest value is more than this multiple of the least


def sweep_map(table: pd.DataFrame, metric: str, swept: Sequence[str], width: int = 80) -> Text | None:
    """Return the heat map of a sweep over its first two axes; None if only the seed was swept.

    table: the sweep's trials (see `service.results.trials_table`).
    metric: the metric that cells are shaded by.
    swept: the swept hyperparameters.
    width: columns of the terminal.
    """
    if METRICS + metric not in table or not len(table):
        return None
    shown, _ = in_intervals(table, swept)
    axes = swept_axes(shown, swept)
    return heat_map(make_picture_diagram(shown, metric, *axis_pairs(axes)[0]), width) if axes else None


def sweep_picture(
    table: pd.DataFrame, metric: str, swept: Sequence[str], width: int = 80, height: int = 24
) -> Text | None:
    """Return the picture of a large sweep over its first two axes in half blocks; None if it is no large map.

    table, metric, swept: as in `sweep_map`.
    width, height: of the terminal, in characters.
    """
    if METRICS + metric not in table or not len(table):
        return None
    axes = swept_axes(table, swept)
    columns, rows = axis_pairs(axes)[0] if axes else (NO_AXIS, NO_AXIS)
    if not rows.is_numeric or not columns.is_numeric or min(len(rows.values), len(columns.values)) <= _MAX_ROWS:
        return None
    return half_blocks(make_picture_diagram(table, metric, columns, rows), width, height)


def half_blocks(phase: PhaseDiagram, width: int = 80, height: int = 24) -> Text:
    """Return the picture of a phase diagram of two axes of numbers, two rows of cells in a line of coloured blocks.

    The largest value of the rows' axis is on top. Of more cells than fit, some are shown, evenly spread.

    phase: the phase diagram.
    width, height: of the terminal, in characters.
    """
    shown = phase.rows.spread_indices(max(2 * (height - _AROUND), 4))[::-1]
    labels = [format_value(phase.rows.values[row])[: _LABEL - 2] for row in shown]
    margin = max(map(len, labels)) + 2
    columns = phase.columns.spread_indices(max(min(width - margin - 1, 2 * len(shown)), 4))
    pixels = map_pixels(phase)[np.ix_(shown, columns)]
    text = Text(no_wrap=True)
    text.append(f"median {display_name(phase.metric)}", style="bold")
    text.append(f" by {phase.columns.label} and, upwards, {phase.rows.label}\n")
    for line in range(0, len(shown), 2):
        text.append(f"{labels[line] if line % 8 == 0 else '':>{margin - 2}}  ")
        below = pixels[line + 1] if line + 1 < len(shown) else [None] * len(columns)
        for upper, lower in zip(pixels[line], below, strict=True):
            text.append("▀", style=_hex(upper) if lower is None else f"{_hex(upper)} on {_hex(lower)}")
        text.append("\n")
    text.append(" " * margin + _ruler(phase.columns, columns, 1) + "\n")
    return text.append_text(_picture_legend(phase))


def _hex(pixel: Array) -> str:
    return "#{:02x}{:02x}{:02x}".format(*pixel.tolist())


def _picture_legend(phase: PhaseDiagram) -> Text:
    """Return the two scales of a picture, each as a bar between its ends."""
    scale, of_lost = calm_scale(phase), lost_scale(phase)
    ends = (scale.low, scale.high) if scale else (math.nan, math.nan)
    best, worst = ends if lower_is_better(phase.metric) else ends[::-1]
    parts = [(CALM, f"{best:.3g}", f"{worst:.3g}")] if scale else []
    if of_lost:
        first, last = (lost_text(phase, end) for end in (of_lost.low, of_lost.high))
        parts.append((LOST, f"lost at step {first}", last))
    text = Text()
    for colours, first, last in parts:
        text.append(f"{first} ")
        for colour in shades(np.linspace(0.0, 1.0, _BAR), colours):
            text.append("█", style=_hex(colour))
        text.append(f" {last}   ")
    return text


def heat_map(phase: PhaseDiagram, width: int = 80) -> Text:
    """Return the heat map of a phase diagram: a fuller shade is a better median, a letter a failure.

    The largest value of the rows' axis is on top if the diagram is a map, as in its pictures; else the first is.
    """
    rows = phase.rows.spread_indices(_MAX_ROWS)[:: -1 if phase.is_map else 1]
    labels = ["" if phase.rows is NO_AXIS else format_value(phase.rows.values[k])[: _LABEL - 2] for k in rows]
    margin = max(len(label) for label in labels) + 2
    columns = phase.columns.spread_indices(max(width - margin - 1, 4))
    cell = 2 if len(columns) * 2 + margin < width else 1
    goodness = _goodness(phase)
    outcomes = phase.modal_outcome
    text = Text(no_wrap=True)
    text.append(f"median {display_name(phase.metric)}", style="bold")
    upwards = "upwards, " if phase.is_map else ""
    text.append(f" by {phase.columns.label}{'' if phase.rows is NO_AXIS else f' and {upwards}{phase.rows.label}'}\n")
    for label, row in zip(labels, rows, strict=True):
        text.append(f"{label:>{margin - 2}}  ")
        for column in columns:
            character, style = _character(goodness[row, column], str(outcomes[row, column]))
            text.append(character * cell, style=style)
        text.append("\n")
    text.append(" " * margin + _ruler(phase.columns, columns, cell) + "\n")
    text.append(_legend(phase, rows, columns))
    return text


def _goodness(phase: PhaseDiagram) -> Floats:
    """Return the cells' medians on a scale from 0, the worst, to 1, the best; NaN if a cell has none."""
    scale = scale_of_median(phase) or Scale(0.0, 1.0, False)
    share = np.clip(scale.fractions(phase.median), 0.0, 1.0)
    return 1 - share if lower_is_better(phase.metric) else share


def _character(goodness: float, outcome: str) -> tuple[str, str]:
    """Return a cell's character and its style."""
    if outcome in FAILURE_OUTCOMES:
        return _LETTERS[outcome], OUTCOME_COLOURS[outcome]
    if math.isnan(goodness):
        return " ", ""
    shade = min(int((1 - goodness) * len(_SHADES)), len(_SHADES) - 1)
    return _SHADES[shade], _COLOURS[shade]


def _ruler(axis: Axis, columns: Sequence[int], cell: int) -> str:
    """Return the line below the cells: the first, the middle and the last value, each below its cell.

    axis: of the columns. columns: the indices of the shown values. cell: characters of a cell.
    """
    length = len(columns) * cell
    line = [" "] * (length + 12)
    last = len(columns) - 1
    for k in (0, last, len(columns) // 2):
        name = format_value(axis.values[columns[k]])
        start = k * cell if k < last else max(k * cell + cell - len(name), 0)
        if all(character == " " for character in line[max(start - 1, 0) : start + len(name) + 1]):
            line[start : start + len(name)] = name
    return "".join(line).rstrip()


def _legend(phase: PhaseDiagram, rows: Sequence[int], columns: Sequence[int]) -> str:
    outcomes = phase.modal_outcome[np.ix_(rows, columns)]
    parts = []
    scale = scale_of_median(phase)
    if scale:
        best, worst = scale.low, scale.high
        best, worst = (best, worst) if lower_is_better(phase.metric) else (worst, best)
        parts.append(f"{_SHADES[0]} {best:.3g} to {_SHADES[-1]} {worst:.3g}")
    parts += [f"{_LETTERS[name]} most {name}" for name in FAILURE_OUTCOMES if (outcomes == name).any()]
    return "  ".join(parts)


def sparkline(values: Sequence[float]) -> str:
    """Return one bar per value, and × for a value that is not finite.

    Heights are logarithms if the values are positive and far apart.
    """
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
