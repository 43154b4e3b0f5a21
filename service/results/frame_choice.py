"""Which columns of a phase diagram get a frame of curves: those in which something happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats
from service.results.axes import NO_AXIS
from service.results.metrics import lower_is_better
from service.results.phase_diagram import FAILURE_OUTCOMES, PhaseDiagram
from service.results.scales import WILD

BEST, BEFORE, PAST, SMALLEST = "best", "before the edge", "past the edge", "smallest"
_EDGE = 0.25  # least difference in the share of lost trials from column to column
_MANY = 0.3  # least share of an outcome in a cell that is worth a frame
_LOST = 0.9  # share of lost trials in a column where nothing else is to be seen


@dataclass(frozen=True)
class Frame:
    """A chosen column, and why it was chosen; no reason for one that fills a gap."""

    column: int
    reasons: tuple[str, ...] = ()


def choose_frames(
    phase: PhaseDiagram, count: int, *, first: str = BEST, lost_outcomes: Sequence[str] = WILD
) -> list[Frame]:
    """At most `count` columns in their order: the best, both sides of the edge, those with most failures, the smallest.

    The rest are spread over the gaps. Columns in which almost all trials are lost are left out.

    first: the reason that comes before all others. lost_outcomes: the outcomes of lost trials.
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
    """One sentence on which columns were chosen; nothing if all were. each: for which rows the choice was made."""
    total = len(phase.columns.values)
    count = len({frame.column for frame in frames})
    if phase.columns is NO_AXIS or count == total:
        return ""
    shown = list(dict.fromkeys(reason for frame in frames for reason in frame.reasons))
    named = [_IN_WORDS.get(reason, f"the one with the {reason} trials") for reason in shown]
    if any(not frame.reasons for frame in frames):
        named.append("some between them")
    which = f"{count} of {total} values" if count > 1 else f"One of {total} values"
    return f"{which} of {phase.columns.label} {'are' if count > 1 else 'is'} shown: {_listed(named)}{each}."


_IN_WORDS = {
    BEST: "the best",
    BEFORE: "the last before most trials are lost",
    PAST: "the first after it",
    SMALLEST: "the smallest",
}


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _candidates(phase: PhaseDiagram, lost: Floats) -> list[tuple[int, str]]:
    """Columns and reasons, the most important first."""
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
    """The share of each column's trials that came to one of these outcomes."""
    counts = sum(np.nan_to_num(share) * phase.trials for name, share in phase.shares.items() if name in outcomes)
    return np.asarray(np.sum(counts + np.zeros(phase.trials.shape), axis=0) / np.maximum(phase.trials.sum(axis=0), 1))


def _fill_gaps(reasons: dict[int, list[str]], hopeful: Sequence[int], count: int) -> None:
    """Add the column that is farthest from those there are, until there are `count`."""
    while len(reasons) < count:
        left = [k for k in hopeful if k not in reasons]
        if not left:
            return
        reasons[max(left, key=lambda k: min((abs(k - other) for other in reasons), default=0))] = []
