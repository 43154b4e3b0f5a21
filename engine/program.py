"""`Program`: one training step of one model for one sample of one trial, as inert data.

A straight line of scalar instructions, verified when built. Values are numbered: inputs first, then constants, then
one value an instruction. What depends on a feature or a target differs from sample to sample; a reduction makes one
value of the many. Kernels add what a Program doesn't mention: trials, samples and steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

from engine.neuron import Tensor
from engine.operations import PRIMITIVES

_PER_SAMPLE_KINDS = frozenset({"feature", "target"})
_KINDS = frozenset({"weight", "state", "column", "step", "steps"}) | _PER_SAMPLE_KINDS
_NO_CURVES = frozenset({"weights", "state", "gradient"})


class Reduction:
    """What makes one value of a sample's many: their mean, or whether any differs from 0."""

    MEAN: Final = "sample_mean"
    """Of a value, or of a product of two, which a kernel may round once with the sum."""
    ANY: Final = "sample_any"
    """1 where the value of some sample is not 0, else 0."""
    ARITIES: Final = {MEAN: (1, 2), ANY: (1,)}
    ALL: Final = frozenset(ARITIES)


class ProgramError(ValueError):
    """The parts do not make a Program: an operand not yet computed, an unknown operation, an output per sample."""


class Input(NamedTuple):
    """A number from outside: a weight, a state, a feature or a target by position, or a column by name.

    `step` is how many updates came before, `steps` how many there will be in all; their key is 0.
    """

    kind: str
    key: int | str


class Instruction(NamedTuple):
    """A primitive of the table, or a reduction, on values computed before."""

    operation: str
    operands: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """See the module. `outputs` are named groups of values; equal Programs compute the same, and hash alike.

    The outputs of a traced training step (`step.trace_step`) are `weights` and `state` after the step, `gradient`, and
    what is measured of the weights before it: `curves`.
    """

    inputs: tuple[Input, ...]
    constants: tuple[float, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    tensors: tuple[Tensor, ...] = ()
    initial_state: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for given in self.inputs:
            if given.kind not in _KINDS:
                raise ProgramError(f"an input is one of {', '.join(sorted(_KINDS))}, not {given.kind!r}")
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
        """The number of the first instruction's value."""
        return len(self.inputs) + len(self.constants)

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.first_instruction + len(self.instructions)

    @property
    def weight_count(self) -> int:
        return sum(tensor.size for tensor in self.tensors)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.outputs)

    @property
    def curves(self) -> tuple[str, ...]:
        """The names of the outputs that are measurements, each of one value."""
        return tuple(name for name in self.output_names if name not in _NO_CURVES)

    def constant(self, value: int) -> float | None:
        """The number that a value is, or None where it is no constant."""
        number = value - len(self.inputs)
        return self.constants[number] if 0 <= number < len(self.constants) else None

    @cached_property
    def per_sample(self) -> tuple[bool, ...]:
        """For each value, whether it differs from sample to sample.

        Raises ProgramError where one does and yet needs a reduction: a step goes over the samples once.
        """
        flags = [given.kind in _PER_SAMPLE_KINDS for given in self.inputs] + [False] * len(self.constants)
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
        """The part of the program that these outputs need. Inputs and constants keep their numbers."""
        kept = tuple((name, values) for name, values in self.outputs if name in names)
        needed = {value for _, values in kept for value in values}
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
        outputs = tuple((name, tuple(renumbered[v] for v in values)) for name, values in kept)
        return replace(self, instructions=tuple(instructions), outputs=outputs)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for number, (kind, key) in enumerate(self.inputs):
            yield f"%{number} = {kind} {key}"
        for number, constant in enumerate(self.constants, start=len(self.inputs)):
            yield f"%{number} = constant {constant!r}"
        for number, (operation, operands) in enumerate(self.instructions, start=self.first_instruction):
            yield f"%{number} = {operation} " + " ".join(f"%{operand}" for operand in operands)
        for name, values in self.outputs:
            yield f"{name} -> " + " ".join(f"%{value}" for value in values)
