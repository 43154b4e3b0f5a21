"""Assign a rolled program's values to memory, and to the functions of a step. The functions are those of `Layout`.

>>> from engine import LOSSES, MLP, OPTIMIZERS, UpdateRule
>>> from engine.rolled_tracing import trace_rolled
>>> rule = UpdateRule(OPTIMIZERS["sgd"])
>>> program = trace_rolled(MLP([20, 30, 1]), LOSSES["mean_squared_error"], rule, targets=1)
>>> layout = RolledLayout(program)
>>> layout.sum_count  # the loss, the gradient, and a flag for each hidden unit
692
>>> print(str(layout).splitlines()[2])
sums: reduces 692 values over the samples
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from engine.kernels.codegen.layout import Layout, ReduceFunction
from engine.program import Instruction, Reduction
from engine.rolled import RolledProgram, operands_of


@dataclass(frozen=True)
class RolledLayout(Layout):
    """The locations of a rolled program's values. Its reductions are numbers of nodes."""

    program: RolledProgram

    def reductions_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the reductions that these outputs need, with means first."""
        reductions = [
            n for n in needed_nodes(self.program, self.nodes_of(names), self.is_reduction) if self.is_reduction(n)
        ]
        return tuple(sorted(reductions, key=lambda number: not self.is_mean(number)))

    def nodes_of(self, names: Sequence[str]) -> list[int]:
        """Return the nodes of these outputs."""
        places = dict(self.program.places)
        return [place.node for name in names for place in places[name]]

    def is_reduction(self, number: int) -> bool:
        """Return whether a node combines samples."""
        node = self.program.nodes[number]
        return isinstance(node, Instruction) and node.operation in Reduction.ALL

    def is_mean(self, value: int) -> bool:
        """Return whether a reduction is a mean."""
        node = self.program.nodes[value]
        return isinstance(node, Instruction) and node.operation == Reduction.MEAN

    def sum_bases(self, reductions: Sequence[int]) -> dict[int, int]:
        """Return the position of each reduction's first sum."""
        bases, at = {}, 0
        for number in reductions:
            bases[number] = at
            at += self.program.elements(self.program.axes[number])
        return bases

    def sums_of(self, reductions: Sequence[int]) -> int:
        """Return the number of sums of these reductions."""
        return sum(self.program.elements(self.program.axes[number]) for number in reductions)

    @cached_property
    def sum_count(self) -> int:
        return max(self.sums_of(self.reductions), self.sums_of(self.reductions_of(self.evaluated)))

    def __str__(self) -> str:
        counts = {f: self.sums_of(f.reductions) for f in self.functions if isinstance(f, ReduceFunction)}
        lines = super().__str__().splitlines()
        for function, count in counts.items():
            old = f"{function.name}: reduces {len(function.reductions)} values"
            lines = [line.replace(old, f"{function.name}: reduces {count} values") for line in lines]
        return "\n".join(lines)


def needed_nodes(program: RolledProgram, roots: Sequence[int], stops: object = None) -> list[int]:
    """Return the nodes that some nodes need, themselves included, in order.

    stops: says of a node whether its own operands are left out.
    """
    needed = {*roots}
    for number in range(max(needed, default=-1), -1, -1):
        if number in needed and not (callable(stops) and stops(number)):
            needed.update(operands_of(program.nodes[number]))
    return sorted(needed)
