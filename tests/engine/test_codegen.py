"""The passes of the compiler: the effect of each on a small program; and none changes a result."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from engine import ACTIVATIONS, OPERATIONS, Program
from engine.kernels.codegen.fuse import fuse
from engine.kernels.codegen.layout import Computation, Layout, ReduceFunction
from engine.kernels.codegen.loop_program import DOT, ArrayRef, Loop, LoopProgram, Statement
from engine.kernels.codegen.pipeline import Options, lower
from engine.kernels.codegen.reroll import reroll
from engine.kernels.codegen.target import Target
from engine.kernels.codegen.tile import tile
from engine.kernels.codegen.vectors import IRText, hex_constant
from engine.program import Input, Instruction, Reduction
from tests.engine.populations import Tracer, make_job

_TARGET = Target("x86-64", "", lanes=2, registers=16, calling_convention="fastcc")
_SAMPLES = 7


def _options(program: Program, **changes: Any) -> Options:
    widths = (program.input_count("feature"), program.input_count("target"))
    return Options("float64", widths, (_SAMPLES,), **changes)


def _run(program: LoopProgram, memory: Mapping[str | int, Any]) -> list[Any]:
    """Interpret loops in NumPy, one iteration after another; samples are the elements of an array."""
    arrays: dict[Any, dict[int, Any]] = {name: dict(enumerate(values)) for name, values in memory.items()}
    arrays["sums"] = dict.fromkeys(range(1_000), 0.0)

    def value(operand: ArrayRef | float, iteration: int) -> Any:
        return operand if isinstance(operand, float) else arrays[operand.array][operand.elements[iteration]]

    for loop in program.loops:
        for iteration in range(loop.members):
            for statement in loop.statements:
                operands = [value(operand, iteration) for operand in statement.operands]
                result = arrays.setdefault(statement.result.array, {})
                result[statement.result.elements[iteration]] = _apply(statement, operands)
    return [end if isinstance(end, float) else arrays[end[0]][end[1]] for end in program.outputs]


def _apply(statement: Statement, operands: list[Any]) -> Any:
    if statement.operation == Reduction.MEAN:
        return np.sum(operands[0] * operands[1] if len(operands) > 1 else operands[0])
    if statement.operation == Reduction.ANY:
        return float(np.any(operands[0] != 0))
    if statement.operation == DOT:
        total = operands.pop(0) if statement.has_start else 0.0
        for a, b in zip(operands[::2], operands[1::2], strict=True):
            total = total + a * b
        return total
    return OPERATIONS[statement.operation](*operands)


def _memory(layout: Layout) -> dict[str | int, Any]:
    rng = np.random.default_rng(0)
    program, sums = layout.program, len(layout.reductions)
    return {
        "weight": rng.normal(size=program.weight_count),
        "state": np.zeros(len(program.initial_state)),
        "column": rng.random(len(layout.columns) + 2),
        "feature": rng.normal(size=(program.input_count("feature"), _SAMPLES)),
        "target": rng.normal(size=(program.input_count("target"), _SAMPLES)),
        "mean": rng.random(sums),
        "any": np.ones(sums),
        "shared": rng.random(100),
    }


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("widths", [(1, 1), (2, 5, 3), (3, 4, 4, 1)])
def test_fusing_does_not_change_the_results_of_loops(trace: Tracer, activation: str, widths: tuple[int, ...]) -> None:
    program = trace(widths, activation=activation, loss="cross_entropy", optimizer="adam")
    stages = lower(program, _TARGET, _options(program, tested=True, gradients=True))
    memory = _memory(stages.layout)
    assert set(stages.fused) == set(stages.layout.computations)
    for name, rerolled in stages.rerolled.items():
        before, after = _run(rerolled, memory), _run(stages.fused[name], memory)
        for a, b in zip(before, after, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_layer_becomes_a_loop_over_its_units(trace: Tracer) -> None:
    program = trace((2, 30, 1))
    loops = lower(program, _TARGET, _options(program)).fused["sums.samples"].loops
    assert {loop.members for loop in loops} >= {30, 60}
    assert sum(len(loop.statements) for loop in loops) < 40
    assert len(program.instructions) > 500


def test_fused_multiply_adds_become_one_dot() -> None:
    instructions = (Instruction("mul", (0, 1)), Instruction("fma", (2, 3, 4)), Instruction("fma", (0, 3, 5)))
    program = Program(tuple(Input("weight", k) for k in range(4)), (), instructions, (("loss", (6,)),))
    sources = {k: ("weight", k) for k in range(4)}
    (loop,) = reroll(program, Computation((6,), sources, {})).loops
    assert (
        str(loop.statements[0]) == "a0[0] = dot weight[0] * weight[1] + weight[2] * weight[3] + weight[0] * weight[3]"
    )
    # a product that is wanted itself stays
    assert len(reroll(program, Computation((4, 6), sources, {})).loops) == 2


def test_the_derivative_of_relu_compares_its_result_so_that_its_input_is_not_stored(trace: Tracer) -> None:
    program = trace((3, 30, 1), activation="relu")
    fused = lower(program, _TARGET, _options(program)).fused["sums.samples"]
    relu, slope = (s for loop in fused.loops for s in loop.statements if s.operation == "select")
    argument = relu.operands[0]
    assert isinstance(argument, ArrayRef)
    assert str(argument) == str(relu.operands[3])
    assert str(slope.operands[0]) == str(relu.result)
    assert argument.array not in fused.stored


def _chain(*statements: Statement, outputs: tuple[tuple[int, int], ...], members: int = 3) -> LoopProgram:
    return LoopProgram(tuple(Loop(members, (statement,), False) for statement in statements), outputs)


def _neg(source: int | str, result: int, elements: tuple[int, ...] = (0, 1, 2)) -> Statement:
    return Statement("neg", (ArrayRef(source, elements),), ArrayRef(result, (0, 1, 2)))


def test_loops_are_fused_only_if_iterations_use_their_own_elements() -> None:
    along = _chain(_neg("weight", 0), _neg(0, 1), outputs=((1, 0),))
    assert [len(loop.statements) for loop in fuse(along).loops] == [2]
    backwards = _chain(_neg("weight", 0), _neg(0, 1, (2, 1, 0)), outputs=((1, 0),))
    assert [len(loop.statements) for loop in fuse(backwards).loops] == [1, 1]


def test_only_arrays_that_are_needed_later_are_stored() -> None:
    program = fuse(_chain(_neg("weight", 0), _neg(0, 1), _neg(1, 2, (1, 1, 1)), outputs=((2, 0),)))
    assert set(program.stored) == {1, 2}  # a0 passes to a1 in a register


@pytest.mark.parametrize(("registers", "rows", "columns"), [(16, 2, 3), (32, 4, 6)])
def test_sums_over_a_matrix_are_tiled_by_rows_and_columns(registers: int, rows: int, columns: int) -> None:
    products = tuple((row, column) for row in range(8) for column in range(6))
    left = ArrayRef("feature", tuple(column for _, column in products))
    right = ArrayRef("shared", tuple(row for row, _ in products))
    sums = ArrayRef("sums", tuple(range(48)))
    loop = Loop(48, (Statement(Reduction.MEAN, (left, right), sums),), per_sample=True)
    program = tile(LoopProgram((loop,), (("sums", 0),)), samples=8, registers=registers)
    (tiled,) = program.tiled
    assert (tiled.columns_in_all, tiled.rows, tiled.columns, tiled.samples) == (6, rows, columns, 8)
    assert f"tiles of {rows} x {columns} from 8 x 6, 8 samples at once, after a block of samples" in str(tiled)
    assert (program.each_tile, program.each_block) == ((), (tiled,))


def test_irregular_elements_and_short_loops_are_unrolled() -> None:
    squares, numbers = tuple(k * k for k in range(20)), tuple(range(20))
    irregular = Loop(20, (Statement("neg", (ArrayRef("weight", squares),), ArrayRef(0, numbers)),), False)
    short = Loop(2, (Statement("neg", (ArrayRef("weight", (0, 1)),), ArrayRef(0, (0, 1))),), False)
    texts = [str(tile(LoopProgram((loop,), ((0, 0),)), samples=1, registers=16)) for loop in (irregular, short)]
    assert texts[0].startswith("unrolled, 4 of 20 side by side")
    assert texts[1].startswith("unrolled, all 2")


def test_minibatches_and_all_samples_are_summed_by_the_same_loops() -> None:
    layout = Layout(make_job().program, batches=True)
    sums, batch_sums, _ = (f for f in layout.functions if isinstance(f, ReduceFunction))
    assert (sums.samples, sums.shared) == (batch_sums.samples, batch_sums.shared)
    assert batch_sums.gathered
    assert not sums.gathered


@pytest.mark.parametrize(("counts", "at_once"), [((40,), (8,)), ((29,), (8, 5)), ((8, 20), (8, 4)), ((3, 40), (3, 1))])
def test_loops_for_a_remainder_exist_only_if_samples_can_remain(
    counts: tuple[int, ...], at_once: tuple[int, ...]
) -> None:
    program = make_job().program
    stages = lower(program, _TARGET, Options("float64", (2, 1), counts))
    assert tuple(tiled.samples for tiled in stages.tiled["sums.samples"]) == at_once


def test_every_stage_is_printed_readably() -> None:
    program = make_job().program
    text = str(lower(program, _TARGET, _options(program, tested=True)))
    assert text.startswith("parameters: 17 weights, 36 of the optimiser's state")
    assert "evaluated: loss, accuracy, from the sums" in text
    assert (
        "sums.samples:\ntiles of 1 x 1 from 1 x 4, 7 samples at once:\n    a0[i] = dot weight[8 + i] + weight[2 i]"
        in text
    )


def test_constants_are_written_exactly() -> None:
    assert hex_constant(0.1) == "0x3FB999999999999A"
    assert hex_constant(0.1, "float32") == "0x3FB99999A0000000"
    assert IRText(4, "float32").real == "<4 x float>"
