"""Numbers that remember how they were computed: values, gradients, names."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine import Parameter, sgd
from engine.expressions import MAX_NAME_LENGTH
from engine.operations import maximum

Expression = Callable[..., Any]


def test_gradients_of_a_value_used_in_many_places() -> None:
    x = Parameter(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    # by hand: z = -10, q = 40, h = 100, y = -20; dy/dx = 2 z 3 + (1 + x)(3 x + z) + q = -60 + 66 + 40
    assert (y.value, x.grad) == (-20.0, 46.0)


def test_every_operator_with_numbers_on_either_side() -> None:
    a, b = Parameter(-4.0), Parameter(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    g = e**2 / 2.0
    g += 10.0 / e**2
    g.backward()
    # micrograd's README states these for the same expression
    assert g.value == pytest.approx(24.7041, abs=1e-4)
    assert a.grad == pytest.approx(138.8338, abs=1e-4)
    assert b.grad == pytest.approx(645.5773, abs=1e-4)


@pytest.mark.parametrize(
    ("expression", "value", "gradient"),
    [
        (lambda x: 2.0**x, 8.0, 8.0 * math.log(2.0)),
        (lambda x: x**-1, 1 / 3, -1 / 9),
        (lambda x: x**0.5, math.sqrt(3.0), 0.5 / math.sqrt(3.0)),
        (lambda x: 1 - x, -2.0, -1.0),
        (lambda x: x - 1, 2.0, 1.0),
        (lambda x: 6 / x, 2.0, -2 / 3),
        (lambda x: abs(-x), 3.0, 1.0),
        (lambda x: x.maximum(2), 3.0, 1.0),
        (lambda x: x.minimum(2), 2.0, 0.0),
        (lambda x: np.float64(2) * x, 6.0, 2.0),
        (lambda x: x.exp().log().sqrt() ** 2, 3.0, 1.0),
    ],
)
def test_value_and_gradient_at_three(expression: Expression, value: float, gradient: float) -> None:
    x = Parameter(3)
    y = expression(x)
    y.backward()
    assert y.value == pytest.approx(value, rel=1e-15)
    assert x.grad == pytest.approx(gradient, rel=1e-14)


@pytest.mark.parametrize("exponent", [2, 3, 0, -1])
def test_integer_powers_of_a_negative_number(exponent: int) -> None:
    x = Parameter(-2.0)
    y = x**exponent
    y.backward()
    assert y.value == (-2.0) ** exponent
    assert x.grad == exponent * (-2.0) ** (exponent - 1)


def test_a_power_of_zero_has_a_finite_gradient() -> None:
    x, p = Parameter(0.0), Parameter(2.0)
    (x**p).backward()
    assert (x.grad, p.grad) == (0.0, 0.0)
    x.zero_grad()
    (x**0).backward()
    assert x.grad == 0.0


def test_arithmetic_outside_the_numbers_is_ieee_not_an_exception() -> None:
    assert (1 / Parameter(0.0)).value == math.inf
    assert math.isnan(Parameter(-1.0).log().value)
    assert Parameter(1000.0).exp().value == math.inf
    assert math.isnan(Parameter(math.nan).relu().value)


def test_gradients_accumulate_until_they_are_zeroed() -> None:
    x = Parameter(3.0)
    y = x * x
    z = y * 2
    z.backward()
    z.backward()
    assert (x.grad, y.grad, z.grad) == (24.0, 4.0, 2.0)
    x.zero_grad()
    assert x.grad == 0.0


def test_two_graphs_that_share_a_node_add_up() -> None:
    x = Parameter(1.0)
    shared = x * 3
    (shared * 2).backward()
    (shared * 5).backward()
    assert x.grad == 3 * (2 + 5)


def test_a_chain_of_a_hundred_thousand_nodes() -> None:
    x = Parameter(1.0, "x")
    y = x
    for _ in range(100_000):
        y = y + x
    y.backward()
    assert (y.value, x.grad) == (100_001.0, 100_001.0)
    assert y.name.endswith("…")
    assert len(y.name) <= MAX_NAME_LENGTH + 1


def test_a_name_that_would_be_exponentially_long_is_cut() -> None:
    x = Parameter(1.0, "x")
    for _ in range(200):
        x = x + x
    assert len(repr(x)) < 3 * MAX_NAME_LENGTH


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        (lambda a, b: (a * b + a) * b, "[a * b + a] * b"),
        (lambda a, b: a / (b * 2), "a / [b * 2.0]"),
        (lambda a, b: (a + b) ** 2, "[a + b]**2.0"),
        (lambda a, b: (a * b) ** -a, "[a * b]**[-a]"),
        (lambda a, b: a - b, "[a - b]"),
        (lambda a, b: abs(a).sigmoid(), "σ(|a|)"),
        (lambda a, b: maximum(a.hard_tanh(), b), "maximum(hard_tanh(a), b)"),
    ],
)
def test_names_spell_the_expression(expression: Expression, name: str) -> None:
    assert expression(Parameter(1.0, "a"), Parameter(2.0, "b")).name == name


def test_a_name_given_later_stands_in_later_names() -> None:
    a = Parameter(1.0, "a")
    total = a + a
    total.name = "total"
    assert (total * a).name == "total * a"


@pytest.mark.parametrize("value", ["3", None, 1j, [1.0]])
def test_only_numbers_make_parameters(value: object) -> None:
    with pytest.raises(TypeError):
        Parameter(value)
    with pytest.raises(TypeError):
        Parameter(1.0) + value


def test_the_optimiser_of_the_notebook_changes_weights_in_place() -> None:
    weights = [Parameter(1.0), Parameter(2.0)]
    weights[0].grad, weights[1].grad = 3.0, -4.0
    assert sgd(weights, lr=0.1) is weights
    assert [w.value for w in weights] == pytest.approx([0.7, 2.4])
    assert float(weights[0]) == weights[0].value
