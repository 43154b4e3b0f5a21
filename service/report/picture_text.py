"""Text in Matplotlib pictures: names appear as the user wrote them, in any script."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Yu Gothic", "SimHei")
"""Fonts to look for, in order. Matplotlib takes each character from the first font that has it."""


def literal(text: str) -> str:
    """Return text with `$` escaped, which would otherwise begin a formula in Matplotlib."""
    return text.replace("$", r"\$")


@contextmanager
def readable_fonts() -> Iterator[None]:
    """Draw with the installed fonts of `_FONTS`. A character that no font has becomes a box, without a warning."""
    import matplotlib as mpl

    with mpl.rc_context({"font.family": _installed_fonts()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@cache
def _installed_fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in _FONTS if name in installed]
