"""The gradient through a branch that is not taken is exactly 0, in every way of computing it.

The independent values come from the library `autograd`, which gets only the branches that are taken.
"""

from collections.abc import Callable, Iterable
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine import (
    ACTIVATIONS,
    DTYPES,
    KERNELS,
    LOSSES,
    MLP,
    OPERATIONS,
    OPTIMIZERS,
    Parameter,
    Samples,
    Tensor,
    derivatives,
    hessian,
    initial_weights,
    trace_step,
    train,
)
from engine.arrays import Floats
from engine.gates import CAN_FAIL
from engine.operations import (
    Scalar,
    div,
    exp,
    expm1,
    hard_tanh,
    log,
    log1p,
    maximum,
    minimum,
    power,
    relu,
    select,
    sqrt,
    tanh,
)

# ------------------------------------------------------------------------------------ branches written out by hand

_Case = tuple[Callable[[Scalar], Scalar], float, float, float, float]
"""A function, a point, and the value, slope and curvature of the function there."""

_CASES: dict[str, _Case] = {
    "sqrt below 0": (lambda x: select(x, 0.0, 0.0, sqrt(x)), -4.0, 0.0, 0.0, 0.0),
    "sqrt at 0": (lambda x: select(x, 0.0, 0.0, sqrt(x)), 0.0, 0.0, 0.0, 0.0),
    "sqrt above 0": (lambda x: select(x, 0.0, 0.0, sqrt(x)), 4.0, 2.0, 0.25, -1 / 32),
    "log at 0": (lambda x: select(x, 0.0, x, log(x)), 0.0, 0.0, 1.0, 0.0),
    "log1p of a product": (lambda x: select(x, -1.0, 2.0 * x, log1p(x * 1.0)), -1.0, -2.0, 2.0, 0.0),
    "x log x at 0": (lambda x: select(x, 0.0, 0.0, x * log(x)), 0.0, 0.0, 0.0, 0.0),
    "1/x at 0": (lambda x: select(x, 0.0, x * x, div(1.0, x)), 0.0, 0.0, 0.0, 2.0),
    "power": (lambda x: select(0.0, x, x, (-x) ** 1.5), 2.0, 2.0, 1.0, 0.0),
    "negative power at 0": (lambda x: select(x, 0.0, 3.0 * x, x**-0.5), 0.0, 0.0, 3.0, 0.0),
    "exp that overflows": (lambda x: minimum(exp(x), 10.0), 1000.0, 10.0, 0.0, 0.0),
    "exp that overflows, squared": (lambda x: select(x, 5.0, exp(x) ** 2, x), 500.0, 500.0, 1.0, 0.0),
    "expm1 that overflows": (lambda x: select(x, 0.0, expm1(x), x), 1000.0, 1000.0, 1.0, 0.0),
    "maximum with log at 0": (lambda x: maximum(log(x), -5.0), 0.0, -5.0, 0.0, 0.0),
    "relu of log at 0": (lambda x: relu(log(x)), 0.0, 0.0, 0.0, 0.0),
    "hard_tanh of 1/x at 0": (lambda x: hard_tanh(div(1.0, x)), 0.0, 1.0, 0.0, 0.0),
    "select in select": (
        lambda x: select(x, 0.0, x, select(x, 1.0, sqrt(x), log(x - 1.0))), -1.0, -1.0, 1.0, 0.0,
    ),
    "a shared root, taken once": (
        lambda x: (lambda r: select(x, 0.0, x, r) + select(x, 0.0, r, 2.0 * x))(sqrt(x)), 4.0, 10.0, 2.25, -1 / 32,
    ),
    "tanh of what is not a number": (lambda x: select(x, 0.0, x, tanh(sqrt(x))), -2.0, -2.0, 1.0, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", _CASES)
def test_first_and_second_derivative_of_a_parameter(name: str) -> None:
    function, at, value, slope, curvature = _CASES[name]
    x = Parameter(at)
    y = function(x)
    y.backward()
    (first,) = derivatives(function(x), [x])
    (second,) = derivatives(first, [x]) if isinstance(first, Parameter) else (0.0,)
    assert (y.value, x.grad, float(first)) == (value, slope, slope)
    assert float(second) == pytest.approx(curvature, rel=1e-15, abs=0.0)


@pytest.mark.parametrize("name", _CASES)
def test_an_array_of_values_is_gated_one_by_one(name: str) -> None:
    function, at, *_ = _CASES[name]
    points = np.array([at, 0.5, at, 2.0])
    together = Parameter(points)
    function(together).backward()
    alone = [Parameter(point) for point in points]
    for parameter in alone:
        function(parameter).backward()
    assert np.broadcast_to(together.grad, points.shape).tolist() == [parameter.grad for parameter in alone]


def test_no_node_of_a_branch_that_is_not_taken_has_a_gradient() -> None:
    x = Parameter(-1.0)
    root = sqrt(x)
    inner = 3.0 * root
    select(x, 0.0, 0.5 * x, inner).backward()
    assert (inner.grad, root.grad, x.grad) == (0.0, 0.0, 0.5)


def test_a_gradient_that_is_0_by_chance_does_not_shut_a_branch() -> None:
    """d/dv of sqrt(x) v at v = 0: the second derivative is not 0, though the gradient that comes in is."""
    x, v = Parameter(4.0), Parameter(0.0)
    (by_x,) = derivatives(select(x, 0.0, 0.0, sqrt(x)) * v, [x])
    assert by_x.value == 0.0
    assert float(derivatives(by_x, [v])[0]) == 0.25


def test_an_infinite_derivative_of_the_branch_that_is_taken_stays_infinite() -> None:
    x = Parameter(0.0)
    select(0.0, x, sqrt(x), 1.0).backward()
    assert x.grad == np.inf


def test_operations_that_fail_at_an_ordinary_number_are_known() -> None:
    points = [-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, -1000.0, 1000.0]
    for name, row in OPERATIONS.items():
        arity = row.arity or 2
        grid = np.stack(np.meshgrid(*[points] * arity), axis=-1).reshape(-1, arity) if arity < 4 else [[1, 0, 3, 1000]]
        finite = True
        for operands in grid:
            leaves = [Parameter(operand) for operand in operands]
            result = row(*leaves)
            result.backward()
            finite &= bool(np.isfinite([result.value, *(leaf.grad for leaf in leaves)]).all())
        assert finite != (row in CAN_FAIL), name


# ------------------------------------------------------------------------------------------------------- kernels


class _Expression:
    """A model whose output is a function of its weights, whatever the sample is."""

    def __init__(self, function: Callable[..., Scalar], count: int = 1) -> None:
        self._function = function
        self._parameters = [Parameter(0.0) for _ in range(count)]
        self.tensors = (Tensor("x", (count,)),)

    def parameters(self) -> list[Parameter]:
        return self._parameters

    def __call__(self, inputs: Any) -> list[Any]:
        return [self._function(*self._parameters) + 0.0 * inputs[0]]


_SAMPLES = Samples(np.zeros((3, 1)), np.zeros((3, 1)))


def _gradients(
    function: Callable[..., Scalar], points: Iterable[Iterable[float]], kernel: str, dtype: str = "float64"
) -> Floats:
    """Return the gradient at each point, (points, variables), as a kernel computes it in a training step."""
    starts = np.array([list(point) for point in points])
    model = _Expression(function, starts.shape[1])
    program = trace_step(model, lambda p, t: p[0], OPTIMIZERS["sgd"], features=1, targets=1)
    rates = {"learning_rate": np.zeros(len(starts))}  # the weights stay where the gradient is measured
    options: Any = {"steps": 1, "points": 2, "gradients": True, "dtype": dtype, "kernel": kernel}
    gradients = train(program, starts, rates, _SAMPLES, **options).gradients
    assert gradients is not None
    return np.asarray(gradients[:, 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", _CASES)
def test_every_kernel_and_dtype(name: str, dtype: str, kernel: str) -> None:
    function, at, _, slope, _ = _CASES[name]
    assert _gradients(function, [[at], [0.75], [at]], kernel, dtype)[[0, 2], 0].tolist() == [slope, slope]


@pytest.mark.parametrize("name", _CASES)
def test_the_hessian(name: str) -> None:
    function, at, *_, curvature = _CASES[name]
    ours = hessian(_Expression(function), lambda p, t: p[0], np.array([at]), _SAMPLES)
    assert ours.tolist() == pytest.approx(np.array([[curvature]]), rel=1e-15, abs=0.0)


# ------------------------------------------------------------------------------- random graphs against `autograd`

_UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sqrt": (sqrt, anp.sqrt),
    "log": (log, anp.log),
    "log1p": (log1p, anp.log1p),
    "exp": (lambda x: exp(8.0 * x), lambda x: anp.exp(8.0 * x)),
    "inverse": (lambda x: div(1.0, x), lambda x: 1.0 / x),
    "power": (lambda x: power(x, 1.5), lambda x: x**1.5),
    "square": (lambda x: x * x, lambda x: x * x),
    "tanh": (tanh, anp.tanh),
    "shift": (lambda x: x - 1.0, lambda x: x - 1.0),
    "neg": (lambda x: -x, lambda x: -x),
}
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}
_GATED: dict[str, tuple[int, Callable[..., Any]]] = {
    "select": (4, select),
    "maximum": (2, maximum),
    "minimum": (2, minimum),
    "relu": (1, relu),
}
_Step = tuple[str, tuple[int, ...]]
_Graph = tuple[list[float], list[_Step]]


@st.composite
def graphs(draw: st.DrawFn) -> _Graph:
    """Draw leaves and steps, the last one a select. Nodes are shared at random, so branches overlap and nest."""
    numbers = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0])
    leaves = draw(st.lists(numbers, min_size=2, max_size=3))
    steps: list[_Step] = []
    for number in range(draw(st.integers(3, 12))):
        name = draw(st.sampled_from([*_UNARY, *_BINARY, *_GATED, "select", "select"]))
        arity = 1 if name in _UNARY else 2 if name in _BINARY else _GATED[name][0]
        steps.append((name, tuple(draw(st.integers(0, len(leaves) + number - 1)) for _ in range(arity))))
    latest = len(leaves) + len(steps) - 1
    a, b, other = (draw(st.integers(0, latest)) for _ in range(3))
    return leaves, [*steps, ("select", (a, b, *draw(st.permutations([latest, other]))))]


