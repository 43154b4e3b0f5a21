"""The `grid` of a sweep file: blocks of axes. Each block is a product, and the sweep is the union of its blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from engine import Parts
from engine.arrays import Words
from experiments.axis import Interval, LazyAxis, parse_axis
from experiments.conditions import Condition, parse_condition
from experiments.errors import SpecError, did_you_mean
from experiments.hyperparameters import HYPERPARAMETERS, REPEATS, find_hyperparameter, known_hyperparameter
from experiments.key_names import key_hint
from experiments.messages import value_message
from experiments.plan_memory import too_large
from experiments.search import MOST_WHOLE, SearchSpec
from experiments.source import KeyPath, SpecSource

_GRID: KeyPath = ("grid",)
_ZIP, _ONLY = "zip", "only"
_CROSSED = tuple((name,) for name in REPEATS)  # factors of which a search trains every value
_LISTED = 5  # axes in a message
_EVERY_POINT = SearchSpec()


@dataclass(frozen=True)
class Block:
    """A product of axes.

    path: its place in the sweep file: `grid`, or `grid` and its index in the list of blocks.
    source: the sweep file, for messages.
    fixed: hyperparameter -> value, for those given outside the grid and not in this block.
    axes: hyperparameter -> values, in the order of the file. None stands for leaving it out.
    together: the names of each factor of the product: those of `zip` are one factor, any other axis is its own.
    only: conditions; the trials that meet all of them stay.
    search: which points of the product are trials.
    extension: the number of the extension that the block belongs to; 0 for the sweep file itself.
    asked: the coordinates of the points that a sampler was asked for so far, (points, dimensions).
    """

    path: KeyPath
    source: SpecSource
    fixed: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    together: tuple[tuple[str, ...], ...]
    only: tuple[Condition, ...] = ()
    search: SearchSpec = _EVERY_POINT
    extension: int = 0
    asked: Words | None = None

    @property
    def name(self) -> str:
        """Its name for readers, such as `grid`, `grid.1`, or `extend.1` for the grid of an extension."""
        path = self.path if not self.extension else (f"extend.{self.extension}", *self.path[1:])
        return _dotted(path)

    @property
    def given(self) -> Set[str]:
        """The hyperparameters of its trials that the sweep file gives."""
        return self.axes.keys() | self.fixed.keys()

    @property
    def points(self) -> int:
        """The number of points of the product, or of the search."""
        points = self.search.points if self.asked is None else len(self.asked)
        return points * math.prod(len(self.axes[names[0]]) for names in self.crossed)

    @property
    def coordinates(self) -> Words:
        """The coordinates of the points that a search draws, (points, dimensions)."""
        return self.search.coordinates(len(self.drawn)) if self.asked is None else self.asked

    @property
    def crossed(self) -> tuple[tuple[str, ...], ...]:
        """The factors of which every value is trained: all, or the seed alone if a search draws the others."""
        return self.together if self.search.is_grid else tuple(names for names in self.together if names in _CROSSED)

    @property
    def drawn(self) -> tuple[tuple[str, ...], ...]:
        """The factors from which a search draws values."""
        return tuple(names for names in self.together if names not in self.crossed)

    @property
    def factors(self) -> str:
        """The lengths of the product's factors for readers, such as `4 activation x 10 seed`."""
        crossed = [f"{len(self.axes[names[0]]):,} {' and '.join(names)}" for names in self.crossed]
        drawn = ", ".join(" and ".join(names) for names in self.drawn)
        points = [] if self.search.is_grid else [f"{self.search.points:,} {self.search.sequence} points of {drawn}"]
        return " x ".join(points + crossed)

    def error_at(self, hyperparameter: str, message: str) -> SpecError:
        """Return a SpecError that names the line of a hyperparameter, swept or fixed."""
        section = known_hyperparameter(hyperparameter).section
        path: KeyPath = (section, hyperparameter) if section else (hyperparameter,)
        if hyperparameter in self.axes:
            group = next(names for names in self.together if hyperparameter in names)
            path = (*self.path, *((_ZIP,) if len(group) > 1 else ()), hyperparameter)
        return SpecError(f"{self.source.location(path)}: {_dotted(path)}: {message}")

    def error_at_condition(self, condition: Condition, message: str) -> SpecError:
        """Return a SpecError that names the line of one of the conditions."""
        place = self.source.location((*self.path, _ONLY, self.only.index(condition)))
        return SpecError(f"{place}: {self.name}.{_ONLY}: {condition.text!r}: {message}")


