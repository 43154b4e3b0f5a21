"""`RolledTrace`: a trace whose symbols can have axes. It builds a `RolledProgram`.

>>> trace = RolledTrace([3, 2])  # three features, a layer of two units
>>> weights, features = trace.family("weight", 0, [1, 0]), trace.family("feature", 0, [0])
>>> means = trace.sample_mean(trace.contract([weights, features], (0,)))
>>> print(trace.rolled({"means": [(means, 0, (1,))]}, (), (), 0))
%0[l1,l0] = weight 0
%1[l0] = feature 0
%2[l1] = sum over l0 of %0 * %1
%3[l1] = sample_mean %2
means -> %3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from engine.operations import Scalar
from engine.program import Instruction
from engine.rolled import Axes, Contraction, Family, Node, Pick, Place, RolledProgram, Stack, axes_of, operands_of
from engine.tensors import Tensor
from engine.tracing import Symbol, Trace


class RolledTrace(Trace):
    """A trace whose values can be arrays, indexed by axes such as the features and the units of a layer.

    sizes: number of elements of each axis.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self._axes: list[Axes] = []
        self._pick_of: dict[int, int] = {}

    def _add(self, node: Any, per_sample: bool) -> int:
        index = super()._add(node, per_sample)
        if index == len(self._axes):
            self._axes.append(axes_of(node, self._axes))
        return index

    def node(self, index: int) -> Node:
        """Return the node with this index."""
        return cast(Node, self._nodes[index])

    def axes(self, value: Scalar) -> Axes:
        """Return the axes of a value."""
        return self._axes[self.index_of(value)]

    def family(self, kind: str, base: int, axes: Sequence[int], scale: int = 1) -> Symbol:
        """Return inputs along these axes, in C order.

        base: position of the first one. scale: distance from one to the next.
        """
        kept, strides, stride = [], [], scale
        for axis in reversed(axes):
            if self.sizes[axis] > 1:
                kept.append(axis)
                strides.append(stride)
            stride *= self.sizes[axis]
        node = Family(kind, base, tuple(reversed(kept)), tuple(reversed(strides)))
        return Symbol(self, self._add(node, kind in ("feature", "target")))

    def column(self, name: str) -> Symbol:
        return Symbol(self, self._add(Family("column", name=name), False))

    def single(self, kind: str) -> Symbol:
        """Return an input without axes."""
        return Symbol(self, self._add(Family(kind), False))

    def _new(self, node: Node) -> Symbol:
        return Symbol(self, self._add(node, any(self._per_sample[operand] for operand in operands_of(node))))

    def contract(
        self, factors: Sequence[Scalar], axes: Axes, start: Scalar | None = None, *, descending: bool = False
    ) -> Scalar:
        """Return the sum of values, or of products of two, along axes; added to `start` if it is given."""
        axes = tuple(axis for axis in axes if self.sizes[axis] > 1)
        if not axes:
            term = factors[0] if len(factors) == 1 else factors[0] * factors[1]
            return term if start is None else start + term
        operands = [] if start is None else [self.index_of(start)]
        operands += [self.index_of(factor) for factor in factors]
        return self._new(Contraction(tuple(operands), axes, start is not None, descending))

    def elements(self, value: Scalar, axis: int) -> list[Scalar]:
        """Return each element of a value along its only axis."""
        if not self.axes(value):
            return [value]
        return [self._new(Pick((self.index_of(value),), k)) for k in range(self.sizes[axis])]

    def stack(self, values: Sequence[Scalar], axis: int) -> Scalar:
        """Return values without axes as one value along an axis. Equal operations on them become one operation."""
        if len(values) == 1:
            return values[0]
        indexes = tuple(self.index_of(value) for value in values)
        return self.scalar(self._stack(indexes, axis))

    def _stack(self, indexes: tuple[int, ...], axis: int) -> int:
        nodes = [self.node(index) for index in indexes]
        if len(set(indexes)) == 1:
            return indexes[0]
        picks = [node for node in nodes if isinstance(node, Pick)]
        if len(picks) == len(nodes) == self.sizes[axis] and len({pick.operands for pick in picks}) == 1:
            (source,) = picks[0].operands
            if self._axes[source] == (axis,) and [pick.element for pick in picks] == list(range(len(picks))):
                return source
        instructions = [node for node in nodes if isinstance(node, Instruction)]
        if len(instructions) == len(nodes) and len({node.operation for node in instructions}) == 1:
            columns = zip(*(node.operands for node in instructions), strict=True)
            operands = tuple(self._stack(column, axis) for column in columns)
            family = self.index_of(self.record(instructions[0].operation, operands))
            for k, index in enumerate(indexes):
                self._pick_of.setdefault(index, self._new(Pick((family,), k)).index)
            return family
        return self._new(Stack(indexes, axis)).index

    def rolled(
        self,
        outputs: Mapping[str, Sequence[tuple[Scalar, int, tuple[int, ...]]]],
        tensors: tuple[Tensor, ...],
        shared_state: tuple[float, ...],
        slots: int,
    ) -> RolledProgram:
        """Return the program that computes these outputs: name -> (value, base, strides) of each place."""
        places = {name: [(self.index_of(v), b, s) for v, b, s in values] for name, values in outputs.items()}
        roots = [index for values in places.values() for index, _, _ in values]
        order = self._order(roots)
        if not self._is_sorted(order):  # an element needs another element of its own stack
            self._pick_of = {}
            order = self._order(roots)
        families = sorted(index for index in order if isinstance(self.node(index), Family))
        order = [*families, *(index for index in order if not isinstance(self.node(index), Family))]
        number = {index: n for n, index in enumerate(order)}
        nodes = [self._renumbered(self.node(index), number) for index in order]
        found = tuple((name, tuple(Place(number[i], b, s) for i, b, s in values)) for name, values in places.items())
        return RolledProgram(tuple(nodes), self.sizes, found, tensors, shared_state, slots)

    def _operands(self, index: int) -> tuple[int, ...]:
        """Return a node's operands. An element of a stacked value is read from that, and not computed again."""
        return tuple(self._pick_of.get(operand, operand) for operand in operands_of(self.node(index)))

    def _renumbered(self, node: Node, number: Mapping[int, int]) -> Node:
        if isinstance(node, (float, Family)):
            return node
        return node._replace(operands=tuple(number[self._pick_of.get(o, o)] for o in node.operands))

    def _is_sorted(self, order: Sequence[int]) -> bool:
        place = {index: n for n, index in enumerate(order)}
        return all(place[operand] < place[index] for index in order for operand in self._operands(index))
