"""Rolling a Program up: what its straight line does again and again becomes loops over arrays.

A layer of sixteen units leaves sixteen times the same instructions in a program, on other weights. Instructions of the
same *shape* (the same operation on operands of the same shapes) are the members of one array here, and statements over
as many members that follow one from another share a loop. It is found in the instructions alone, so it serves every
model; what repeats nothing stays a loop of one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.program import Program, Reduction

DOT = "dot"
"""start + a b + c d + ...: multiplications and additions that follow each other, each pair rounded once."""

_COMPARED = 4
"""Operands of a member by which it is put in order."""

Place = tuple[str | int, int]
"""An array and an element of it: by name what comes from outside, by number what is computed here."""


@dataclass(frozen=True, eq=False)
class Reference:
    """An operand of a statement: an array, and for each member the element that it takes."""

    array: str | int
    elements: tuple[int, ...]

    @property
    def is_own(self) -> bool:
        """Whether each member takes the element of its own number."""
        return all(element == member for member, element in enumerate(self.elements))


@dataclass(frozen=True)
class Statement:
    """One operation for every member of a loop. A number among the operands is the same for each.

    `result`: the array of the results, or for a reduction the sums that they are added to. `stored`: whether another
    loop or somebody outside wants them. A dot without a start begins with a product.
    """

    operation: str
    operands: tuple[Reference | float, ...]
    result: Reference
    stored: bool
    has_start: bool = True


@dataclass(frozen=True)
class Loop:
    """Statements that are done for each member in turn, and where `per_sample` is set for each sample."""

    members: int
    statements: tuple[Statement, ...]
    per_sample: bool


@dataclass(frozen=True)
class Rolled:
    """Loops in the order in which they can be run. `places`: where each of the wanted values is found afterwards."""

    loops: tuple[Loop, ...]
    places: tuple[Place | float, ...]
    sizes: Mapping[int, int]
    """Array -> members, of the arrays that are stored."""
    per_sample: Mapping[int, bool]
    """Array -> whether each sample has a value of its own."""


@dataclass
class _Node:
    operation: str
    operands: list[int]
    has_start: bool = True


def roll(
    program: Program, wanted: Sequence[int], sources: Mapping[int, Place], sums: Mapping[int, Place] | None = None
) -> Rolled:
    """Loops that compute the wanted values; `sources` are the values that are there, constants apart.

    `sums`: where each of the reductions among the wanted adds up. Other reductions must be sources.
    """
    return _Roller(program, wanted, sources, sums or {}).rolled()


class _Roller:
    def __init__(
        self, program: Program, wanted: Sequence[int], sources: Mapping[int, Place], sums: Mapping[int, Place]
    ) -> None:
        self._program = program
        self._wanted = wanted
        self._sources = sources
        self._sums = sums
        self._nodes = self._reachable()
        self._users = self._count_users()
        self._join_dots()
        self._members, self._places = self._arrays()

    def _reachable(self) -> dict[int, _Node]:
        """The instructions that the wanted values need, in order."""
        program, first = self._program, self._program.first_instruction
        pending = set(self._wanted)
        needed: dict[int, _Node] = {}
        for value in range(max(pending, default=-1), first - 1, -1):
            if value in pending and value not in self._sources:
                operation, operands = program.instructions[value - first]
                needed[value] = _Node(operation, list(operands))
                pending.update(operands)
        return dict(reversed(needed.items()))

    def _count_users(self) -> dict[int, int]:
        users: dict[int, int] = defaultdict(int)
        for node in self._nodes.values():
            for operand in node.operands:
                users[operand] += 1
        for value in self._wanted:
            users[value] += 1
        return users

    def _join_dots(self) -> None:
        """Fold each fma into the product or dot that it adds to, where nobody else wants that one."""
        for value, node in list(self._nodes.items()):
            if node.operation != "fma":
                continue
            a, b, addend = node.operands
            before = self._nodes.get(addend)
            folds = before is not None and before.operation in (DOT, "mul") and self._users[addend] == 1
            if before is not None and folds and self._per_sample(addend) == self._per_sample(value):
                before.has_start = before.has_start and before.operation == DOT
                before.operation = DOT
                before.operands += (a, b)
                self._nodes[value] = self._nodes.pop(addend)
            else:
                self._nodes[value] = _Node(DOT, [addend, a, b])

    def _per_sample(self, value: int) -> bool:
        return self._program.per_sample[value]

    def _arrays(self) -> tuple[list[list[int]], dict[int, tuple[int, int]]]:
        """Values of one shape are the members of one array; arrays in an order in which they can be computed.

        Members are in the order of the elements that they use, so that these are likely to lie evenly; reductions in
        that of their sums, which are read and written.
        """
        shapes: dict[object, int] = {}
        shape_of: dict[int, int] = {}
        depth: dict[int, int] = {}
        members: dict[int, list[int]] = defaultdict(list)
        for value, node in self._nodes.items():
            parts = []
            for operand in node.operands:
                shape = shape_of.get(operand)
                if shape is None:
                    shape = shape_of[operand] = shapes.setdefault(self._outside_shape(operand), len(shapes))
                parts.append(shape)
            key = (node.operation, node.has_start, self._per_sample(value), tuple(parts))
            shape_of[value] = shape = shapes.setdefault(key, len(shapes))
            depth[shape] = 1 + max((depth.get(part, 0) for part in parts), default=0)
            members[shape].append(value)
        places: dict[int, tuple[int, int]] = {}

        def used(value: int) -> list[int]:
            if value in self._sums:
                return [self._sums[value][1]]
            operands = self._nodes[value].operands[:_COMPARED]
            return [(places.get(o) or self._sources.get(o) or ("", 0))[1] for o in operands]

        arrays = []
        for array, shape in enumerate(sorted(members, key=depth.__getitem__)):
            arrays.append(sorted(members[shape], key=used) if len(members[shape]) > 1 else members[shape])
            places.update((value, (array, m)) for m, value in enumerate(arrays[-1]))
        return arrays, places

    def _outside_shape(self, value: int) -> object:
        number = self._program.constant(value)
        if number is not None:
            return number.hex()
        array, element = self._sources[value]
        return (array, element) if array == "column" else array

    def _reference(self, array: int, position: int) -> Reference | float:
        values = [self._nodes[value].operands[position] for value in self._members[array]]
        number = self._program.constant(values[0])
        if number is not None:
            return number
        places = [self._places.get(value) or self._sources[value] for value in values]
        return Reference(places[0][0], tuple(element for _, element in places))

    def rolled(self) -> Rolled:
        operands = [
            tuple(self._reference(array, k) for k in range(len(self._nodes[values[0]].operands)))
            for array, values in enumerate(self._members)
        ]
        loops = self._sink_loops(self._merge(self._sink(operands), operands), operands)
        loop_of = {array: number for number, loop in enumerate(loops) for array in loop}
        stored = {self._places[value][0] for value in self._wanted if value in self._places}
        for array, references in enumerate(operands):
            for array_used in _arrays_in(references):
                if loop_of[array_used] != loop_of[array]:
                    stored.add(array_used)
        made = tuple(self._loop(loop, operands, stored) for loop in loops)
        sizes = {array: len(self._members[array]) for array in sorted(stored) if not self._is_reduction(array)}
        per_sample = {array: self._per_sample(self._members[array][0]) for array in sizes}
        return Rolled(made, tuple(self._end(value) for value in self._wanted), sizes, per_sample)

    def _end(self, value: int) -> Place | float:
        number = self._program.constant(value)
        if number is not None:
            return number
        return self._sources.get(value) or self._sums.get(value) or self._places[value]

    def _sink(self, operands: Sequence[Sequence[Reference | float]]) -> list[int]:
        """For each array the one whose loop it is computed in: its users', where that is one and member for member."""
        users: dict[int, set[int]] = defaultdict(set)
        own: dict[int, bool] = defaultdict(lambda: True)
        for array, references in enumerate(operands):
            for reference in references:
                if isinstance(reference, Reference) and isinstance(reference.array, int):
                    users[reference.array].add(array)
                    own[reference.array] &= reference.is_own
        home = list(range(len(operands)))
        for array in range(len(operands) - 1, -1, -1):
            homes = {home[user] for user in users[array]}
            if len(homes) == 1 and own[array]:
                (target,) = homes
                if self._fits(array, target) and all(
                    len(self._members[u]) == len(self._members[array]) for u in users[array]
                ):
                    home[array] = target
        return home

    def _fits(self, array: int, other: int) -> bool:
        """Whether two arrays' statements can stand in one loop: as many members, and both per sample or neither."""
        return len(self._members[array]) == len(self._members[other]) and (
            self._runs_per_sample(array) == self._runs_per_sample(other)
        )

    def _runs_per_sample(self, array: int) -> bool:
        return self._is_reduction(array) or self._per_sample(self._members[array][0])

    def _is_reduction(self, array: int) -> bool:
        return self._nodes[self._members[array][0]].operation in Reduction.ALL

    def _merge(self, home: Sequence[int], operands: Sequence[Sequence[Reference | float]]) -> list[list[int]]:
        """Loops, each joined to the one that the last of its operands comes from, where that is member for member."""
        grouped: dict[int, list[int]] = defaultdict(list)
        for array, target in enumerate(home):
            grouped[target].append(array)
        loops: list[list[int]] = []
        loop_of: dict[int, int] = {}
        for target in sorted(grouped):
            arrays = grouped[target]
            own: dict[int, bool] = {}
            for array in arrays:
                for reference in operands[array]:
                    if isinstance(reference, Reference) and isinstance(reference.array, int):
                        number = loop_of.get(reference.array)
                        if number is not None:
                            own[number] = own.get(number, True) and reference.is_own
            last = max(own, default=-1)
            if last >= 0 and own[last] and self._fits(target, loops[last][0]):
                loops[last].extend(arrays)
            else:
                last = len(loops)
                loops.append(arrays)
            loop_of.update(dict.fromkeys(arrays, last))
        return loops

    def _sink_loops(
        self, loops: Sequence[list[int]], operands: Sequence[Sequence[Reference | float]]
    ) -> list[list[int]]:
        """Loops, each put before its users' where these are one loop, and member for member."""
        loop_of = {array: number for number, arrays in enumerate(loops) for array in arrays}
        users: dict[int, set[int]] = defaultdict(set)
        for number, arrays in enumerate(loops):
            for array in arrays:
                for reference in operands[array]:
                    if isinstance(reference, Reference) and isinstance(reference.array, int):
                        own = reference.is_own and self._fits(array, reference.array)
                        users[loop_of[reference.array]].add(number if own else -1)
        ends = {loop_of[self._places[value][0]] for value in self._wanted if value in self._places}
        home = list(range(len(loops)))
        for number in range(len(loops) - 1, -1, -1):
            homes = {-1 if user < 0 else home[user] for user in users[number] - {number}}
            if len(homes) == 1 and -1 not in homes and number not in ends:
                home[number] = homes.pop()
        gathered: dict[int, list[int]] = defaultdict(list)
        for number, arrays in enumerate(loops):
            gathered[home[number]] += arrays
        return [gathered[number] for number in sorted(gathered)]

    def _loop(self, arrays: Iterable[int], operands: Sequence[tuple[Reference | float, ...]], stored: set[int]) -> Loop:
        statements = []
        for array in arrays:
            values = self._members[array]
            node = self._nodes[values[0]]
            result = Reference(array, tuple(range(len(values))))
            if node.operation in Reduction.ALL:
                places = [self._sums[value] for value in values]
                result = Reference(places[0][0], tuple(element for _, element in places))
            statements.append(Statement(node.operation, operands[array], result, array in stored, node.has_start))
            members, per_sample = len(values), self._runs_per_sample(array)
        return Loop(members, tuple(statements), per_sample)


def _arrays_in(references: Iterable[Reference | float]) -> Iterable[int]:
    for reference in references:
        if isinstance(reference, Reference) and isinstance(reference.array, int):
            yield reference.array
