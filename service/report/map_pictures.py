"""The picture of a map as a PNG file, drawn by Matplotlib: a pixel for each cell, or a few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.report.picture_canvas import make_figure, set_ticks
from service.report.picture_text import literal
from service.results.axes import Axis, display_name, format_value
from service.results.map_pixels import CALM, LOST, map_pixels, onset_scale
from service.results.metrics import lower_is_better
from service.results.phase_diagram import PhaseDiagram, scale_of_median
from service.results.scales import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE, _BARS = 6.4, 1.8  # inches: of the map, and of the colour bars beside it
_TICKS = 7


def map_figure(phase: PhaseDiagram, title: str) -> Figure:
    """Return the picture of a map: the median where trials were not lost, else the step at which they were."""
    figure = make_figure(_SIDE + _BARS, _SIDE + 0.4)
    figure.suptitle(literal(title), fontsize=11)
    axes = figure.add_subplot()
    axes.imshow(map_pixels(phase), origin="lower", aspect="auto", interpolation="nearest")
    for side, axis in ((axes.xaxis, phase.columns), (axes.yaxis, phase.rows)):
        _label(side, axis)
    onset, scale = onset_scale(phase), scale_of_median(phase)
    if onset:
        _colour_bar(figure, axes, onset, LOST, "step at which most trials were lost, from 1")
    if scale:
        colours = CALM if lower_is_better(phase.metric) else CALM[::-1]
        grey = "; grey has no value" if phase.cells_without_value.any() else ""
        _colour_bar(figure, axes, scale, colours, f"median {display_name(phase.metric)}{grey}")
    return figure


def _label(side: Any, axis: Axis) -> None:
    """Label one side of the map with a few values."""
    shown = axis.spread_indices(_TICKS)
    side.set_ticks(shown, [literal(format_value(axis.values[k])) for k in shown], fontsize=8)
    side.set_label_text(literal(axis.label), fontsize=9)


def _colour_bar(figure: Figure, axes: Axes, scale: Scale, colours: Sequence[str], label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    norm = LogNorm(scale.low, scale.high) if scale.logarithmic else Normalize(scale.low, scale.high)
    shades = ScalarMappable(norm, LinearSegmentedColormap.from_list("", list(colours)))
    bar = figure.colorbar(shades, ax=axes, pad=0.02, aspect=32)
    set_ticks(bar.ax.yaxis, scale, 6)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(label, fontsize=9)
