"""The parts of the page: sections have tabs, tabs have blocks, and blocks have drawings and one legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.report.legend import Key
from service.report.tables import Table


@dataclass(frozen=True)
class Drawing:
    """A Bokeh figure with its heading.

    plot: the figure.
    heading: its heading.
    note: words in small type after the heading.
    keys: the figure's legend.
    min_width: the width in pixels below which the figure scrolls instead of shrinking.
    """

    plot: Any
    heading: str = ""
    note: str = ""
    keys: Sequence[Key] = ()
    min_width: int = 0


@dataclass(frozen=True)
class Block:
    """Drawings under one legend.

    drawings: the drawings.
    heading: their heading.
    keys: the legend.
    columns: the greatest number of drawings in a row.
    words: an explanation.
    """

    drawings: Sequence[Drawing]
    heading: str = ""
    keys: Sequence[Key] = ()
    columns: int = 1
    words: str = ""


@dataclass(frozen=True)
class Tab:
    """One tab of a section. words: an explanation."""

    heading: str
    blocks: Sequence[Block]
    words: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page. id: its anchor. words: an explanation of how to read it. tables: after the tabs."""

    id: str
    heading: str
    words: str
    tabs: Sequence[Tab] = ()
    tables: Sequence[Table] = ()


def even_columns(count: int, most: int = 4) -> int:
    """Return the number of drawings per row that fills the rows, or all but the last.

    count: the number of drawings. most: the greatest number per row.
    """
    if count <= most or most < 2:
        return 2 if count == 4 and most > 2 else max(min(count, most), 1)
    return min(range(most, 1, -1), key=lambda columns: (-count % columns, columns != 3))
