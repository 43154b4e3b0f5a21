"""The pixels of a phase diagram's picture: a cell is a pixel, its colour the median, or the step of its failure.

>>> from service.results.scales import Scale
>>> shades(np.array([0.0, 0.5, 1.0]), CALM).tolist()
[[253, 231, 37], [33, 145, 140], [68, 1, 84]]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import Array, Floats
from engine.outcomes import WILD
from service.results.metrics import lower_is_better
from service.results.phase_diagram import PhaseDiagram, scale_of_median
from service.results.scales import Scale

CALM = ("#fde725", "#5ec962", "#21918c", "#3b528b", "#440154")
"""The colours of the medians of cells that are not lost, from the best to the worst: viridis."""
LOST = ("#4a0d08", "#8c1d0b", "#c0451d", "#e58a4f", "#f8dcc0")
"""The colours of the steps at which lost cells failed, from the first to the last."""
NOTHING = (128, 128, 128)
"""The colour of cells without trials, and of those without a value."""


def shades(heights: Floats, colours: Sequence[str]) -> Array:
    """Return the colours of heights from 0 to 1: (..., 3), from 0 to 255. They are interpolated between `colours`."""
    stops = np.array([list(bytes.fromhex(colour[1:])) for colour in colours], dtype=float)
    positions = np.linspace(0.0, 1.0, len(stops))
    inside = np.clip(np.nan_to_num(heights, nan=0.0), 0.0, 1.0)
    return np.stack([np.interp(inside, positions, stops[:, k]) for k in range(3)], axis=-1).round().astype(np.uint8)


def onset_scale(phase: PhaseDiagram) -> Scale | None:
    """Return the logarithmic scale of the steps at which lost cells failed, counted from 1; None without such cells."""
    steps = phase.onset_step[_is_lost(phase)] + 1.0
    steps = steps[np.isfinite(steps)]
    return Scale(float(steps.min()), max(float(steps.max()), float(steps.min()) + 1.0), True) if steps.size else None


def map_pixels(phase: PhaseDiagram) -> Array:
    """Return the pixels of a phase diagram, (rows, columns, 3), from 0 to 255, in the order of its rows.

    A cell is lost if its most frequent outcome is exploding or diverged. The colour of a lost cell is the step at which
    it failed, on a logarithmic scale; of another cell the median, on the scale of `scale_of_median`.
    """
    scale, onset = scale_of_median(phase), onset_scale(phase)
    heights = scale.fractions(phase.median) if scale else np.zeros(phase.median.shape)
    if not lower_is_better(phase.metric):
        heights = 1.0 - heights
    pixels = shades(heights, CALM)
    lost = _is_lost(phase)
    if onset is not None:
        pixels[lost] = shades(onset.fractions(phase.onset_step[lost] + 1.0), LOST)
    pixels[(phase.trials == 0) | (phase.cells_without_value & ~lost)] = NOTHING
    return pixels


def _is_lost(phase: PhaseDiagram) -> Array:
    return np.isin(phase.modal_outcome.astype(str), WILD)
