"""The notebook's cells, run on our Parameter in place of its class, print what the notebook shows, every line."""

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

import engine

# `notebook.txt` is the notebook from the cell after its class cell: code, a blank line, and what the cell printed.
_TEXT = (Path(__file__).parent / "notebook.txt").read_text(encoding="utf-8")
_PRINTED = re.compile(r"^(\(?Parameter | Parameter )")


def _cells() -> list[tuple[int, str, str]]:
    """Return the number of times that each cell was run, its code, and its last output.

    The counter tells: from In [55] to In [57] the last cell was run twice, and only the second output was kept.
    """
    cells = []
    before = int(re.findall(r"^In \[(\d+)\]:", _TEXT, flags=re.MULTILINE)[0]) - 1
    for number, body in re.findall(r"^In \[(\d+)\]:\n(.*?)(?=^In \[|\Z)", _TEXT, flags=re.MULTILINE | re.DOTALL):
        lines = body.rstrip().split("\n")
        shown = next((n for n, line in enumerate(lines) if _PRINTED.match(line)), len(lines))
        cells.append((int(number) - before, "\n".join(lines[:shown]), "\n".join(lines[shown:])))
        before = int(number)
    return cells


def _run(code: str, namespace: dict[str, Any]) -> str:
    """Run a cell as a notebook does, which shows the last expression."""
    tree = ast.parse(code)
    last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    bare = last is not None and not (isinstance(last.value, ast.Call) and ast.unparse(last.value.func) != "x")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if bare and last is not None:
            exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), namespace)
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
            out.write("(" + ",\n ".join(map(repr, value)) + ")" if isinstance(value, tuple) else repr(value))
        else:
            exec(compile(tree, "cell", "exec"), namespace)
    return out.getvalue().rstrip()


def test_every_cell_prints_what_the_notebook_shows() -> None:
    namespace: dict[str, Any] = {"Parameter": engine.Parameter, "sgd": engine.sgd}
    printed = 0
    for times, code, expected in _cells():
        outputs = [_run(code, namespace) for _ in range(times)]
        assert outputs[-1] == expected
        printed += len(expected.splitlines())
    assert printed == 33  # lines of output in the notebook; none was lost in reading it


@pytest.mark.parametrize("activation", ["sigmoid", "gelu", "relu"])
def test_activations_add_to_a_gradient_where_the_notebook_overwrote_it(activation: str) -> None:
    once, twice = engine.Parameter(0.7), engine.Parameter(0.7)
    getattr(once, activation)().backward()
    (getattr(twice, activation)() + getattr(twice, activation)()).backward()
    assert twice.grad == pytest.approx(2.0 * once.grad, rel=1e-15)


def test_sigmoid_of_a_very_negative_number_does_not_overflow() -> None:
    x = engine.Parameter(-1000.0)
    y = x.sigmoid()
    y.backward()
    assert (y.value, x.grad) == (0.0, 0.0)
