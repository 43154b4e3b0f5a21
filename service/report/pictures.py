"""The report's pictures as PNG files, drawn by Matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from service.report.panels import Panel, scale_of
from service.report.picture_text import literal, readable_fonts
from service.results.axes import axis_pairs, swept_axes, tick, words
from service.results.colours import FIRST_CLASS, OUTCOME_COLOURS, SECOND_CLASS, line_colour
from service.results.metrics import METRICS, lower_is_better
from service.results.phase_diagram import Phase, make_phase, scale_of_median

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from service.execution.plan import Plan
    from service.report.contents import Contents
    from service.report.surfaces import Surface
    from service.results.importance import Importance

_LARGEST = 14.0  # inches of a picture's side
_MAX_LABELS = 30  # along a side
_DPI = 120
_FARTHEST = 1e100  # what lies beyond has the colour of this; a scale up to the largest double can't be drawn


@readable_fonts()
def heat_map(plan: Plan, table: pd.DataFrame) -> Mapping[str, bytes]:
    """File name -> PNG of the median over the first two axes, for the sweep's own run; none where two are not swept."""
    axes = swept_axes(table, list(plan.sweepable.axes))
    if len(axes) < 2 or not table[METRICS + plan.objective].notna().any():
        return {}
    phase = make_phase(table, plan.objective, *axis_pairs(axes)[0])
    figure = _figure(*_size(phase))
    _draw_median(figure, figure.add_subplot(), phase, f"{plan.name}: median {words(plan.objective)}")
    return {"heat_map.png": _png(figure)}


@readable_fonts()
def make_pictures(contents: Contents) -> Mapping[str, bytes]:
    """File name -> PNG of each of the report's sections that there is something to see in."""
    found: dict[str, bytes] = {}
    if contents.phases:
        found["phase.png"] = phase_picture(contents.phases[0], contents.name)
    if contents.curves:
        first = contents.metric if contents.metric in contents.curves else next(iter(contents.curves))
        found["curves.png"] = _panels_picture(contents.curves[first], words(first), contents.name, wide=3)
    if contents.gradients:
        columns = len({panel.title.rpartition(", ")[2] for panel in contents.gradients})
        found["gradients.png"] = _panels_picture(contents.gradients, "gradient norm", contents.name, wide=columns)
    if len(contents.importance) > 1:
        found["importance.png"] = _importance_picture(contents.importance, contents.metric)
    if contents.surfaces:
        found["surfaces.png"] = _surfaces_picture(contents.surfaces, contents.name)
    return found


def phase_picture(phase: Phase, title: str) -> bytes:
    """Heat maps, one below another: the median, the commonest outcome, and when trouble began, if it did."""
    width, height = _size(phase)
    troubled = bool(np.isfinite(phase.began).any())
    rows = 3 if troubled else 2
    figure = _figure(width, min(rows * height, 1.5 * _LARGEST))
    frames = figure.subplots(rows, 1)
    _draw_median(figure, frames[0], phase, f"{title}: median {words(phase.metric)}")
    _draw_outcomes(frames[1], phase)
    if troubled:
        _cells(frames[2], phase)
        frames[2].set_title("step at which trouble began, median", fontsize=11, loc="left")
        image = frames[2].imshow(phase.began, aspect="auto", cmap="magma")
        figure.colorbar(image, ax=frames[2])
    return _png(figure)


def _draw_median(figure: Figure, axes: Axes, phase: Phase, title: str) -> None:
    """Hatched where more than half diverged."""
    from matplotlib.colors import LogNorm, Normalize

    scale = scale_of_median(phase)
    low, high, logarithmic = scale or (0.0, 1.0, False)
    norm: Any = LogNorm if logarithmic else Normalize
    low, high = (float(np.clip(end, -_FARTHEST, _FARTHEST)) for end in (low, high))
    if logarithmic:
        low = max(low, 1 / _FARTHEST)
    _cells(axes, phase)
    colours = "viridis_r" if lower_is_better(phase.metric) else "viridis"
    image = axes.imshow(np.clip(phase.median, low, high), aspect="auto", cmap=colours, norm=norm(low, high))
    axes.set_title(title, fontsize=11, loc="left")
    if scale:
        figure.colorbar(image, ax=axes)


