"""Forms of an axis as other tools write them: the message gives the line of a sweep file."""

import re
from typing import Any

import numpy as np
import pytest
import yaml

from experiments.axis import Interval, parse_axis
from experiments.errors import SpecError
from experiments.spec import load_spec

_SPEC: dict[str, Any] = {
    "name": "names",
    "dataset": {"name": "moons"},
    "search": {"method": "sobol", "trials": 4},
}


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({"log_uniform": [0.001, 1]}, "{loguniform: [0.001, 1]}"),
        ({"log-uniform": [0.001, 1]}, "{loguniform: [0.001, 1]}"),
        ({"logUniform": [0.001, 1]}, "{loguniform: [0.001, 1]}"),
        ({"loguniforn": [0.001, 1]}, "did you mean 'loguniform'?"),
        ({"quniform": [0, 1e300, 1e-300]}, "{uniform: [0, 1.0e+300]}"),
        ({"quniform": [0, 10**400, 0.5]}, "write a list"),
        ({"quniform": [0, float("inf"), 0.5]}, "write a list"),
        ({"quniform": [0, 1, 0.3]}, "write {uniform: [0, 1]}"),
        ({"quniform": [0.1, 1.1, 0.5]}, "write {uniform: [0.1, 1.1]}"),
        ({"low": 1, "high": 10, "step": 4}, "write {uniform: [1, 10]}"),
        ({"low": 0.5, "high": 2.5, "step": 1}, "write {linspace: [0.5, 2.5], points: 3} for steps of 1, or {uniform"),
        ({"arange": [0, 1, 0.1]}, "write {linspace: [0, 0.9], points: 10}"),
        ({"arange": [0, 9, 3]}, "write {range: [0, 9, 3]}"),
        ({"arange": [0, 1, 0]}, "write a list"),
        ({"randint": [0, 1]}, "write [0]"),
        ({"lograndint": [1, 2]}, "write [1]"),
        ({"randint": 9}, "write a list"),
        ({"distribution": "reverse_log_uniform", "min": 0.1, "max": 1}, "write a list"),
        ({"reverse_log_uniform": [0.1, 1]}, "write a list"),
        ({"loguniform": [-1, 1], "q": 1}, "write a list"),
        ({"distribution": "categorical", "values": [8, 16], "probabilities": [0.1, 0.9]}, "weights are not supported"),
        ({"qloguniform": [0.001, 1, 0.001]}, "{loguniform: [0.001, 1]}"),
        ({"quniform": [0, 1, 0.25]}, "{linspace: [0, 1], points: 5}"),
        ({"lograndint": [1, 65]}, "{loguniform: [1, 64]}"),
        ({"randint": [1, 9]}, "{uniform: [1, 8]}"),
        ({"choice": ["relu", "tanh"]}, "[relu, tanh]"),
        ({"grid_search": [1, 2]}, "[1, 2]"),
        ({"value": 3}, "[3]"),
        ({"distribution": "log_uniform_values", "min": 0.001, "max": 1}, "{loguniform: [0.001, 1]}"),
        ({"distribution": "log_uniform", "min": -7, "max": 0}, "{loguniform: [0.0009119, 1.0]}"),
        ({"distribution": "log_uniform", "min": 1, "max": 1000}, "write a list"),
        ({"quniform": [10**308, 10**308 + 1, 1e-6]}, "write {uniform: ["),
        ({"distribution": "categorical", "values": [8, 16]}, "[8, 16]"),
        ({"distribution": "normal", "mu": 0, "sigma": 1}, "a search draws evenly"),
        ({"randn": [0, 1]}, "a search draws evenly"),
        ({"min": 0.5, "max": 2.0}, "{uniform: [0.5, 2.0]}"),
        ({"low": 0.001, "high": 1, "log": True}, "{loguniform: [0.001, 1]}"),
        ({"low": 8, "high": 64, "step": 8}, "write {range: [8, 65, 8]} for steps of 8, or {uniform: [8, 64]}"),
        ({"min_value": 0.001, "max_value": 1, "sampling": "log"}, "{loguniform: [0.001, 1]}"),
        ({"uniform": [0, 1], "q": 0.1}, "{linspace: [0, 1], points: 11} for steps of 0.1, or {uniform: [0, 1]}"),
        ({"geomspace": [0.001, 1], "num": 4}, "{logspace: [0.001, 1], points: 4}"),
        ("tune.loguniform(1e-3, 1)", "{loguniform: [0.001, 1]}"),
        ("np.geomspace(1e-4, 1, 5)", "write {logspace: [0.0001, 1], points: 5}"),
        ("np.linspace(0, 1, 5)", "write {linspace: [0, 1], points: 5}"),
        ("numpy.linspace(0, 1, num=5)", "write {linspace: [0, 1], points: 5}"),
        ("loguniform(lower=1e-4, upper=1)", "write {loguniform: [0.0001, 1]}"),
        ("quniform(0, 1, q=0.5)", "write {linspace: [0, 1], points: 3} for steps of 0.5"),
        ("choice(relu, tanh)", None),
        ("uniform(0.1)", None),
        ("uniform(" + "(" * 500 + ")" * 500 + ")", None),
        ("choice(['relu', 'tanh'])", "[relu, tanh]"),
        ("uniform(0, 1)", "{uniform: [0, 1]}"),
        ("sqrt(2/fan_in)", None),
    ],
)
def test_the_message_gives_the_line_of_a_sweep_file(raw: Any, line: str | None) -> None:
    if line is None:  # it may be a value
        parse_axis(raw)
        return
    with pytest.raises(ValueError, match="is not a form of an axis; ") as caught:
        parse_axis(raw)
    assert line in str(caught.value)
    advised = _advised(str(caught.value))
    assert bool(advised) == all(text not in line for text in ("write a list", "did you mean", "draws evenly"))
    for each in advised:
        _load(each)