def _every_node(steps: list[_Step], leaves: Iterable[Any]) -> list[Any]:
    """Return the value of every node by our table, taken or not."""
    values = list(leaves)
    for name, operands in steps:
        given_to = [values[o] for o in operands]
        row = _UNARY[name][0] if name in _UNARY else _GATED[name][1] if name in _GATED else None
        values.append(_OURS[name](*given_to) if row is None else row(*given_to))
    return values


_OURS = {name: OPERATIONS[name] for name in _BINARY}


def _taken_only(graph: _Graph) -> Callable[[Any], Any]:
    """Return the same function for `autograd`, without the branches that are not taken at the leaves' values."""
    leaves, steps = graph
    known = _every_node(steps, leaves)

    def compute(node: int, done: dict[int, Any]) -> Any:
        if node not in done:
            name, operands = steps[node - len(leaves)]
            chosen = _taken(name, [known[o] for o in operands]) if name in _GATED else range(len(operands))
            values = [compute(operands[position], done) for position in chosen]
            mean = sum(values, np.float64(0.0)) / max(len(values), 1)
            peer = _UNARY[name][1] if name in _UNARY else _BINARY.get(name)
            done[node] = mean if peer is None else peer(*values)
        return done[node]

    return lambda xs: compute(len(known) - 1, dict(enumerate(xs))) + 0.0 * xs[0]


