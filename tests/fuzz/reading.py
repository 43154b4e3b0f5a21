"""Reads sweep files without any code of gradgrid, to compare an accepted file with its text."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import yaml

_INTEGER = re.compile(r"[-+]?\d+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False, ".inf": math.inf, ".nan": math.nan}


def read(text: str) -> Any:
    """Return the YAML text as plain data, with the scalars of YAML 1.2."""
    return _plain(yaml.compose(text, Loader=yaml.BaseLoader))


def _plain(node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {_plain(key): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    text = node.value
    if node.style is not None:  # in quotes
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if text[:2] in ("0x", "0o"):
        return int(text, 0)
    return _WORDS.get(text.lower(), text)


def blocks(grid: Any) -> list[dict[str, Any]]:
    """Return the blocks of a grid, without their conditions: hyperparameter -> all values of its axis."""
    read = []
    for block in grid if isinstance(grid, list) else [grid or {}]:
        axes = {**{name: raw for name, raw in block.items() if name not in ("zip", "only")}, **block.get("zip", {})}
        read.append({name: axis_values(raw) for name, raw in axes.items()})
    return read


class Between(list[Any]):
    """The numbers between two ends, both included, of which it is the list."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and self[0] <= value <= self[1]


def points(grid: Any, drawn: int | None = None) -> int:
    """Return how many points the products of all blocks have. drawn: how many a search draws from each."""
    count = 0
    for raw, axes in zip(grid if isinstance(grid, list) else [grid or {}], blocks(grid), strict=True):
        if drawn is not None:
            count += drawn * len(axes.get("seed", [0]) if "seed" not in raw.get("zip", {}) else [0])
            continue
        together = list(raw.get("zip", {}))[1:]
        count += math.prod(len(values) for name, values in axes.items() if name not in together)
    return count


def meets(conditions: Any, trial: dict[str, Any]) -> bool:
    """Return whether a trial meets conditions of numbers and words, such as `seed>0 or optimizer=sgd`."""
    texts = [conditions] if isinstance(conditions, str) else conditions or []
    return all(any(_holds(part, trial) for part in re.split(r"\s+or\s+", text)) for text in texts)


def _holds(comparison: str, trial: dict[str, Any]) -> bool:
    name, sign, text = re.fullmatch(r"\s*([\w.]+)\s*([<>!=]+)\s*(.+?)\s*", comparison).groups()  # type: ignore[union-attr]
    value = trial.get(name.removeprefix("params."))
    if text == "null":
        return (value is None) == (sign != "!=")
    other: Any = trial.get(text, text) if isinstance(value, (int, float)) else text
    if not isinstance(other, (int, float)) and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?|nan|inf", other):
        other = float(other)
    if isinstance(other, (int, float)):
        number = value if isinstance(value, (int, float)) else math.nan
        less, equal = number < other, number == other
    else:
        word = str(list(value) if isinstance(value, tuple) else "" if value is None else value)
        less, equal = False, word.replace(" ", "") == other.replace(" ", "").strip("'\"")
    greater = not less and not equal and isinstance(other, (int, float)) and value is not None
    return {"<": less, "<=": less or equal, ">": greater, ">=": greater or equal, "!=": not equal}.get(sign, equal)


def axis_values(raw: Any) -> list[Any]:
    """Return all values of an axis."""
    if isinstance(raw, list):
        return raw
    if not isinstance(raw, dict):
        return [raw]
    if "values" in raw:
        return list(raw["values"])
    if "uniform" in raw or "loguniform" in raw:
        return Between(raw.get("uniform") or raw["loguniform"])
    if "range" in raw:
        return list(range(*raw["range"])) if isinstance(raw["range"], list) else list(range(raw["range"]))
    form = "linspace" if "linspace" in raw else "logspace"
    first, last = map(float, raw[form])
    places = np.arange(raw["points"]) / max(raw["points"] - 1, 1)
    # the ratio of the two ends may be beyond the largest float
    spread = [float(first + (last - first) * p if form == "linspace" else first ** (1 - p) * last**p) for p in places]
    return [*raw.get("with", []), *spread]


def same(one: Any, other: Any) -> bool:
    """Return whether two values mean the same: lists and tuples by items, numbers to the tenth digit."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)) and not isinstance(one, bool):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-300)
    return bool(one == other)