def check_grid(
    raw: Any, source: SpecSource, fixed: Mapping[str, Any], parts: Parts, search: SearchSpec, extension: int
) -> tuple[Block, ...]:
    """Return the blocks of a grid.

    raw: the section `grid`: a mapping, which is one block, or a list of blocks.
    source: the sweep file, for messages.
    fixed: hyperparameter -> value, for those given outside the grid.
    parts: the custom functions that an axis may name.
    search: which points of each block are trials.
    extension: the number of the extension that the grid belongs to; 0 for the sweep file itself.
    Raises SpecError with file and line.
    """
    if isinstance(raw, Mapping):
        blocks = [_Reader(raw, _GRID, source, parts, search)]
    elif isinstance(raw, list) and raw:
        blocks = [_Reader(block, (*_GRID, index), source, parts, search) for index, block in enumerate(raw)]
    else:
        place = source.location(_GRID)
        raise SpecError(f"{place}: grid should be a mapping of keys to values, or a list of such blocks, not {raw!r}")
    size = sum(block.size for block in blocks)
    if why := too_large(size):
        factors = " + ".join(block.factors for block in blocks)
        raise SpecError(
            f"{source.location(_GRID)}: the grid has {size:,} trials ({factors}); {why}: "
            "shorten an axis or split the sweep"
        )
    for name in fixed:
        if all(name in block.axes for block in blocks):
            place = source.location((*blocks[0].path, name))
            raise SpecError(f"{place}: {name} is in the grid and outside it; remove one of them")
    return tuple(block.checked(fixed, extension) for block in blocks)


