"""The report's pictures as PNG files, drawn by Matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from service.report.layout import even_columns
from service.report.panels import Panel, are_shared, exits
from service.report.picture_text import literal, readable_fonts
from service.results.axes import Axis, axis_pairs, display_name, short_value, swept_axes
from service.results.colours import FIRST_CLASS, OUTCOME_COLOURS, SECOND_CLASS, line_colour
from service.results.metrics import METRICS, lower_is_better
from service.results.phase_diagram import PhaseDiagram, make_phase_diagram, scale_of_median
from service.results.scales import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from service.execution.plan import Plan
    from service.report.contents import Contents
    from service.report.curve_panels import CurveFrames
    from service.report.surfaces import Surface
    from service.results.importance import Importance

_LARGEST = 14.0  # inches of a picture's side
_MAX_LABELS, _MAX_ROW_LABELS = 16, 30  # along the sides of a map
_MOST_LEVEL = 60  # characters of names below a map that fit without a tilt
_DPI = 120


@readable_fonts()
def heat_map(plan: Plan, table: pd.DataFrame) -> Mapping[str, bytes]:
    """File name -> PNG of the median over the first two axes, for the sweep's own run; none where two are not swept."""
    axes = swept_axes(table, list(plan.sweepable.axes))
    if len(axes) < 2 or not table[METRICS + plan.objective].notna().any():
        return {}
    phase = make_phase_diagram(table, plan.objective, *axis_pairs(axes)[0])
    figure = _figure(*_size(phase))
    figure.suptitle(literal(plan.name), fontsize=11)
    _draw_median(figure, figure.add_subplot(), phase)
    return {"heat_map.png": _png(figure)}


@readable_fonts()
def make_pictures(contents: Contents) -> Mapping[str, bytes]:
    """File name -> PNG of each section of the report that there is something to see in."""
    pictures: dict[str, bytes] = {}
    if contents.phases:
        pictures["phase.png"] = phase_picture(contents.phases[0], contents.name)
    if contents.curves:
        first = contents.metric if contents.metric in contents.curves else next(iter(contents.curves))
        pictures["curves.png"] = _frames_picture(contents.curves[first], display_name(first), contents.name)
    if contents.gradients is not None:
        pictures["gradients.png"] = _frames_picture(contents.gradients, "gradient norm", contents.name)
    if len(contents.importance) > 1:
        pictures["importance.png"] = _importance_picture(contents.importance, contents.metric)
    if contents.surfaces:
        pictures["surfaces.png"] = _surfaces_picture(contents.surfaces, contents.name)
    return pictures


def phase_picture(phase: PhaseDiagram, title: str) -> bytes:
    """Heat maps, one below another: the median, the most frequent outcome, and the onset of failure if any failed."""
    width, height = _size(phase)
    failed = bool(np.isfinite(phase.onset_step).any())
    rows = 3 if failed else 2
    figure = _figure(width, min(rows * height, 1.5 * _LARGEST))
    figure.suptitle(literal(title), fontsize=11)
    frames = figure.subplots(rows, 1)
    _draw_median(figure, frames[0], phase)
    _draw_outcomes(frames[1], phase)
    if failed:
        _draw_onset(figure, frames[2], phase)
    return _png(figure)


def _draw_median(figure: Figure, axes: Axes, phase: PhaseDiagram) -> None:
    """Cells without a median are hatched in grey, those beyond the scale in white."""
    from matplotlib.colors import LogNorm, Normalize

    scale = scale_of_median(phase)
    lower = lower_is_better(phase.metric)
    _label_cells(axes, phase, f"Median {display_name(phase.metric)}")
    marks = [_hatch(axes, phase.diverged_cells, "more than half diverged", "#dddddd", "#999999")]
    if scale:
        worse = phase.worse_than(scale)
        norm = LogNorm(scale.low, scale.high) if scale.logarithmic else Normalize(scale.low, scale.high)
        colours = "viridis_r" if lower else "viridis"
        image = axes.imshow(np.clip(phase.median, scale.low, scale.high), aspect="auto", cmap=colours, norm=norm)
        _colour_bar(figure, axes, image, scale)
        marks.append(_hatch(axes, worse, f"{'above' if lower else 'below'} the scale", "#440154", "#ffffff"))
    _legend(axes, marks)


