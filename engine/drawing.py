"""Pictures of graphs: DOT text for Graphviz, and SVG that needs nothing else, a value and a gradient on every node.

The layout is Sugiyama's: nodes in columns by their distance from the result, long edges cut into pieces a column long,
and each column ordered by the middle of its neighbours (Sugiyama et al., Methods for Visual Understanding of
Hierarchical System Structures, 1981).
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.parameter import Parameter, topological_order

MAX_NODES = 1_000
"""Nodes of a graph that is drawn at most; more can't be read."""

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
    """The graph that `root` was computed by, in Graphviz's language. Raises ValueError for more than MAX_NODES."""
    nodes = _nodes(root)
    number = {node: n for n, node in enumerate(nodes)}
    lines = ["digraph {", "  rankdir=LR", '  node [shape=box, style=rounded, fontname="monospace"]']
    for node in nodes:
        label = "\\n".join([_title(node).replace("\\", "\\\\").replace('"', '\\"'), *_numbers(node)])
        lines.append(f'  n{number[node]} [label="{label}"]')
        lines += [f"  n{number[parent]} -> n{number[node]}" for parent in node.parents]
    return "\n".join([*lines, "}"])


def to_svg(root: Parameter) -> str:
    """The same as a picture, from leaves on the left to `root` on the right, for light and dark pages.

    Leaves are blue, nodes without a gradient grey. Raises ValueError for more than MAX_NODES.
    """
    nodes = _nodes(root)
    columns = _columns(nodes)
    for _ in range(_SWEEPS):
        for column in [*columns[1:], *columns[-2::-1]]:
            middle = {place: place.middle() for place in column}
            column.sort(key=lambda place: middle[place])
            for height, place in enumerate(column):
                place.height = height - len(column) / 2
    size = (_MARGIN * 2 + len(columns) * (_WIDTH + _GAP_X) - _GAP_X, _canvas_height(columns))
    places = [place for column in columns for place in column]
    parts = [*(_edges(places, size[1])), *(_box(place, size[1]) for place in places if place.node is not None)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]:.0f}" width="{size[0]}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>"])


@dataclass(eq=False)
class _Place:
    """A node's place in the picture, or a piece of a long edge's."""

    node: Parameter | None
    column: int
    height: float = 0.0
    left: list[_Place] = field(default_factory=list)
    right: list[_Place] = field(default_factory=list)

    def middle(self) -> float:
        near = [*self.left, *self.right]
        return sum(place.height for place in near) / len(near) if near else self.height

    def point(self, canvas: float, side: float) -> tuple[float, float]:
        """The left (0) or right (1) end, where edges begin."""
        x = _MARGIN + self.column * (_WIDTH + _GAP_X) + side * _WIDTH
        return x, canvas / 2 + (self.height + 0.5) * (_HEIGHT + _GAP_Y)


def _nodes(root: Parameter) -> list[Parameter]:
    nodes = topological_order(root)
    if len(nodes) > MAX_NODES:
        raise ValueError(f"the graph has {len(nodes):,} nodes; up to {MAX_NODES:,} are drawn")
    return nodes


def _columns(nodes: list[Parameter]) -> list[list[_Place]]:
    """Places by column, linked with their neighbours of the columns beside."""
    distance: dict[Parameter, int] = defaultdict(int)
    for node in reversed(nodes):
        for parent in node.parents:
            distance[parent] = max(distance[parent], distance[node] + 1)
    last = max(distance.values(), default=0)
    columns: list[list[_Place]] = [[] for _ in range(last + 1)]

    def put(node: Parameter | None, column: int) -> _Place:
        place = _Place(node, column, float(len(columns[column])))
        columns[column].append(place)
        return place

    place_of = {node: put(node, last - distance[node]) for node in nodes}
    for node in nodes:
        for parent in dict.fromkeys(node.parents):
            before, end = place_of[parent], place_of[node]
            for column in range(before.column + 1, end.column):
                before = _link(before, put(None, column))
            _link(before, end)
    return columns


def _link(left: _Place, right: _Place) -> _Place:
    left.right.append(right)
    right.left.append(left)
    return right


def _canvas_height(columns: list[list[_Place]]) -> float:
    return 2 * _MARGIN + max(len(column) for column in columns) * (_HEIGHT + _GAP_Y)


def _edges(places: Iterable[_Place], canvas: float) -> Iterable[str]:
    for place in places:
        (left, y), (x, _) = place.point(canvas, 0.0), place.point(canvas, 1.0)
        start = f"M{left:.0f} {y:.0f}H{x:.0f}" if place.node is None else f"M{x:.0f} {y:.0f}"
        for right in place.right:
            end, height = right.point(canvas, 0.0)
            middle = (x + end) / 2
            yield f'<path d="{start}C{middle:.0f} {y:.0f} {middle:.0f} {height:.0f} {end:.0f} {height:.0f}"/>'


def _box(place: _Place, canvas: float) -> str:
    node = place.node
    assert node is not None
    x, y = place.point(canvas, 0.0)
    kind = "leaf" if node.operation is None else "still" if node.grad == 0 else "inner"
    value, grad = _numbers(node)
    lines = [
        f'<text class="{css}" x="{x + _WIDTH / 2:.0f}" y="{y + dy:.0f}">{html.escape(text)}</text>'
        for css, dy, text in (("name", -9, _title(node)), ("value", 4, value), ("grad", 17, grad))
    ]
    box = f'<rect x="{x:.0f}" y="{y - _HEIGHT / 2:.0f}" width="{_WIDTH}" height="{_HEIGHT}"/>'
    return f'<g class="node {kind}">{box}{"".join(lines)}</g>'


def _title(node: Parameter) -> str:
    """A leaf's name, or an inner node's if it was given one, else its operation."""
    title = node.name if node.operation is None else node.given_name or node.operation.name
    return title if len(title) <= 18 else f"{title[:17]}…"


def _numbers(node: Parameter) -> tuple[str, str]:
    return f"{node.value + 0.0:.6g}", f"grad {node.grad + 0.0:.4g}"  # no minus before a zero
