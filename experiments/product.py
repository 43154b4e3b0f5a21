"""Products of columns of values, computed where they are read: a grid of ten million trials takes no memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from engine.arrays import Array, Flags, Integers

Values = Array | range
"""The values of a column. Whole numbers that are evenly spaced are a range."""

_CHUNK = 1 << 17
"""Points that are computed at once when a product is filtered."""


@dataclass(frozen=True)
class Factor:
    """Columns that vary together: an axis, or several of one length. columns: name -> values."""

    columns: Mapping[str, Values]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self, indices: Any) -> Factor:
        """Return the factor with the values at these indices."""
        return Factor({name: taken(values, indices) for name, values in self.columns.items()})

    def distinct(self, names: Iterable[str]) -> Factor | None:
        """Return the factor with these columns alone, equal rows once, in order; None if it has none of them."""
        columns = {name: self.columns[name] for name in names if name in self.columns}
        if not columns:
            return None
        if len(columns) == len(self.columns) == 1 and isinstance(next(iter(columns.values())), range):
            return self
        factor = Factor(columns)
        return factor.rows(factor.first_rows())

    def first_rows(self) -> Integers:
        """Return the indices of the rows that are equal to no earlier row, ascending."""
        first: dict[tuple[Any, ...], int] = {}
        lists = [np.asarray(values).tolist() for values in self.columns.values()]
        for index, key in enumerate(zip(*lists, strict=True)):
            first.setdefault(key, index)
        return np.array(list(first.values()))

    def find(self, columns: Mapping[str, Array]) -> Integers:
        """Return the index of the row with these values, (trials,); -1 where there is none."""
        values = next(iter(self.columns.values()))
        if len(self.columns) == 1 and isinstance(values, range):
            index, rest = np.divmod(columns[next(iter(self.columns))] - values.start, values.step)
            return np.where((rest == 0) & (index >= 0) & (index < len(values)), index, -1)
        uniques, keys, order = self._lookup
        code = self._codes(columns, uniques)
        place = np.minimum(np.searchsorted(keys, code), len(keys) - 1)
        return np.where((code >= 0) & (keys[place] == code), order[place], -1)

    @cached_property
    def _lookup(self) -> tuple[list[Array], Integers, Integers]:
        """The distinct values of each column; the code of each row, sorted; and the rows in that order."""
        arrays = {name: np.asarray(values) for name, values in self.columns.items()}
        uniques = [np.unique(values) for values in arrays.values()]
        codes = self._codes(arrays, uniques)
        order = np.argsort(codes, kind="stable")
        return uniques, codes[order], order

    def _codes(self, columns: Mapping[str, Array], uniques: list[Array]) -> Integers:
        """Return a whole number for each row of values; -1 where a value is in no row of the factor."""
        code: Integers = np.zeros(len(columns[next(iter(self.columns))]), dtype=np.int64)
        known = np.ones(len(code), dtype=bool)
        for name, unique in zip(self.columns, uniques, strict=True):
            place = np.minimum(np.searchsorted(unique, columns[name]), len(unique) - 1)
            known &= unique[place] == columns[name]
            code = code * len(unique) + place
        return np.where(known, code, -1)


@dataclass(frozen=True)
class Product:
    """The points of a product of factors, or some of them.

    factors: the last one varies fastest.
    constants: name -> the value that all points have.
    names: the order of the columns.
    kept: positions in the whole product of the points that stay, ascending; None if all do.
    """

    factors: tuple[Factor, ...]
    constants: Mapping[str, Any]
    names: tuple[str, ...]
    kept: Array | None = field(default=None, repr=False)

    @cached_property
    def size(self) -> int:
        """The number of points of the whole product."""
        size = 1
        for factor in self.factors:
            size *= len(factor)
        return size

    def __len__(self) -> int:
        return self.size if self.kept is None else len(self.kept)

    def at(self, indices: Integers) -> dict[str, Array]:
        """Return the columns of the points with these indices: name -> (points,)."""
        rest = np.asarray(indices, dtype=np.int64)
        rest = rest if self.kept is None else self.kept[rest].astype(np.int64)
        columns = {name: np.repeat(np.array([value]), len(rest)) for name, value in self.constants.items()}
        for factor in reversed(self.factors):
            rest, row = np.divmod(rest, len(factor))
            columns.update(factor.rows(row).columns)  # type: ignore[arg-type]
        return {name: columns[name] for name in self.names}

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[dict[str, Array]]:
        """Yield the columns of the points, some at a time. start, stop: the ends of the points' indices."""
        stop = len(self) if stop is None else stop
        for first in range(start, stop, _CHUNK):
            yield self.at(np.arange(first, min(first + _CHUNK, stop)))

    def find(self, columns: Mapping[str, Array]) -> Integers:
        """Return the index of the point with these values, (trials,); -1 where there is none."""
        count = len(columns[self.names[0]])
        index, known = np.zeros(count, dtype=np.int64), np.ones(count, dtype=bool)
        for name, value in self.constants.items():
            known &= columns[name] == value
        for factor in self.factors:
            row = factor.find(columns)
            known &= row >= 0
            index = index * len(factor) + row
        if self.kept is not None:
            place = np.minimum(np.searchsorted(self.kept, index), len(self.kept) - 1)
            known &= self.kept[place] == index
            index = place
        return np.where(known, index, -1)

    def keep(self, flags: Flags) -> Product:
        """Return the product of the points for which `flags`, (points,), is true."""
        if flags.all():
            return self
        positions = np.flatnonzero(flags)
        if self.kept is not None:
            return replace(self, kept=self.kept[positions])
        return replace(self, kept=positions.astype(np.uint32 if self.size < 2**32 else np.int64))


def taken(values: Values, indices: Any) -> Array:
    """Return the values at these indices."""
    if isinstance(values, range):
        return np.asarray(values.start + values.step * np.asarray(indices, dtype=np.int64))
    return np.asarray(values[indices])
