"""Keys as other tools write them, and the line of a sweep file that means the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from engine import OPTIMIZERS, SCHEDULES, Parts
from experiments.axis import Interval, LazyAxis, parse_axis
from experiments.axis_names import first_form
from experiments.hyperparameters import HYPERPARAMETERS, find_hyperparameter
from experiments.peer_names import EPOCHS, KEYS, NO_KEYS, OWN_SECTION_ALONE, own_value, plain
from experiments.source import KeyPath

Schemas = Mapping[KeyPath, type[BaseModel]]
"""Path of a section -> its schema; that of the whole file has an empty path."""

_GRID = "grid"
_STEPS, _TRIALS, _PATIENCE = 100, 100, 50
"""Numbers of a line where the user gave none."""

_MOST_SIGNS = 240
"""Length of a longer line is not shown."""

_MOST_VALUES = 1000
_METHODS = ("grid", "random", "sobol", "halving", "hyperband", "tpe", "cmaes")
_NEEDED = {"trials": "sobol", "first": "halving", "factor": "halving", "metric": "halving", "batch": "tpe"}
"""Key of a search -> the method of the line where the file has no search."""

_SCHEDULERS = ("scheduler", "pruner", "early_termination", "sampler", "method", "tuner", "search_alg")
"""Keys that elsewhere name the method of a search."""


@dataclass(frozen=True)
class _Line:
    """A line of a sweep file. section: that it is in; empty for the top."""

    section: str
    key: str
    value: Any

    def text(self, section: str) -> str:
        """Return the line for a message, with its section unless that is `section`, where the user wrote it."""
        line = yaml.safe_dump({self.key: self.value}, default_flow_style=True, width=math.inf, sort_keys=False)
        place = f"under {self.section}:" if self.section else "at the top of the file"
        return f"`{line.strip()[1:-1]}`{'' if self.section == section else f' {place}'}"


def key_hint(path: KeyPath, value: Any, data: Any, schemas: Schemas) -> str:
    """Return what to write in place of a key that a sweep file does not have; empty if no key is like it.

    path: of the key.
    value: what the user wrote under it.
    data: the whole sweep file.
    schemas: of the sections. A line is only advised if they take it.
    """
    section, name = str(path[0]) if len(path) > 1 else "", plain(path[-1])
    if reason := NO_KEYS.get(name):
        return f"; {reason}"
    if name in EPOCHS and _has_batches(data):
        return "; gradgrid counts updates: write steps, which are the epochs times the batches of an epoch"
    lines = list(_lines(section, name, value, data if isinstance(data, Mapping) else {}))
    if lines and all(_fits(line, schemas) for line in lines):
        with suppress(yaml.YAMLError):  # from Python a value may be any object
            text = " and ".join(line.text(section) for line in lines)
            if len(text) <= _MOST_SIGNS:
                why = " (without batch_size, an epoch is a step)" if name in EPOCHS else ""
                return f"; write {text}{why}"
    place, own = _own(section, name)
    where = "" if place == section else f", {f'under {place}:' if place else 'at the top of the file'}"
    return f"; gradgrid calls it {own}{where}" if own else ""


def section_hint(path: KeyPath, value: Any, data: Any, schemas: Schemas) -> str:
    """Return what to write in place of a section that is no mapping of keys; empty if that is not known."""
    key, given = str(path[-1]), data if isinstance(data, Mapping) else {}
    line: Any = None
    if key == "search" and isinstance(value, str):
        line = _search(value, {}, given)
    elif key == "early_stopping" and value is True:
        line = {"patience": _PATIENCE}
    elif key == "early_stopping" and _is_count(value):
        line = {"patience": value}
    elif key == "model" and isinstance(value, list):
        line = {"hidden": value}
    elif key == "dataset" and isinstance(value, str):
        line = {"path": value, "target": "COLUMN"} if "." in value else {"name": value}
    found = _Line("", key, line)
    return f"; write {found.text('')}" if len(path) == 1 and line and _fits(found, schemas) else ""


def method_hint(value: Any, data: Any, schemas: Schemas) -> str:
    """Return the line for a method of a search that other tools have; empty if none is like it."""
    given = data if isinstance(data, Mapping) else {}
    section = given.get("search")
    line = _search(value, section if isinstance(section, Mapping) else {}, given)
    found = _Line("", "search", line)
    return f"; write {found.text('')}" if line and _fits(found, schemas) else ""


def _own(section: str, name: str) -> tuple[str, str]:
    """Return the section and the key that a name elsewhere stands for; two empty texts if none."""
    if section == _GRID:
        for place in ("", "model", "dataset"):
            own = KEYS[place].get(name, "")
            key = f"dataset.{own}" if place == "dataset" else own
            if key in HYPERPARAMETERS:
                return _GRID, key
        return "", ""
    if name in KEYS.get(section, {}):
        return section, KEYS[section][name]
    places = () if name in OWN_SECTION_ALONE else KEYS
    return next(((place, KEYS[place][name]) for place in places if name in KEYS[place]), ("", ""))


def _lines(section: str, name: str, value: Any, data: Mapping[str, Any]) -> Iterator[_Line]:
    """Yield the lines that mean the same as a key."""
    if section != "search" and name in _SCHEDULERS and (line := _search_of(value, data)):
        yield _Line("", "search", line)
    elif name == "betas" and isinstance(value, list) and len(value) == 2:
        yield from (_Line(section, key, each) for key, each in zip(("beta1", "beta2"), value, strict=True))
    elif name == "nesterov" and value is True:
        yield _Line("", "optimizer", "nesterov")
    elif name in EPOCHS:
        yield _Line(_GRID if section == _GRID else "", "steps", value)
    elif name in ("seeds", "n_seeds", "num_seeds") and section in ("", _GRID):
        yield _Line(_GRID, "seed", {"range": value} if _is_count(value) else value)
    else:
        place, own = _own(section, name)
        if own == _GRID and isinstance(value, Mapping):
            yield from _grid_lines(value, data)
        elif place == "search" and own in _NEEDED and not data.get("search"):
            yield _Line("", "search", _search(_NEEDED[own], {own: value}, data))
        elif own:
            yield _Line(place, own, _translated(own, value, in_grid=place == _GRID))


def _grid_lines(given: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[_Line]:
    """Yield the lines for the parameters of another tool: the grid, and a search if values are drawn."""
    axes, drawn = {}, False
    for name, raw in given.items():
        key = str(name) if find_hyperparameter(str(name)) else _own(_GRID, plain(name))[1]
        key = key or ("steps" if plain(name) in EPOCHS and not _has_batches(data) else str(name))
        axis = raw if _parsed(raw) else first_form(raw, parse_axis)
        axes[key] = _translated(key, axis, in_grid=True)
        drawn = drawn or isinstance(_parsed(axes[key]), Interval)
    yield _Line("", _GRID, axes)
    if drawn and not data.get("search"):
        yield _Line("", "search", {"method": "sobol", "trials": _TRIALS})


def _translated(key: str, value: Any, *, in_grid: bool) -> Any:
    """Return a value in the form of a sweep file: names of other tools, and one width as a list."""
    if key == "hidden" and in_grid and isinstance(value, list) and all(map(_is_count, value)):
        return [[width] for width in value]
    if key == "hidden" and _is_count(value):
        return [[value]] if in_grid else [value]
    if isinstance(value, list):
        return [_translated(key, each, in_grid=False) if isinstance(each, str) else each for each in value]
    kind = "activation" if key == "output" else key
    return (own_value(kind, value, _known(kind)) or value) if isinstance(value, str) else value


def _known(kind: str) -> Iterable[str]:
    """Return the names that a hyperparameter may have; empty if it has none."""
    if kind in ("loss", "activation", "initializer"):
        return Parts().names(kind)
    if kind == "optimizer":
        return OPTIMIZERS
    return SCHEDULES if kind == "schedule" else ()


def _search_of(value: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section `search` for a scheduler, pruner or method of another tool; empty if it is none."""
    if isinstance(value, Mapping):
        name = next((value[key] for key in ("type", "name", "method") if key in value), "")
        return _search(name, {k: v for k, v in value.items() if k not in ("type", "name", "method")}, data)
    return {} if not isinstance(value, str) or value in SCHEDULES else _search(value, {}, data)


