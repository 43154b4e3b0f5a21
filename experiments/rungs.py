"""Successive halving and Hyperband: how many configurations go on at each rung, and which.

A rung is a number of steps. At each rung but the last, one configuration of `factor` goes on to the next and the others
leave (Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, 2016). Hyperband
does this in several brackets, which begin at different rungs (Li and others, Hyperband, 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.arrays import Flags, Floats, Integers
from experiments.search import SearchSpec


@dataclass(frozen=True)
class Bracket:
    """Configurations that begin at the same rung.

    first: the index of that rung.
    members: (configurations,) ascending indices.
    """

    first: int
    members: Integers


@dataclass(frozen=True)
class Ladder:
    """The rungs of a search and its brackets.

    rungs: numbers of steps, ascending; the last is that of the sweep file.
    factor: one configuration of so many goes on.
    brackets: halving has one.
    """

    rungs: tuple[int, ...]
    factor: int
    brackets: tuple[Bracket, ...]

    @classmethod
    def of(cls, search: SearchSpec, steps: int, configurations: int) -> Ladder:
        """Return the ladder of a search. steps: of the sweep file."""
        rungs, factor = ladder_rungs(search.first or steps, search.factor, steps), search.factor
        if search.method == "halving":
            return cls(rungs, factor, (Bracket(0, np.arange(configurations)),))
        order = np.argsort(search.shuffle(configurations), kind="stable")
        sizes = _bracket_sizes(configurations, len(rungs), factor)
        parts = np.split(order, np.cumsum(sizes)[:-1])
        every = (Bracket(first, np.sort(members)) for first, members in enumerate(parts))
        return cls(rungs, factor, tuple(bracket for bracket in every if len(bracket.members)))

    def going_on(self, bracket: Bracket, rung: int) -> int:
        """Return how many configurations of a bracket go on from a rung. rung: its index, of any but the last."""
        if rung < bracket.first:
            return len(bracket.members)
        keep: int = len(bracket.members) // self.factor ** (rung - bracket.first + 1)
        return max(1, keep)

    def reaching(self, rung: int) -> int:
        """Return how many configurations are trained to a rung and compared there."""
        return sum(self.reaching_of(bracket, rung) for bracket in self.brackets)

    def reaching_of(self, bracket: Bracket, rung: int) -> int:
        """Return how many configurations of a bracket are trained to a rung and compared there. rung: its index."""
        if rung < bracket.first:
            return 0
        return len(bracket.members) if rung == bracket.first else self.going_on(bracket, rung - 1)

    def firsts(self, configurations: Integers) -> Integers:
        """Return the index of the rung at which each trial is compared first, (trials,).

        configurations: (trials,) the configuration of each trial.
        """
        firsts = np.zeros(sum(len(bracket.members) for bracket in self.brackets), dtype=np.int64)
        for bracket in self.brackets:
            firsts[bracket.members] = bracket.first
        return firsts[configurations]

    def leaving(self, rung: int) -> int:
        """Return how many configurations leave at a rung. All that are left leave at the last."""
        if rung == len(self.rungs) - 1:
            return self.reaching(rung)
        return sum(
            self.reaching_of(bracket, rung) - self.going_on(bracket, rung)
            for bracket in self.brackets
            if rung >= bracket.first
        )

    @property
    def share(self) -> float:
        """The steps that are trained, as a share of those of the whole grid.

        Configurations are trained up to a rung to compare them; those that leave are trained once more, and recorded.
        """
        steps = sum(rung * (self.leaving(k) + self._to_compare(k)) for k, rung in enumerate(self.rungs))
        every = self.rungs[-1] * sum(len(bracket.members) for bracket in self.brackets)
        return steps / every

    def _to_compare(self, rung: int) -> int:
        """Return how many configurations are compared at a rung: those of brackets of which some leave."""
        if rung == len(self.rungs) - 1:
            return 0
        reaching = [(self.reaching_of(bracket, rung), self.going_on(bracket, rung)) for bracket in self.brackets]
        return sum(reached for reached, going_on in reaching if reached > going_on)

    def compared(self, rung: int, still_in: Flags) -> Iterator[Bracket]:
        """Yield the brackets that have more configurations than will go on from a rung, with those that they have.

        still_in: (configurations,) those that have not left.
        """
        for bracket in self.brackets:
            members = bracket.members[still_in[bracket.members]]
            if rung >= bracket.first and len(members) > self.going_on(bracket, rung):
                yield Bracket(bracket.first, members)

    def worst(self, rung: int, still_in: Flags, values: Floats) -> Integers:
        """Return the indices of the configurations that leave at a rung.

        still_in: (configurations,) those that have not left.
        values: (configurations,) less is better; NaN is worst. Of equal ones, those with the greater index leave.
        """
        leave = [np.zeros(0, dtype=np.int64)]
        sizes = {bracket.first: self.going_on(bracket, rung) for bracket in self.brackets}
        for bracket in self.compared(rung, still_in):
            order = np.argsort(values[bracket.members], kind="stable")  # NaN last
            leave.append(bracket.members[order[sizes[bracket.first] :]])
        return np.concatenate(leave)


def ladder_rungs(first: int, factor: int, steps: int) -> tuple[int, ...]:
    """Return the rungs: first, first x factor, ..., as far as they are below `steps`, and then `steps`."""
    rungs = []
    while first < steps:
        rungs.append(first)
        first *= factor
    return (*rungs, steps)


def _bracket_sizes(configurations: int, rungs: int, factor: int) -> Integers:
    """Return the configurations of each bracket, (rungs,), by Hyperband's shares.

    The bracket that can halve s times gets factor**s / (s + 1) of them, so that all cost about the same.
    """
    halvings = np.arange(rungs - 1, -1, -1)
    weights = float(factor) ** halvings / (halvings + 1)
    ends = np.rint(np.cumsum(weights) / weights.sum() * configurations).astype(np.int64)
    return np.asarray(np.diff(ends, prepend=0))
