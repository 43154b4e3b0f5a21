"""The populations of a block: every point of its product, before any trial is left out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Integers
from experiments.architecture import STRUCTURE, Architecture, make_architecture
from experiments.blocks import Block
from experiments.data.names import PREFIX
from experiments.data.variants import Datasets
from experiments.draws import Draw, draws
from experiments.hyperparameters import HYPERPARAMETERS, OF_LAYERS
from experiments.layers import layers_with
from experiments.parts_of_axes import Part, split
from experiments.population import Population
from experiments.product import Factor, Product
from experiments.spec import ResolvedSpec

_ALWAYS = ("initializer", "init_scale", "learning_rate", "seed")
_IF_GIVEN = ("init_shift", "init_bias", "batch_seed")


@dataclass(frozen=True)
class _Shared:
    """What the trials of a population share; see `Population`."""

    architecture: Architecture
    dataset: int
    data_params: Mapping[str, Any]

    def population(self, product: Product, numbers: Integers | None = None) -> Population:
        return Population(
            self.architecture, product, numbers=numbers, dataset=self.dataset, data_params=self.data_params
        )


class Candidates:
    """The populations of a block. `used` has the hyperparameters that apply to those yielded so far."""

    def __init__(self, block: Block, resolved: ResolvedSpec, datasets: Datasets) -> None:
        self.used: set[str] = set()
        self._block, self._resolved, self._datasets = block, resolved, datasets
        self._distinct: dict[tuple[int, tuple[str, ...]], Factor | None] = {}

    def __iter__(self) -> Iterator[Population]:
        """Yield one population for each structure. A structure that yields the points of an earlier one is left out."""
        block, numbers = self._block, itertools.count()
        crossed = [split(block.axes, names, numbers) for names in block.crossed]
        if block.search.is_grid:
            yield from self._products(crossed)
            return
        for draw in draws(block, numbers):
            for parts in itertools.product(*crossed):
                yield self._drawn(draw, parts)

    def _products(self, factors: Sequence[Sequence[Part]]) -> Iterator[Population]:
        seen: set[tuple[Any, ...]] = set()
        for parts in itertools.product(*factors):
            shared, relevant = self._shared(parts)
            projected = self._projected(parts, relevant)
            key = (shared.architecture, shared.dataset, *projected)
            if key not in seen:
                seen.add(key)
                yield shared.population(self._product(shared.architecture, relevant, tuple(projected.values())))

    def _drawn(self, draw: Draw, parts: Sequence[Part]) -> Population:
        """Return the points of a search, each with every value of the crossed factors."""
        shared, relevant = self._shared([*draw.parts, *parts])
        crossed = tuple(self._projected(parts, relevant).values())
        columns = Factor({name: values for name, values in draw.columns.items() if name in relevant})
        points = draw.points[:1]
        if columns.columns:
            rows = columns.first_rows()
            columns, points = columns.rows(rows), draw.points[rows]
        factors = (columns, *crossed) if columns.columns else crossed
        product = self._product(shared.architecture, relevant, factors)
        every = math.prod(map(len, crossed))
        return shared.population(product, numbers=(points[:, None] * every + np.arange(every)).ravel())

    def _shared(self, parts: Sequence[Part]) -> tuple[_Shared, tuple[str, ...]]:
        """Return what the trials of these parts share, and the hyperparameters that are columns of their population."""
        block = self._block
        fixed = {name: block.fixed.get(name, HYPERPARAMETERS[name].default) for name in STRUCTURE}
        structure = {**fixed, **{name: value for part in parts for name, value in part.structure.items()}}
        left_out = {name for part in parts for name in part.left_out}
        left_out |= {name for name, value in structure.items() if value is None}
        given = {*block.axes, *block.fixed} - left_out
        data_params = {
            name: value for name, value in structure.items() if name.startswith(PREFIX) and value is not None
        }
        index = self._datasets.index(data_params)
        dataset = self._datasets.every[index]
        architecture = make_architecture(structure, given, block, self._resolved, dataset, self.used)
        relevant = _relevant(architecture, given)
        self.used.update(relevant, data_params)
        return _Shared(architecture, index, data_params), relevant

    def _projected(self, parts: Sequence[Part], relevant: tuple[str, ...]) -> dict[int, Factor]:
        """Return the rows of each part in the columns that apply, equal rows once; no part of which none applies."""
        projected = {}
        for part in parts:
            names = tuple(name for name in part.factor.columns if name in relevant) if part.factor else ()
            if (part.number, names) not in self._distinct:
                self._distinct[part.number, names] = part.factor.distinct(names) if part.factor else None
            if (factor := self._distinct[part.number, names]) is not None:
                projected[part.number] = factor
        return projected

    def _product(self, architecture: Architecture, relevant: tuple[str, ...], factors: tuple[Factor, ...]) -> Product:
        swept = {name for factor in factors for name in factor.columns}
        always = {name: HYPERPARAMETERS[name].default for name in _ALWAYS}
        defaults = {**always, **architecture.rule.hyperparameters}
        constants = {name: self._block.fixed.get(name, defaults.get(name)) for name in relevant if name not in swept}
        return Product(factors, constants, relevant)


def _relevant(architecture: Architecture, given: Collection[str]) -> tuple[str, ...]:
    """Return the hyperparameters that are columns of a population.

    One for all layers is not among them if each layer has its own.
    """
    names = [*_ALWAYS, *(name for name in _IF_GIVEN if name in given and _applies(name, architecture))]
    names += [name for name in architecture.rule.hyperparameters if name not in names]
    for name in OF_LAYERS:
        layers = layers_with(name, architecture.layers, given)
        names += [own for layer in layers if (own := f"{name}.{layer}") not in names]
        if len(layers) == architecture.layers and name in names:
            names.remove(name)
    return tuple(names)


def _applies(name: str, architecture: Architecture) -> bool:
    if name == "init_bias":
        return architecture.bias
    return name != "batch_seed" or architecture.config.batch_size is not None