def _taken(name: str, values: list[float]) -> list[int]:
    """Return the positions of the operands that are taken: both if they are equal, none if the result is a 0."""
    if name == "select":
        return [2 if values[0] <= values[1] else 3]
    if name == "relu":
        return [] if values[0] <= 0 else [0]
    choose: Any = np.maximum if name == "maximum" else np.minimum
    best = choose(*values)
    return [position for position, number in enumerate(values) if number == best or np.isnan(number)]


def _peers(graph: _Graph) -> tuple[Floats, Floats] | None:
    """Return gradient and Hessian; None if they are not finite."""
    function, at = _taken_only(graph), np.array(graph[0])
    with np.errstate(all="ignore"):
        value, gradient, matrix = function(at), autograd.grad(function)(at), autograd.hessian(function)(at)
    tame = np.isfinite([value, *gradient, *matrix.ravel()]).all() and np.abs(matrix).max() < 1e12
    return (gradient, matrix) if tame else None


def _clear(graph: _Graph) -> bool:
    """Return whether no comparison is of nearly equal numbers: then rounding does not change the branches."""
    leaves, steps = graph
    known = _every_node(steps, leaves)
    for name, operands in steps:
        a, b = [*(known[o] for o in operands), 0.0][:2]
        rounded = [x for x in (a, b) if x != round(x * 1024) / 1024] if np.isfinite([a, b]).all() else []
        if name in _GATED and operands[0] != operands[-1] and rounded and np.isclose(a, b, rtol=1e-6, atol=1e-9):
            return False
    return True


