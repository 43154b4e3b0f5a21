"""Chooses the columns of a phase diagram that get a frame of curves: those in which something happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats
from engine.outcomes import WILD
from service.results.axes import NO_AXIS
from service.results.metrics import lower_is_better
from service.results.phase_diagram import FAILURE_OUTCOMES, PhaseDiagram

BEST, BEFORE, PAST, SMALLEST = "best", "before the edge", "past the edge", "smallest"
_EDGE = 0.25  # least difference of the shares of lost trials between the two columns at the edge
_MANY = 0.3  # least share of a failure in some cell that is worth a frame
_LOST = 0.9  # share of lost trials from which a column shows nothing else


@dataclass(frozen=True)
class Frame:
    """A column and the reasons for choosing it; none if it fills a gap."""

    column: int
    reasons: tuple[str, ...] = ()


def choose_frames(
    phase: PhaseDiagram, count: int, *, first: str = BEST, lost_outcomes: Sequence[str] = WILD
) -> list[Frame]:
    """Return at most `count` columns: the best, both sides of the edge, those with most failures, the smallest.

    The rest fill the gaps. Columns in which almost all trials are lost are left out.

    phase: the phase diagram.
    count: the greatest number of columns.
    first: the reason that comes before all others.
    lost_outcomes: the outcomes of lost trials.
    """
    lost = _column_share(phase, lost_outcomes)
    hopeful = [k for k in range(len(lost)) if lost[k] < _LOST]
    reasons: dict[int, list[str]] = {k: [] for k in hopeful} if len(hopeful) <= count else {}
    for column, reason in sorted(_candidates(phase, lost), key=lambda candidate: candidate[1] != first):
        if column in reasons or (column in hopeful and len(reasons) < count):
            reasons.setdefault(column, []).append(reason)
    _fill_gaps(reasons, hopeful, count)
    return [Frame(column, tuple(reasons[column])) for column in sorted(reasons)]


def describe(frames: Sequence[Frame], phase: PhaseDiagram, each: str = "") -> str:
    """Return a sentence on the choice of columns; empty if all were chosen. each: the rows that it was made for."""
    total = len(phase.columns.values)
    count = len({frame.column for frame in frames})
    if phase.columns is NO_AXIS or count == total:
        return ""
    reasons = list(dict.fromkeys(reason for frame in frames for reason in frame.reasons))
    phrases = [_IN_WORDS.get(reason, f"the one with the {reason} trials") for reason in reasons]
    if any(not frame.reasons for frame in frames):
        phrases.append("some between them")
    subject = f"{count} of {total} values" if count > 1 else f"One of {total} values"
    return f"{subject} of {phase.columns.label} {'are' if count > 1 else 'is'} shown: {_joined(phrases)}{each}."


_IN_WORDS = {
    BEST: "the best",
    BEFORE: "the last before most trials are lost",
    PAST: "the first after it",
    SMALLEST: "the smallest",
}


def _joined(phrases: Sequence[str]) -> str:
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def _candidates(phase: PhaseDiagram, lost: Floats) -> list[tuple[int, str]]:
    """Return columns and reasons, the most important first. lost: (columns,) the share of lost trials."""
    candidates: list[tuple[int, str]] = []
    medians = phase.median if lower_is_better(phase.metric) else -phase.median
    if np.isfinite(medians).any():
        candidates.append((int(np.unravel_index(np.nanargmin(medians), medians.shape)[1]), BEST))
    if phase.columns.is_numeric and len(lost) > 1:
        jumps = np.abs(np.diff(lost))
        edge = int(jumps.argmax())
        if jumps[edge] >= _EDGE:
            sides = (edge, edge + 1) if lost[edge] < lost[edge + 1] else (edge + 1, edge)
            candidates += zip(sides, (BEFORE, PAST), strict=True)
    for outcome in FAILURE_OUTCOMES[:-1]:
        shares = np.nan_to_num(phase.shares.get(outcome, np.zeros((1, 1))))
        if shares.max() >= _MANY:
            candidates.append((int(shares.sum(axis=0).argmax()), f"most {outcome}"))
    if phase.columns.is_numeric:
        candidates.append((0, SMALLEST))
    return candidates


def _column_share(phase: PhaseDiagram, outcomes: Sequence[str]) -> Floats:
    """Return the share of each column's trials that have one of these outcomes: (columns,)."""
    counts = sum(np.nan_to_num(share) * phase.trials for name, share in phase.shares.items() if name in outcomes)
    return np.asarray(np.sum(counts + np.zeros(phase.trials.shape), axis=0) / np.maximum(phase.trials.sum(axis=0), 1))


def _fill_gaps(reasons: dict[int, list[str]], hopeful: Sequence[int], count: int) -> None:
    """Add the column that is farthest from the chosen ones, until there are `count`."""
    while len(reasons) < count:
        left = [k for k in hopeful if k not in reasons]
        if not left:
            return
        reasons[max(left, key=lambda k: min((abs(k - other) for other in reasons), default=0))] = []