def _draw_outcomes(axes: Axes, phase: PhaseDiagram) -> None:
    """The colour of the most frequent outcome, the paler the smaller its share."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    outcomes = phase.modal_outcome
    colours = np.array([[to_rgba(OUTCOME_COLOURS[name]) for name in row] for row in outcomes])
    colours[..., 3] *= 0.25 + 0.75 * phase.modal_share
    _label_cells(axes, phase, "Most frequent outcome (paler: a smaller share)")
    axes.imshow(colours, aspect="auto")
    _legend(axes, [Patch(color=OUTCOME_COLOURS[n], label=n) for n in phase.shares if (outcomes == n).any()])


def _draw_onset(figure: Figure, axes: Axes, phase: PhaseDiagram) -> None:
    scale = Scale(0.0, max(float(np.nanmax(phase.onset_step)), 1.0), False)
    _label_cells(axes, phase, "Onset of failure (median step)")
    image = axes.imshow(phase.onset_step, aspect="auto", cmap=_magma(), vmin=scale.low, vmax=scale.high)
    _colour_bar(figure, axes, image, scale)
    calm = np.isnan(phase.onset_step) & (phase.trials > 0)
    _legend(axes, [_hatch(axes, calm, "no trial failed", "#dddddd", "#999999")])


def _magma() -> Any:
    """Without its ends, which look like a dark or a light ground."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["magma"](np.linspace(0.16, 0.94, 128)))


