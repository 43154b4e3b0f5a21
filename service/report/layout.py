"""How the page is divided: sections have tabs, tabs have blocks, and blocks have drawings and one legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.report.legend import Key


@dataclass(frozen=True)
class Drawing:
    """A Bokeh figure with its heading.

    note: small words after the heading. keys: its own legend. min_width: pixels below which it is scrolled instead of
    shrunk.
    """

    plot: Any
    heading: str = ""
    note: str = ""
    keys: Sequence[Key] = ()
    min_width: int = 0


@dataclass(frozen=True)
class Block:
    """Drawings side by side, at most `columns` in a row, under one legend. words: what else to know about them."""

    drawings: Sequence[Drawing]
    heading: str = ""
    keys: Sequence[Key] = ()
    columns: int = 1
    words: str = ""


@dataclass(frozen=True)
class Tab:
    """One tab of a section. words: what is particular about it."""

    heading: str
    blocks: Sequence[Block]
    words: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page. words: how to read it."""

    id: str
    heading: str
    words: str
    tabs: Sequence[Tab]


def even_columns(count: int, most: int = 4) -> int:
    """How many drawings to a row, so that the rows are full, or the last one nearly so."""
    if count <= most or most < 2:
        return 2 if count == 4 and most > 2 else max(min(count, most), 1)
    return min(range(most, 1, -1), key=lambda columns: (-count % columns, columns != 3))
