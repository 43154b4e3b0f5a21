"""`Parameter`: a number in a graph that remembers how it was computed, and so can compute its gradient.

The class extends the notebook's. The idea, and much of the notebook, come from Andrej Karpathy's micrograd.

>>> a, b = Parameter(9.0, "a"), Parameter(2.0, "b")
>>> loss = a * b + 5
>>> loss.backward()
>>> print(b)
Parameter b = 2.0; dL/d[b] = 9.0
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from engine import operations as ops
from engine.expressions import expression
from engine.gates import Gates
from engine.operations import Operand, Operation, Scalar


class Parameter(Operand):
    """A node of a graph: a value, its gradient, and the operation and operands that it was computed from.

    `Parameter(9.0, "a")` is a leaf. Operators and methods return inner nodes; the other operand may be a plain number.
    `loss.backward()` adds d loss / d node to the `grad` of each node.

    Arithmetic follows IEEE 754, as in the kernels: 1 / 0 is inf and log(-1) is nan, never an exception.
    """

    __slots__ = ("_given_name", "_grad", "_operation", "_parents", "_value")
    trace_level: ClassVar[int] = 2

    def __init__(self, value: Scalar, name: str | None = None) -> None:
        """Make a leaf.

        value: a number, or an array with one number for each trial or sample.
        name: name in texts and pictures; the value if left out.

        Raises TypeError if `value` is something else.
        """
        self._value: Scalar = _checked(value)
        self._grad: Scalar = 0.0
        self._given_name = name
        self._operation: Operation | None = None
        self._parents: tuple[Parameter, ...] = ()

    @property
    def value(self) -> Any:
        """The number or array."""
        return self._value

    @value.setter
    def value(self, value: Scalar) -> None:
        self._value = _checked(value)

    @property
    def grad(self) -> Any:
        """d loss / d self, summed over the calls of `backward` since the last `zero_grad`."""
        return self._grad

    @grad.setter
    def grad(self, grad: Scalar) -> None:
        self._grad = grad

    @property
    def name(self) -> str:
        """The given name, or the expression as text: see `expressions.expression`."""
        return expression(self)

    @name.setter
    def name(self, name: str | None) -> None:
        self._given_name = name

    @property
    def given_name(self) -> str | None:
        """The given name, or None."""
        return self._given_name

    @property
    def parents(self) -> tuple[Parameter, ...]:
        """The operands that this was computed from, in order; empty for a leaf."""
        return self._parents

    @property
    def operation(self) -> Operation | None:
        """The operation that computed this; None for a leaf."""
        return self._operation

    def apply(self, operation: Operation, operands: tuple[Scalar, ...]) -> Parameter:
        """Return a new node of the graph. Plain numbers among the operands become unnamed leaves."""
        parents = tuple(o if isinstance(o, Parameter) else Parameter(o) for o in operands)
        node = Parameter(operation(*(p._value for p in parents)))
        node._operation = operation
        node._parents = parents
        return node

    def factors(self) -> tuple[Parameter, Parameter] | None:
        return (self._parents[0], self._parents[1]) if self._operation is ops.mul else None

    def backward(self) -> None:
        """Add d self / d node to the gradient of self and of every node that self was computed from.

        Each call propagates its own gradient. So the sums are right if two graphs share nodes, or after two calls. The
        method does not recurse, so only memory limits the length of a graph.
        """
        order = topological_order(self)
        gates = Gates(order)
        cotangents: dict[Parameter, Scalar] = {self: 1.0}
        with np.errstate(all="ignore"):
            for node in reversed(order):
                gradient = cotangents.pop(node, None)
                if gradient is None:
                    continue
                node._grad = node._grad + gradient if _nonzero(node._grad) else gradient
                for parent, slope in node._vjps(gradient, gates):
                    cotangents[parent] = cotangents[parent] + slope if parent in cotangents else slope

    def _backward(self) -> None:
        """Do the notebook's single step: add the chain rule's products to the gradients of the operands."""
        for parent, slope in self._vjps(self._grad, Gates(())):
            parent._grad = parent._grad + slope

    def _vjps(self, gradient: Scalar, gates: Gates) -> Iterator[tuple[Parameter, Scalar]]:
        """Yield each operand with the number that this node's gradient adds to the operand's."""
        slopes = gates.vjps(self, gradient, self._value, [p._value for p in self._parents])
        for parent, slope in zip(self._parents, slopes, strict=True):
            if slope is not None:
                yield parent, slope

    def zero_grad(self) -> None:
        """Set the gradient to 0."""
        self._grad = 0.0

    def __repr__(self) -> str:
        name = self.name
        return f"Parameter {name} = {self._value}; dL/d[{name}] = {self._grad}"

    def __float__(self) -> float:
        return float(self._value)

    # Comparisons compare values. While a model is traced, values are not known, and comparisons raise TraceError.

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Return whether this is the same node as another, or has the value of a plain number."""
        if isinstance(other, (int, float, np.number)):
            return bool(self._value == other)
        return self is other

    __hash__ = Operand.__hash__

    def __lt__(self, other: Scalar) -> bool:
        return bool(self._value < value_of(other))

    def __le__(self, other: Scalar) -> bool:
        return bool(self._value <= value_of(other))

    def __gt__(self, other: Scalar) -> bool:
        return bool(self._value > value_of(other))

    def __ge__(self, other: Scalar) -> bool:
        return bool(self._value >= value_of(other))

    # Each method below applies the operation of its name; engine.operations has their formulas.

    def exp(self) -> Any:
        return ops.exp(self)

    def log(self) -> Any:
        return ops.log(self)

    def sqrt(self) -> Any:
        return ops.sqrt(self)

    def maximum(self, other: Scalar) -> Any:
        return ops.maximum(self, other)

    def minimum(self, other: Scalar) -> Any:
        return ops.minimum(self, other)

    def identity(self) -> Any:
        return ops.identity(self)

    def relu(self) -> Any:
        return ops.relu(self)

    def leaky_relu(self) -> Any:
        return ops.leaky_relu(self)

    def elu(self) -> Any:
        return ops.elu(self)

    def selu(self) -> Any:
        return ops.selu(self)

    def gelu(self) -> Any:
        return ops.gelu(self)

    def gelu_exact(self) -> Any:
        return ops.gelu_exact(self)

    def sigmoid(self) -> Any:
        return ops.sigmoid(self)

    def tanh(self) -> Any:
        return ops.tanh(self)

    def silu(self) -> Any:
        return ops.silu(self)

    def softplus(self) -> Any:
        return ops.softplus(self)

    def mish(self) -> Any:
        return ops.mish(self)

    def hard_tanh(self) -> Any:
        return ops.hard_tanh(self)

    def sin(self) -> Any:
        return ops.sin(self)

    def cos(self) -> Any:
        return ops.cos(self)

    def erf(self) -> Any:
        return ops.erf(self)


def topological_order(root: Parameter) -> list[Parameter]:
    """Return the nodes that `root` depends on, each once and after its operands; `root` is last."""
    order: list[Parameter] = []
    visited = {root}
    stack = [(root, iter(root.parents))]
    while stack:
        node, parents = stack[-1]
        for parent in parents:
            if parent not in visited:
                visited.add(parent)
                stack.append((parent, iter(parent.parents)))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def _checked(value: Scalar) -> Scalar:
    if isinstance(value, (Operand, np.ndarray)):
        return value
    if isinstance(value, (int, float, np.floating, np.integer)):
        return float(value)
    raise TypeError(f"a Parameter holds a number, not {value!r} of type {type(value).__name__}")


def value_of(scalar: Scalar) -> Any:
    """Return the value of a Parameter; any other scalar is returned as it is."""
    return scalar._value if isinstance(scalar, Parameter) else scalar


def _nonzero(gradient: Scalar) -> bool:
    """Return whether a gradient is not the number 0. Adding to 0.0 would be a needless instruction of a trace."""
    return not (isinstance(gradient, float) and gradient == 0.0)