def _hatch(axes: Axes, cells: np.ndarray[Any, Any], label: str, ground: str, lines: str) -> Any:
    """Hatch cells; returns their legend entry, None if there are none."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Patch, Rectangle

    if not cells.any():
        return None
    squares = [Rectangle((x - 0.5, y - 0.5), 1, 1) for y, x in np.argwhere(cells)]
    style: Any = {"facecolor": ground, "edgecolor": lines, "hatch": "////", "linewidth": 0}
    axes.add_collection(PatchCollection(squares, **style))
    return Patch(label=label, **style)


def _legend(axes: Axes, entries: Sequence[Any]) -> None:
    """Above the frame, to the right of its title."""
    shown = [entry for entry in entries if entry is not None]
    if shown:
        axes.legend(
            handles=shown, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(shown), frameon=False, fontsize=8,
            borderpad=0.2, handlelength=1.4, columnspacing=1.0,
        )  # fmt: skip


def _colour_bar(figure: Figure, axes: Axes, image: Any, scale: Scale) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
    _set_ticks(bar.ax.yaxis, scale, 4)
    bar.ax.tick_params(labelsize=8)


def _set_ticks(axis: Any, scale: Scale, count: int) -> None:
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


def _label_cells(axes: Axes, phase: PhaseDiagram, title: str) -> None:
    """Title, ticks and labels of a heat map."""
    rows, columns = phase.median.shape
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    shown = range(0, columns, _stride(phase.columns, _MAX_LABELS))
    tilted = not phase.columns.is_numeric and sum(len(short_value(v)) for v in phase.columns.values) > _MOST_LEVEL
    options: Any = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if tilted else {}
    axes.set_xticks(shown, [literal(short_value(phase.columns.values[k])) for k in shown], fontsize=8, **options)
    shown = range(0, rows, _stride(phase.rows, _MAX_ROW_LABELS))
    axes.set_yticks(shown, [literal(short_value(phase.rows.values[k])) for k in shown], fontsize=9)
    axes.tick_params(length=2)
    axes.set_xlabel(literal(phase.columns.label), fontsize=9)
    if phase.rows.is_numeric:
        axes.set_ylabel(literal(phase.rows.label), fontsize=9)


def _frames_picture(frames: CurveFrames, metric: str, title: str) -> bytes:
    panels, scales = frames.panels, frames.scales
    columns = even_columns(len(panels), frames.columns)
    rows = math.ceil(len(panels) / columns)
    shared = are_shared(scales)
    axes = _frames(rows, columns, 3.2, 2.2, apart=0.0 if shared else 0.3)
    figure = axes[0].figure
    for frame, panel, scale in zip(axes, panels, scales, strict=False):
        _draw_panel(frame, panel, scale)
    for place, frame in enumerate(axes):
        frame.set_visible(place < len(panels))
        frame.tick_params(labelleft=not shared or place % columns == 0, labelbottom=place + columns >= len(panels))
        if place + columns >= len(panels):
            frame.set_xlabel("step", fontsize=8, labelpad=2)
    bands = " (line) and middle half (band)" if frames.has_bands else ""
    figure.suptitle(literal(f"{title}: {metric}, median of the trials{bands}"), fontsize=11)
    handles, labels = axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=9)
    return _png(figure)


def _draw_panel(frame: Axes, panel: Panel, scale: Scale) -> None:
    """The lines and bands of one frame; a triangle at its edge is where a line leaves it."""
    for line in panel.lines:
        colour = line_colour(line.index)
        frame.plot(panel.steps, scale.drawable(line.middle), color=colour, label=literal(line.label), linewidth=1.4)
        if line.low is not None and line.high is not None:
            low, high = scale.drawable(line.low), scale.drawable(line.high)
            frame.fill_between(panel.steps, low, high, color=colour, alpha=0.22, linewidth=0)
        for exit_ in exits(line, panel.steps, scale):
            edge, marker = (0.97, "^") if exit_.above else (0.03, "v")
            frame.plot(exit_.step, scale.at(edge), marker, color=colour, markersize=5)
    frame.set_yscale("log" if scale.logarithmic else "linear")
    frame.set_ylim(scale.low, scale.high)
    _set_ticks(frame.yaxis, scale, 5)
    frame.set_xlim(panel.steps[0], panel.steps[-1] or 1)
    reasons = f" ({', '.join(panel.reasons)})" if panel.reasons else ""
    frame.set_title(literal(panel.title + reasons), fontsize=9)
    frame.grid(color="#e6e6e6", linewidth=0.6)
    frame.tick_params(labelsize=8)


def _importance_picture(shares: Sequence[Importance], metric: str) -> bytes:
    figure = _figure(7.0, 0.45 * len(shares) + 1.4)
    axes = figure.add_subplot()
    names = [display_name(share.axis) for share in reversed(shares)]
    axes.barh(names, [share.total for share in reversed(shares)], color="#c6d3e1", label="with its interactions")
    axes.barh(names, [share.first_order for share in reversed(shares)], color=line_colour(0), label="on its own")
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of the variance of the rank by {display_name(metric)}")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return _png(figure)


def _surfaces_picture(surfaces: Sequence[Surface], title: str) -> bytes:
    columns = even_columns(len(surfaces), 3)
    rows = math.ceil(len(surfaces) / columns)
    frames = _frames(rows, columns, 3.6, 3.0, apart=0.0)
    figure = frames[0].figure
    for frame, surface in zip(frames, surfaces, strict=False):
        _draw_surface(frame, surface)
        frame.set_title(literal(surface.title), fontsize=9)
        frame.tick_params(labelsize=7)
        frame.label_outer()
    for frame in frames[len(surfaces) :]:
        frame.set_visible(False)
    figure.suptitle(f"{title}: the functions that the best networks learned", fontsize=11)
    return _png(figure)


def _draw_surface(axes: Axes, surface: Surface) -> None:
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    axes.set_xlabel(literal(surface.names[0]), fontsize=8)
    if surface.y is None:
        axes.scatter(surface.data[:, 0], surface.targets, s=8, color="#9aa0a8")
        axes.plot(surface.x, surface.values, color=line_colour(0), linewidth=1.8)
        return
    axes.set_ylabel(literal(surface.names[1]), fontsize=8)
    several = len(surface.classes) > 2
    ground = [line_colour(k) for k in range(len(surface.classes))] if several else [FIRST_CLASS, SECOND_CLASS]
    colours: Any = (
        ListedColormap(ground) if several else LinearSegmentedColormap.from_list("", [ground[0], "white", ground[1]])
    )
    extent = (surface.x[0], surface.x[-1], surface.y[0], surface.y[-1])
    highest = len(ground) - 1
    axes.imshow(
        surface.values, origin="lower", extent=extent, aspect="auto", cmap=colours, vmin=0, vmax=highest, alpha=0.55
    )
    if not several:
        axes.contour(surface.x, surface.y, surface.values, levels=[0.5], colors="#333333", linewidths=1)
    points = [ground[int(target)] for target in surface.targets]
    axes.scatter(surface.data[:, 0], surface.data[:, 1], s=10, c=points, edgecolors="white", linewidths=0.4)


def _size(phase: PhaseDiagram) -> tuple[float, float]:
    """Width of the picture and height of each map, in inches."""
    height, width = phase.median.shape
    return min(max(6.0, 0.3 * width + 2.5), _LARGEST), min(max(1.9, 0.36 * height + 1.0), _LARGEST)


def _stride(axis: Axis, most: int) -> int:
    """Every how many of the cells has a label: all words, or as many numbers as there is room for."""
    return math.ceil(len(axis.values) / most)


def _frames(rows: int, columns: int, width: float, height: float, apart: float) -> Any:
    """Frames of one size in inches, with room for titles, a legend below and labels, `apart` for labels between them.

    The places are computed here, because Matplotlib takes longer to find them than to draw.
    """
    left, below, above, between = 0.55, 0.85, 0.65, 0.45
    wide, high = columns * width + left + 0.15, rows * height + below + above - between
    figure = _figure(wide, high, layout=None)
    figure.subplots_adjust(
        left=left / wide, right=1 - 0.15 / wide, bottom=below / high, top=1 - above / high,
        wspace=(0.35 + apart) / (width - 0.35 - apart), hspace=between / (height - between),
    )  # fmt: skip
    return figure.subplots(rows, columns, squeeze=False).ravel()


def _figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
