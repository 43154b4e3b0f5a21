"""Forms of an axis as other tools write them: the message gives the line of a sweep file."""

from typing import Any

import pytest

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
        ({"quniform": [0, 10**400, 0.5]}, "{uniform: [0, 1000"),
        ({"quniform": [0, float("inf"), 0.5]}, "{uniform: [0, .inf]}"),
        ({"qloguniform": [0.001, 1, 0.001]}, "{loguniform: [0.001, 1]}"),
        ({"quniform": [0, 1, 0.25]}, "{linspace: [0, 1], points: 5}"),
        ({"lograndint": [1, 65]}, "{loguniform: [1, 64]}"),
        ({"randint": [1, 9]}, "{uniform: [1, 8]}"),
        ({"interval": [0.5, 2]}, "{uniform: [0.5, 2]}"),
        ({"choice": ["relu", "tanh"]}, "[relu, tanh]"),
        ({"grid_search": [1, 2]}, "[1, 2]"),
        ({"value": 3}, "[3]"),
        ({"distribution": "log_uniform_values", "min": 0.001, "max": 1}, "{loguniform: [0.001, 1]}"),
        ({"distribution": "log_uniform", "min": -7, "max": 0}, "not their logarithms"),
        ({"distribution": "categorical", "values": [8, 16]}, "[8, 16]"),
        ({"distribution": "normal", "mu": 0, "sigma": 1}, "a search draws evenly"),
        ({"randn": [0, 1]}, "a search draws evenly"),
        ({"min": 0.5, "max": 2.0}, "{uniform: [0.5, 2.0]}"),
        ({"low": 0.001, "high": 1, "log": True}, "{loguniform: [0.001, 1]}"),
        ({"low": 8, "high": 64, "step": 8}, "{linspace: [8, 64], points: 8}"),
        ({"min_value": 0.001, "max_value": 1, "sampling": "log"}, "{loguniform: [0.001, 1]}"),
        ({"uniform": [0, 1], "q": 0.1}, "{uniform: [0, 1]}"),
        ({"geomspace": [0.001, 1], "num": 4}, "{logspace: [0.001, 1], points: 4}"),
        ("tune.loguniform(1e-3, 1)", "{loguniform: [0.001, 1]}"),
        ("choice(relu, tanh)", None),
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
