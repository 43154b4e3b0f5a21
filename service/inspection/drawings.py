"""Graphs as files."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from pathlib import Path

from engine import Parameter
from engine.drawing import to_dot, to_svg
from experiments.errors import UserError
from service.inspection.files import write_file

_FORMATS: dict[str, Callable[[Parameter], str]] = {".svg": to_svg, ".dot": to_dot}


def write_graph(root: Parameter, path: Path) -> None:
    """Write the graph that `root` was computed by, in the format of the file's ending.

    Raises UserError for another ending or a graph that is too large, GradgridError if the file can't be written.
    """
    draw = _FORMATS.get(path.suffix.lower())
    if draw is None:
        raise UserError(f"{path}: the name of the file says its format; end it in {' or '.join(_FORMATS)}")
    try:
        text = draw(root)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    write_file(path, methodcaller("write_text", text + "\n", encoding="utf-8"))
