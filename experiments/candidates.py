"""The populations of a block: every point of its product, before any trial is left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.architecture import STRUCTURE, Architecture, make_architecture
from experiments.blocks import Block
from experiments.data.datasets import Dataset
from experiments.hyperparameters import HYPERPARAMETERS
from experiments.population import Population
from experiments.product import Factor, Product, Values
from experiments.spec import ResolvedSpec

_ALWAYS = ("initializer", "init_scale", "learning_rate", "seed")


@dataclass(frozen=True)
class _Part:
    """The values of a factor that belong to one structure.

    number: of the part among all parts of the block.
    structure: the structural hyperparameters; None for one that is left out.
    left_out: the other hyperparameters that are left out.
    factor: the values of the hyperparameters that are columns; None if there are none.
    """

    number: int
    structure: Mapping[str, Any]
    left_out: frozenset[str]
    factor: Factor | None


class Candidates:
    """The populations of a block. `used` has the hyperparameters that apply to those yielded so far."""

    def __init__(self, block: Block, resolved: ResolvedSpec, dataset: Dataset) -> None:
        self.used: set[str] = set()
        self._block, self._resolved, self._dataset = block, resolved, dataset
        self._distinct: dict[tuple[int, tuple[str, ...]], Factor | None] = {}

    def __iter__(self) -> Iterator[Population]:
        """Yield one population for each structure. A structure that yields the points of an earlier one is left out."""
        block, seen = self._block, set[Any]()
        defaults = {name: HYPERPARAMETERS[name].default for name in STRUCTURE}
        fixed = {name: block.fixed.get(name, default) for name, default in defaults.items()}
        for parts in itertools.product(*_parts(block)):
            structure = {**fixed, **{name: value for part in parts for name, value in part.structure.items()}}
            left_out = {name for part in parts for name in part.left_out}
            left_out |= {name for name, value in structure.items() if value is None}
            given = {*block.axes, *block.fixed} - left_out
            architecture = make_architecture(structure, given, block, self._resolved, self._dataset, self.used)
            relevant = _relevant(architecture)
            self.used.update(relevant)
            factors = {part.number: factor for part in parts if (factor := self._projected(part, relevant))}
            key = (architecture, *factors)
            if key not in seen:
                seen.add(key)
                yield Population(architecture, self._product(architecture, relevant, tuple(factors.values())))

    def _projected(self, part: _Part, relevant: tuple[str, ...]) -> Factor | None:
        """Return the rows of a part in the columns that apply, each once; None if none applies."""
        if part.factor is None:
            return None
        names = tuple(name for name in part.factor.columns if name in relevant)
        if (part.number, names) not in self._distinct:
            self._distinct[part.number, names] = part.factor.distinct(names)
        return self._distinct[part.number, names]

    def _product(self, architecture: Architecture, relevant: tuple[str, ...], factors: tuple[Factor, ...]) -> Product:
        swept = {name for factor in factors for name in factor.columns}
        always = {name: HYPERPARAMETERS[name].default for name in _ALWAYS}
        defaults = {**always, **architecture.rule.hyperparameters}
        constants = {name: self._block.fixed.get(name, defaults[name]) for name in relevant if name not in swept}
        return Product(factors, constants, relevant)


def _relevant(architecture: Architecture) -> tuple[str, ...]:
    """Return the hyperparameters that are columns of a population of this architecture."""
    return (*_ALWAYS, *(name for name in architecture.rule.hyperparameters if name not in _ALWAYS))


def _parts(block: Block) -> list[list[_Part]]:
    """Return the parts of each factor of the block, in the order of their first values."""
    numbers = itertools.count()
    return [[_Part(next(numbers), *part) for part in _split(block.axes, names)] for names in block.together]


def _split(
    axes: Mapping[str, Sequence[Any]], names: Sequence[str]
) -> Iterator[tuple[Mapping[str, Any], frozenset[str], Factor | None]]:
    """Split the values of a factor by structure. Whether a hyperparameter is left out belongs to the structure."""
    if all(name not in STRUCTURE and None not in axes[name] for name in names):
        yield {}, frozenset(), Factor({name: _values(axes[name]) for name in names})
        return
    rows: dict[tuple[Any, ...], list[int]] = {}
    for index, values in enumerate(zip(*(axes[name] for name in names), strict=True)):
        key = tuple(v if name in STRUCTURE else v is None for name, v in zip(names, values, strict=True))
        rows.setdefault(key, []).append(index)
    for key, indices in rows.items():
        structure = {name: value for name, value in zip(names, key, strict=True) if name in STRUCTURE}
        left_out = {name for name, value in zip(names, key, strict=True) if name not in structure and value}
        columns = {name: axes[name] for name in names if name not in structure and name not in left_out}
        taken = {name: np.array([values[index] for index in indices]) for name, values in columns.items()}
        yield structure, frozenset(left_out), Factor(taken) if taken else None


def _values(values: Sequence[Any]) -> Values:
    """Return integers as int64, numbers as float64, words as text."""
    return values if isinstance(values, range) else np.array(values)
