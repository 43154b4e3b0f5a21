"""`Program`: one training step of one model for one sample of one trial, as data that never changes.

A program is a straight line of scalar instructions, checked when it is built. Values are numbered: first the inputs,
then the constants, then the results of the instructions. Values computed from features or targets differ per sample; a
reduction combines them into one. Trials, samples and steps are not part of a program: kernels add them.

>>> program = Program(
...     inputs=(Input("weight", 0), Input("feature", 0)),
...     constants=(2.0,),
...     instructions=(Instruction("mul", (0, 1)), Instruction("sample_mean", (3,)), Instruction("mul", (2, 4))),
...     outputs=(("loss", (5,)),),
... )
>>> print(program)
%0 = weight 0
%1 = feature 0
%2 = constant 2.0
%3 = mul %0 %1
%4 = sample_mean %3
%5 = mul %2 %4
loss -> %5
>>> program.per_sample
(False, True, False, True, False, False)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

from engine.operations import PRIMITIVES
from engine.tensors import Tensor

_PER_SAMPLE_KINDS = frozenset({"feature", "target"})
_NUMBERED_KINDS = frozenset({"weight", "state"}) | _PER_SAMPLE_KINDS
_KINDS = frozenset({"column", "step", "steps"}) | _NUMBERED_KINDS
_NO_CURVES = frozenset({"weights", "state", "gradient"})

LOSS_AND_ACCURACY = ("loss", "accuracy")
"""The outputs that are also computed on the test samples."""
GRAD_NORM, UPDATE_RATIO, DEAD_UNITS = "grad_norm", "update_ratio", "dead_units"
"""Outputs that measure the whole model. `of_part` gives the names of those that measure one tensor or layer."""


def of_part(metric: str, part: str) -> str:
    """Return the name of a metric of one tensor or layer, such as `grad_norm.layer1.weight`."""
    return f"{metric}.{part}"


def is_of(name: str, metric: str) -> bool:
    """Return whether a curve is this metric, of the whole model or of a tensor or layer."""
    return name == metric or name.startswith(f"{metric}.")


class Reduction:
    """Names of the operations that combine the values of all samples into one."""

    MEAN: Final = "sample_mean"
    """The mean of a value or of a product of two. A kernel may round the product and the sum at once."""
    ANY: Final = "sample_any"
    """1 if the value of some sample is not 0, else 0."""
    ARITIES: Final = {MEAN: (1, 2), ANY: (1,)}
    ALL: Final = frozenset(ARITIES)


class ProgramError(ValueError):
    """The parts do not fit together: for example, an instruction uses a value that is not computed before it."""


class Input(NamedTuple):
    """A number from outside.

    kind: `weight`, `state`, `feature` or `target`, which have a position; `column`, which has a name; `step`, the
    number of updates before this one; or `steps`, the number of all updates.
    position: position among the inputs of this kind in memory.
    name: name of the column.
    """

    kind: str
    position: int = 0
    name: str = ""

    def __str__(self) -> str:
        return describe_input(self.kind, self.position, self.name)


def describe_input(kind: str, position: int, name: str) -> str:
    """Return an input as text: its kind, with its position or name."""
    return f"{kind} {position}" if kind in _NUMBERED_KINDS else f"{kind} {name}".rstrip()


class Instruction(NamedTuple):
    """A primitive or a reduction, applied to values that are computed before it."""

    operation: str
    operands: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A straight line of instructions; see the module. Programs with equal fields are equal and have the same hash.

    inputs, constants, instructions: the values, in this order.
    outputs: names, each with its values. A training step from `trace_step` has `weights` and `state` after the step,
    `gradient`, and one value for each name in `curves`, measured of the weights before the step.
    tensors: names and shapes of the weights.
    initial_state: the optimiser's state before the first step, flat.

    Raises ProgramError if these do not fit together.
    """

    inputs: tuple[Input, ...]
    constants: tuple[float, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    tensors: tuple[Tensor, ...] = ()
    initial_state: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for source in self.inputs:
            if source.kind not in _KINDS:
                raise ProgramError(f"an input is one of {', '.join(sorted(_KINDS))}, not {source.kind!r}")
        for number, (operation, operands) in enumerate(self.instructions, start=self.first_instruction):
            self._check_instruction(number, operation, operands)
        for name, values in self.outputs:
            for value in values:
                if not 0 <= value < self.size:
                    raise ProgramError(f"output {name} names %{value}, but there are {self.size} values")
                if self.per_sample[value]:
                    raise ProgramError(f"output {name} is %{value}, which differs by sample; take its {Reduction.MEAN}")

    def _check_instruction(self, number: int, operation: str, operands: tuple[int, ...]) -> None:
        arities = Reduction.ARITIES.get(operation) or (operation in PRIMITIVES and (PRIMITIVES[operation].arity,))
        if not arities:
            raise ProgramError(f"%{number}: no primitive is called {operation!r}")
        if len(operands) not in arities:
            raise ProgramError(
                f"%{number}: {operation} takes {' or '.join(map(str, arities))} operand(s), not {len(operands)}"
            )
        if not all(0 <= operand < number for operand in operands):
            raise ProgramError(f"%{number}: {operation} {operands} uses a value that is not computed before it")

    @property
    def first_instruction(self) -> int:
        """Number of the first instruction's value."""
        return len(self.inputs) + len(self.constants)

    @property
    def size(self) -> int:
        """Number of values."""
        return self.first_instruction + len(self.instructions)

    @property
    def weight_count(self) -> int:
        """Number of weights."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(name for name, _ in self.outputs)

    def output(self, name: str) -> tuple[int, ...]:
        """Return the values of an output. Raises KeyError for an unknown name."""
        return self._outputs[name]

    @cached_property
    def _outputs(self) -> dict[str, tuple[int, ...]]:
        return dict(self.outputs)

    def are_means(self, name: str) -> list[bool]:
        """Return for each value of an output whether it is a mean over samples, and not the same for each sample."""
        first = self.first_instruction
        operations = [self.instructions[v - first].operation if v >= first else "" for v in self.output(name)]
        return [operation == Reduction.MEAN for operation in operations]

    @property
    def curves(self) -> tuple[str, ...]:
        """Names of the outputs that are measurements, each of one value."""
        return tuple(name for name in self.output_names if name not in _NO_CURVES)

    @property
    def update_ratios(self) -> tuple[str, ...]:
        """Names of the curves that measure an update. The other curves measure the weights."""
        return tuple(name for name in self.curves if is_of(name, UPDATE_RATIO))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns among the inputs, in order."""
        return tuple(source.name for source in self.inputs if source.kind == "column")

    def input_count(self, kind: str) -> int:
        """Return the least number of inputs of a kind that the program needs: the largest position plus 1."""
        return max((source.position + 1 for source in self.inputs if source.kind == kind), default=0)

    def constant(self, value: int) -> float | None:
        """Return the number that a value is, or None if it is not a constant."""
        number = value - len(self.inputs)
        return self.constants[number] if 0 <= number < len(self.constants) else None

    @cached_property
    def per_sample(self) -> tuple[bool, ...]:
        """A flag for each value: it is True if the value differs from sample to sample.

        Raises ProgramError if such a value depends on a reduction, because a step goes over the samples only once.
        """
        flags = [source.kind in _PER_SAMPLE_KINDS for source in self.inputs] + [False] * len(self.constants)
        reduced = [False] * len(flags)
        for number, (operation, operands) in enumerate(self.instructions, start=len(flags)):
            differs = any(flags[operand] for operand in operands)
            after = any(reduced[operand] for operand in operands)
            if differs and after:
                raise ProgramError(f"%{number}: {operation} mixes a sample's value with a reduction of all samples")
            flags.append(differs and operation not in Reduction.ALL)
            reduced.append(after or operation in Reduction.ALL)
        return tuple(flags)

    def only(self, *names: str) -> Program:
        """Return the part of the program that computes these outputs. Inputs and constants keep their numbers."""
        selected = tuple((name, values) for name, values in self.outputs if name in names)
        needed = {value for _, values in selected for value in values}
        first = self.first_instruction
        for index in range(len(self.instructions) - 1, -1, -1):
            if first + index in needed:
                needed.update(self.instructions[index].operands)
        renumbered = {value: value for value in range(first)}
        instructions: list[Instruction] = []
        for index, (operation, operands) in enumerate(self.instructions):
            if first + index in needed:
                renumbered[first + index] = first + len(instructions)
                instructions.append(Instruction(operation, tuple(renumbered[o] for o in operands)))
        outputs = tuple((name, tuple(renumbered[v] for v in values)) for name, values in selected)
        return replace(self, instructions=tuple(instructions), outputs=outputs)

    def __str__(self) -> str:
        """Return one line for each value and each output."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for number, source in enumerate(self.inputs):
            yield f"%{number} = {source}"
        for number, constant in enumerate(self.constants, start=len(self.inputs)):
            yield f"%{number} = constant {constant!r}"
        for number, (operation, operands) in enumerate(self.instructions, start=self.first_instruction):
            yield f"%{number} = {operation} " + " ".join(f"%{operand}" for operand in operands)
        for name, values in self.outputs:
            yield f"{name} -> " + " ".join(f"%{value}" for value in values)
