"""The picture of a map as a PNG file, drawn by Matplotlib: a pixel for each cell, or a few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.report.picture_canvas import make_figure
from service.report.picture_text import literal
from service.results.axes import Axis, display_name, format_value
from service.results.map_pixels import (
    CALM,
    LOST,
    calm_scale,
    cells_without_colour,
    lost_label,
    lost_scale,
    map_pixels,
    scale_ticks,
)
from service.results.metrics import lower_is_better
from service.results.phase_diagram import PhaseDiagram
from service.results.rank_scale import RankScale

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
    of_lost, scale = lost_scale(phase), calm_scale(phase)
    if of_lost:
        _colour_bar(figure, axes, of_lost, LOST, f"{lost_label(phase)} where trials were lost")
    if scale:
        colours = CALM if lower_is_better(phase.metric) else CALM[::-1]
        grey = "; grey has no value" if cells_without_colour(phase).any() else ""
        _colour_bar(figure, axes, scale, colours, f"median {display_name(phase.metric)}{grey}")
    return figure


def _label(side: Any, axis: Axis) -> None:
    """Label one side of the map with a few values."""
    shown = axis.spread_indices(_TICKS)
    side.set_ticks(shown, [literal(format_value(axis.values[k])) for k in shown], fontsize=8)
    side.set_label_text(literal(axis.label), fontsize=9)


def _colour_bar(figure: Figure, axes: Axes, scale: RankScale, colours: Sequence[str], label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    shades = ScalarMappable(Normalize(0.0, 1.0), LinearSegmentedColormap.from_list("", list(colours)))
    bar = figure.colorbar(shades, ax=axes, pad=0.02, aspect=32)
    ticks = scale_ticks(scale)
    bar.set_ticks(list(ticks), labels=[literal(text) for text in ticks.values()], fontsize=8)
    bar.set_label(label, fontsize=9)
