"""Third pass: join loops with the same number of iterations, so that values pass between them in registers.

>>> from engine.kernels.codegen.loop_program import Statement
>>> product = Statement("mul", (ArrayRef("weight", (0, 1)), 2.0), result=ArrayRef(0, (0, 1)))
>>> total = Statement("add", (ArrayRef(0, (0, 1)), 1.0), result=ArrayRef(1, (0, 1)))
>>> loops = tuple(Loop(2, (statement,), per_sample=False) for statement in (product, total))
>>> print(fuse(LoopProgram(loops, outputs=((1, 0), (1, 1)))))
for i in 0 .. 1:
    a0[i] = mul weight[i] 2.0
    a1[i] = add a0[i] 1.0
return a1[0] a1[1]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import replace

from engine.kernels.codegen.loop_program import ArrayRef, Loop, LoopProgram

_Group = list[int]
"""Numbers of loops that become one loop, in the order of their statements."""


def fuse(program: LoopProgram) -> LoopProgram:
    """Return the program with loops joined if one uses the other's results, iteration by iteration.

    program: the result of `reroll`: loop number k computes array number k.
    """
    groups = _fuse_into_consumer(program.loops)
    groups = _fuse_with_producer(program.loops, groups)
    groups = _fuse_loops(program.loops, groups, program.output_arrays)
    return replace(program, loops=tuple(_joined([program.loops[k] for k in group]) for group in groups))


def _joined(loops: Sequence[Loop]) -> Loop:
    return replace(loops[-1], statements=tuple(statement for loop in loops for statement in loop.statements))


def _can_fuse(a: Loop, b: Loop) -> bool:
    """Return whether two loops have as many iterations, and both or neither run for each sample."""
    return a.members == b.members and a.per_sample == b.per_sample


def _operands(loops: Iterable[Loop]) -> list[ArrayRef]:
    """Return the operands of these loops that loops compute."""
    return [operand for loop in loops for statement in loop.statements for operand in statement.computed_operands]


def _number(ref: ArrayRef) -> int:
    """Return the number of the loop that computes an operand."""
    assert isinstance(ref.array, int)
    return ref.array


def _fuse_into_consumer(loops: Sequence[Loop]) -> list[_Group]:
    """Move each loop into the loop that has all users of its array, if iteration i uses element i."""
    users: dict[int, set[int]] = defaultdict(set)
    elementwise: dict[int, bool] = defaultdict(lambda: True)
    for number, loop in enumerate(loops):
        for operand in _operands([loop]):
            users[_number(operand)].add(number)
            elementwise[_number(operand)] &= operand.is_identity
    fused_into = list(range(len(loops)))
    for number in range(len(loops) - 1, -1, -1):
        targets = {fused_into[user] for user in users[number]}
        if len(targets) == 1 and elementwise[number]:
            (target,) = targets
            same_members = all(loops[user].members == loops[number].members for user in users[number])
            if same_members and _can_fuse(loops[number], loops[target]):
                fused_into[number] = target
    return _grouped([[number] for number in range(len(loops))], fused_into)


def _grouped(groups: Sequence[_Group], fused_into: Sequence[int]) -> list[_Group]:
    joined: dict[int, _Group] = defaultdict(list)
    for number, group in enumerate(groups):
        joined[fused_into[number]] += group
    return [joined[target] for target in sorted(joined)]


def _fuse_with_producer(loops: Sequence[Loop], groups: Sequence[_Group]) -> list[_Group]:
    """Append each group to the latest group whose arrays it uses, if iteration i uses element i of them."""
    fused: list[_Group] = []
    group_of: dict[int, int] = {}
    for group in groups:
        elementwise: dict[int, bool] = {}
        for operand in _operands(loops[k] for k in group):
            producer = group_of.get(_number(operand))
            if producer is not None:
                elementwise[producer] = elementwise.get(producer, True) and operand.is_identity
        latest = max(elementwise, default=-1)
        if latest >= 0 and elementwise[latest] and _can_fuse(loops[group[-1]], loops[fused[latest][0]]):
            fused[latest].extend(group)
        else:
            latest = len(fused)
            fused.append(list(group))
        group_of.update(dict.fromkeys(group, latest))
    return fused


def _fuse_loops(loops: Sequence[Loop], groups: Sequence[_Group], outputs: Set[str | int]) -> list[_Group]:
    """Put each group in front of the group that uses it.

    This needs that no other group uses it, that iteration i uses element i, and that the group has no outputs.
    """
    group_of = {k: number for number, group in enumerate(groups) for k in group}
    users: dict[int, set[int]] = defaultdict(set)
    not_elementwise = -1
    for number, group in enumerate(groups):
        for k in group:
            for operand in _operands([loops[k]]):
                fits = operand.is_identity and _can_fuse(loops[k], loops[_number(operand)])
                users[group_of[_number(operand)]].add(number if fits else not_elementwise)
    with_outputs = {group_of[array] for array in outputs if isinstance(array, int)}
    with_outputs |= {group_of[k] for k, loop in enumerate(loops) if loop.is_reduction}
    fused_into = list(range(len(groups)))
    for number in range(len(groups) - 1, -1, -1):
        targets = {user if user == not_elementwise else fused_into[user] for user in users[number] - {number}}
        if len(targets) == 1 and not_elementwise not in targets and number not in with_outputs:
            fused_into[number] = targets.pop()
    return _grouped(groups, fused_into)