class _Reader:
    """Reads one block, in two steps: the size of its product is known before any value is computed."""

    def __init__(self, raw: Any, path: KeyPath, source: SpecSource, parts: Parts, search: SearchSpec) -> None:
        self.path, self._source, self._parts, self._search = path, source, parts, search
        if not isinstance(raw, Mapping):
            raise self._error((), f"should be a mapping of keys to values, not {raw!r}", colon=False)
        self._paths: dict[str, KeyPath] = {}
        self.axes: dict[str, LazyAxis | Interval] = {}
        self._together: list[tuple[str, ...]] = []
        for key, value in raw.items():
            if key == _ZIP:
                self._together.append(tuple(self._read_zip(value)))
            elif key != _ONLY:
                self._read_axis((key,), value)
                self._together.append((key,))
        self._only = tuple(self._read_only(raw[_ONLY])) if _ONLY in raw else ()
        if not search.is_grid and set(self._together) <= set(_CROSSED):
            raise self._error((), f"a search by {search.method} needs an axis to draw from, and the seed is none")

    @property
    def size(self) -> int:
        """The number of points of the product, or of the search."""
        return self._search.points * math.prod(self._lengths.values())

    @property
    def factors(self) -> str:
        """The product for a message."""
        points = [] if self._search.is_grid else [f"points {self._search.points:,}"]
        return " x ".join([*points, *(f"{names} {length:,}" for names, length in self._lengths.items())])

    @property
    def _lengths(self) -> Mapping[str, int]:
        """The length of each factor of which every value is trained."""
        crossed = [names for names in self._together if self._search.is_grid or names in _CROSSED]
        return {"+".join(names): self._length(names[0]) for names in crossed}

    def _length(self, name: str) -> int:
        axis = self.axes[name]
        return axis.length if isinstance(axis, LazyAxis) else len(axis)

    def _read_axis(self, key: KeyPath, raw: Any) -> None:
        name = key[-1]
        if find_hyperparameter(str(name)) is None:
            place = self._source.location((*self.path, *key))
            hint = key_hint((*_GRID, name), raw, self._source.data, {}) or did_you_mean(name, HYPERPARAMETERS)
            raise SpecError(f"{place}: no hyperparameter is called {name!r}{hint}")
        if name in self.axes:
            raise self._error(key, "is in this block twice, once under zip; remove one of them", colon=False)
        try:
            self.axes[str(name)] = parse_axis(raw)
        except ValueError as error:
            raise self._error(key, str(error)) from None
        if isinstance(axis := self.axes[str(name)], Interval):
            self._check_interval(key, axis)
        self._paths[str(name)] = (*self.path, *key)

    def _check_interval(self, key: KeyPath, axis: Interval) -> None:
        """Raise SpecError if no search draws from an interval, or if it has no numbers for its hyperparameter."""
        name, form = str(key[-1]), axis.form
        if self._search.is_grid or key in _CROSSED:
            way = (
                "list the seeds, or write {range: N}"
                if key in _CROSSED
                else ("write search: {method: sobol, trials: N}, or a list, linspace or logspace")
            )
            raise self._error(key, f"{form} has no list of values, and every value is to be trained; {way}")
        if key[0] == _ZIP:
            raise self._error(key, f"{form} has no list of values to go together with others; write a list")
        kind = known_hyperparameter(name).number_type
        if kind is None:
            raise self._error(key, f"{form} draws numbers, and {name} is none; write a list")
        if kind is int and axis.high - axis.low >= MOST_WHOLE:
            raise self._error(key, f"{form} draws whole numbers that are at most {MOST_WHOLE - 1:,} apart")

    def _read_zip(self, raw: Any) -> Iterator[str]:
        if not isinstance(raw, Mapping) or not raw:
            raise self._error((_ZIP,), f"should be a mapping of axes that have one length, not {raw!r}", colon=False)
        for name, value in raw.items():
            self._read_axis((_ZIP, name), value)
            yield name
        lengths = {name: self._length(name) for name in raw}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} has {length:,}" for name, length in list(lengths.items())[:_LISTED])
            raise self._error((_ZIP,), f"axes under zip must have the same length, but {shown}")

    def _read_only(self, raw: Any) -> Iterator[Condition]:
        texts = [raw] if isinstance(raw, str) else raw
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise self._error((_ONLY,), f"should be a list of conditions such as learning_rate<0.1, not {raw!r}", False)
        for index, text in enumerate(texts):
            try:
                yield parse_condition(text, "params.")
            except ValueError as error:
                raise self._error((_ONLY, index), f"{text!r}: {error}") from None

    def checked(self, fixed: Mapping[str, Any], extension: int) -> Block:
        """Return the block with all values of its axes."""
        axes = {name: self._checked_values(name, axis) for name, axis in self.axes.items()}
        others = {name: value for name, value in fixed.items() if name not in axes}
        return Block(self.path, self._source, others, axes, tuple(self._together), self._only, self._search, extension)

    def _checked_values(self, name: str, axis: LazyAxis | Interval) -> Sequence[Any]:
        if isinstance(axis, Interval):
            low, high = (self._checked_value(name, end, 0) for end in axis)
            return Interval(low, high, axis.form)
        raw = axis.make()
        if isinstance(raw, range):  # both ends are right, so all are
            ends = [self._checked_value(name, value, 0) for value in (raw[0], raw[-1])]
            if isinstance(ends[0], int):
                return raw
        values: list[Any] = []
        unique: set[Any] = set()
        is_alone = self._paths[name][-2] != _ZIP
        for index, given in enumerate(raw):
            value = self._checked_value(name, given, index)
            if value in unique and is_alone:
                place = self._source.location((*self._paths[name], index))
                raise SpecError(f"{place}: {_dotted(self._paths[name])}: {given!r} is listed twice; remove one of them")
            unique.add(value)
            values.append(value)
        return values

    def _checked_value(self, name: str, raw: Any, index: int) -> Any:
        row, path = known_hyperparameter(name), self._paths[name]
        place, subject = self._source.location((*path, index)), _dotted(path)
        if raw is None:
            if row.default is not None:
                default = list(row.default) if isinstance(row.default, tuple) else row.default
                raise SpecError(f"{place}: {subject}: null would leave {name} out, which is {default}: write {default}")
            return None
        try:
            return row.checked(raw, self._parts)
        except ValidationError as error:
            raise SpecError(value_message(error.errors(include_url=False)[0], place, subject)) from None

    def _error(self, key: KeyPath, message: str, colon: bool = True) -> SpecError:
        path = (*self.path, *key)
        return SpecError(f"{self._source.location(path)}: {_dotted(path)}{':' * colon} {message}")


def _dotted(path: KeyPath) -> str:
    """Return a path as `--set` takes it."""
    return ".".join(map(str, path))