def _advised(message: str) -> list[Any]:
    """Return the lines that a message advises: each begins after `write` or `or`."""
    lines = []
    for start in re.finditer(r"(?:; write|, or) (?=[\[{])", message):
        text = message[start.end() :]
        depths = np.cumsum([(sign in "[{") - (sign in "]}") for sign in text])
        lines.append(yaml.safe_load(text[: int(np.argmin(depths > 0)) + 1]))
    return lines


def _load(line: Any) -> None:
    """Load a sweep file with this axis, and with a search if the axis is an interval."""
    words = isinstance(line, list) and isinstance(line[0], str)
    drawn = isinstance(line, dict) and ("uniform" in line or "loguniform" in line)
    spec = {**_SPEC, "grid": {"activation" if words else "weight_decay": line}}
    assert load_spec(spec if drawn else {**spec, "search": {}}).axes


def test_every_line_is_found_in_a_message() -> None:
    with pytest.raises(ValueError, match="is not a form") as caught:
        parse_axis({"quniform": [0, 1, 0.25]})
    assert _advised(str(caught.value)) == [{"linspace": [0, 1], "points": 5}, {"uniform": [0, 1]}]
    with pytest.raises(SpecError, match="is not less"):
        _load({"uniform": [2, 1]})


def test_the_message_of_an_interval_says_that_it_needs_a_search() -> None:
    spec = {**_SPEC, "search": {}, "grid": {"learning_rate": {"low": 0.001, "high": 1, "log": True}}}
    with pytest.raises(
        SpecError, match=r"write \{loguniform: \[0.001, 1\]\} in a search, such as `search: \{method: sob"
    ):
        load_spec(spec)


def test_a_line_that_it_gives_is_right_and_the_message_names_the_place() -> None:
    assert parse_axis({"loguniform": [0.001, 1]}) == Interval(0.001, 1, "loguniform")
    with pytest.raises(
        SpecError, match=r"grid.learning_rate: log_uniform is not a form of an axis; write \{loguniform"
    ):
        load_spec({**_SPEC, "grid": {"learning_rate": {"log_uniform": [0.001, 1]}}})
    assert load_spec({**_SPEC, "grid": {"learning_rate": {"loguniform": [0.001, 1]}}}).axes["learning_rate"]


@pytest.mark.parametrize("ends", [["a", {}], {"a": 1}, 3, None, [], [1], "x"])
def test_any_value_under_another_name_gets_a_message(ends: Any) -> None:
    for name in ("log_uniform", "quniform", "choice", "arange", "geomspace", "randint", "min", "distribution"):
        with pytest.raises(ValueError, match="is not a form of an axis; "):
            parse_axis({name: ends})
        with pytest.raises(ValueError, match="is not a form of an axis; "):
            parse_axis({"distribution": "q_uniform", "min": ends, "max": ends, "q": 0})
