"""`Parameter`: one number in a graph that remembers how it came about, and so knows its gradient.

The class of the notebook, grown up. The idea, and much of the notebook, is Andrej Karpathy's micrograd.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from engine import operations as ops
from engine.gates import Gates
from engine.operations import Operand, Operation, Scalar

MAX_NAME_LENGTH = 10_000
"""Characters of a name that are built at most; a graph that shares nodes can spell exponentially many."""

_LOOSE = frozenset({"mul", "div", "neg", "power"})


class Parameter(Operand):
    """A value, its gradient, and the operation and operands that it was computed from.

    `Parameter(9.0, "a")` is a leaf; operators and methods make the inner nodes. Plain numbers may stand on either
    side of an operator. After `loss.backward()` each node's `grad` holds d loss / d node, added to what it held before.

    Arithmetic follows IEEE 754, as the kernels do: 1 / 0 is inf and log(-1) is nan, never an exception.
    """

    __slots__ = ("_given_name", "_grad", "_operation", "_parents", "_value")
    precedence: ClassVar[int] = 2

    def __init__(self, value: Scalar, name: str | None = None) -> None:
        """Make a leaf. Raises TypeError where `value` is no number."""
        self._value: Scalar = _checked(value)
        self._grad: Scalar = 0.0
        self._given_name = name
        self._operation: Operation | None = None
        self._parents: tuple[Parameter, ...] = ()

    @property
    def value(self) -> Any:
        """The number itself."""
        return self._value

    @value.setter
    def value(self, value: Scalar) -> None:
        self._value = _checked(value)

    @property
    def grad(self) -> Any:
        """d loss / d this, summed over the calls of `backward` since it was last zeroed."""
        return self._grad

    @grad.setter
    def grad(self, grad: Scalar) -> None:
        self._grad = grad

    @property
    def name(self) -> str:
        """The given name, or the expression spelt out, cut with an ellipsis after MAX_NAME_LENGTH characters."""
        return _spell(self)

    @name.setter
    def name(self, name: str | None) -> None:
        self._given_name = name

    _name = name

    @property
    def given_name(self) -> str | None:
        """The name that was given, if any."""
        return self._given_name

    @property
    def parents(self) -> tuple[Parameter, ...]:
        """The operands this was computed from, in order; empty for a leaf."""
        return self._parents

    @property
    def operation(self) -> Operation | None:
        """The operation this was computed by; None for a leaf."""
        return self._operation

    def apply(self, operation: Operation, operands: tuple[Scalar, ...]) -> Parameter:
        """Compute a new node of the graph; plain numbers among the operands become unnamed leaves."""
        parents = tuple(o if isinstance(o, Parameter) else Parameter(o) for o in operands)
        node = Parameter(operation(*(p._value for p in parents)))
        node._operation = operation
        node._parents = parents
        return node

    def factors(self) -> tuple[Parameter, Parameter] | None:
        return (self._parents[0], self._parents[1]) if self._operation is ops.mul else None

    def backward(self) -> None:
        """Add d self / d node to the gradient of every node that self was computed from, self included.

        Each call passes its own gradient down, so nodes shared by two graphs, or a graph gone through twice, add up
        right. No recursion: the length of a graph is limited by memory alone.
        """
        order = topological_order(self)
        gates = Gates(order)
        passing: dict[Parameter, Scalar] = {self: 1.0}
        with np.errstate(all="ignore"):
            for node in reversed(order):
                gradient = passing.pop(node, None)
                if gradient is None:
                    continue
                node._grad = node._grad + gradient if _nonzero(node._grad) else gradient
                for parent, share in node._shares(gradient, gates):
                    passing[parent] = passing[parent] + share if parent in passing else share

    def _backward(self) -> None:
        """The notebook's single step: add this node's gradient, by the chain rule, to its operands' gradients."""
        for parent, share in self._shares(self._grad, Gates(())):
            parent._grad = parent._grad + share

    def _shares(self, gradient: Scalar, gates: Gates) -> Iterator[tuple[Parameter, Scalar]]:
        shares = gates.shares(self, gradient, self._value, [p._value for p in self._parents])
        for parent, share in zip(self._parents, shares, strict=True):
            if share is not None:
                yield parent, share

    def zero_grad(self) -> None:
        """Forget the gradient gathered so far."""
        self._grad = 0.0

    def __repr__(self) -> str:
        name = self.name
        return f"Parameter {name} = {self._value}; dL/d[{name}] = {self._grad}"

    def __float__(self) -> float:
        return float(self._value)

    # Comparisons are of values; while a model is traced they raise TraceError, for there are none yet.

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Whether this is the same node, or has the value of a plain number."""
        if isinstance(other, (int, float, np.number)):
            return bool(self._value == other)
        return self is other

    __hash__ = Operand.__hash__

    def __lt__(self, other: Scalar) -> bool:
        return bool(self._value < _value(other))

    def __le__(self, other: Scalar) -> bool:
        return bool(self._value <= _value(other))

    def __gt__(self, other: Scalar) -> bool:
        return bool(self._value > _value(other))

    def __ge__(self, other: Scalar) -> bool:
        return bool(self._value >= _value(other))

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
    """Every node that `root` depends on, each once, operands before what is computed from them; `root` is last."""
    order: list[Parameter] = []
    seen = {root}
    stack = [(root, iter(root.parents))]
    while stack:
        node, parents = stack[-1]
        for parent in parents:
            if parent not in seen:
                seen.add(parent)
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


def _value(scalar: Scalar) -> Any:
    return scalar._value if isinstance(scalar, Parameter) else scalar


def _nonzero(gradient: Scalar) -> bool:
    """Whether there is anything to add to: 0.0 + g would be an instruction too many in a trace."""
    return not (isinstance(gradient, float) and gradient == 0.0)


def _spell(root: Parameter) -> str:
    pieces: list[str] = []
    length = 0
    pending: list[str | Parameter] = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, Parameter) and item._given_name is None and item._operation is not None:
            pending.extend(reversed(list(_parts(item, item._operation))))
            continue
        piece = item if isinstance(item, str) else _leaf_text(item)
        length += len(piece)
        if length > MAX_NAME_LENGTH:
            pieces.append("…")
            break
        pieces.append(piece)
    return "".join(pieces)


def _leaf_text(leaf: Parameter) -> str:
    return leaf._given_name if leaf._given_name is not None else f"{leaf._value}"


def _parts(node: Parameter, operation: Operation) -> Iterator[str | Parameter]:
    if not operation.template:
        yield f"{operation.name}("
        for position, parent in enumerate(node._parents):
            if position:
                yield ", "
            yield parent
        yield ")"
        return
    for part in operation.template:
        if isinstance(part, str):
            yield part
            continue
        parent = node._parents[part]
        bracketed = part in operation.tight and _is_loose(parent)
        yield from ("[", parent, "]") if bracketed else (parent,)


def _is_loose(node: Parameter) -> bool:
    return node._given_name is None and node._operation is not None and node._operation.name in _LOOSE
