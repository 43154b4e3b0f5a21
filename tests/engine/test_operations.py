"""Every derivative of the table against finite differences and an independent library, and the checker itself."""

import math
import pickle
import re
from dataclasses import replace
from typing import Any

import autograd
import autograd.numpy as anp
import autograd.scipy.special as special
import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine import ACTIVATIONS, OPERATIONS, Parameter
from engine.kernels import reference
from engine.kernels.codegen import primitives
from engine.kernels.vector_math.functions import FUNCTIONS
from engine.operations import PRIMITIVES, Operation, exp, expm1, log1p, logsumexp, maximum, select, sigmoid, softplus
from engine.program import Reduction
from engine.tracing import Trace

# points where nothing is undefined or kinked within the difference's reach
_POINTS: dict[int, list[tuple[float, ...]]] = {
    1: [(0.3,), (1.7,), (0.9,)],
    2: [(1.3, 0.4), (0.7, 2.1)],
    3: [(1.3, 0.4, -0.7)],
    4: [(0.2, 0.9, 1.5, -2.0), (0.9, 0.2, 1.5, -2.0)],
}
_NEGATIVE_TOO = {*ACTIVATIONS, "absolute", "neg", "exp", "expm1", "cos", "erf"}


def gradient(operation: Operation, point: tuple[float, ...]) -> list[float]:
    leaves = [Parameter(x) for x in point]
    operation(*leaves).backward()
    return [leaf.grad for leaf in leaves]


def check_derivative(operation: Operation, point: tuple[float, ...]) -> None:
    """Compare with central differences of order four, whose error is about 1e-12 for these functions and this h."""
    h = 1e-3
    for index, derivative in enumerate(gradient(operation, point)):

        def at(shift: float, index: int = index) -> float:
            moved = [x + shift if k == index else x for k, x in enumerate(point)]
            return float(operation(*moved))

        difference = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
        assert derivative == pytest.approx(difference, rel=1e-8, abs=1e-9), f"{operation.name} at {point}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_derivative_agrees_with_finite_differences(name: str) -> None:
    operation = OPERATIONS[name]
    points = [*_POINTS[operation.arity or 2]]
    if name in _NEGATIVE_TOO:
        points += [(-0.3,), (-1.7,), (-4.2,)]
    for point in points:
        check_derivative(operation, point)


@pytest.mark.parametrize("factor", [1.001, -1.0, 0.0])
def test_the_checker_refuses_a_wrong_derivative(factor: float) -> None:
    right = OPERATIONS["tanh"]
    wrong = replace(right, vjp=lambda g, y, x: (factor * g * (1.0 - y * y),))
    with pytest.raises(AssertionError):
        check_derivative(wrong, (0.3,))


def test_every_kernel_knows_every_primitive() -> None:
    assert set(primitives.OPERATIONS) | set(FUNCTIONS) | {"fma"} == set(PRIMITIVES)
    assert set(reference._FORWARD) - Reduction.ALL == set(PRIMITIVES)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - set(PRIMITIVES)))
def test_the_other_operations_and_their_derivatives_are_written_in_primitives(name: str) -> None:
    trace = Trace()
    operands = [Parameter(trace.input("weight", k)) for k in range(OPERATIONS[name].arity or 3)]
    result = OPERATIONS[name](*operands)
    result.backward()
    program = trace.build({"value": [result.value], "slopes": [operand.grad for operand in operands]})
    assert {instruction.operation for instruction in program.instructions} <= set(PRIMITIVES)


def test_every_activation_has_a_formula_and_a_source_with_its_year() -> None:
    for row in ACTIVATIONS.values():
        assert row.formula, row.name
        assert re.search(r"^[A-Z].*, .*, (19|20)\d\d\b", row.source), row.name


# --------------------------------------------------------------------- random graphs against the library `autograd`


def _where(a: Any, b: Any, x: Any, y: Any) -> Any:
    return anp.where(a <= b, x, y)


_PEERS: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "fma": lambda a, b, c: a * b + c,
    "neg": lambda a: -a,
    "floor": anp.floor,
    "absolute": anp.abs,
    "maximum": anp.maximum,
    "minimum": anp.minimum,
    "select": _where,
    "exp": anp.exp,
    "expm1": anp.expm1,
    "log": anp.log,
    "log1p": anp.log1p,
    "sqrt": anp.sqrt,
    "power": lambda a, b: a**b,
    "tanh": anp.tanh,
    "sin": anp.sin,
    "cos": anp.cos,
    "erf": special.erf,
    "identity": lambda x: x,
    "relu": lambda x: anp.where(x > 0, x, 0.0),
    "leaky_relu": lambda x: anp.where(x > 0, x, 0.01 * x),
    "elu": lambda x: anp.where(x > 0, x, anp.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * anp.where(x > 0, x, 1.6732632423543772 * anp.expm1(x)),
    "gelu": lambda x: 0.5 * x * (1 + anp.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "gelu_exact": lambda x: 0.5 * x * (1 + special.erf(x / np.sqrt(2))),
    "sigmoid": special.expit,
    "silu": lambda x: x * special.expit(x),
    "softplus": lambda x: anp.log1p(anp.exp(x)),
    "mish": lambda x: x * anp.tanh(anp.log1p(anp.exp(x))),
    "hard_tanh": lambda x: anp.where(x <= -1, -1.0, anp.where(x >= 1, 1.0, x)),
    "logsumexp": lambda a, b: special.logsumexp(anp.array([a, b])),
}

_POSITIVE_ONLY = {"log", "sqrt", "log1p"}
_SMOOTH = sorted(set(OPERATIONS) - {"floor"})
_Step = tuple[str, tuple[int, ...]]


def test_every_row_has_a_peer() -> None:
    assert set(_PEERS) == set(OPERATIONS)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[float], list[_Step]]:
    """Draw leaves and steps. A step is an operation on earlier values, so nodes are shared at random."""
    leaves = draw(st.lists(st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3), min_size=2, max_size=4))
    steps: list[_Step] = []
    for number in range(draw(st.integers(1, 12))):
        name = draw(st.sampled_from(_SMOOTH))
        operands = tuple(draw(st.integers(0, len(leaves) + number - 1)) for _ in range(OPERATIONS[name].arity or 2))
        steps.append((name, operands))
    return leaves, steps


