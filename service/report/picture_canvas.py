"""Matplotlib figures without a window: their sizes, frames and ticks."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from service.results.scales import Scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 120
_TITLE_LINE = 0.16  # inches


def make_figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    """Return an empty figure. width, height: in inches. layout: Matplotlib's layout engine."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def as_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def make_frames(rows: int, columns: int, width: float, height: float, apart: float, title_lines: int = 2) -> Any:
    """Return frames of equal size in one figure, with room for titles, labels and a legend below.

    rows, columns: the number of frames.
    width, height: of a frame with its labels, in inches.
    apart: additional space between columns for labels, in inches.
    title_lines: the most lines of a frame's title.
    The positions are computed here, because Matplotlib's layout takes longer than the drawing.
    """
    more = _TITLE_LINE * max(title_lines - 2, 0)
    left, below, above, between, height = 0.55, 0.85, 0.65 + more, 0.45 + more, height + more
    wide, high = columns * width + left + 0.15, rows * height + below + above - between
    figure = make_figure(wide, high, layout=None)
    figure.subplots_adjust(
        left=left / wide, right=1 - 0.15 / wide, bottom=below / high, top=1 - above / high,
        wspace=(0.35 + apart) / (width - 0.35 - apart), hspace=between / (height - between),
    )  # fmt: skip
    return figure.subplots(rows, columns, squeeze=False).ravel()


def set_ticks(axis: Any, scale: Scale, count: int) -> None:
    """Set at most `count` ticks at round values of a logarithmic scale; numbers near 1 are written plainly."""
    ticks = scale.ticks(count)
    if ticks is not None:
        axis.set_ticks(ticks, [_number(tick) for tick in ticks])
        axis.set_ticks([], minor=True)


def _number(value: float) -> str:
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    digits, _, exponent = f"{value:.0e}".partition("e")
    return f"${'' if digits == '1' else digits + chr(92) + 'times'}10^{{{int(exponent)}}}$"