@pytest.mark.filterwarnings("ignore:Output seems independent:UserWarning")
@settings(max_examples=600, deadline=None)
@given(graphs())
def test_random_branches_agree_with_an_independent_library(graph: _Graph) -> None:
    leaves, steps = graph
    expected = _peers(graph)
    assume(expected is not None)
    assert expected is not None
    parameters = [Parameter(x) for x in leaves]
    _every_node(steps, parameters)[-1].backward()
    assert [p.grad for p in parameters] == pytest.approx(expected[0], rel=1e-9, abs=1e-9)
    first = derivatives(_every_node(steps, parameters)[-1], parameters)
    assert [float(d) for d in first] == pytest.approx(expected[0], rel=1e-9, abs=1e-9)
    for row, slope in zip(expected[1], first, strict=True):
        second = derivatives(slope, parameters) if isinstance(slope, Parameter) else [0.0] * len(leaves)
        assert [float(d) for d in second] == pytest.approx(row, rel=1e-8, abs=1e-8)


@pytest.mark.filterwarnings("ignore:Output seems independent:UserWarning")
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=40, deadline=None)
@given(graph=graphs(), more=st.lists(st.permutations([-2.0, -0.5, 0.0, 0.25, 1.0]), min_size=5, max_size=5))
def test_random_branches_in_every_kernel(kernel: str, graph: _Graph, more: list[list[float]]) -> None:
    leaves, steps = graph
    points = [leaves, *(other[: len(leaves)] for other in more)]
    peers = [_peers((point, steps)) if _clear((point, steps)) else None for point in points]
    assume(any(expected is not None for expected in peers))
    ours = _gradients(lambda *xs: _every_node(steps, xs)[-1], points, kernel)
    for expected, gradient in zip(peers, ours, strict=True):
        if expected is not None:
            assert gradient.tolist() == pytest.approx(expected[0], rel=1e-9, abs=1e-9)


# ------------------------------------------------------------------------------------------------- bits and cost


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_gates_add_nothing_to_the_program_of_a_built_in_activation(
    name: str, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trace() -> str:
        return str(trace_step(MLP((2, 3, 3, 2), name, "relu"), LOSSES[loss], OPTIMIZERS["sgd"], features=2, targets=2))

    with_gates = trace()
    monkeypatch.setattr("engine.gates.CAN_FAIL", frozenset())
    assert trace() == with_gates


def test_finite_numbers_keep_their_bits(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a gate, a product that is added to something is still rounded once, with the sum."""

    def own(x: Scalar) -> Scalar:
        return select(x, 0.0, x * 0.3 + tanh(x) * (0.1 * x), log1p(0.7 * x) + exp(0.3 * x) * x - div(x, 1.0 + x * x))

    rng = np.random.default_rng(0)
    samples = Samples(rng.normal(size=(20, 2)), rng.normal(size=(20, 1)))
    starts = np.stack([initial_weights((2, 3, 2, 1), "xavier_uniform", seed) for seed in range(6)])

    def trained() -> Floats:
        rule = OPTIMIZERS["sgd"]
        program = trace_step(MLP((2, 3, 2, 1), own), LOSSES["mean_squared_error"], rule, features=2, targets=1)
        history = train(program, starts, {"learning_rate": np.full(6, 0.005)}, samples, steps=50, kernel=kernel)
        assert not history.diverged.any()
        return history.weights

    gated = trained()
    monkeypatch.setattr("engine.gates.CAN_FAIL", frozenset())
    assert gated.tobytes() == trained().tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_network_with_a_gated_root_trains(kernel: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(60, 2))
    samples = Samples(points, (points[:, :1] * points[:, 1:] > 0).astype(float))
    model = MLP((2, 8, 1), lambda x: select(x, 0.0, 0.0, sqrt(x)))
    program = trace_step(model, LOSSES["cross_entropy"], OPTIMIZERS["sgd"], features=2, targets=1)
    starts = np.stack([initial_weights((2, 8, 1), "xavier_uniform", seed) for seed in range(5)])
    rates = {"learning_rate": np.full(5, 0.1)}
    history = train(program, starts, rates, samples, steps=300, kernel=kernel, dtype=dtype)
    assert not history.diverged.any()
    assert (history.final("loss") < 0.8 * history.curves["loss"][:, 0]).all()
