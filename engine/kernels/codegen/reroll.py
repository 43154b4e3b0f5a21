"""Second pass: turn repeated instructions of a Program's straight line into loops over arrays.

A layer of sixteen units leaves the same instructions in a program sixteen times, on different weights. This pass makes
one statement from instructions of the same shape: the same operation on operands of the same shapes. The statement
computes an array with one element for each instruction. The pass looks at nothing but instructions, so it works for
every model. An instruction that is not repeated becomes a loop of one iteration. (LLVM has a pass LoopReroll.)

>>> from engine.program import Input, Instruction, Program
>>> inputs = tuple(Input("weight", k) for k in range(4)) + (Input("column", name="x"),)
>>> products = tuple(Instruction("mul", (k, 4)) for k in range(4))
>>> program = Program(inputs, (), products, (("loss", (5, 6, 7, 8)),))
>>> sources = {0: ("weight", 0), 1: ("weight", 1), 2: ("weight", 2), 3: ("weight", 3), 4: ("column", 0)}
>>> print(reroll(program, Computation((5, 6, 7, 8), sources, {})))
for i in 0 .. 3:
    a0[i] = mul weight[i] column[0]
return a0[0] a0[1] a0[2] a0[3]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from engine.kernels.codegen.layout import Computation, Location
from engine.kernels.codegen.loop_program import DOT, ArrayRef, Loop, LoopProgram, Operand, Statement
from engine.program import Program, Reduction

_SORT_KEY_OPERANDS = 4
"""Number of operands that the sort key of an array's elements looks at."""


def reroll(program: Program, computation: Computation) -> LoopProgram:
    """Return loops that compute the values of a computation, in an order in which they can run.

    Loop number k computes array number k.
    """
    return _Reroller(program, computation).loop_program()


@dataclass
class _Node:
    """An instruction whose operands can still change."""

    operation: str
    operands: list[int]
    has_start: bool = True


