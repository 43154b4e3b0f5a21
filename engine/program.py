"""`Program`: one training step of one model for one sample of one trial, as inert data.

A straight line of scalar instructions, verified when built. Values are numbered: inputs first, then constants, then
one value an instruction. What depends on a feature or a target differs from sample to sample; `sample_mean` makes one
value of the many. Kernels add what a Program doesn't mention: trials, samples and steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from engine.neuron import Tensor
from engine.operations import PRIMITIVES

SAMPLE_MEAN = "sample_mean"
_PER_SAMPLE_KINDS = frozenset({"feature", "target"})
_KINDS = frozenset({"weight", "state", "column"}) | _PER_SAMPLE_KINDS


class ProgramError(ValueError):
    """The parts do not make a Program: an operand not yet computed, an unknown operation, an output per sample."""


class Input(NamedTuple):
    """A number from outside: a weight, a state, a feature or a target by position, or a column by name."""

    kind: str
    key: int | str


class Instruction(NamedTuple):
    """A primitive of the table, or `sample_mean`, on values computed before."""

    operation: str
    operands: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """See the module. `outputs` are named groups of values; equal Programs compute the same, and hash alike.

    The outputs of a traced training step: `loss`, `weights` and `state` (after the step), `gradient`, `grad_norm`,
    `grad_norm.<tensor>`, and `accuracy` where that applies; all but the second and third belong to the weights before
    the step.
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
                    raise ProgramError(f"output {name} is %{value}, which differs by sample; take its {SAMPLE_MEAN}")

    def _check_instruction(self, number: int, operation: str, operands: tuple[int, ...]) -> None:
        arity = 1 if operation == SAMPLE_MEAN else PRIMITIVES[operation].arity if operation in PRIMITIVES else None
        if arity is None:
            raise ProgramError(f"%{number}: no primitive is called {operation!r}")
        if len(operands) != arity:
            raise ProgramError(f"%{number}: {operation} takes {arity} operand(s), not {len(operands)}")
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

    @cached_property
    def per_sample(self) -> tuple[bool, ...]:
        """For each value, whether it differs from sample to sample."""
        flags = [given.kind in _PER_SAMPLE_KINDS for given in self.inputs] + [False] * len(self.constants)
        for operation, operands in self.instructions:
            flags.append(operation != SAMPLE_MEAN and any(flags[operand] for operand in operands))
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
