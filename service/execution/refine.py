"""Refine a map: train it coarsely, then level by level only where neighbours differ, and audit the rest.

The cells that a level trains depend only on the outcomes of those before, so a resumed sweep trains the same trials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.arrays import Array, Flags, Integers
from engine.outcomes import OUTCOMES, WILD
from experiments.spec import refined_axes
from service.execution.plan import Plan
from service.results.refinement import UNKNOWN, Strides, first_strides, halved, lattice_cells, refined_cells

_SEED = 0
_SHARD = 100_000  # trials whose columns are read at once


@dataclass(frozen=True)
class Refined:
    """What a refinement spared.

    trials: of the dense map.
    spared: those that were not trained.
    audited: trials, of those that were not needed, that were trained at random to compare.
    wrong: those of them whose label is not the one that their cell had without training.
    """

    trials: int
    spared: int
    audited: int
    wrong: int

    def __str__(self) -> str:
        share = f"{self.spared / self.trials:.0%} of {self.trials:,} trials were spared"
        if not self.audited:
            return share
        return f"{share}; {self.wrong:,} of {self.audited:,} audited at random are otherwise"

    @property
    def metrics(self) -> dict[str, float]:
        """The figures as metrics of the sweep's run."""
        return {f"refine_{name}": float(value) for name, value in vars(self).items()}


def refine(plan: Plan, table: Callable[[], pd.DataFrame], train: Callable[[Integers], bool]) -> Refined | None:
    """Train a refined map, and return what that spared; None if the budget was over before the end.

    plan: of the dense map.
    table: returns the table of the trials that are recorded.
    train: trains and records the trials with these numbers, without those that are recorded already; returns whether
        all of them are recorded.
    """
    section = plan.resolved.spec.refine
    assert section is not None
    cell_of_trial, shape, strides = _cells(plan)
    labels = np.full(shape, UNKNOWN)
    trained = lattice_cells(shape, strides)
    wanted = trained.copy()
    while True:
        if not train(np.flatnonzero(wanted.ravel()[cell_of_trial])):
            return None
        found = _labels(table(), cell_of_trial, shape, by=section.by)
        labels[wanted] = found[wanted]
        if strides == (1, 1):
            break
        wanted = refined_cells(labels, strides)
        strides = halved(strides)
        trained |= wanted
    audited = _sample(~trained, section.audit)
    if not train(np.flatnonzero(audited.ravel()[cell_of_trial])):
        return None
    found = _labels(table(), cell_of_trial, shape, by=section.by)
    spared = ~(trained | audited).ravel()[cell_of_trial]
    wrong = int((found != labels)[audited].sum())
    return Refined(plan.trials, int(spared.sum()), int(audited.sum()), wrong)


def _cells(plan: Plan) -> tuple[Integers, tuple[int, int], Strides]:
    """Return the cell of each trial by its number, (trials,), the map's shape, and the first strides."""
    spec, axes = plan.resolved.spec, plan.resolved.axes
    first, second = refined_axes(spec)
    shape = (len(axes[first]), len(axes[second]))
    cells = np.empty(plan.trials, dtype=np.int64)
    for shard in plan.shards(1, size=_SHARD):
        row, column = (_positions(axes[name], shard.columns[name]) for name in (first, second))
        cells[shard.numbers] = row * shape[1] + column
    coarse = (int(spec.grid[first]["points"]), int(spec.grid[second]["points"]))
    return cells, shape, first_strides(shape, coarse)


def _positions(values: object, column: Array) -> Integers:
    """Return the index of each of a column's values among an axis's values."""
    axis = np.asarray(values)
    order = np.argsort(axis)
    return np.asarray(order[np.searchsorted(axis, column, sorter=order)])


def _labels(table: pd.DataFrame, cell_of_trial: Integers, shape: tuple[int, int], *, by: str) -> Integers:
    """Return the label of each cell: the most frequent one of its trials, UNKNOWN without any.

    by: `lost`, whether trials exploded or diverged, or `outcome`.
    """
    places, found = pd.factorize(table["outcome"])  # few outcomes, whatever the number of trials
    of_found = [name in WILD if by == "lost" else OUTCOMES.index(name) for name in found]
    codes, count = np.array(of_found, dtype=np.int64)[places], 2 if by == "lost" else len(OUTCOMES)
    cells = cell_of_trial[table["number"].to_numpy()]
    numbers = np.bincount(cells * count + codes, minlength=shape[0] * shape[1] * count).reshape(-1, count)
    return np.where(numbers.any(axis=1), numbers.argmax(axis=1), UNKNOWN).reshape(shape)


def _sample(cells: Flags, share: float) -> Flags:
    """Return a random share of these cells, the same each time."""
    numbers = np.flatnonzero(cells)
    count = int(np.ceil(share * len(numbers)))
    chosen = np.zeros(cells.size, dtype=bool)
    chosen[np.random.default_rng(_SEED).choice(numbers, count, replace=False)] = True
    return chosen.reshape(cells.shape)
