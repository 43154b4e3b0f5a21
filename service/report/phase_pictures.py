"""The phase diagram as a PNG picture, drawn by Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from service.report.map_pictures import map_figure
from service.report.picture_canvas import as_png, make_figure, set_ticks
from service.report.picture_text import literal, readable_fonts
from service.results.axes import axis_pairs, display_name, short_value, swept_axes
from service.results.colours import OUTCOME_COLOURS
from service.results.intervals import in_intervals
from service.results.metrics import METRICS, lower_is_better
from service.results.phase_diagram import PhaseDiagram, make_picture_diagram, scale_of_median
from service.results.refined_table import with_untrained_cells
from service.results.scales import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from service.execution.plan import Plan

_LARGEST = 14.0  # inches of a picture's side
_MAX_ROW_LABELS = 30
_TEXT, _KEY, _GAP = 0.072, 0.42, 0.14  # inches: a small character, a legend's mark, the distance of labels
_SIDES = 2.2  # inches left and right of a map, for labels and the colour bar


@readable_fonts()
def heat_map(plan: Plan, table: pd.DataFrame) -> Mapping[str, bytes]:
    """Return file name -> PNG of the median over the first two axes, for the sweep's run; empty with fewer axes.

    plan: the sweep's plan. table: see `service.results.trials_table`.
    """
    table = with_untrained_cells(table, plan.resolved.source.data)
    table, _ = in_intervals(table, plan.swept)
    axes = swept_axes(table, plan.swept)
    if len(axes) < 2 or not table[METRICS + plan.objective].notna().any():
        return {}
    phase = make_picture_diagram(table, plan.objective, *axis_pairs(axes)[0])
    if phase.is_map:
        return {"heat_map.png": as_png(map_figure(phase, plan.name))}
    figure = make_figure(*_size(phase))
    figure.suptitle(literal(plan.name), fontsize=11)
    _draw_median(figure, figure.add_subplot(), phase)
    return {"heat_map.png": as_png(figure)}


def phase_picture(phase: PhaseDiagram, title: str) -> bytes:
    """Return a PNG of heat maps below each other: median, most frequent outcome, and onset of failure if any failed.

    Of a map it is one picture: the median, and the step at which trials were lost.
    """
    return as_png(phase_figure(phase, title))


def phase_figure(phase: PhaseDiagram, title: str) -> Figure:
    """Return the figure of `phase_picture`."""
    if phase.is_map:
        return map_figure(phase, title)
    width, height = _size(phase)
    failed = bool(np.isfinite(phase.onset_step).any())
    rows = 3 if failed else 2
    figure = make_figure(width, min(rows * height, 1.5 * _LARGEST))
    figure.suptitle(literal(title), fontsize=11)
    frames = figure.subplots(rows, 1)
    _draw_median(figure, frames[0], phase)
    _draw_outcomes(frames[1], phase)
    if failed:
        _draw_onset(figure, frames[2], phase)
    return figure


def _draw_median(figure: Figure, axes: Axes, phase: PhaseDiagram) -> None:
    """Draw the medians. Cells without one are hatched in grey, cells beyond the scale in white."""
    from matplotlib.colors import LogNorm, Normalize

    scale = scale_of_median(phase)
    lower = lower_is_better(phase.metric)
    _label_cells(axes, phase, f"Median {display_name(phase.metric)}")
    marks = [
        _hatch(axes, phase.diverged_cells, "more than half diverged", "#dddddd", "#999999"),
        _hatch(axes, phase.cells_without_value, "most have no value", "#ffffff", "#999999"),
    ]
    if scale:
        worse = phase.worse_than(scale)
        norm = LogNorm(scale.low, scale.high) if scale.logarithmic else Normalize(scale.low, scale.high)
        colours = "viridis_r" if lower else "viridis"
        image = axes.imshow(np.clip(phase.median, scale.low, scale.high), aspect="auto", cmap=colours, norm=norm)
        _colour_bar(figure, axes, image, scale)
        marks.append(_hatch(axes, worse, f"{'above' if lower else 'below'} the scale", "#440154", "#ffffff"))
    _legend(axes, marks)


def _draw_outcomes(axes: Axes, phase: PhaseDiagram) -> None:
    """Draw the most frequent outcomes: the smaller the share, the paler the colour."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    outcomes = phase.modal_outcome
    colours = np.array([[to_rgba(OUTCOME_COLOURS[name]) for name in row] for row in outcomes])
    colours[..., 3] *= 0.25 + 0.75 * phase.modal_share
    _label_cells(axes, phase, "Most frequent outcome")
    axes.imshow(colours, aspect="auto")
    _legend(axes, [Patch(color=OUTCOME_COLOURS[n], label=n) for n in phase.shares if (outcomes == n).any()])


