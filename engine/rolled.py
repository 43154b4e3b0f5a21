"""`RolledProgram`: the training step of a wide network, as operations on whole layers instead of single scalars.

A wide network repeats the same instructions for each unit and each weight. A rolled program has one node for all of
them, with an *axis* for each layer that it goes along: axis 0 is the features, axis l the units of layer l. A node of a
layer's weights has two axes, one of its units has one, the loss has none. So its size grows with the layers, not with
the weights. A layer is a `Contraction`: a sum of products along an axis, in a fixed order.

A rolled program is a Program: whatever asks for its instructions gets the same straight line of scalars as for a small
network, written out at that moment.

>>> from engine.losses import LOSSES
>>> from engine.optimizers import OPTIMIZERS
>>> from engine.nn import MLP
>>> from engine.step import UpdateRule
>>> from engine.rolled_tracing import trace_rolled
>>> rule = UpdateRule(OPTIMIZERS["sgd"])
>>> program = trace_rolled(MLP([20, 30, 1]), LOSSES["mean_squared_error"], rule, targets=1)
>>> print("\\n".join(str(program).splitlines()[:9]))
%0[l1,l0] = weight 0
%1[l1] = weight 600
%2[l1] = weight 630
%3 = weight 660
%4[l0] = feature 0
%5 = target 0
%6 = column learning_rate
%7[l1] = sum over l0 of %0 * %4, from %1 on
%8[l1] = tanh %7
>>> len(program.nodes) < 100 and len(program.instructions) > 5_000
True
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from engine.program import Input, Instruction, Program, Reduction, describe_input
from engine.tensors import Tensor

Axes: TypeAlias = tuple[int, ...]
"""Numbers of layers, from the last to the first. An axis of one element is left out."""


class Family(NamedTuple):
    """Inputs of one kind.

    kind, name: as in `Input`.
    base: position of the first one.
    axes: its axes.
    strides: distance between positions along each axis.
    """

    kind: str
    base: int = 0
    axes: Axes = ()
    strides: tuple[int, ...] = ()
    name: str = ""


class Contraction(NamedTuple):
    """A sum along axes, of values or of products of two. Its terms are added one after another.

    operands: one or two factors of a term; before them the value to start with, if there is one.
    axes: the axes of the sum. The last one varies fastest.
    has_start: whether there is a value to start with.
    descending: whether the terms are added from the last to the first.
    """

    operands: tuple[int, ...]
    axes: Axes
    has_start: bool
    descending: bool = False

    @property
    def factors(self) -> tuple[int, ...]:
        """The factors of a term."""
        return self.operands[self.has_start :]


class Pick(NamedTuple):
    """One element of a value along its only axis."""

    operands: tuple[int, ...]
    element: int


class Stack(NamedTuple):
    """Values without axes, put side by side along an axis."""

    operands: tuple[int, ...]
    axis: int


Node: TypeAlias = Family | float | Instruction | Contraction | Pick | Stack


class Place(NamedTuple):
    """The place of a value in a flat output.

    node: number of the node.
    base: position of its first element.
    strides: distance between positions along each of its axes.
    """

    node: int
    base: int
    strides: tuple[int, ...] = ()


def operands_of(node: Node) -> tuple[int, ...]:
    """Return the numbers of the nodes that a node uses."""
    return () if isinstance(node, (Family, float)) else node.operands


class RolledProgram(Program):
    """A training step as nodes along axes; see the module.

    nodes: the nodes, each after those that it uses.
    sizes: number of elements of each axis.
    places: name of an output -> the places of its values.
    tensors, initial_state: as in `Program`.
    """

    def __init__(
        self,
        nodes: tuple[Node, ...],
        sizes: tuple[int, ...],
        places: tuple[tuple[str, tuple[Place, ...]], ...],
        tensors: tuple[Tensor, ...],
        shared_state: tuple[float, ...],
        slots: int,
    ) -> None:
        fields = {
            "nodes": nodes,
            "sizes": sizes,
            "places": places,
            "tensors": tensors,
            "shared_state": shared_state,
            "slots": slots,
        }
        self.__dict__.update(fields)

    nodes: tuple[Node, ...]
    sizes: tuple[int, ...]
    places: tuple[tuple[str, tuple[Place, ...]], ...]
    shared_state: tuple[float, ...]
    slots: int

    @property
    def _identity(self) -> tuple[Any, ...]:
        # 0.0 and -0.0 are equal numbers, but different constants
        nodes = tuple(node.hex() if isinstance(node, float) else node for node in self.nodes)
        return nodes, self.sizes, self.places, self.tensors, self.shared_state, self.slots

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RolledProgram) and self._identity == other._identity

    @cached_property
    def _hash(self) -> int:
        return hash(self._identity)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return RolledProgram, (self.nodes, self.sizes, self.places, self.tensors, self.shared_state, self.slots)

    # ------------------------------------------------------------------------------------------ the fields of a Program

    @cached_property
    def scalars(self) -> Program:
        """The same step as a straight line of scalars. It grows with the number of weights."""
        from engine.written_out import written_out  # which imports this module

        return written_out(self)

    @property
    def inputs(self) -> tuple[Input, ...]:
        return self.scalars.inputs

    @property
    def constants(self) -> tuple[float, ...]:
        return self.scalars.constants

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        return self.scalars.instructions

    @property
    def outputs(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return self.scalars.outputs

    @cached_property
    def initial_state(self) -> tuple[float, ...]:
        return (*self.shared_state, *[0.0] * (self.weight_count * self.slots))

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.places)

    def are_means(self, name: str) -> list[bool]:
        flags: dict[int, bool] = {}
        for place in dict(self.places)[name]:
            node = self.nodes[place.node]
            is_mean = isinstance(node, Instruction) and node.operation == Reduction.MEAN
            for index in product(*(range(self.sizes[axis]) for axis in self.axes[place.node])):
                flags[place.base + sum(k * stride for k, stride in zip(index, place.strides, strict=True))] = is_mean
        return [flags[position] for position in range(len(flags))]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes if isinstance(node, Family) and node.kind == "column")

    def input_count(self, kind: str) -> int:
        families = [node for node in self.nodes if isinstance(node, Family) and node.kind == kind]
        return max(
            (
                f.base + 1 + sum(s * (self.sizes[a] - 1) for a, s in zip(f.axes, f.strides, strict=True))
                for f in families
            ),
            default=0,
        )

    def only(self, *names: str) -> Program:
        return self.scalars.only(*names)

    # ------------------------------------------------------------------------------------------------ facts about nodes

    @cached_property
    def axes(self) -> tuple[Axes, ...]:
        """The axes of each node."""
        axes: list[Axes] = []
        for node in self.nodes:
            axes.append(axes_of(node, axes))
        return tuple(axes)

    @cached_property
    def per_sample_nodes(self) -> tuple[bool, ...]:
        """A flag for each node: whether it differs from sample to sample."""
        flags: list[bool] = []
        for node in self.nodes:
            if isinstance(node, Family):
                flags.append(node.kind in ("feature", "target"))
            else:
                reduces = isinstance(node, Instruction) and node.operation in Reduction.ALL
                flags.append(not reduces and any(flags[operand] for operand in operands_of(node)))
        return tuple(flags)

    def elements(self, axes: Axes) -> int:
        """Return the number of elements of a value with these axes."""
        count = 1
        for axis in axes:
            count *= self.sizes[axis]
        return count

    def operation_count(self, number: int) -> int:
        """Return the number of scalar operations of a node."""
        node = self.nodes[number]
        if isinstance(node, Contraction):
            return self.elements(self.axes[number]) * self.elements(node.axes)
        return self.elements(self.axes[number]) if isinstance(node, Instruction) else 0

    def _lines(self) -> Iterator[str]:
        for number, node in enumerate(self.nodes):
            axes = ",".join(f"l{axis}" for axis in self.axes[number])
            yield f"%{number}{f'[{axes}]' if axes else ''} = {_text(node)}"
        for name, places in self.places:
            yield f"{name} -> " + " ".join(f"%{place.node}" for place in places)


def axes_of(node: Node, axes: Any) -> Axes:
    """Return a node's axes, given those of the nodes before it."""
    if isinstance(node, Family):
        return node.axes
    if isinstance(node, (float, Pick)):
        return ()
    if isinstance(node, Stack):
        return (node.axis,)
    union = {axis for operand in node.operands for axis in axes[operand]}
    if isinstance(node, Contraction):
        union -= {*node.axes}
    return tuple(sorted(union, reverse=True))


def _text(node: Node) -> str:
    if isinstance(node, float):
        return f"constant {node!r}"
    if isinstance(node, Family):
        return describe_input(node.kind, node.base, node.name)
    if isinstance(node, Pick):
        return f"element {node.element} of %{node.operands[0]}"
    if isinstance(node, Stack):
        return "stack " + " ".join(f"%{operand}" for operand in node.operands)
    if isinstance(node, Contraction):
        axes = ",".join(f"l{axis}" for axis in node.axes)
        terms = " * ".join(f"%{factor}" for factor in node.factors)
        start = f", from %{node.operands[0]} on" if node.has_start else ""
        return f"sum over {axes}{', last first,' if node.descending else ''} of {terms}{start}"
    return f"{node.operation} " + " ".join(f"%{operand}" for operand in node.operands)
