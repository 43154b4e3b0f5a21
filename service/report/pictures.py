"""The report's pictures as PNG files, drawn by Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from service.report.layout import even_columns
from service.report.legend import DATA_COLOUR, class_colours, surface_keys
from service.report.panels import Panel, are_shared, exits
from service.report.phase_pictures import phase_picture
from service.report.picture_canvas import as_png, make_figure, make_frames, set_ticks
from service.report.picture_text import literal, readable_fonts
from service.results.axes import display_name
from service.results.colours import LEVEL_COLOUR, line_colour
from service.results.scales import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from service.report.contents import Contents
    from service.report.curve_panels import CurveFrames
    from service.report.surfaces import Surface
    from service.results.importance import Importance

_WIDEST_TITLE = 44  # characters of a line above a frame


@readable_fonts()
def make_pictures(contents: Contents) -> Mapping[str, bytes]:
    """Return file name -> PNG of each section of the report that has something to show."""
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


def _frames_picture(frames: CurveFrames, metric: str, title: str) -> bytes:
    from matplotlib.lines import Line2D

    panels, scales = frames.panels, frames.scales
    columns = even_columns(len(panels), frames.columns)
    rows = math.ceil(len(panels) / columns)
    shared = are_shared(scales)
    title_lines = 1 + max(_title(panel).count("\n") for panel in panels)
    axes = make_frames(rows, columns, 3.2, 2.2, apart=0.0 if shared else 0.3, title_lines=title_lines)
    figure = axes[0].figure
    for frame, panel, scale in zip(axes, panels, scales, strict=False):
        _draw_panel(frame, panel, scale)
    for k, frame in enumerate(axes):
        frame.set_visible(k < len(panels))
        frame.tick_params(labelleft=not shared or k % columns == 0, labelbottom=k + columns >= len(panels))
        if k + columns >= len(panels):
            frame.set_xlabel("step", fontsize=8, labelpad=2)
    bands = " (line) and middle half (band)" if frames.has_bands else ""
    figure.suptitle(literal(f"{title}: {metric}, median of the trials{bands}"), fontsize=11)
    handles, labels = axes[0].get_legend_handles_labels()
    if frames.level:
        handles.append(Line2D([], [], color=LEVEL_COLOUR, linestyle="--"))
        labels.append(frames.level)
    if len(labels) > 1 or frames.level:
        figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=9)
    return as_png(figure)


def _draw_panel(frame: Axes, panel: Panel, scale: Scale) -> None:
    """Draw the lines and bands of one frame, and a triangle at its edge where a line leaves it."""
    for line in panel.lines:
        colour = line_colour(line.index)
        frame.plot(panel.steps, scale.drawable(line.middle), color=colour, label=literal(line.label), linewidth=1.4)
        if line.low is not None and line.high is not None:
            low, high = scale.drawable(line.low), scale.drawable(line.high)
            frame.fill_between(panel.steps, low, high, color=colour, alpha=0.22, linewidth=0)
        for exit_ in exits(line, panel.steps, scale):
            edge, marker = (0.97, "^") if exit_.above else (0.03, "v")
            frame.plot(exit_.step, scale.at(edge), marker, color=colour, markersize=5)
    if (level := panel.level_on(scale)) is not None:
        frame.axhline(level, color=LEVEL_COLOUR, linestyle="--", linewidth=1.2)
    frame.set_yscale("log" if scale.logarithmic else "linear")
    frame.set_ylim(scale.low, scale.high)
    set_ticks(frame.yaxis, scale, 5)
    frame.set_xlim(panel.steps[0], panel.steps[-1] or 1)
    frame.set_title(literal(_title(panel)), fontsize=9)
    frame.grid(color="#e6e6e6", linewidth=0.6)
    frame.tick_params(labelsize=8)


def _title(panel: Panel) -> str:
    """Return a frame's title and the reasons for showing it, in lines of the frame's width."""
    lines = [panel.title] if len(panel.title) <= _WIDEST_TITLE else panel.title.replace(", ", ",\n").split("\n")
    reasons = f"({', '.join(panel.reasons[:2])})" if panel.reasons else ""
    if reasons and len(lines[-1]) + len(reasons) < _WIDEST_TITLE:
        lines[-1] += f" {reasons}"
    elif reasons:
        lines.append(reasons)
    return "\n".join(lines)


def _importance_picture(shares: Sequence[Importance], metric: str) -> bytes:
    figure = make_figure(7.0, 0.45 * len(shares) + 1.4)
    axes = figure.add_subplot()
    names = [display_name(share.axis) for share in reversed(shares)]
    axes.barh(names, [share.total for share in reversed(shares)], color="#c6d3e1", label="with its interactions")
    axes.barh(names, [share.first_order for share in reversed(shares)], color=line_colour(0), label="on its own")
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of the variance of the rank by {display_name(metric)}")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return as_png(figure)


def _surfaces_picture(surfaces: Sequence[Surface], title: str) -> bytes:
    columns = even_columns(len(surfaces), 3)
    rows = math.ceil(len(surfaces) / columns)
    of_targets = bool(surfaces[0].target)  # each frame has a range and a label of its own
    frames = make_frames(rows, columns, 3.6, 3.0, apart=0.3 * of_targets)
    figure = frames[0].figure
    for frame, surface in zip(frames, surfaces, strict=False):
        _draw_surface(frame, surface)
        frame.set_title(literal(surface.title), fontsize=9)
        frame.tick_params(labelsize=7)
        if not of_targets:
            frame.label_outer()
    for frame in frames[len(surfaces) :]:
        frame.set_visible(False)
    _draw_key(figure, surfaces[0])
    figure.suptitle(literal(f"{title}: the functions that the best networks learned"), fontsize=11, wrap=True)
    return as_png(figure)


def _draw_key(figure: Figure, surface: Surface) -> None:
    """Draw a legend of the classes, or of the data and the prediction."""
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], color=key.colour, marker="o" if key.mark == "dot" else "", label=literal(key.label),
               linestyle="" if key.mark == "dot" else "-")
        for key in surface_keys(surface)
    ]  # fmt: skip
    figure.legend(handles=keys, loc="lower center", ncols=min(len(keys), 6), frameon=False, fontsize=9)


def _draw_surface(axes: Axes, surface: Surface) -> None:
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    axes.set_xlabel(literal(surface.names[0]), fontsize=8)
    if surface.y is None:
        axes.scatter(surface.data[:, 0], surface.targets, s=8, color=DATA_COLOUR)
        axes.plot(surface.x, surface.values, color=line_colour(0), linewidth=1.8)
        axes.set_ylabel(literal(surface.target), fontsize=8)
        return
    axes.set_ylabel(literal(surface.names[1]), fontsize=8)
    several = len(surface.classes) > 2
    ground = class_colours(surface)
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
