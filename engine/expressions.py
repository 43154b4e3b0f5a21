"""The text of a graph: the expression that computes a Parameter.

>>> from engine.parameter import Parameter
>>> a, b = Parameter(9.0, "a"), Parameter(2.0, "b")
>>> expression((a + b) * 3.0)
'[a + b] * 3.0'
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.operations import Operation

if TYPE_CHECKING:
    from engine.parameter import Parameter

MAX_NAME_LENGTH = 10_000
"""Largest number of characters of an expression. The text of a graph can grow exponentially with its nodes."""

_LOOSE = frozenset({"mul", "div", "neg", "power"})
"""Operations that need brackets as operands of some others: see `Operation.tight`."""


def expression(root: Parameter) -> str:
    """Return the given name of a Parameter, or the expression that computes it.

    After MAX_NAME_LENGTH characters, an ellipsis replaces the rest.
    """
    pieces: list[str] = []
    length = 0
    pending: list[str | Parameter] = [root]
    while pending:
        item = pending.pop()
        if not isinstance(item, str) and item.given_name is None and item.operation is not None:
            pending.extend(reversed(list(_parts(item, item.operation))))
            continue
        piece = item if isinstance(item, str) else _leaf_text(item)
        length += len(piece)
        if length > MAX_NAME_LENGTH:
            pieces.append("…")
            break
        pieces.append(piece)
    return "".join(pieces)


def _leaf_text(leaf: Parameter) -> str:
    return leaf.given_name if leaf.given_name is not None else f"{leaf.value}"


def _parts(node: Parameter, operation: Operation) -> Iterator[str | Parameter]:
    """Yield the pieces of a node's expression: texts and operands."""
    if not operation.template:
        yield f"{operation.name}("
        for position, parent in enumerate(node.parents):
            if position:
                yield ", "
            yield parent
        yield ")"
        return
    for part in operation.template:
        if isinstance(part, str):
            yield part
            continue
        parent = node.parents[part]
        bracketed = part in operation.tight and _is_loose(parent)
        yield from ("[", parent, "]") if bracketed else (parent,)


def _is_loose(node: Parameter) -> bool:
    return node.given_name is None and node.operation is not None and node.operation.name in _LOOSE
