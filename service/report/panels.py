"""Frames of curves: their lines, their scales, and the points where a line leaves its frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats
from service.results.scales import Scale, scale_of

MARGIN = 0.06
"""The margin above and below the curves, as a share of the frame."""

_LEAST_FILL = 1 / 3  # share of the frame that curves should fill
_MOST_STRETCH = 2.5
_NEAR = 1.5  # greatest ratio of a level to the nearest value for which a frame is stretched
_RISE = 100.0  # upper end of the scale of curves that all diverge, as a multiple of their start


@dataclass(frozen=True)
class Line:
    """A curve of a panel. Arrays have one value per step.

    label: its name in the legend.
    index: its place among the lines of all panels, which gives its colour.
    middle: the median; infinite at steps at which most trials have diverged.
    low, high: the first and the third quartile; None for a line without a band.
    calm: the values that the frame's scale is chosen from, those of the trials that neither exploded nor diverged,
        (steps,) or (3, steps); None if there are no such trials.
    """

    label: str
    index: int
    middle: Floats
    low: Floats | None = None
    high: Floats | None = None
    calm: Floats | None = None


@dataclass(frozen=True)
class Panel:
    """Curves in one frame.

    title: the frame's title.
    steps: the steps of all curves.
    lines: the curves.
    reasons: the reasons for showing this frame.
    level: the height of a horizontal line for comparison; None for none. The frame's scale has it if it is near.
    """

    title: str
    steps: tuple[int, ...]
    lines: tuple[Line, ...]
    reasons: tuple[str, ...] = ()
    level: float | None = None

    def level_on(self, scale: Scale) -> float | None:
        """Return the level if it lies within a scale, else None."""
        return self.level if self.level is not None and scale.low < self.level < scale.high else None


@dataclass(frozen=True)
class Exit:
    """A point where a line leaves its frame. above: whether at the top."""

    step: float
    above: bool


@dataclass(frozen=True)
class ScaleRule:
    """The rule for choosing the scales of a metric.

    logarithmic: whether a scale may be logarithmic.
    deepest: the least ratio of the lower to the upper end of a logarithmic scale.
    least_decades: the powers of ten that a logarithmic scale spans, as long as the curves fill a third of it.
    """

    logarithmic: bool = True
    deepest: float = 1e-12
    least_decades: float = 0.0


def panel_scales(panels: Sequence[Panel], rule: ScaleRule) -> list[Scale]:
    """Return a scale for each panel, with its margin. All are the same if the curves then fill a third of each frame.

    Only curves of trials that neither exploded nor diverged count. If one scale has to be logarithmic, all are.
    """
    by_panel = [_calm_values(panel) for panel in panels]
    shared = scale_of(np.concatenate(by_panel), logarithmic=rule.logarithmic, deepest=rule.deepest)
    if shared is None:
        return [_starting_scale(panel, rule).widened(MARGIN) for panel in panels]
    for scale in (_stretched(shared, rule.least_decades), shared):
        if all(_fill(scale, values) >= _LEAST_FILL for values in by_panel if _varies(values)):
            return [scale.widened(MARGIN)] * len(panels)
    return [_panel_scale(p, values, shared, rule).widened(MARGIN) for p, values in zip(panels, by_panel, strict=True)]


def _panel_scale(panel: Panel, values: Floats, shared: Scale, rule: ScaleRule) -> Scale:
    """Return the scale of one panel; the shared one if the panel's values are all the same."""
    if values.size and not _varies(values):
        return shared
    far_apart = 1.0 if shared.logarithmic else np.inf
    scale = scale_of(values, logarithmic=rule.logarithmic, far_apart=far_apart, deepest=rule.deepest)
    return _stretched(scale, rule.least_decades) if scale else _starting_scale(panel, rule)


def _varies(values: Floats) -> bool:
    return bool(values.size) and float(np.ptp(values)) > 0


def are_shared(scales: Sequence[Scale]) -> bool:
    """Return whether all panels have the same scale."""
    return len(set(scales)) == 1


def exits(line: Line, steps: Sequence[int], scale: Scale) -> list[Exit]:
    """Return the points where the line leaves its frame, or starts outside of it."""
    heights = scale.fractions(scale.drawable(line.middle))
    sides = np.where(np.isnan(heights), 0, np.where(heights > 1, 1, np.where(heights < 0, -1, 0)))
    points = []
    for k in map(int, np.flatnonzero(sides)):
        if k == 0:
            points.append(Exit(float(steps[0]), bool(sides[0] > 0)))
        elif sides[k - 1] != sides[k]:
            edge = 1.0 if sides[k] > 0 else 0.0
            before, after = heights[k - 1], heights[k]
            share = 0.0 if np.isnan(before) else float((edge - before) / (after - before))
            step = steps[k - 1] + share * (steps[k] - steps[k - 1])
            points.append(Exit(float(step), bool(sides[k] > 0)))
    return points


def _calm_values(panel: Panel) -> Floats:
    """Return the values that a panel's scale is chosen from: those of the calm trials, and the start of each line."""
    by_line = [np.append(line.calm, line.middle[0]) for line in panel.lines if line.calm is not None]
    values = np.concatenate([*by_line, np.empty(0)])
    values = values[np.isfinite(values)]
    if panel.level is not None and values.size and values.min() / _NEAR <= panel.level <= values.max() * _NEAR:
        values = np.append(values, panel.level)
    return np.asarray(values)


def _fill(scale: Scale, values: Floats) -> float:
    """Return the share of the scale that the values span."""
    heights = np.clip(scale.fractions(values), 0.0, 1.0)
    return float(np.ptp(heights)) / (1 + 2 * MARGIN)


def _stretched(scale: Scale, decades: float) -> Scale:
    """Return a logarithmic scale stretched to this many powers of ten, or as far as its values still fill a third."""
    if not scale.logarithmic:
        return scale
    span = math.log10(scale.high / scale.low)
    stretch = min(decades / span, _MOST_STRETCH)
    return scale.widened((stretch - 1) / 2) if stretch > 1 else scale


def _starting_scale(panel: Panel, rule: ScaleRule) -> Scale:
    """Return the scale of a panel in which every trial is lost: from the curves' starts to a hundred times as much."""
    starts = np.array([line.middle[0] for line in panel.lines])
    starts = starts[np.isfinite(starts)]
    top = _RISE * np.abs(starts).max(initial=0.0)
    return scale_of(np.append(starts, top), logarithmic=rule.logarithmic) or Scale(0.0, 1.0, False)
