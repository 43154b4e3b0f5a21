"""The pixels of a phase diagram's picture: a cell is a pixel, its colour the rank of its median, or how it was lost.

>>> shades(np.array([0.0, 0.5, 1.0]), CALM).tolist()
[[253, 231, 37], [33, 145, 140], [68, 1, 84]]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import Array, Flags, Floats
from service.results.axes import display_name, format_value
from service.results.metrics import lower_is_better
from service.results.phase_diagram import PhaseDiagram
from service.results.rank_scale import RankScale, rank_scale

CALM = ("#fde725", "#5ec962", "#21918c", "#3b528b", "#440154")
"""The colours of the medians of cells that are not lost, from the best to the worst: viridis."""
LOST = ("#4a0d08", "#8c1d0b", "#c0451d", "#e58a4f", "#f8dcc0")
"""The colours of lost cells, by the step at which they failed or another value, from the least to the greatest."""
_TICKS = 7  # along a colour bar
NOTHING = (128, 128, 128)
"""The colour of cells without trials, and of those without a value."""


def shades(heights: Floats, colours: Sequence[str]) -> Array:
    """Return the colours of heights from 0 to 1: (..., 3), from 0 to 255. They are interpolated between `colours`."""
    stops = np.array([list(bytes.fromhex(colour[1:])) for colour in colours], dtype=float)
    positions = np.linspace(0.0, 1.0, len(stops))
    inside = np.clip(np.nan_to_num(heights, nan=0.0), 0.0, 1.0)
    return np.stack([np.interp(inside, positions, stops[:, k]) for k in range(3)], axis=-1).round().astype(np.uint8)


def calm_scale(phase: PhaseDiagram) -> RankScale | None:
    """Return the scale of the medians of cells that are not lost; None if there is none."""
    return rank_scale(phase.median[~phase.lost_cells])


def lost_scale(phase: PhaseDiagram) -> RankScale | None:
    """Return the scale of the values that colour lost cells (see `PhaseDiagram.lost_by`); None without such cells."""
    return rank_scale(phase.lost_values[phase.lost_cells])


def lost_label(phase: PhaseDiagram) -> str:
    """Return what colours the lost cells of a map."""
    return f"median {display_name(phase.lost_by)}" if phase.lost_by else "step of failure"


def lost_text(phase: PhaseDiagram, value: float) -> str:
    """Return the text of a value that colours lost cells."""
    return format_value(value) if phase.lost_by else f"{value:,.0f}"


def scale_ticks(scale: RankScale) -> dict[float, str]:
    """Return the texts of some values along a scale, by their positions from 0 to 1."""
    return {position: format_value(value) for position, value in scale.spread(_TICKS).items()}


def map_pixels(phase: PhaseDiagram) -> Array:
    """Return the pixels of a phase diagram, (rows, columns, 3), from 0 to 255, in the order of its rows.

    A cell is lost if its most frequent outcome is exploding or diverged. The colour of a lost cell is the rank, among
    lost cells, of the step at which it failed, or of `PhaseDiagram.lost_by`; of another cell that of its median.
    """
    scale, of_lost = calm_scale(phase), lost_scale(phase)
    heights = scale.fractions(phase.median) if scale else np.zeros(phase.median.shape)
    if not lower_is_better(phase.metric):
        heights = 1.0 - heights
    pixels = shades(heights, CALM)
    lost = phase.lost_cells
    values = phase.lost_values[lost]
    of_infinite = np.where(np.isposinf(values), 1.0, 0.0)
    pixels[lost] = shades(of_infinite if of_lost is None else of_lost.fractions(values), LOST)
    pixels[cells_without_colour(phase)] = NOTHING
    return pixels


def cells_without_colour(phase: PhaseDiagram) -> Flags:
    """Return the cells that have no trials, or no value of what colours them, (rows, columns)."""
    without = np.where(phase.lost_cells, np.isnan(phase.lost_values), phase.cells_without_value)
    return np.asarray((phase.trials == 0) | without)
