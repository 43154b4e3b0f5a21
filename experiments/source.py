"""A sweep file as raw data: YAML with the line of every key, and the `--set` overrides."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from experiments.axis import BESIDE, FORMS, takes
from experiments.errors import SpecError
from experiments.hyperparameters import layer_of

if TYPE_CHECKING:
    import pandas as pd

KeyPath = tuple[str | int, ...]

_FILES = (("dataset", "path"), ("dataset", "validation"), ("dataset", "test"), ("parts",))
"""The keys that name a file."""


class _Loader(yaml.SafeLoader):
    """A loader of plain data by the core schema of YAML 1.2 (yaml.org/spec/1.2.2, 10.3.2).

    PyYAML reads YAML 1.1, where 1e-3 is a word, 010 is eight, 1:30 is ninety, and no is false.
    """


_Loader.yaml_implicit_resolvers = {}
_SCALARS = (
    ("null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        list("-+.0123456789"),
    ),
)
for _kind, _form, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^{_form}$"), _first)


def _integer(_: _Loader, node: yaml.ScalarNode) -> int:
    base = {"0o": 8, "0x": 16}.get(node.value[:2], 10)
    return int(node.value.removeprefix("0o"), base)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


@dataclass(frozen=True)
class SpecSource:
    """The raw data of a spec, with the location of each key for messages.

    data: a mapping, if the spec is right; not checked yet.
    origin: the name of the file, for messages.
    folder: start of relative paths.
    locations: path of a key -> `moons.yaml:7`.
    parts: the text of the file of custom functions; None if it has to be read.
    frame: returns the data from Python; None if the data comes from elsewhere.
    """

    data: Any
    origin: str
    folder: Path = field(default_factory=Path)
    locations: Mapping[KeyPath, str] = field(default_factory=dict)
    parts: str | None = None
    frame: Callable[[], pd.DataFrame] | None = None

    def location(self, path: KeyPath) -> str:
        """Return the location of a key, such as `moons.yaml:7`, or that of the nearest key above it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.locations:
                return self.locations[path[:length]]
        return self.origin


def read_yaml(text: str, origin: str, folder: Path) -> SpecSource:
    """Parse one YAML document of plain data.

    text: the document.
    origin: its name in messages.
    folder: start of relative paths.
    Raises SpecError with the line.
    """
    try:
        loader = _Loader(text)
        _refuse_aliases(text, origin)
        node = loader.get_single_node()
        if node is None:
            raise SpecError(f"{origin}: the file is empty; `gradgrid sweep moons --dry-run` shows a ready sweep")
        locations = {path: f"{origin}:{line + 1}" for path, line in _walk(node, (), origin)}
        return SpecSource(loader.construct_document(node), origin, folder, locations)
    except yaml.MarkedYAMLError as error:
        raise _translated(error, origin) from None
    except yaml.YAMLError as error:
        raise SpecError(f"{origin}: not valid YAML: {' '.join(str(error).split())}") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{origin}: this YAML can't be read: {error}") from None


def _translated(error: yaml.MarkedYAMLError, origin: str) -> SpecError:
    mark = error.problem_mark or error.context_mark
    place = f"{origin}:{mark.line + 1}" if mark else origin
    problem = error.problem or "not valid YAML"
    if "could not determine a constructor" in problem:
        tag = problem.rpartition("tag ")[2]
        return SpecError(f"{place}: the tag {tag} is refused: a sweep file is plain data and constructs no objects")
    return SpecError(f"{place}: not valid YAML: {problem}")


def _refuse_aliases(text: str, origin: str) -> None:
    """Raise SpecError for an alias: a few lines of aliases to aliases expand to billions of values."""
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            place = f"{origin}:{event.start_mark.line + 1}" if event.start_mark else origin
            raise SpecError(f"{place}: the alias *{event.anchor} is refused: write the value here")


def _walk(node: yaml.Node, path: KeyPath, origin: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path and line of each value; under a key, the line of the key. Raises SpecError for a repeated key."""
    if not path:
        yield path, node.start_mark.line
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line
            if name in names:
                raise SpecError(f"{origin}:{line + 1}: the key {name!r} is repeated; remove one of them")
            names.add(name)
            yield (*path, name), line
            yield from _walk(value, (*path, name), origin)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line
            yield from _walk(item, (*path, index), origin)


def override(source: SpecSource, assignments: tuple[str, ...]) -> SpecSource:
    """Return the source with each `key.path=value` applied; values are YAML. Raises SpecError for a wrong one."""
    data: Any = copy.deepcopy(source.data)
    locations = dict(source.locations)
    for assignment in assignments:
        keys, equals, text = assignment.partition("=")
        origin = f"--set {assignment}"
        if not equals or not keys or not all(keys.split(".")):
            raise SpecError(f"{origin}: write it as key=value, for example --set grid.seed.range=3")
        value = read_yaml(text, origin, source.folder).data
        path = _key_path(keys)
        if path in _FILES:
            value = str(Path(str(value)).absolute())
        for place in _places(data, path, origin):
            _set(data, place, copy.deepcopy(value), origin)
            locations = {key: where for key, where in locations.items() if key[: len(place)] != place}
            own = _axis_depth(place) if place[0] == "grid" else len(place)  # an axis is checked as a whole
            locations.update({place[:length]: origin for length in range(own, len(place) + 1)})
    return replace(source, data=data, locations=locations)


def _key_path(keys: str) -> tuple[str, ...]:
    """Return the keys that lead to a value.

    The name of a layer belongs to the key before it: `learning_rate.layer1`. So does a key of the data in the grid:
    `dataset.noise`.
    """
    path: list[str] = []
    for key in keys.split("."):
        if path and (layer_of(f"{path[-1]}.{key}") or (path[0] == "grid" and path[-1] == "dataset")):
            path[-1] += f".{key}"
        else:
            path.append(key)
    return tuple(path)


def _places(data: Any, path: tuple[str, ...], origin: str) -> list[KeyPath]:
    """Return the keys that an assignment sets: one, or one in each block of a grid with several blocks.

    `grid.0.seed` is the seed of the first block, `grid.seed` that of every block.
    """
    grid = data.get("grid") if isinstance(data, dict) else None
    if path[0] != "grid" or len(path) == 1 or not isinstance(grid, list):
        return [path]
    if not path[1].isdigit():
        return [("grid", index, *path[1:]) for index in range(len(grid))]
    if int(path[1]) >= len(grid):
        raise SpecError(f"{origin}: the grid has {len(grid)} blocks, and the first is grid.0")
    return [("grid", int(path[1]), *path[2:])]


def _axis_depth(place: KeyPath) -> int:
    """Return how many keys lead to an axis of the grid, or to the whole that is set."""
    depth = 2 + isinstance(place[1:2] and place[1], int) + ("zip" in place)
    return min(depth, len(place))


def _set(data: Any, place: KeyPath, value: Any, origin: str) -> None:
    if not isinstance(data, dict):
        raise SpecError(f"{origin}: the sweep file should be a mapping of keys to values")
    for key, following in itertools.pairwise(place):
        kind = list if isinstance(following, int) else dict
        held = data[key] if isinstance(key, int) else data.get(key)
        if not isinstance(held, kind):
            data[key] = {}
        data = data[key]
    if place[-1] in FORMS and place[0] == "grid":
        for form in [*FORMS, *(key for key in BESIDE if not takes(str(place[-1]), key))]:
            data.pop(form, None)
    data[place[-1]] = value
