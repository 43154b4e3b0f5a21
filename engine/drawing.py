"""Pictures of graphs, with a value and a gradient on every node: text for Graphviz, or SVG that needs no other program.

The layout is Sugiyama's: nodes are put into columns by their distance from the result, long edges are divided into
pieces from column to column, and the nodes of a column are sorted by the mean height of their neighbours (Sugiyama et
al., Methods for Visual Understanding of Hierarchical System Structures, 1981).

>>> loss = Parameter(3.0, "a") * Parameter(2.0, "b")
>>> loss.backward()
>>> print(to_dot(loss).splitlines()[3])
  n0 [label="a\\n3\\ngrad 2"]
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.parameter import Parameter, topological_order

MAX_NODES = 1_000
"""Largest number of nodes in a picture. Nobody could read a larger one."""

_SWEEPS = 8
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 120, 46, 56, 12, 16
_STYLE = """
.node rect { fill: #ffffff; stroke: #5b6b7b; rx: 5 }
.leaf rect { fill: #e8f0fb; stroke: #3f6fb5 }
.still rect { fill: #eeeeee; stroke: #a0a0a0 }
text { font: 11px ui-monospace, monospace; fill: #1b2733; text-anchor: middle }
.name { font-weight: bold }
.grad { fill: #a33c2f }
path { fill: none; stroke: #9aa7b4 }
@media (prefers-color-scheme: dark) {
.node rect { fill: #1f2933; stroke: #8295a8 }
.leaf rect { fill: #1c2f4a; stroke: #6f9fe0 }
.still rect { fill: #2a2a2a; stroke: #6a6a6a }
text { fill: #e6edf3 }
.grad { fill: #ff9d8f }
path { stroke: #566573 }
}"""


def to_dot(root: Parameter) -> str:
    """Return the graph that computed `root` in Graphviz's language.

    Raises ValueError if the graph has over MAX_NODES nodes.
    """
    nodes = _nodes(root)
    number = {node: n for n, node in enumerate(nodes)}
    lines = ["digraph {", "  rankdir=LR", '  node [shape=box, style=rounded, fontname="monospace"]']
    for node in nodes:
        label = "\\n".join([_title(node).replace("\\", "\\\\").replace('"', '\\"'), *_numbers(node)])
        lines.append(f'  n{number[node]} [label="{label}"]')
        lines += [f"  n{number[parent]} -> n{number[node]}" for parent in node.parents]
    return "\n".join([*lines, "}"])


def to_svg(root: Parameter) -> str:
    """Return the graph that computed `root` as an SVG picture, with leaves on the left and `root` on the right.

    Leaves are blue, and nodes whose gradient is 0 are grey. Colours suit light and dark pages. Raises ValueError if the
    graph has over MAX_NODES nodes.
    """
    nodes = _nodes(root)
    columns = _columns(nodes)
    for _ in range(_SWEEPS):
        for column in [*columns[1:], *columns[-2::-1]]:
            middle = {position: position.middle() for position in column}
            column.sort(key=lambda position: middle[position])
            for height, position in enumerate(column):
                position.height = height - len(column) / 2
    size = (_MARGIN * 2 + len(columns) * (_WIDTH + _GAP_X) - _GAP_X, _canvas_height(columns))
    positions = [position for column in columns for position in column]
    shapes = [
        *(_edges(positions, size[1])),
        *(_box(position, size[1]) for position in positions if position.node is not None),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]:.0f}" width="{size[0]}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *shapes, "</svg>"])


@dataclass(eq=False)
class _Position:
    """The position of a node, or of a piece of a long edge. `left` and `right` are its neighbours."""

    node: Parameter | None
    column: int
    height: float = 0.0
    left: list[_Position] = field(default_factory=list)
    right: list[_Position] = field(default_factory=list)

    def middle(self) -> float:
        """Return the mean height of the neighbours."""
        near = [*self.left, *self.right]
        return sum(position.height for position in near) / len(near) if near else self.height

    def point(self, canvas: float, side: float) -> tuple[float, float]:
        """Return (x, y) of the left end (side 0) or the right end (side 1), in pixels. Edges begin there."""
        x = _MARGIN + self.column * (_WIDTH + _GAP_X) + side * _WIDTH
        return x, canvas / 2 + (self.height + 0.5) * (_HEIGHT + _GAP_Y)


def _nodes(root: Parameter) -> list[Parameter]:
    nodes = topological_order(root)
    if len(nodes) > MAX_NODES:
        raise ValueError(f"the graph has {len(nodes):,} nodes; up to {MAX_NODES:,} are drawn")
    return nodes


def _columns(nodes: list[Parameter]) -> list[list[_Position]]:
    """Return the positions in each column. Each is linked with its neighbours in the columns next to it."""
    distance: dict[Parameter, int] = defaultdict(int)
    for node in reversed(nodes):
        for parent in node.parents:
            distance[parent] = max(distance[parent], distance[node] + 1)
    last = max(distance.values(), default=0)
    columns: list[list[_Position]] = [[] for _ in range(last + 1)]

    def put(node: Parameter | None, column: int) -> _Position:
        position = _Position(node, column, float(len(columns[column])))
        columns[column].append(position)
        return position

    position_of = {node: put(node, last - distance[node]) for node in nodes}
    for node in nodes:
        for parent in dict.fromkeys(node.parents):
            before, end = position_of[parent], position_of[node]
            for column in range(before.column + 1, end.column):
                before = _link(before, put(None, column))
            _link(before, end)
    return columns


def _link(left: _Position, right: _Position) -> _Position:
    left.right.append(right)
    right.left.append(left)
    return right


def _canvas_height(columns: list[list[_Position]]) -> float:
    return 2 * _MARGIN + max(len(column) for column in columns) * (_HEIGHT + _GAP_Y)


def _edges(positions: Iterable[_Position], canvas: float) -> Iterable[str]:
    for position in positions:
        (left, y), (x, _) = position.point(canvas, 0.0), position.point(canvas, 1.0)
        start = f"M{left:.0f} {y:.0f}H{x:.0f}" if position.node is None else f"M{x:.0f} {y:.0f}"
        for right in position.right:
            end, height = right.point(canvas, 0.0)
            middle = (x + end) / 2
            yield f'<path d="{start}C{middle:.0f} {y:.0f} {middle:.0f} {height:.0f} {end:.0f} {height:.0f}"/>'


def _box(position: _Position, canvas: float) -> str:
    node = position.node
    assert node is not None
    x, y = position.point(canvas, 0.0)
    kind = "leaf" if node.operation is None else "still" if node.grad == 0 else "inner"
    value, grad = _numbers(node)
    lines = [
        f'<text class="{css}" x="{x + _WIDTH / 2:.0f}" y="{y + dy:.0f}">{html.escape(text)}</text>'
        for css, dy, text in (("name", -9, _title(node)), ("value", 4, value), ("grad", 17, grad))
    ]
    box = f'<rect x="{x:.0f}" y="{y - _HEIGHT / 2:.0f}" width="{_WIDTH}" height="{_HEIGHT}"/>'
    return f'<g class="node {kind}">{box}{"".join(lines)}</g>'


def _title(node: Parameter) -> str:
    """Return the name of a leaf or of a named node, else the node's operation."""
    title = node.name if node.operation is None else node.given_name or node.operation.name
    return title if len(title) <= 18 else f"{title[:17]}…"


def _numbers(node: Parameter) -> tuple[str, str]:
    return f"{node.value + 0.0:.6g}", f"grad {node.grad + 0.0:.4g}"  # no minus before a zero
