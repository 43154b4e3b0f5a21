"""The cost of training: a rough estimate in seconds, from the instructions of a program.

It decides the size of tasks and the time that a dry run announces. Results do not depend on it.

>>> from engine import LOSSES, MLP, OPTIMIZERS, trace_step
>>> program = trace_step(MLP([2, 8, 1]), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=2, targets=1)
>>> seconds = training_seconds(program, "compiled", trials=1_000, samples=300 * 150)
>>> 0.1 < seconds < 10 and training_seconds(program, "reference", trials=1_000, samples=300 * 150) > seconds
True
"""

from __future__ import annotations

from engine.kernels.vector_math.functions import FUNCTIONS
from engine.program import Instruction, Program, Reduction
from engine.rolled import RolledProgram

_REFERENCE_SECONDS = 0.4e-9
"""Seconds of an instruction of the reference kernel, for one sample of one trial."""
_COMPILED_SECONDS, _COMPILED_FUNCTION_SECONDS = 0.045e-9, 0.9e-9
"""Seconds of an instruction of the compiled kernel for one sample of one trial, and more seconds of a function."""
_ROLLED_SECONDS = 0.05e-9
"""Seconds of an operation of a rolled program, sums included, for one sample of one trial."""
_COMPILATION_SECONDS, _COMPILATION_SECONDS_EACH, _COMPILATION_SECONDS_OF_NODE = 0.05, 5e-5, 2e-3
"""Seconds of compiling any program, and more seconds for each instruction, or for each node of a rolled program."""


def training_seconds(program: Program, kernel: str, *, trials: int, samples: int) -> float:
    """Return an estimate of the seconds that one core trains a program, without its compilation.

    program: one training step.
    kernel: `compiled` or `reference`.
    trials: number of trials.
    samples: number of samples that each of them processes: steps times samples of a step.
    """
    if isinstance(program, RolledProgram) and kernel != "reference":
        return trials * samples * _rolled_seconds(program)
    step = program.only("loss", "weights", "state")
    first = step.first_instruction
    operations = [i.operation for n, i in enumerate(step.instructions, start=first) if step.per_sample[n]]
    if kernel == "reference":
        return trials * samples * len(operations) * _REFERENCE_SECONDS
    functions = sum(operation in FUNCTIONS for operation in operations)
    each = len(operations) * _COMPILED_SECONDS + functions * _COMPILED_FUNCTION_SECONDS
    return trials * samples * each


def compilation_seconds(program: Program) -> float:
    """Return an estimate of the seconds that it takes to compile a program."""
    if isinstance(program, RolledProgram):
        return _COMPILATION_SECONDS + len(program.nodes) * _COMPILATION_SECONDS_OF_NODE
    return _COMPILATION_SECONDS + len(program.instructions) * _COMPILATION_SECONDS_EACH


def _rolled_seconds(program: RolledProgram) -> float:
    """Return an estimate of the seconds that a rolled program takes for one sample of one trial."""
    seconds = 0.0
    for number, node in enumerate(program.nodes):
        if program.per_sample_nodes[number] or (isinstance(node, Instruction) and node.operation in Reduction.ALL):
            is_function = isinstance(node, Instruction) and node.operation in FUNCTIONS
            each = _ROLLED_SECONDS + (_COMPILED_FUNCTION_SECONDS if is_function else 0.0)
            seconds += program.operation_count(number) * each
    return seconds
