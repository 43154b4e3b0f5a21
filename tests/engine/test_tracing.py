"""Programs that are traced from models: common expressions, constants, fused products."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine import LOSSES, OPTIMIZERS, Parameter, Program, Samples, Tensor, TraceError, trace_step
from engine.kernels.reference import Interpreter
from engine.operations import cos, neg, power, relu, select
from engine.tracing import Trace


def test_each_expression_is_computed_once_and_constants_never() -> None:
    trace = Trace()
    x = trace.input("weight", 0)
    three = 1.0 + 2.0
    y = (x * three) + (3.0 * x) + power(x, 2.0) + x * x + neg(neg(x)) * 1.0
    program = trace.build({"loss": [y]})
    # 3 x + 3 x, + x x, + x x again, + x: the products but one are fused into the sums
    assert [i.operation for i in program.instructions] == ["mul", "fma", "fma", "fma", "add"]
    assert program.constants == (3.0,)


def test_a_product_is_fused_with_a_sum_and_stays_if_it_is_used_elsewhere() -> None:
    trace = Trace()
    a, b, c = (trace.input("weight", n) for n in range(3))
    product = a * b
    program = trace.build({"sums": [product + c, c + product, product - c, c - product], "product": [product]})
    assert str(program).splitlines()[3:-2] == [
        "%3 = fma %0 %1 %2",
        "%4 = neg %2",
        "%5 = fma %0 %1 %4",
        "%6 = neg %0",
        "%7 = fma %6 %1 %2",
        "%8 = mul %0 %1",
    ]


def test_constants_are_computed_only_with_exact_operations() -> None:
    trace = Trace()
    trace.record("sqrt", (trace.index_of(2.0),))
    assert trace.record("sqrt", (trace.index_of(2.0),)) == math.sqrt(2.0)
    assert not isinstance(trace.record("exp", (trace.index_of(2.0),)), float)


def test_instructions_that_no_output_needs_are_dropped() -> None:
    trace = Trace()
    x = trace.input("weight", 0)
    cos(x)
    assert [i.operation for i in trace.build({"loss": [x + 1.0]}).instructions] == ["add"]


def test_signed_zeros_are_different_constants() -> None:
    trace = Trace()
    x = trace.input("weight", 0)
    assert trace.build({"loss": [select(x, 0.0, x, 1.0), select(x, -0.0, x, 1.0)]}).constants == (0.0, 1.0, -0.0)


Body = Callable[[Any, Any], Any]


class OneWeight:
    """A model with one weight, whose body the test chooses."""

    tensors = (Tensor("w", (1,)),)

    def __init__(self, body: Body) -> None:
        self.weight = Parameter(0.5)
        self.body = body

    def parameters(self) -> list[Parameter]:
        return [self.weight]

    def __call__(self, inputs: Any) -> list[Any]:
        return [self.body(self.weight, inputs[0])]


def _trace_own(body: Body) -> Program:
    return trace_step(OneWeight(body), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=1, targets=1)


def test_a_custom_model_is_traced_and_keeps_its_values() -> None:
    model = OneWeight(lambda w, x: relu(w * x) + cos(x))
    program = trace_step(model, LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=1, targets=1)
    samples = Samples(np.array([[2.0]]), np.array([[0.0]]))
    result = Interpreter(program)(np.array([[0.5]]), np.zeros((0, 1)), {"learning_rate": np.array([0.1])}, samples)
    prediction = 1.0 + math.cos(2.0)
    assert result["gradient"][0, 0] == pytest.approx(2 * prediction * 2.0)
    assert result["weights"][0, 0] == pytest.approx(0.5 - 0.1 * 2 * prediction * 2.0)
    assert model.weight.value == 0.5


@pytest.mark.parametrize(
    "body",
    [
        lambda w, x: w * x if w.value > 0 else w,
        lambda w, x: w * math.sin(x),
        lambda w, x: w * (2.0 if x else 1.0),
        lambda w, x: max(w.value, x),
        lambda w, x: w * x if w > 0 else w,
        lambda w, x: w * x if w == 0 else w,
        lambda w, x: w * x if w else w,
        lambda w, x: w * x if x == 0 else w,
        lambda w, x: w * x if x != 0 else w,
        lambda w, x: w * int(x),
        lambda w, x: w * [1.0, 2.0][w >= x],
    ],
)
def test_control_flow_that_depends_on_values_is_refused(body: Body) -> None:
    with pytest.raises(TraceError, match=r"select\(a, b, x, y\)"):
        _trace_own(body)


def test_a_loss_without_weights_is_refused() -> None:
    with pytest.raises(TraceError, match="does not depend on any weight"):
        _trace_own(lambda w, x: x * 2.0)