def _search(method: Any, given: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section `search` with this method; empty for a name that is none.

    given: its other keys, which may be those of other tools.
    """
    own = own_value("method", method, _METHODS)
    if not own:
        return {}
    section: dict[str, Any] = {"method": own}
    for name, value in given.items():
        key = KEYS["search"].get(plain(name), str(name))
        if key != "method" and plain(name) not in NO_KEYS:
            section[key] = value
    steps = data.get("steps", _STEPS)
    if own in ("halving", "hyperband"):
        section.setdefault("first", max(1, steps // 9) if _is_count(steps) else 1)
    elif own != "grid":
        section.setdefault("trials", _TRIALS)
    return section


def _fits(line: _Line, schemas: Schemas) -> bool:
    """Return whether a sweep file may have this line."""
    if line.section == _GRID:
        return _is_axis(line.key, line.value)
    if (line.section, line.key) == ("", _GRID):
        axes = line.value if isinstance(line.value, Mapping) else {}
        return bool(axes) and all(_is_axis(name, axis) for name, axis in axes.items())
    schema = schemas.get((line.section,) if line.section else ())
    if schema is None:
        return False
    try:
        schema.model_validate({line.key: line.value}, context={"parts": Parts(), "given": False})
    except ValidationError as error:
        return all(mistake["loc"][:1] != (line.key,) for mistake in error.errors(include_url=False))
    return True


def _is_axis(name: str, raw: Any) -> bool:
    row, axis = find_hyperparameter(name), _parsed(raw)
    if row is None or axis is None or (isinstance(axis, LazyAxis) and axis.length > _MOST_VALUES):
        return False
    try:
        for value in axis.make() if isinstance(axis, LazyAxis) else axis:
            row.checked(value, Parts())
    except ValidationError:
        return False
    return True


def _parsed(raw: Any) -> LazyAxis | Interval | None:
    try:
        return parse_axis(raw)
    except ValueError:
        return None


def _has_batches(data: Any) -> bool:
    return isinstance(data, Mapping) and data.get("batch_size") is not None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
