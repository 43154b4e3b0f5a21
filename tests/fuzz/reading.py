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


def axis_values(raw: Any) -> list[Any]:
    """Return all values of an axis."""
    if isinstance(raw, list):
        return raw
    if not isinstance(raw, dict):
        return [raw]
    if "values" in raw:
        return list(raw["values"])
    if "range" in raw:
        return list(range(*raw["range"])) if isinstance(raw["range"], list) else list(range(raw["range"]))
    form = "linspace" if "linspace" in raw else "logspace"
    first, last = map(float, raw[form])
    points = np.arange(raw["points"]) / max(raw["points"] - 1, 1)
    return [float(first + (last - first) * p if form == "linspace" else first * (last / first) ** p) for p in points]


def same(one: Any, other: Any) -> bool:
    """Return whether two values mean the same: lists and tuples by items, numbers to the tenth digit."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)) and not isinstance(one, bool):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-300)
    return bool(one == other)