def _draw_onset(figure: Figure, axes: Axes, phase: PhaseDiagram) -> None:
    scale = Scale(0.0, max(float(np.nanmax(phase.onset_step)), 1.0), False)
    _label_cells(axes, phase, "Onset of failure (median step)")
    image = axes.imshow(phase.onset_step, aspect="auto", cmap=_magma(), vmin=scale.low, vmax=scale.high)
    _colour_bar(figure, axes, image, scale)
    calm = np.isnan(phase.onset_step) & (phase.trials > 0)
    _legend(axes, [_hatch(axes, calm, "no trial failed", "#dddddd", "#999999")])


def _magma() -> Any:
    """Return the colour map magma without its ends, which look like a dark or a light ground."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["magma"](np.linspace(0.16, 0.94, 128)))


def _hatch(axes: Axes, cells: np.ndarray[Any, Any], label: str, ground: str, lines: str) -> Any:
    """Hatch cells, and return their legend entry; None if there are no cells."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Patch, Rectangle

    if not cells.any():
        return None
    squares = [Rectangle((x - 0.5, y - 0.5), 1, 1) for y, x in np.argwhere(cells)]
    style: Any = {"facecolor": ground, "edgecolor": lines, "hatch": "////", "linewidth": 0}
    axes.add_collection(PatchCollection(squares, **style))
    return Patch(label=label, **style)


def _legend(axes: Axes, entries: Sequence[Any]) -> None:
    """Draw a legend above the frame: to the right of its title, or below the title if there is no room."""
    shown = [entry for entry in entries if entry is not None]
    if not shown:
        return
    width = sum(_TEXT * len(str(entry.get_label())) + _KEY for entry in shown)
    fits = width + 1.4 * _TEXT * len(axes.get_title("left")) < _frame_width(axes)
    if not fits:
        axes.set_title(axes.get_title("left"), fontsize=10, loc="left", pad=20)
    axes.legend(
        handles=shown, loc="lower right" if fits else "lower left", bbox_to_anchor=(1.0 if fits else 0.0, 1.0),
        ncols=len(shown), frameon=False, fontsize=8, borderpad=0.2, handlelength=1.4, columnspacing=1.0,
        borderaxespad=0.3,
    )  # fmt: skip


def _frame_width(axes: Axes) -> float:
    """Return the approximate width of a map, in inches."""
    figure = axes.get_figure(root=True)
    return float(figure.get_figwidth() if figure else _LARGEST) - _SIDES


def _colour_bar(figure: Figure, axes: Axes, image: Any, scale: Scale) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
    set_ticks(bar.ax.yaxis, scale, 4)
    bar.ax.tick_params(labelsize=8)


def _label_cells(axes: Axes, phase: PhaseDiagram, title: str) -> None:
    """Set title, ticks and labels of a heat map."""
    rows, columns = phase.median.shape
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    names = [short_value(value) for value in phase.columns.values]
    room = _frame_width(axes) / columns
    tilted = not phase.columns.is_numeric and _TEXT * max(map(len, names)) + _GAP > room
    options: Any = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if tilted else {}
    needed = 2 * _TEXT if tilted else _TEXT * max(map(len, names)) + _GAP
    shown = range(0, columns, math.ceil(needed / room))
    axes.set_xticks(shown, [literal(names[k]) for k in shown], fontsize=8, **options)
    shown = range(0, rows, math.ceil(rows / _MAX_ROW_LABELS))
    axes.set_yticks(shown, [literal(short_value(phase.rows.values[k])) for k in shown], fontsize=9)
    axes.tick_params(length=2)
    axes.set_xlabel(literal(phase.columns.label), fontsize=9)
    if phase.rows.is_numeric:
        axes.set_ylabel(literal(phase.rows.label), fontsize=9)


def _size(phase: PhaseDiagram) -> tuple[float, float]:
    """Return the width of the picture and the height of each map, in inches."""
    height, width = phase.median.shape
    return min(max(7.5, 0.3 * width + 2.5), _LARGEST), min(max(1.9, 0.36 * height + 1.0), _LARGEST)
