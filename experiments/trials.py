"""The trials of a sweep: from a spec's blocks of axes to populations of trials."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from engine import OPTIMIZERS, SCHEDULES
from engine.arrays import Array, Integers
from experiments.blocks import Block
from experiments.candidates import Candidates
from experiments.data.variants import Datasets
from experiments.errors import SpecError
from experiments.hyperparameters import OF_LAYERS, layer_of
from experiments.plan_memory import too_large
from experiments.population import Population
from experiments.selection import Earlier, meeting_conditions
from experiments.spec import ResolvedSpec

_LONGEST = 1 << 16  # trials whose columns are computed at once


@dataclass(frozen=True)
class BlockCounts:
    """What became of the points of a block.

    block: the block.
    unmet: the trials that do not meet its conditions.
    trials: the trials that it adds to the sweep.
    positions: (trials,) ascending positions of these among its points, if those were asked for.
    """

    block: Block
    unmet: int
    trials: int
    positions: Integers | None = None

    @property
    def equal(self) -> int:
        """The points that are equal to an earlier point of this block or of another."""
        return self.block.points - self.unmet - self.trials


@dataclass(frozen=True)
class Grid:
    """The trials of a sweep.

    populations: the trials, in the order of their numbers.
    blocks: the number of trials of each block.
    """

    populations: tuple[Population, ...]
    blocks: tuple[BlockCounts, ...]

    @property
    def trials(self) -> int:
        """The number of trials."""
        return sum(population.trials for population in self.populations)

    def population(self, number: int) -> Population:
        """Return the population of the trial with this number in the sweep. Raises IndexError if there is none."""
        for population in self._group(number):
            if population.index_of(number) is not None:
                return population
        raise IndexError(f"the sweep has no trial {number}")

    def _group(self, number: int) -> Sequence[Population]:
        """Return the populations that may have the trial: one, or those of a search, whose numbers are mixed."""
        end = bisect_right(self._firsts, number)
        return self.populations[bisect_left(self._firsts, self._firsts[max(end - 1, 0)]) : end]

    def columns(self, start: int, stop: int) -> Iterator[list[tuple[Population, Integers, dict[str, Array]]]]:
        """Yield trials, some at a time, in the order of their numbers: populations, with the trials of each.

        start, stop: the first number, and that before which they end.

        Of each population there are the numbers of its trials, (trials,), ascending, and their columns.
        """
        stop = min(stop, self.trials)
        while start < stop:
            group = self._group(start)
            last = min(stop, start + _LONGEST, group[0].first + _trials(group))
            parts = [(population, *population.columns_of(start, last)) for population in group]
            yield [(population, numbers, columns) for population, numbers, columns in parts if len(numbers)]
            start = last

    @cached_property
    def _firsts(self) -> list[int]:
        return [population.first for population in self.populations]


def make_grid(resolved: ResolvedSpec, datasets: Datasets) -> Grid:
    """Return the trials of the sweep, grouped by architecture, in the order of the blocks and of their axes.

    A trial has only the hyperparameters that apply to it: no momentum under sgd. Trials that are equal without the
    others become one.
    Raises SpecError for hyperparameters that do not fit together, for one that no trial uses, and for a condition that
    no trial can meet.
    """
    earlier = Earlier()
    populations: list[Population] = []
    counts = []
    for stage in resolved.stages:
        used = set[str]()
        for block in stage.blocks:
            candidates = Candidates(block, resolved, datasets)
            every = list(candidates)
            given = [name for name, values in block.axes.items() if any(value is not None for value in values)]
            if block.asked is None:  # a few points need not have every value
                _check_used([block], given, candidates.used)
            used |= candidates.used
            meeting = meeting_conditions(block, every)
            new = [rest for rest in map(earlier.without_equal, meeting) if rest.trials]
            counts.append(BlockCounts(block, _trials(every) - _trials(meeting), _trials(new), _positions(block, new)))
            populations += _numbered(new, _trials(populations))
        if all(block.asked is None for block in stage.blocks):
            _check_used(stage.blocks, stage.fixed, used)
    _check_size(resolved, _trials(populations))
    return Grid(tuple(populations), tuple(counts))


def _positions(block: Block, populations: Sequence[Population]) -> Integers | None:
    if block.asked is None:
        return None
    return np.sort(np.concatenate([p.numbers for p in populations if p.numbers is not None]))


def _check_size(resolved: ResolvedSpec, trials: int) -> None:
    """Raise SpecError if the extensions of a sweep make it too large."""
    if why := too_large(trials):
        place = resolved.stages[-1].source.location(("grid",))
        raise SpecError(f"{place}: with its extensions the sweep has {trials:,} trials; {why}")


def _numbered(populations: list[Population], first: int) -> list[Population]:
    """Return the new populations of a block with the numbers of their trials, which begin with `first`.

    A search numbers them in the order in which it drew them. Then the numbers of several populations are mixed.
    """
    orders = [population.numbers for population in populations if population.numbers is not None]
    if not orders:
        starts = itertools.accumulate((population.trials for population in populations), initial=first)
        return [replace(population, first=start) for population, start in zip(populations, starts, strict=False)]
    ranks = np.empty(sum(map(len, orders)), dtype=np.int64)
    ranks[np.argsort(np.concatenate(orders), kind="stable")] = np.arange(first, first + len(ranks))
    ends = list(itertools.accumulate(map(len, orders)))
    parts = np.split(ranks, ends[:-1])
    return [replace(p, first=first, numbers=numbers) for p, numbers in zip(populations, parts, strict=True)]


def _trials(populations: Sequence[Population]) -> int:
    return sum(population.trials for population in populations)


def _check_used(blocks: Sequence[Block], names: Iterable[str], used: set[str]) -> None:
    """Raise SpecError for a hyperparameter of these blocks that no trial uses."""
    for name in names:
        if name not in used:
            block = next((block for block in blocks if name not in block.axes), blocks[0])
            raise block.error_at(name, f"no trial of this sweep uses {name}{_why_unused(name)}; leave it out")


def _why_unused(name: str) -> str:
    if name.startswith("batch_"):
        return ": it applies only with batch_size"
    if name == "init_bias":
        return ": its networks have no biases"
    if layer_of(name):
        return f": no network has the {layer_of(name)}"
    if name in OF_LAYERS:
        return ": each layer has its own"
    if name == "activation":
        return ": a single neuron's activation is its output, and cross_entropy takes logits, so that output is linear"
    owners = [("optimizer", row.name) for row in OPTIMIZERS.values() if name in row.hyperparameters]
    owners += [("schedule", row.name) for row in SCHEDULES.values() if name in row.hyperparameters]
    return f": it belongs to {owners[0][0]} {' and '.join(owner for _, owner in owners)}" if owners else ""
