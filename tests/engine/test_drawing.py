"""Pictures of graphs: DOT that Graphviz reads, and well-formed SVG with every node and edge of the graph."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from engine import MLP, Parameter
from engine.drawing import MAX_NODES, to_dot, to_svg
from engine.parameter import topological_order


@pytest.fixture
def graph() -> Parameter:
    loss = (MLP([2, 3, 1], "relu")([Parameter(0.5, "x0"), Parameter(-1.25, 'x "1" <&>')])[0] - 1.0) ** 2
    loss.backward()
    assert isinstance(loss, Parameter)
    return loss


def test_dot_has_every_node_and_edge(graph: Parameter) -> None:
    text = to_dot(graph)
    nodes = topological_order(graph)
    assert len(re.findall(r"^  n\d+ \[label=", text, flags=re.MULTILINE)) == len(nodes)
    assert len(re.findall(r"^  n\d+ -> n\d+$", text, flags=re.MULTILINE)) == sum(len(n.parents) for n in nodes)
    assert f"{graph.value:.6g}\\ngrad 1" in text


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_it(graph: Parameter) -> None:
    done = subprocess.run(["dot", "-Tsvg"], input=to_dot(graph), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "relu" in done.stdout


def test_svg_shows_each_node_once_with_value_and_gradient(graph: Parameter) -> None:
    root = ET.fromstring(to_svg(graph))
    space = {"s": "http://www.w3.org/2000/svg"}
    boxes = root.findall("s:g", space)
    nodes = topological_order(graph)
    assert len(boxes) == len(nodes)
    shown = sorted(tuple(text.text for text in box.findall("s:text", space))[1:] for box in boxes)
    assert shown == sorted((f"{n.value + 0.0:.6g}", f"grad {n.grad + 0.0:.4g}") for n in nodes)
    assert 'x "1" <&>' in {text.text for text in root.iter(f"{{{space['s']}}}text")}


def test_no_box_covers_another_and_operands_stand_to_the_left(graph: Parameter) -> None:
    root = ET.fromstring(to_svg(graph))
    rectangles = [
        tuple(float(r.attrib[k]) for k in ("x", "y", "width", "height"))
        for r in root.iter("{http://www.w3.org/2000/svg}rect")
    ]
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for n, (x, y, w, h) in enumerate(rectangles):
        assert 0 <= x <= width - w
        assert 0 <= y <= height - h
        for other_x, other_y, _, _ in rectangles[n + 1 :]:
            assert abs(x - other_x) >= w or abs(y - other_y) >= h
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])]
        assert numbers[0] < numbers[-2]


def test_a_single_number_and_too_large_a_graph() -> None:
    assert "3.5" in to_svg(Parameter(3.5))
    x = Parameter(1.0)
    for _ in range(MAX_NODES):
        x = x + 1.0
    with pytest.raises(ValueError, match=r"the graph has 2,001 nodes; up to 1,000 are drawn"):
        to_svg(x)
