"""How many trials of a search were trained to each rung, and how many went on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Integers
from experiments.stopping import UNDECIDED


@dataclass(frozen=True)
class RungCounts:
    """The trials of a bracket at a rung.

    bracket: its number, from 1; halving has one bracket.
    steps: the rung.
    trials: how many are trained to it.
    went_on: how many of them go on to the next rung; None at the last rung, and if it is not decided yet. It is
        decided from the beginning for a single configuration: it is not compared, and goes on.
    """

    bracket: int
    steps: int
    trials: int
    went_on: int | None


def rung_counts(rungs: Sequence[int], firsts: Integers, steps: Integers, repeats: int = 1) -> list[RungCounts]:
    """Return the counts of each bracket at each rung, up to the rung that is being compared.

    rungs: numbers of steps, ascending; the last is that of the sweep file.
    firsts: (trials,) the index of the rung at which each trial is compared first; trials of one bracket share it.
    steps: (trials,) that each is trained for; UNDECIDED for those that have not left yet.
    repeats: the number of trials of a configuration.
    """
    decided_to = int(steps.max()) if (steps == UNDECIDED).any() else rungs[-1]
    counts = []
    for bracket, first in enumerate(np.unique(firsts).tolist(), 1):
        members = steps[firsts == first]
        for rung in rungs[first:]:
            still_in = members == UNDECIDED
            trained, further = int((still_in | (members >= rung)).sum()), int((still_in | (members > rung)).sum())
            is_compared = trained > repeats  # as `Ladder.compared`: of several configurations some leave
            is_decided = (rung <= decided_to or not is_compared) and rung != rungs[-1]
            counts.append(RungCounts(bracket, rung, trained, further if is_decided else None))
            if rung > decided_to and is_compared:
                break
    return counts


def rung_rows(counts: Sequence[RungCounts]) -> list[dict[str, object]]:
    """Return a table for readers: a row for each rung, or if there are several brackets, a row for each bracket."""
    if all(count.bracket == 1 for count in counts):
        return [{"step": c.steps, "trials": c.trials, "went on": c.went_on} for c in counts]
    rungs = sorted({count.steps for count in counts})
    rows: dict[int, dict[str, object]] = {}
    for count in counts:
        row = rows.setdefault(
            count.bracket, {"bracket": count.bracket, **{f"to step {steps}": None for steps in rungs}}
        )
        row[f"to step {count.steps}"] = count.trials
    return list(rows.values())


def comparison_text(rungs: Sequence[int], steps: int, trials: int) -> str:
    """Return which comparison goes on: `rung 1 of 3: comparing 90 trials at step 10`.

    rungs: as for `rung_counts`; empty for early stopping, which has none. trials: that are compared.
    """
    at = f"comparing {trials:,} trial{'' if trials == 1 else 's'} at step {steps:,}"
    return f"rung {list(rungs).index(steps) + 1} of {len(rungs)}: {at}" if steps in rungs else at
