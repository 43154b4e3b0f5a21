"""Forms of an axis as Optuna, Ray Tune, W&B and Keras Tuner write them, and the same in a sweep file."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

_NO_NORMAL = "a search draws evenly: write {uniform: [least, greatest]} or {loguniform: [least, greatest]}"
_LOWS, _HIGHS = ("min", "low", "lower", "min_value"), ("max", "high", "upper", "max_value")
_LISTS = ("choice", "choices", "categorical", "grid_search", "categories", "options", "value")
_BELOW = ("randint", "lograndint")
"""Forms of whole numbers whose upper end is not drawn."""

_MOST_POINTS = 1_000_000

_SAME = {
    "log_uniform": "loguniform",
    "log_uniform_values": "loguniform",
    "reverse_log_uniform": "loguniform",
    "qloguniform": "loguniform",
    "q_log_uniform": "loguniform",
    "q_log_uniform_values": "loguniform",
    "lograndint": "loguniform",
    "qlograndint": "loguniform",
    "log": "loguniform",
    "int_uniform": "uniform",
    "quniform": "uniform",
    "q_uniform": "uniform",
    "randint": "uniform",
    "qrandint": "uniform",
    "float": "uniform",
    "int": "uniform",
    "interval": "uniform",
    "linear": "uniform",
    "log_space": "logspace",
    "geomspace": "logspace",
    "lin_space": "linspace",
    "arange": "range",
}
"""A name elsewhere -> the form of a sweep file."""

_NORMAL = ("normal", "lognormal", "log_normal", "randn", "qrandn", "q_normal", "q_log_normal", "qnormal")


def equivalent(raw: Mapping[str, Any]) -> str:
    """Return what to write in place of a form of an axis that another tool has; empty if none is like it.

    raw: the mapping in the sweep file.
    """
    keys = {str(key).lower().replace("-", "_"): value for key, value in raw.items()}
    name = str(keys.get("distribution", keys.get("type", keys.get("sampling", ""))))
    found = next((key for key in keys if key in (*_SAME, *_LISTS, *_NORMAL)), "")
    if name in _NORMAL or found in _NORMAL:
        return _NO_NORMAL
    if isinstance(keys.get("values"), list):
        return f"write {_text(keys['values'])}"
    if found in _LISTS:
        value = keys[found]
        return f"write {_text(value if isinstance(value, list) else [value])}"
    ends = _ends(keys)
    if ends is not None:
        return _of_ends(ends, _SAME.get(name, name if name in ("uniform", "loguniform") else ""), keys)
    if found in _SAME:
        return _of_form(found, keys[found], keys)
    return next((f"write {{{form}: {_text(keys[form])}}}" for form in ("uniform", "loguniform") if form in keys), "")


def called(raw: str) -> Mapping[str, Any]:
    """Return a text such as `loguniform(0.001, 1)` or `tune.choice([1, 2])` as a mapping; empty for another text."""
    match = re.fullmatch(r"(?:\w+\.)?(\w+)\((.*)\)", raw.strip())
    if not match or match[1] not in (*_SAME, *_LISTS, *_NORMAL, "uniform", "loguniform"):
        return {}
    try:
        values = ast.literal_eval(f"[{match[2]}]")
    except (SyntaxError, ValueError):
        return {}
    is_one_list = len(values) == 1 and isinstance(values[0], list)
    return {match[1]: values[0] if is_one_list else values}


def _ends(keys: Mapping[str, Any]) -> tuple[Any, Any] | None:
    low, high = (next((keys[name] for name in names if name in keys), None) for names in (_LOWS, _HIGHS))
    return None if low is None or high is None else (low, high)


def _of_ends(ends: tuple[Any, Any], form: str, keys: Mapping[str, Any]) -> str:
    """Return the line for two ends, such as W&B's min and max or Optuna's low, high and log."""
    if keys.get("distribution") in ("log_uniform", "q_log_uniform"):
        return "write {loguniform: [least, greatest]}, with the ends themselves, not their logarithms as W&B has them"
    step = keys.get("step", keys.get("q"))
    is_log = keys.get("log") is True or keys.get("sampling") == "log"
    form = "loguniform" if is_log else form or "uniform"
    points = _points(ends, step) if form == "uniform" else None
    if points is not None:
        return f"write {{linspace: {_text(ends)}, points: {points}}} for steps of {step}, or {{uniform: {_text(ends)}}}"
    return f"write {{{form}: {_text(ends)}}}"


def _of_form(name: str, value: Any, keys: Mapping[str, Any]) -> str:
    """Return the line for a form with another name. value: what stands under the name."""
    form = _SAME[name]
    if form.endswith("space"):
        points = keys.get("points", keys.get("num", "N"))
        return f"write {{{form}: {_text(value)}, points: {points}}}"
    if form == "range" and isinstance(value, list):
        return f"write {{range: {_text(value)}}}"
    if form == "range" or not isinstance(value, list) or len(value) < 2:
        return f"write {{{form}: {value if isinstance(value, int) else '[least, greatest]'}}}"
    low, high, *step = value
    if name in _BELOW and isinstance(high, int):
        high -= 1  # the end is not drawn there
    return _of_ends((low, high), form, {"q": step[0]} if step else {})


def _points(ends: tuple[Any, Any], step: Any) -> int | None:
    """Return the number of values from end to end; None if the step or an end is no number, or the number is huge."""
    if not all(map(_is_number, (*ends, step))) or not step:
        return None
    try:
        points = (ends[1] - ends[0]) / step + 1
    except OverflowError:
        return None
    return round(points) if 1 <= points <= _MOST_POINTS else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(values: Any) -> str:
    """Return a list or two ends as a sweep file has them."""
    values = list(values) if isinstance(values, (list, tuple)) else [values]
    return yaml.safe_dump(values, default_flow_style=True, width=math.inf).strip()
