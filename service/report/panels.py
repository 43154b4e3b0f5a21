"""Frames of curves: their lines, their scales, and where a line leaves its frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats
from service.results.scales import Scale, scale_of

MARGIN = 0.06
"""Room above and below the curves, as a share of the frame."""

_LEAST_FILL = 1 / 3
_MOST_STRETCH = 2.5
_RISE = 100.0  # times the start, up to which curves are shown that all diverge


@dataclass(frozen=True)
class Line:
    """A curve of a panel, and its quartiles if there are any.

    index: of the value that the line stands for, which gives its colour. middle: the median, infinite where most trials
    have diverged. calm: the values over the steps that the frame's scale is chosen from; None if all trials exploded or
    diverged.
    """

    label: str
    index: int
    middle: Floats
    low: Floats | None = None
    high: Floats | None = None
    calm: Floats | None = None


@dataclass(frozen=True)
class Panel:
    """Curves over steps in one frame. reasons: why this frame is shown."""

    title: str
    steps: tuple[int, ...]
    lines: tuple[Line, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exit:
    """Where a line leaves its frame."""

    step: float
    above: bool


@dataclass(frozen=True)
class ScaleRule:
    """How the scales of a metric are chosen.

    logarithmic: whether they may be. deepest: the least share of the greatest value that a logarithmic scale reaches
    down to. least_decades: powers of ten that it spans where its curves still fill a third of it.
    """

    logarithmic: bool = True
    deepest: float = 1e-12
    least_decades: float = 0.0


def panel_scales(panels: Sequence[Panel], rule: ScaleRule) -> list[Scale]:
    """A scale for each panel, with its margin: one for all where that fills each frame by a third, else one for each.

    Only curves of trials that neither exploded nor diverged count. All scales are logarithmic if one needs to be.
    """
    own = [_calm_values(panel) for panel in panels]
    shared = scale_of(np.concatenate(own), logarithmic=rule.logarithmic, deepest=rule.deepest)
    if shared is None:
        return [_starting_scale(panel, rule).widened(MARGIN) for panel in panels]
    for scale in (_stretched(shared, rule.least_decades), shared):
        if all(_fill(scale, values) >= _LEAST_FILL for values in own if _varies(values)):
            return [scale.widened(MARGIN)] * len(panels)
    return [_own_scale(p, values, shared, rule).widened(MARGIN) for p, values in zip(panels, own, strict=True)]


def _own_scale(panel: Panel, values: Floats, shared: Scale, rule: ScaleRule) -> Scale:
    """The scale of one panel; the shared one if nothing changes in it."""
    if values.size and not _varies(values):
        return shared
    far_apart = 1.0 if shared.logarithmic else np.inf
    scale = scale_of(values, logarithmic=rule.logarithmic, far_apart=far_apart, deepest=rule.deepest)
    return _stretched(scale, rule.least_decades) if scale else _starting_scale(panel, rule)


def _varies(values: Floats) -> bool:
    return bool(values.size) and float(np.ptp(values)) > 0


def are_shared(scales: Sequence[Scale]) -> bool:
    """Whether all panels have the same scale."""
    return len(set(scales)) == 1


def exits(line: Line, steps: Sequence[int], scale: Scale) -> list[Exit]:
    """Where the line goes out of its frame, or begins outside of it."""
    heights = scale.fractions(scale.drawable(line.middle))
    sides = np.where(np.isnan(heights), 0, np.where(heights > 1, 1, np.where(heights < 0, -1, 0)))
    found = []
    for k in map(int, np.flatnonzero(sides)):
        if k == 0:
            found.append(Exit(float(steps[0]), bool(sides[0] > 0)))
        elif sides[k - 1] != sides[k]:
            edge = 1.0 if sides[k] > 0 else 0.0
            before, after = heights[k - 1], heights[k]
            share = 0.0 if np.isnan(before) else float((edge - before) / (after - before))
            step = steps[k - 1] + share * (steps[k] - steps[k - 1])
            found.append(Exit(float(step), bool(sides[k] > 0)))
    return found


def _calm_values(panel: Panel) -> Floats:
    """The values that a panel's scale is chosen from: of the calm trials, and where each of their lines starts."""
    parts = [np.append(line.calm, line.middle[0]) for line in panel.lines if line.calm is not None]
    values = np.concatenate([*parts, np.empty(0)])
    return np.asarray(values[np.isfinite(values)])


def _fill(scale: Scale, values: Floats) -> float:
    """The share of the scale between the least and the greatest value that can be drawn."""
    heights = np.clip(scale.fractions(values), 0.0, 1.0)
    return float(np.ptp(heights)) / (1 + 2 * MARGIN)


def _stretched(scale: Scale, decades: float) -> Scale:
    """The logarithmic scale over that many powers of ten, or as many as its values fill by a third."""
    if not scale.logarithmic:
        return scale
    span = math.log10(scale.high / scale.low)
    stretch = min(decades / span, _MOST_STRETCH)
    return scale.widened((stretch - 1) / 2) if stretch > 1 else scale


def _starting_scale(panel: Panel, rule: ScaleRule) -> Scale:
    """From the curves' starts to a hundred times as much, for a panel in which every trial is lost."""
    starts = np.array([line.middle[0] for line in panel.lines])
    starts = starts[np.isfinite(starts)]
    top = _RISE * np.abs(starts).max(initial=0.0)
    return scale_of(np.append(starts, top), logarithmic=rule.logarithmic) or Scale(0.0, 1.0, False)
