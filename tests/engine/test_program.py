import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine import LOSSES, OPTIMIZERS, Parameter, Program, ProgramError, Tensor, TraceError, trace_step
from engine.kernels.reference import Interpreter
from engine.operations import cos, neg, power, relu, select
from engine.program import Input, Instruction
from engine.samples import Samples
from engine.tracing import Trace
from tests.engine.populations import Starts, Tracer


def _program(*instructions: Instruction, outputs: tuple[int, ...] = (2,)) -> Program:
    return Program((Input("weight", 0), Input("feature", 0)), (), instructions, (("loss", outputs),))


@pytest.mark.parametrize(
    ("instruction", "complaint"),
    [
        (Instruction("mul", (0, 2)), "not computed before"),
        (Instruction("mul", (0,)), "takes 2 operand"),
        (Instruction("sigmoid", (0,)), "no primitive is called 'sigmoid'"),
        (Instruction("mul", (0, 1)), "differs by sample"),
    ],
)
def test_a_program_that_makes_no_sense_is_not_built(instruction: Instruction, complaint: str) -> None:
    with pytest.raises(ProgramError, match=complaint):
        _program(instruction)


def test_an_output_that_is_no_value_and_an_unknown_input_are_refused() -> None:
    with pytest.raises(ProgramError, match="there are 3 values"):
        _program(Instruction("neg", (0,)), outputs=(3,))
    with pytest.raises(ProgramError, match="an input is one of"):
        Program((Input("wieght", 0),), (), (), ())


def test_text_hash_and_pickle(trace: Tracer) -> None:
    program, same, other = trace(), trace(), trace(activation="sin")
    assert (program == same, hash(program) == hash(same), program == other) == (True, True, False)
    assert pickle.loads(pickle.dumps(program)) == program
    lines = str(program).splitlines()
    assert lines[0] == "%0 = weight 0"
    assert sum(" = tanh " in line for line in lines) == 4
    assert lines[-1].startswith("dead_units.layer1 -> %")


def test_each_expression_is_computed_once_and_constants_never() -> None:
    trace = Trace()
    x = trace.input("weight", 0)
    three = 1.0 + 2.0
    y = (x * three) + (3.0 * x) + power(x, 2.0) + x * x + neg(neg(x)) * 1.0
    program = trace.build({"loss": [y]})
    # 3 x + 3 x, + x x, + x x again, + x: the products but one are fused into the sums
    assert [i.operation for i in program.instructions] == ["mul", "fma", "fma", "fma", "add"]
    assert program.constants == (3.0,)


def test_a_product_is_fused_with_the_sum_that_it_goes_into_and_kept_where_it_is_used_besides() -> None:
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


def test_constants_are_computed_only_where_every_machine_rounds_alike() -> None:
    trace = Trace()
    trace.record("sqrt", (trace.index_of(2.0),))
    assert trace.record("sqrt", (trace.index_of(2.0),)) == math.sqrt(2.0)
    assert not isinstance(trace.record("exp", (trace.index_of(2.0),)), float)


def test_a_samples_value_and_a_reduction_do_not_mix() -> None:
    with pytest.raises(ProgramError, match="mixes a sample's value with a reduction"):
        _program(Instruction("sample_mean", (1,)), Instruction("mul", (1, 2)), outputs=(2,))


def test_what_no_output_needs_is_left_out() -> None:
    trace = Trace()
    x = trace.input("weight", 0)
    cos(x)
    assert [i.operation for i in trace.build({"loss": [x + 1.0]}).instructions] == ["add"]


def test_signed_zeros_are_different_constants() -> None:
    trace = Trace()
    x = trace.input("weight", 0)
    assert trace.build({"loss": [select(x, 0.0, x, 1.0), select(x, -0.0, x, 1.0)]}).constants == (0.0, 1.0, -0.0)


def test_a_part_of_a_program_gives_the_same_numbers_as_the_whole(
    trace: Tracer, circle: Samples, starts: Starts
) -> None:
    program = trace()
    part = program.only("loss")
    assert len(part.instructions) < len(program.instructions) / 2
    inputs = (starts(5).T, np.zeros((0, 5)), {"learning_rate": np.ones(5)}, circle)
    with np.errstate(all="ignore"):
        assert (Interpreter(part)(*inputs)["loss"] == Interpreter(program)(*inputs)["loss"]).all()


Body = Callable[[Any, Any], Any]


class OneWeight:
    """A model of the user's own, with whatever body."""

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


def test_a_users_own_model_is_traced_and_its_values_are_given_back() -> None:
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
