"""Leave out trials: those that do not meet the conditions of `only`, and those that are equal to earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from engine.arrays import Array, Flags, Floats
from experiments.architecture import Architecture
from experiments.blocks import Block
from experiments.conditions import without_blanks
from experiments.population import Population
from experiments.product import Product


def meeting_conditions(block: Block, populations: Sequence[Population]) -> list[Population]:
    """Return the populations with the trials that meet the conditions of their block.

    Raises SpecError for a condition that no trial can meet, and if no trial meets all of them.
    """
    if not block.only:
        return list(populations)
    names = _Names(populations)

    def meets(columns: Mapping[str, Array], shared: Mapping[str, Any]) -> Flags:
        trials = _Trials(names, shared, columns)
        flags = np.ones(trials.count, dtype=bool)
        for condition in block.only:
            try:
                flags &= condition.holds(trials)
            except ValueError as error:
                raise block.error_at_condition(condition, str(error)) from None
        return flags

    kept = [_kept(population, meets) for population in populations]
    kept = [population for population in kept if population.trials]
    if not kept:
        every = " and ".join(repr(condition.text) for condition in block.only)
        raise block.error_at_condition(block.only[0], f"no trial meets {every}; change or remove a condition")
    return kept


class Earlier:
    """The trials of a sweep so far, to leave out equal ones."""

    def __init__(self) -> None:
        self._products: dict[tuple[Architecture, int, frozenset[str]], list[Product]] = {}

    def without_equal(self, population: Population) -> Population:
        """Return the population without the trials that an earlier one has. Later ones are compared with it too."""
        network = replace(population.architecture, neuron=False)  # the same network, under another name
        key = (network, population.dataset, frozenset(population.product.names))
        earlier = self._products.setdefault(key, [])

        def is_new(columns: Mapping[str, Array], _: Mapping[str, Any]) -> Flags:
            is_known = [product.find(columns) >= 0 for product in earlier]
            return np.asarray(~np.any(is_known, axis=0))

        rest = _kept(population, is_new) if earlier else population
        if rest.trials:
            earlier.append(rest.product)
        return rest


def _kept(population: Population, holds: Callable[[Mapping[str, Array], Mapping[str, Any]], Flags]) -> Population:
    """Return the population with the trials for which `holds` returns true."""
    product = population.product
    flags = np.concatenate([holds(columns, population.shared_params) for columns in product.chunks()])
    numbers = None if population.numbers is None else population.numbers[flags]
    return replace(population, product=product.keep(flags), numbers=numbers)


class _Names:
    """The hyperparameters of all trials of a block, and the words that each of them has."""

    def __init__(self, populations: Sequence[Population]) -> None:
        self._populations = populations
        self.known: dict[str, bool] = {}  # name -> whether it has numbers
        for population in populations:
            for name, value in population.shared_params.items():
                self.known[name] = isinstance(value, (int, float))
            for name, column in population.at(np.array([0])).items():
                self.known[name] = column.dtype.kind in "if"

    def vocabulary(self, name: str) -> list[str]:
        """Return the words of a hyperparameter."""
        words: dict[str, None] = {}
        for population in self._populations:
            shared = {**population.shared_params, **population.product.constants}
            if name in shared:
                words[_word(shared[name])] = None
            for factor in population.product.factors:
                words |= dict.fromkeys(map(_word, np.unique(np.asarray(factor.columns.get(name, []))).tolist()))
        return list(words)


@dataclass(frozen=True)
class _Trials:
    """Some trials of a population, for conditions."""

    block: _Names
    shared: Mapping[str, Any]
    columns: Mapping[str, Array]

    @cached_property
    def count(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def names(self) -> Collection[str]:
        return self.block.known

    def numbers(self, name: str) -> Floats:
        values = self._values(name)
        numeric = values.dtype.kind in "if"
        return values.astype(float) if numeric else np.full(self.count, np.nan)

    def words(self, name: str) -> Array:
        values = self._values(name)
        return values if values.dtype.kind == "U" else values.astype(str)

    def missing(self, name: str) -> Flags:
        return np.full(self.count, name not in self.columns and name not in self.shared)

    def vocabulary(self, name: str) -> list[str]:
        return self.block.vocabulary(name)

    def is_numeric(self, name: str) -> bool:
        return self.block.known[name]

    def _values(self, name: str) -> Array:
        """Return a column; empty words if these trials do not have it."""
        if name in self.columns:
            return self.columns[name]
        value: Any = self.shared.get(name, "")
        return np.repeat(np.array([value if isinstance(value, (int, float)) else _word(value)]), self.count)


def _word(value: Any) -> str:
    return without_blanks(str(list(value) if isinstance(value, tuple) else value))
