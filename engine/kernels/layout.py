"""Where the values of a Program lie in the memory of a block of trials, and which of them are computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from engine.kernels.rolling import Place
from engine.program import Instruction, Program, Reduction


@dataclass(frozen=True)
class Layout:
    """A program's values by the part that they play.

    On the training samples everything is measured but the accuracy, which training itself does not need: that is
    evaluated at recorded steps, as the test part is.
    """

    program: Program

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The hyperparameters, in their order; the step and the number of steps follow them."""
        return tuple(str(key) for kind, key in self.program.inputs if kind == "column")

    @property
    def parameters(self) -> int:
        """Weights and state."""
        return self.program.weight_count + len(self.program.initial_state)

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """Curves of the weights that come from the sums of a step."""
        return tuple(name for name in self.program.curves if name != "accuracy" and name not in self.ratios)

    @cached_property
    def ratios(self) -> tuple[str, ...]:
        """Curves of the update."""
        return tuple(name for name in self.program.curves if name.startswith("update_ratio"))

    @cached_property
    def evaluated(self) -> tuple[str, ...]:
        """What is computed on the test part too."""
        return tuple(name for name in ("loss", "accuracy") if name in self.program.output_names)

    def values(self, names: Sequence[str]) -> list[int]:
        """The values of these outputs, one after another."""
        outputs = dict(self.program.outputs)
        return [value for name in names for value in outputs[name]]

    @cached_property
    def reductions(self) -> tuple[int, ...]:
        """The reductions over the training samples, in the order of their sums: means, then the others."""
        return self.reductions_of(["gradient", *self.measured, "weights", "state"])

    def reductions_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """The reductions that these outputs need: means, then the others."""
        found = _reductions(self.program, self.values(names))
        return tuple(sorted(found, key=lambda value: not self.is_mean(value)))

    def is_mean(self, value: int) -> bool:
        return self._instruction(value).operation == Reduction.MEAN

    def before_samples(self, reductions: Sequence[int]) -> tuple[int, ...]:
        """Values that samples share and that must be computed before them: neither inputs nor constants."""
        program, first = self.program, self.program.first_instruction
        shared: dict[int, None] = {}
        pending, seen = list(reductions), set(reductions)
        while pending:
            for operand in self._instruction(pending.pop()).operands:
                if operand < first or operand in seen:
                    continue
                seen.add(operand)
                if program.per_sample[operand]:
                    pending.append(operand)
                else:
                    shared[operand] = None
        return tuple(shared)

    def _instruction(self, value: int) -> Instruction:
        return self.program.instructions[value - self.program.first_instruction]

    @cached_property
    def inputs(self) -> dict[int, Place]:
        """Where the inputs are."""
        columns = {name: place for place, name in enumerate(self.columns)}
        clock = {"step": len(columns), "steps": len(columns) + 1}
        places: dict[int, Place] = {}
        for value, (kind, key) in enumerate(self.program.inputs):
            if kind == "weight":
                places[value] = ("weight", int(key))
            elif kind == "state":
                places[value] = ("state", int(key))
            elif kind in ("feature", "target"):
                places[value] = (kind, int(key))
            else:
                places[value] = ("column", columns[str(key)] if kind == "column" else clock[kind])
        return places


def _reductions(program: Program, values: Sequence[int]) -> list[int]:
    """The reductions that these values need, in the order in which they are first needed."""
    first = program.first_instruction
    found: dict[int, None] = {}
    seen: set[int] = set()
    pending = list(reversed(values))
    while pending:
        value = pending.pop()
        if value < first or value in seen:
            continue
        seen.add(value)
        operation, operands = program.instructions[value - first]
        if operation in Reduction.ALL:
            found[value] = None
        else:
            pending.extend(reversed(operands))
    return list(found)
