"""Axes split by structure: the values that share a program are columns of one population."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Integers
from experiments.architecture import STRUCTURE
from experiments.product import Factor, Values


@dataclass(frozen=True)
class Part:
    """The values of a factor that belong to one structure.

    number: of the part among all parts of the block.
    structure: the structural hyperparameters; None for one that is left out.
    left_out: the other hyperparameters that are left out.
    rows: the indices of these values among all values of the factor; None for all of them.
    factor: the values of the hyperparameters that are columns; None if there are none.
    """

    number: int
    structure: Mapping[str, Any]
    left_out: frozenset[str]
    rows: Integers | None = None
    factor: Factor | None = None


def split(axes: Mapping[str, Sequence[Any]], names: Sequence[str], numbers: Iterator[int]) -> list[Part]:
    """Split the values of a factor by structure. Whether a hyperparameter is left out belongs to the structure.

    axes: hyperparameter -> values; None for leaving it out.
    names: the hyperparameters of the factor.
    numbers: the numbers of the parts.
    """
    if all(name not in STRUCTURE and None not in axes[name] for name in names):
        return [Part(next(numbers), {}, frozenset(), factor=Factor({name: _values(axes[name]) for name in names}))]
    rows: dict[tuple[Any, ...], list[int]] = {}
    for index, values in enumerate(zip(*(axes[name] for name in names), strict=True)):
        key = tuple(v if name in STRUCTURE else v is None for name, v in zip(names, values, strict=True))
        rows.setdefault(key, []).append(index)
    return [_part(axes, dict(zip(names, key, strict=True)), indices, next(numbers)) for key, indices in rows.items()]


def _part(axes: Mapping[str, Sequence[Any]], key: Mapping[str, Any], rows: list[int], number: int) -> Part:
    """Return the part of these rows. key: structural hyperparameter -> value, other -> whether it is left out."""
    structure = {name: value for name, value in key.items() if name in STRUCTURE}
    left_out = frozenset(name for name, is_left_out in key.items() if name not in STRUCTURE and is_left_out)
    columns = {name: axes[name] for name in key if name not in STRUCTURE and name not in left_out}
    taken = {name: np.array([values[row] for row in rows]) for name, values in columns.items()}
    return Part(number, structure, left_out, np.array(rows), Factor(taken) if taken else None)


def _values(values: Sequence[Any]) -> Values:
    """Return integers as int64, numbers as float64, words as text."""
    return values if isinstance(values, range) else np.array(values)
