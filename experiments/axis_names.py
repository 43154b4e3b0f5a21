"""Forms of an axis as Optuna, Ray Tune, W&B and Keras Tuner write them, and the same in a sweep file."""

from __future__ import annotations

import ast
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

_LOWS, _HIGHS = ("min", "low", "lower", "min_value"), ("max", "high", "upper", "max_value")
_LISTS = ("choice", "choices", "categorical", "grid_search", "categories", "options", "value")
_WEIGHTS = ("probabilities", "weights")
_BELOW = ("randint", "lograndint")
"""Forms of whole numbers whose upper end is not drawn."""

_INTERVALS = {
    "": "uniform",
    "float": "uniform",
    "int": "uniform",
    "linear": "uniform",
    "uniform": "uniform",
    "int_uniform": "uniform",
    "quniform": "uniform",
    "q_uniform": "uniform",
    "randint": "uniform",
    "qrandint": "uniform",
    "log": "loguniform",
    "loguniform": "loguniform",
    "log_uniform": "loguniform",
    "log_uniform_values": "loguniform",
    "q_log_uniform_values": "loguniform",
    "qloguniform": "loguniform",
    "lograndint": "loguniform",
    "qlograndint": "loguniform",
}
"""A name elsewhere -> the form of a sweep file; the empty one is for two ends without a name."""

_SPACES = {"linspace": "linspace", "geomspace": "logspace"}
_NORMAL = ("normal", "lognormal", "randn", "qrandn", "q_normal", "qnormal")
_CALLED = {*_INTERVALS, *_LISTS, *_SPACES, *_NORMAL, "arange"} - {""}

_NO_NORMAL = "a search draws evenly between two ends, by uniform or loguniform"
_IN_A_SEARCH = " in a search, such as `search: {method: sobol, trials: N}`"
_NO_WEIGHTS = "; its values are equally likely, because weights are not supported"

_MOST_POINTS = 1_000_000

_Line = tuple[Any, str]
"""A form of a sweep file, and what to say after it."""


def equivalent(raw: Mapping[str, Any], parse: Callable[[Any], object]) -> str:
    """Return what to write in place of a form of an axis that another tool has; empty if none is like it.

    raw: the mapping in the sweep file.
    parse: raises ValueError for a line that is not a form of an axis. Such a line is not advised.
    """
    keys, name, found = _names(raw)
    if name in _NORMAL or found in _NORMAL:
        return _NO_NORMAL
    lines = [f"{_text(line)}{after}" for line, after in _lines(keys, name, found) if _is_form(line, parse)]
    return f"write {', or '.join(lines)}" if lines else ""


def first_form(raw: Any, parse: Callable[[Any], object]) -> Any:
    """Return the form of a sweep file for one of another tool; None if none is like it. raw, parse: as above."""
    mapping = called(raw) if isinstance(raw, str) else raw
    if not isinstance(mapping, Mapping):
        return None
    return next((line for line, _ in _lines(*_names(mapping)) if _is_form(line, parse)), None)


def _names(raw: Mapping[str, Any]) -> tuple[dict[str, Any], str, str]:
    """Return the keys in small letters, the name of the distribution, and the first key that is a known name."""
    keys = {str(key).lower().replace("-", "_"): value for key, value in raw.items()}
    name = str(keys.get("distribution", keys.get("type", keys.get("sampling", ""))))
    return keys, name, next((key for key in keys if key in _CALLED), "")


