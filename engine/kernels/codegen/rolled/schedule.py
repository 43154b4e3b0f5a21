"""Put the nodes that differ by sample into an order of loops.

A step of the schedule is a contraction, a stack, or a group of elementwise nodes with the same axes, which one loop
computes together. Values pass in registers inside a group; a value that another step needs is stored.

>>> from engine import LOSSES, MLP, OPTIMIZERS, UpdateRule
>>> from engine.rolled_tracing import trace_rolled
>>> rule = UpdateRule(OPTIMIZERS["sgd"])
>>> program = trace_rolled(MLP([20, 30, 1]), LOSSES["mean_squared_error"], rule, targets=1)
>>> from engine.kernels.codegen.rolled.layout import RolledLayout
>>> print(Schedule.of(program, RolledLayout(program).reductions))
%7[l1]: contraction
%8[l1] %14[l1] %16[l1]: elementwise, stores %8 %16
%9: contraction
%10 %12: elementwise, stores %10 %12
%13[l1] %17[l1]: elementwise, stores %13 %17
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.kernels.codegen.rolled.layout import needed_nodes
from engine.rolled import Axes, Contraction, Family, Pick, RolledProgram, Stack, operands_of

CONTRACTION, STACK, ELEMENTWISE = "contraction", "stack", "elementwise"


@dataclass
class Group:
    """Nodes that one loop computes.

    kind: `contraction`, `stack` or `elementwise`. A group of the first two has one node.
    axes: the axes of its nodes.
    nodes: the nodes, in order.
    stored: those of them that are written to memory.
    """

    kind: str
    axes: Axes
    nodes: list[int]
    stored: list[int]


@dataclass(frozen=True)
class Schedule:
    """Groups, in an order in which they can run.

    program: the rolled program. groups: the groups. reductions: the reductions that come after them.
    """

    program: RolledProgram
    groups: tuple[Group, ...]
    reductions: tuple[int, ...]

    @classmethod
    def of(cls, program: RolledProgram, reductions: Sequence[int]) -> Schedule:
        """Return the schedule that computes the operands of these reductions."""
        roots = [operand for number in reductions for operand in operands_of(program.nodes[number])]
        needed = [n for n in needed_nodes(program, roots) if program.per_sample_nodes[n]]
        groups: list[Group] = []
        position: dict[int, int] = {}
        for number in needed:
            node = program.nodes[number]
            if not isinstance(node, (Family, Pick)):
                position[number] = _place(program, number, groups, position)
        schedule = cls(program, tuple(groups), tuple(reductions))
        schedule._mark_stored(roots, position)
        return schedule

    def _mark_stored(self, roots: Sequence[int], position: dict[int, int]) -> None:
        users: list[tuple[int, int | None]] = [(operand, None) for operand in roots]
        users += [
            (operand, n) for group in self.groups for n in group.nodes for operand in operands_of(self.program.nodes[n])
        ]
        used = set()
        for operand, user in users:
            source = source_of(self.program, operand)
            picked = source != operand
            elsewhere = user is None or picked or position.get(user) != position.get(source)
            if source in position and elsewhere:
                used.add(source)
        for group in self.groups:
            group.stored = [n for n in group.nodes if n in used]

    def __str__(self) -> str:
        return "\n".join(self._line(group) for group in self.groups)

    def _line(self, group: Group) -> str:
        axes = ",".join(f"l{axis}" for axis in group.axes)
        nodes = " ".join(f"%{n}{f'[{axes}]' if axes else ''}" for n in group.nodes)
        stored = f", stores {' '.join(f'%{n}' for n in group.stored)}" if group.kind == ELEMENTWISE else ""
        return f"{nodes}: {group.kind}{stored}"


def source_of(program: RolledProgram, number: int) -> int:
    """Return the node that a pick takes its element from; any other node is returned as it is."""
    node = program.nodes[number]
    return node.operands[0] if isinstance(node, Pick) else number


def _place(program: RolledProgram, number: int, groups: list[Group], position: dict[int, int]) -> int:
    """Put a node into the first group that fits, or into a new one at the end, and return its position."""
    node, axes = program.nodes[number], program.axes[number]
    kind = CONTRACTION if isinstance(node, Contraction) else STACK if isinstance(node, Stack) else ELEMENTWISE
    earliest = 0
    for operand in operands_of(node):
        source = source_of(program, operand)
        if source not in position:
            continue
        group = groups[position[source]]
        together = kind == group.kind == ELEMENTWISE and group.axes == axes and source == operand
        earliest = max(earliest, position[source] + (not together))
    if kind == ELEMENTWISE:
        for at in range(earliest, len(groups)):
            if groups[at].kind == ELEMENTWISE and groups[at].axes == axes:
                groups[at].nodes.append(number)
                return at
    groups.append(Group(kind, axes, [number], [number]))
    return len(groups) - 1