def _draw_outcomes(axes: Axes, phase: Phase) -> None:
    """The commonest outcome's colour, the stronger the larger its share."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    commonest = phase.commonest
    colours = np.array([[to_rgba(OUTCOME_COLOURS[name]) for name in row] for row in commonest])
    shares = np.nanmax(np.nan_to_num(np.stack(list(phase.shares.values()))), axis=0)
    colours[..., 3] *= 0.25 + 0.75 * shares
    _cells(axes, phase, hatched=False)
    axes.imshow(colours, aspect="auto")
    axes.set_title("commonest outcome; the fainter, the fewer", fontsize=11, loc="left")
    shown = [name for name in phase.shares if (commonest == name).any()]
    axes.legend(
        handles=[Patch(color=OUTCOME_COLOURS[name], label=name) for name in shown],
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(shown), frameon=False, fontsize=8, borderpad=0,
        handlelength=1.0, columnspacing=1.0,
    )  # fmt: skip


def _cells(axes: Axes, phase: Phase, *, hatched: bool = True) -> None:
    """Ticks and labels of a heat map's cells, and the ground where there is nothing."""
    if hatched:
        axes.set_facecolor("#dddddd")
        axes.patch.set(hatch="////", edgecolor="#aaaaaa")
    across, down = _labelled(len(phase.across.values)), _labelled(len(phase.down.values))
    names = [tick(phase.across.values[k]) for k in across]
    axes.set_xticks(across, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(down, [tick(phase.down.values[k]) for k in down], fontsize=9)
    axes.set_xlabel(phase.across.label)
    if phase.down.is_numeric:
        axes.set_ylabel(phase.down.label)


def _panels_picture(panels: Sequence[Panel], what: str, title: str, *, wide: int) -> bytes:
    columns = max(1, min(wide, len(panels)))
    rows = math.ceil(len(panels) / columns)
    frames = _frames(rows, columns, 3.2, 2.2)
    figure = frames[0].figure
    scale = scale_of(panels)
    for frame, panel in zip(frames, panels, strict=False):
        for line in panel.lines:
            colour = line_colour(line.place)
            frame.plot(panel.steps, scale.shown(line.middle), color=colour, label=line.label, linewidth=1.4)
            if line.low is not None and line.high is not None:
                low, high = scale.shown(line.low), scale.shown(line.high)
                frame.fill_between(panel.steps, low, high, color=colour, alpha=0.22, linewidth=0)
        if scale.logarithmic:
            frame.set_yscale("log")
        frame.minorticks_off()
        frame.set_ylim(scale.low, scale.high)
        frame.set_title(panel.title, fontsize=9)
        frame.grid(color="#e6e6e6", linewidth=0.6)
        frame.tick_params(labelsize=8)
    for frame in frames[len(panels) :]:
        frame.set_visible(False)
    figure.suptitle(f"{title}: {what}, median{_and_quartiles(panels)}", fontsize=11)
    handles, labels = frames[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=9)
    return _png(figure)


def _and_quartiles(panels: Sequence[Panel]) -> str:
    return " and quartiles" if any(line.low is not None for panel in panels for line in panel.lines) else ""


def _importance_picture(shares: Sequence[Importance], metric: str) -> bytes:
    figure = _figure(7.0, 0.45 * len(shares) + 1.4)
    axes = figure.add_subplot()
    names = [words(share.axis) for share in reversed(shares)]
    axes.barh(names, [share.together for share in reversed(shares)], color="#c6d3e1", label="with its interactions")
    axes.barh(names, [share.alone for share in reversed(shares)], color=line_colour(0), label="alone")
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of the variance of the rank by {words(metric)}")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return _png(figure)


def _surfaces_picture(surfaces: Sequence[Surface], title: str) -> bytes:
    columns = min(3, len(surfaces))
    rows = math.ceil(len(surfaces) / columns)
    frames = _frames(rows, columns, 3.6, 3.0)
    figure = frames[0].figure
    for frame, surface in zip(frames, surfaces, strict=False):
        _draw_surface(frame, surface)
        frame.set_title(surface.title, fontsize=9)
        frame.tick_params(labelsize=7)
        frame.label_outer()
    for frame in frames[len(surfaces) :]:
        frame.set_visible(False)
    figure.suptitle(f"{title}: what the best have learned", fontsize=11)
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


def _size(phase: Phase) -> tuple[float, float]:
    height, width = phase.median.shape
    return min(max(5.0, 0.42 * width + 3), _LARGEST), min(max(2.4, 0.42 * height + 1.6), _LARGEST)


def _labelled(count: int) -> range:
    """Which of the cells are labelled: all, or as many as can be read."""
    return range(0, count, math.ceil(count / _MAX_LABELS))


def _frames(rows: int, columns: int, width: float, height: float) -> Any:
    """Frames of one size in inches, with room for titles, a legend below and labels; for Matplotlib to find out where
    everything goes takes longer than drawing it.
    """
    around, below, above, apart = 0.6, 0.75, 0.65, 0.45
    wide, high = columns * width + around + 0.15, rows * height + below + above - apart
    figure = _figure(wide, high, layout=None)
    figure.subplots_adjust(
        left=around / wide, right=1 - 0.15 / wide, bottom=below / high, top=1 - above / high,
        wspace=0.16, hspace=apart / (height - apart),
    )  # fmt: skip
    return figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()


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