class _Reroller:
    """Groups the instructions by shape.

    `_arrays` has for each array the values that are its elements, `_locations` the location of each computed value.
    """

    def __init__(self, program: Program, computation: Computation) -> None:
        self._program = program
        self._results = computation.values
        self._sources = computation.sources
        self._sums = computation.sums
        self._nodes = self._needed_nodes()
        self._compare_with_relu()
        self._join_dots()
        self._locations: dict[int, tuple[int, int]] = {}
        self._arrays: list[list[int]] = []
        for array, values in enumerate(self._values_by_shape()):
            self._arrays.append(sorted(values, key=self._used_elements) if len(values) > 1 else values)
            self._locations.update((value, (array, element)) for element, value in enumerate(self._arrays[-1]))

    def _needed_nodes(self) -> dict[int, _Node]:
        """Return the instructions that the results need, in order."""
        program, first = self._program, self._program.first_instruction
        pending = set(self._results)
        needed: dict[int, _Node] = {}
        for value in range(max(pending, default=-1), first - 1, -1):
            if value in pending and value not in self._sources:
                operation, operands = program.instructions[value - first]
                needed[value] = _Node(operation, list(operands))
                pending.update(operands)
        return dict(reversed(needed.items()))

    def _use_counts(self) -> dict[int, int]:
        uses: dict[int, int] = defaultdict(int)
        for node in self._nodes.values():
            for operand in node.operands:
                uses[operand] += 1
        for value in self._results:
            uses[value] += 1
        return uses

    def _compare_with_relu(self) -> None:
        """Let comparisons of a with 0 compare relu(a), where the program computes it. Then a need not be stored.

        relu(a) <= 0 if and only if a <= 0, also if a is NaN.
        """
        relu = {n.operands[0]: value for value, n in self._nodes.items() if self._is_relu(n)}
        for value, node in self._nodes.items():
            result = relu.get(node.operands[0], value) if node.operation == "select" else value
            if result < value and self._program.constant(node.operands[1]) == 0.0:
                node.operands[0] = result

    def _is_relu(self, node: _Node) -> bool:
        if node.operation != "select":
            return False
        a, bound, low, high = node.operands
        return a == high and self._program.constant(bound) == self._program.constant(low) == 0.0

    def _join_dots(self) -> None:
        """Join each fma with the product or dot that it adds to, unless another instruction uses that too."""
        uses = self._use_counts()
        for value, node in list(self._nodes.items()):
            if node.operation != "fma":
                continue
            a, b, addend = node.operands
            before = self._nodes.get(addend)
            joins = before is not None and before.operation in (DOT, "mul") and uses[addend] == 1
            if before is not None and joins and self._per_sample(addend) == self._per_sample(value):
                before.has_start = before.has_start and before.operation == DOT
                before.operation = DOT
                before.operands += (a, b)
                self._nodes[value] = self._nodes.pop(addend)
            else:
                self._nodes[value] = _Node(DOT, [addend, a, b])

    def _per_sample(self, value: int) -> bool:
        return self._program.per_sample[value]

    def _values_by_shape(self) -> list[list[int]]:
        """Return the values of each shape, in an order in which the shapes can be computed."""
        shapes: dict[object, int] = {}
        shape_of: dict[int, int] = {}
        depth: dict[int, int] = {}
        values: dict[int, list[int]] = defaultdict(list)
        for value, node in self._nodes.items():
            operand_shapes = []
            for operand in node.operands:
                shape = shape_of.get(operand)
                if shape is None:
                    shape = shape_of[operand] = shapes.setdefault(self._source_shape(operand), len(shapes))
                operand_shapes.append(shape)
            key = (node.operation, node.has_start, self._per_sample(value), tuple(operand_shapes))
            shape_of[value] = shape = shapes.setdefault(key, len(shapes))
            depth[shape] = 1 + max((depth.get(operand, 0) for operand in operand_shapes), default=0)
            values[shape].append(value)
        return [values[shape] for shape in sorted(values, key=depth.__getitem__)]

    def _source_shape(self, value: int) -> object:
        """Return a value's shape: of a constant its number, of a column the column, of another source its array."""
        number = self._program.constant(value)
        if number is not None:
            return number.hex()
        array, element = self._sources[value]
        return (array, element) if array == "column" else array

    def _used_elements(self, value: int) -> list[int]:
        """Return the elements that a value uses. Sorted by these, elements are likely to be evenly spaced."""
        if value in self._sums:
            return [self._sums[value][1]]
        operands = self._nodes[value].operands[:_SORT_KEY_OPERANDS]
        return [(self._locations.get(o) or self._sources.get(o) or ("", 0))[1] for o in operands]

    def loop_program(self) -> LoopProgram:
        """Return the loops."""
        loops = tuple(self._loop(array, values) for array, values in enumerate(self._arrays))
        return LoopProgram(loops, tuple(self._output(value) for value in self._results))

    def _loop(self, array: int, values: Sequence[int]) -> Loop:
        node = self._nodes[values[0]]
        is_reduction = node.operation in Reduction.ALL
        result = self._ref([self._sums[v] if is_reduction else self._locations[v] for v in values])
        operands = tuple(self._operand(values, position) for position in range(len(node.operands)))
        statement = Statement(node.operation, operands, result, node.has_start)
        return Loop(len(values), (statement,), is_reduction or self._per_sample(values[0]))

    def _operand(self, values: Sequence[int], position: int) -> Operand:
        """Return the operand at this position in the instructions of all values."""
        operands = [self._nodes[value].operands[position] for value in values]
        number = self._program.constant(operands[0])
        if number is not None:
            return number
        return self._ref([self._locations.get(operand) or self._sources[operand] for operand in operands])

    def _ref(self, locations: Sequence[Location]) -> ArrayRef:
        return ArrayRef(locations[0][0], tuple(element for _, element in locations))

    def _output(self, value: int) -> Location | float:
        number = self._program.constant(value)
        if number is not None:
            return number
        return self._sources.get(value) or self._sums.get(value) or self._locations[value]