def called(raw: str) -> Mapping[str, Any]:
    """Return a text such as `loguniform(0.001, 1)` or `tune.choice([1, 2])` as a mapping; empty for another text."""
    match = re.fullmatch(r"(?:\w+\.)*(\w+)\(.*\)", raw.strip())
    if not match or match[1] not in _CALLED:
        return {}
    try:
        call = ast.parse(raw.strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            return {}
        values = [ast.literal_eval(value) for value in call.args]
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {}
    if not values:
        return {"distribution": match[1], **keywords}
    is_one_list = len(values) == 1 and isinstance(values[0], list)
    return {match[1]: values[0] if is_one_list else values, **keywords}


def _lines(keys: Mapping[str, Any], name: str, found: str) -> Iterator[_Line]:
    """Yield the lines that mean the same. name: of the distribution. found: the first key that is a known name."""
    low, high = (next((keys[key] for key in names if key in keys), None) for names in (_LOWS, _HIGHS))
    listed = "values" if isinstance(keys.get("values"), list) else found
    values = keys.get(listed)
    if listed in ("values", *_LISTS):
        weighted = any(key in keys for key in _WEIGHTS)
        yield values if isinstance(values, list) else [values], _NO_WEIGHTS if weighted else ""
    elif low is not None and high is not None:
        yield from _of_ends(low, high, name, keys)
    elif isinstance(values, list) and len(values) > 1 and all(map(_is_number, values)):
        if found == "arange":
            yield from _of_arange(*values[:3])
        elif found in _SPACES:
            points = keys.get("num", keys.get("points", values[2] if len(values) > 2 else 50))
            yield {_SPACES[found]: values[:2], "points": points}, ""
        else:
            step = {"q": values[2]} if len(values) > 2 else {}
            yield from _of_ends(values[0], values[1], found, {**step, **keys})


def _of_ends(low: Any, high: Any, name: str, keys: Mapping[str, Any]) -> Iterator[_Line]:
    """Yield the lines for two ends, such as W&B's min and max or Optuna's low, high and log."""
    if name not in _INTERVALS or not (_is_number(low) and _is_number(high)):
        return
    if keys.get("distribution") == "log_uniform":
        if max(low, high) < math.log(sys.float_info.max):
            ends = [float(f"{math.exp(end):.4g}") for end in (low, high)]
            yield {"loguniform": ends}, f"{_IN_A_SEARCH}; W&B has the logarithms of these ends"
        return
    if name in _BELOW and isinstance(high, int):
        high -= 1  # the end is not drawn there
    if low == high:
        yield [low], ""
        return
    is_log = keys.get("log") is True or keys.get("sampling") == "log"
    form = "loguniform" if is_log else _INTERVALS[name]
    if form == "uniform":
        yield from _of_steps(low, high, keys)
    yield {form: [low, high]}, _IN_A_SEARCH


def _of_steps(low: Any, high: Any, keys: Mapping[str, Any]) -> Iterator[_Line]:
    """Yield the line for steps from end to end: `step` counts from the lower end, `q` gives multiples of itself."""
    step = keys.get("step", keys.get("q"))
    if not _is_number(step) or step <= 0 or not 0 < high - low <= _MOST_POINTS * step:
        return
    if not _divides(step, high - low) or ("step" not in keys and not _divides(step, low)):
        return
    whole = all(isinstance(number, int) for number in (low, high, step))
    points = round((high - low) / step) + 1
    yield (
        {"range": [low, high + 1, step]} if whole else {"linspace": [low, high], "points": points},
        (f" for steps of {step}"),
    )


def _of_arange(start: Any, stop: Any, step: Any = 1) -> Iterator[_Line]:
    """Yield the line for NumPy's arange, which leaves its end out."""
    if all(isinstance(number, int) for number in (start, stop, step)):
        yield {"range": [start, stop, step]}, ""
    elif step > 0 and 0 < stop - start <= _MOST_POINTS * step:
        points = math.ceil((stop - start) / step - 1e-9)
        yield {"linspace": [start, float(f"{start + (points - 1) * step:.10g}")], "points": points}, ""


def _divides(step: float, span: float) -> bool:
    parts = span / step
    return math.isfinite(parts) and abs(parts - round(parts)) < 1e-9 * max(1.0, abs(parts))


def _is_form(line: Any, parse: Callable[[Any], object]) -> bool:
    try:
        parse(line)
    except ValueError:
        return False
    return True


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that a float can hold."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def _text(line: Any) -> str:
    return yaml.safe_dump(line, default_flow_style=True, width=math.inf, sort_keys=False).strip()
