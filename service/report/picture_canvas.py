"""Matplotlib's figures: their sizes, frames and ticks, without a window."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from service.results.scales import Scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 120


def make_figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def as_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def make_frames(rows: int, columns: int, width: float, height: float, apart: float) -> Any:
    """Frames of one size in inches, with room for titles, a legend below and labels, `apart` for labels between them.

    The places are computed here, because Matplotlib takes longer to find them than to draw.
    """
    left, below, above, between = 0.55, 0.85, 0.65, 0.45
    wide, high = columns * width + left + 0.15, rows * height + below + above - between
    figure = make_figure(wide, high, layout=None)
    figure.subplots_adjust(
        left=left / wide, right=1 - 0.15 / wide, bottom=below / high, top=1 - above / high,
        wspace=(0.35 + apart) / (width - 0.35 - apart), hspace=between / (height - between),
    )  # fmt: skip
    return figure.subplots(rows, columns, squeeze=False).ravel()


def set_ticks(axis: Any, scale: Scale, count: int) -> None:
    """Round values of a logarithmic scale, as plain numbers where they are near 1."""
    ticks = scale.ticks(count)
    if ticks is not None:
        axis.set_ticks(ticks, [_number(tick) for tick in ticks])
        axis.set_ticks([], minor=True)


def _number(value: float) -> str:
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    digits, _, exponent = f"{value:.0e}".partition("e")
    return f"${'' if digits == '1' else digits + chr(92) + 'times'}10^{{{int(exponent)}}}$"
