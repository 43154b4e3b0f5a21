"""The points that a search draws from a block, grouped by structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from engine.arrays import Array, Integers, Words
from experiments.architecture import STRUCTURE
from experiments.axis import Interval
from experiments.blocks import Block
from experiments.hyperparameters import known_hyperparameter
from experiments.parts_of_axes import Part, split
from experiments.product import Factor, taken
from experiments.search import interval_values, listed_indices


@dataclass(frozen=True)
class Draw:
    """The points of a search that share a structure.

    parts: one part of each drawn factor; they have the structure.
    points: (points,) their positions in the sequence of the search, ascending.
    columns: the other drawn hyperparameters: name -> (points,).
    """

    parts: tuple[Part, ...]
    points: Integers
    columns: Mapping[str, Array]


@dataclass(frozen=True)
class _Drawn:
    """The values that were drawn from one factor.

    parts: those of the factor.
    part: (points,) the index of each point's part.
    row: (points,) the index of each point's values in its part.
    """

    parts: list[Part]
    part: Integers
    row: Integers


def draws(block: Block, numbers: Iterator[int]) -> list[Draw]:
    """Return the points of a block's search, in the order in which the structures first appear.

    numbers: for the parts.
    """
    coordinates = block.coordinates
    drawn = [_drawn(block, names, coordinates[:, k], numbers) for k, names in enumerate(block.drawn)]
    if not drawn:
        return [Draw((), np.arange(len(coordinates)), {})]
    codes = np.stack([factor.part for factor in drawn], axis=1)
    structures, first, group = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    return [_draw(drawn, structures[k], np.flatnonzero(group.ravel() == k)) for k in np.argsort(first)]


def _draw(drawn: list[_Drawn], structure: Integers, points: Integers) -> Draw:
    parts = [factor.parts[index] for factor, index in zip(drawn, structure.tolist(), strict=True)]
    columns: dict[str, Array] = {}
    for factor, part in zip(drawn, parts, strict=True):
        if part.factor is not None:
            values = part.factor.columns.items()
            columns.update({name: taken(column, factor.row[points]) for name, column in values})
    return Draw(tuple(parts), points, columns)


def _drawn(block: Block, names: tuple[str, ...], coordinates: Words, numbers: Iterator[int]) -> _Drawn:
    axis = block.axes[names[0]]
    if isinstance(axis, Interval):
        return _from_interval(names[0], axis, coordinates, numbers)
    return _from_list(split(block.axes, names, numbers), listed_indices(coordinates, len(axis)), len(axis))


def _from_interval(name: str, interval: Interval, coordinates: Words, numbers: Iterator[int]) -> _Drawn:
    whole = known_hyperparameter(name).number_type is int
    values = interval_values(coordinates, interval, whole=whole)
    if name in STRUCTURE:
        listed, indices = np.unique(values, return_inverse=True)
        return _from_list(split({name: listed.tolist()}, (name,), numbers), indices, len(listed))
    part = Part(next(numbers), {}, frozenset(), factor=Factor({name: values}))
    return _Drawn([part], np.zeros(len(values), dtype=np.int64), np.arange(len(values)))


def _from_list(parts: list[Part], indices: Integers, length: int) -> _Drawn:
    """Return what was drawn from a list of values. indices: (points,) of the drawn values, length: of the list."""
    part_of, row_of = np.zeros(length, dtype=np.int64), np.arange(length)
    for number, part in enumerate(parts):
        if part.rows is not None:
            part_of[part.rows] = number
            row_of[part.rows] = np.arange(len(part.rows))
    return _Drawn(parts, part_of[indices], row_of[indices])
