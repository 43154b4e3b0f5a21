"""Programs: which are refused, and that they can be compared, printed and pickled."""

import pickle

import numpy as np
import pytest

from engine import Program, ProgramError
from engine.kernels.reference import Interpreter
from engine.program import Input, Instruction
from engine.samples import Samples
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
def test_a_wrong_program_is_not_built(instruction: Instruction, complaint: str) -> None:
    with pytest.raises(ProgramError, match=complaint):
        _program(instruction)


def test_a_missing_output_and_an_unknown_input_are_refused() -> None:
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


def test_a_samples_value_and_a_reduction_do_not_mix() -> None:
    with pytest.raises(ProgramError, match="mixes a sample's value with a reduction"):
        _program(Instruction("sample_mean", (1,)), Instruction("mul", (1, 2)), outputs=(2,))


def test_a_part_of_a_program_gives_the_same_numbers_as_the_whole(
    trace: Tracer, circle: Samples, starts: Starts
) -> None:
    program = trace()
    part = program.only("loss")
    assert len(part.instructions) < len(program.instructions) / 2
    inputs = (starts(5).T, np.zeros((0, 5)), {"learning_rate": np.ones(5)}, circle)
    with np.errstate(all="ignore"):
        assert (Interpreter(part)(*inputs)["loss"] == Interpreter(program)(*inputs)["loss"]).all()