def _evaluate(table: Any, leaves: Any, steps: list[_Step]) -> Any:
    """Return the sum of all results. Operands stay where every function is smooth and of moderate size."""
    values = list(leaves)
    for name, operands in steps:
        given_to = [values[o] for o in operands]
        if name in _POSITIVE_ONLY or name == "power":
            given_to[0] = given_to[0] * given_to[0] + 0.5
        if name == "div":
            given_to[1] = given_to[1] * given_to[1] + 0.5
        result = table[name](*given_to)
        values.append(table["tanh"](result) + 0.1 * table["sin"](result))
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_random_graphs_agree_with_an_independent_library(graph: tuple[list[float], list[_Step]]) -> None:
    leaves, steps = graph
    parameters = [Parameter(x) for x in leaves]
    result = _evaluate(OPERATIONS, parameters, steps)
    result.backward()
    with np.errstate(all="ignore"):
        value, peers = autograd.value_and_grad(lambda xs: _evaluate(_PEERS, list(xs), steps))(np.array(leaves))
    assume(np.isfinite(peers).all())
    assert result.value == pytest.approx(value, rel=1e-12, abs=1e-12)
    assert [p.grad for p in parameters] == pytest.approx(peers.tolist(), rel=1e-8, abs=1e-9)


# ---------------------------------------------------------------------------------------------- where it gets hard


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("x", [-1e300, -1e5, -750.0, -40.0, 0.0, 40.0, 750.0, 1e5, 1e150])
def test_activations_stay_finite_and_exact_for_any_size(name: str, x: float) -> None:
    """Against arbitrary precision: relative error 1e-13, or absolute 1e-16 where the value vanishes."""
    leaf = Parameter(x)
    result = ACTIVATIONS[name](leaf)
    result.backward()
    assert math.isfinite(leaf.grad)
    with mpmath.workdps(50):
        expected = _EXACT[name](mpmath.mpf(x))
        assert abs(result.value - expected) <= 1e-13 * abs(expected) + 1e-16


_EXACT: dict[str, Any] = {
    "identity": lambda x: x,
    "relu": lambda x: max(x, 0),
    "leaky_relu": lambda x: x if x > 0 else mpmath.mpf(0.01) * x,
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
    "selu": lambda x: (
        mpmath.mpf("1.0507009873554805") * (x if x > 0 else mpmath.mpf(1.6732632423543772) * mpmath.expm1(x))
    ),
    "gelu": lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf(0.044715) * x**3))),
    "gelu_exact": lambda x: max(x, 0) if abs(x) > 1e4 else x / 2 * mpmath.erfc(-x / mpmath.sqrt(2)),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "softplus": lambda x: x if x > 1000 else mpmath.log1p(mpmath.exp(x)),
    "mish": lambda x: x if x > 1000 else x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "hard_tanh": lambda x: min(max(x, -1), 1),
    "sin": mpmath.sin,
}


def test_gradients_at_kinks_are_those_of_the_field() -> None:
    """As in PyTorch and JAX: relu' (0) = 0, |x|' (0) = 0, equal operands of a maximum share the gradient."""
    at_zero = {name: gradient(OPERATIONS[name], (0.0,))[0] for name in ("relu", "absolute", "elu", "leaky_relu")}
    assert at_zero == {"relu": 0.0, "absolute": 0.0, "elu": 1.0, "leaky_relu": 0.01}
    assert gradient(maximum, (2.0, 2.0)) == [0.5, 0.5]
    assert gradient(OPERATIONS["hard_tanh"], (1.0,)) == gradient(OPERATIONS["hard_tanh"], (-1.0,)) == [0.0]


def test_logsumexp_is_stable_and_its_gradient_is_the_softmax() -> None:
    assert logsumexp(1000.0, 1000.0) == pytest.approx(1000.0 + math.log(2.0))
    assert gradient(logsumexp, (1000.0, 1000.0)) == pytest.approx([0.5, 0.5], rel=1e-12)
    assert gradient(logsumexp, (-1e4, 0.0)) == [0.0, 1.0]


def test_operations_compute_on_numbers_and_arrays_alike() -> None:
    xs = np.linspace(-5.0, 5.0, 101)
    for operation in (sigmoid, softplus, exp, expm1, *ACTIVATIONS.values()):
        together = operation(xs)
        one_by_one = [operation(float(x)) for x in xs]
        assert together.tolist() == one_by_one, operation.name
    assert isinstance(log1p(1.0), float)


def test_select_takes_the_second_value_where_a_comparison_has_no_answer() -> None:
    assert select(math.nan, 0.0, 1.0, 2.0) == 2.0


def test_operations_are_pickled_by_name_and_count_their_operands() -> None:
    assert pickle.loads(pickle.dumps(sigmoid)) is sigmoid
    with pytest.raises(TypeError, match="sigmoid takes 1 operand"):
        sigmoid(1.0, 2.0)
