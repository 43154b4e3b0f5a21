"""The page's sections: their explanations, tabs and drawings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from service.report.axis_figures import importance_drawing, parallel_drawing
from service.report.contents import Contents
from service.report.curve_figures import exit_keys, panel_drawings
from service.report.curve_panels import CurveFrames
from service.report.layout import Block, Drawing, Section, Tab, even_columns
from service.report.legend import Key, surface_keys
from service.report.map_figures import map_block
from service.report.phase_figures import phase_blocks
from service.report.surface_figures import surface_drawing
from service.report.trial_figures import trials_drawing
from service.results.axes import NO_AXIS, display_name
from service.results.colours import LEVEL_COLOUR, line_colour
from service.results.map_pixels import lost_label
from service.results.phase_diagram import PhaseDiagram

MAX_POINTS = 10_000
"""The greatest number of trials that are drawn as points."""
MAX_LINES = 3_000
"""The greatest number of configurations that are drawn as lines."""


def make_sections(contents: Contents) -> Iterator[Section]:
    """Yield the sections that have something to show, in the order of the page."""
    if contents.phases:
        yield _phase_section(contents)
    if contents.curves:
        yield _curves_section(contents)
    if contents.gradients is not None:
        yield _gradients_section(contents.gradients)
    if len(contents.importance) > 1:
        yield _importance_section(contents)
    if contents.axes:
        yield _trials_section(contents)
    if len(contents.axes) > 1 and math.prod(len(axis.values) for axis in contents.axes) <= MAX_LINES:
        yield _parallel_section(contents)
    if contents.surfaces:
        yield _surfaces_section(contents)


def _phase_section(contents: Contents) -> Section:
    tabs = [Tab(_pair_name(p), _phase_tab(p, contents)) for p in contents.phases]
    if all(phase.is_map for phase in contents.phases):
        metric, of_lost = display_name(contents.metric), lost_label(contents.phases[0])
        words = (
            "Each pixel stands for the trials with its two values. Its colour is the rank of their median "
            f"{metric} or, where most exploded or diverged, of their {of_lost}."
        )
        return Section("phase", "Phase diagram", words, tabs)
    single = contents.pair[1] is NO_AXIS
    outcome = (
        "the share of each outcome" if single else "their most frequent outcome (the paler, the smaller its share)"
    )
    words = (
        f"Each cell stands for all trials that have its {'value' if single else 'two values'}: the median of their "
        f"{display_name(contents.metric)}, and {outcome}."
    )
    if any(np.isfinite(phase.onset_step).any() for phase in contents.phases):
        words += " Where trials failed, it also has the step at which they began to."
    words += " Hover over a cell for its numbers; click it to open its best run."
    return Section("phase", "Phase diagram", words, tabs)


def _phase_tab(phase: PhaseDiagram, contents: Contents) -> list[Block]:
    return [map_block(phase, contents.sweep.sweep)] if phase.is_map else phase_blocks(phase, contents.outcomes)


def _curves_section(contents: Contents) -> Section:
    columns, rows = contents.pair
    each = f", one line for each {rows.label}" if rows is not NO_AXIS else ""
    frame = f", one frame for each {columns.label}" if columns is not NO_AXIS else ""
    words = (
        f"Median over the trials (line) and the range of their middle half (band){each}{frame}. "
        "Scales are chosen from the trials that neither exploded nor diverged."
    )
    tabs = [_frames_tab(display_name(name), display_name(name), frames) for name, frames in contents.curves.items()]
    return Section("curves", "Curves", words, tabs)


def _gradients_section(frames: CurveFrames) -> Section:
    words = (
        "Norm of the gradient of each layer's weights, median over the trials. If the lines of the first layers lie "
        "far below the last layer's, the gradient vanishes on its way back."
    )
    return Section("gradients", "Gradients by layer", words, [_frames_tab("", "gradient norm", frames)])


def _frames_tab(heading: str, metric: str, frames: CurveFrames) -> Tab:
    keys = [Key(line.label, line_colour(line.index), "line") for line in frames.panels[0].lines if line.label]
    keys += [Key(frames.level, LEVEL_COLOUR, "dashed")] if frames.level else []
    keys += exit_keys(frames.panels, frames.scales)
    drawings = panel_drawings(frames.panels, frames.scales, metric)
    block = Block(drawings, keys=keys, columns=even_columns(len(drawings), frames.columns))
    return Tab(heading, [block], frames.words)


def _importance_section(contents: Contents) -> Section:
    words = (
        f"The share of the variance in {display_name(contents.metric)}, by rank, that each axis explains: on its own, "
        "and with its interactions with other axes. The seed's share is chance."
    )
    return Section("importance", "Importance", words, [Tab("", [_alone(importance_drawing(contents.importance))])])


def _trials_section(contents: Contents) -> Section:
    table = contents.table
    sampled = len(table) > MAX_POINTS
    if sampled:
        table = table.sample(MAX_POINTS, random_state=0).sort_values("number")
    drawing = trials_drawing(table, contents.metric, *contents.pair)
    marks = {key.mark for key in drawing.keys}
    words = f"One point for each trial{f', {MAX_POINTS:,} of them at random' if sampled else ''}."
    if marks & {"up", "down"}:
        words += " A triangle at the edge of the frame is a value beyond it."
    if "cross" in marks:
        words += " A cross at the edge is a trial that diverged."
    return Section("trials", "Every trial", words, [Tab("", [_alone(drawing)])])


def _parallel_section(contents: Contents) -> Section:
    words = (
        "One line for each configuration, through its values to the rank of its median "
        f"{display_name(contents.metric)}. Hover over a line to highlight it; click it to open its best run."
    )
    drawing = parallel_drawing(contents.table, contents.metric, contents.axes)
    return Section("parallel", "Parallel coordinates", words, [Tab("", [_alone(drawing)])])


def _surfaces_section(contents: Contents) -> Section:
    rows = contents.pair[1]
    each = f" of each {rows.label}" if rows is not NO_AXIS else ""
    surfaces = contents.surfaces
    shown = "The prediction" if surfaces[0].y is None else "The class that is predicted"
    words = f"{shown} by the network of the best trial{each}, and the data that it was trained on."
    drawings = [surface_drawing(surface) for surface in surfaces]
    block = Block(drawings, keys=surface_keys(surfaces[0]), columns=len(drawings) if len(drawings) < 5 else 3)
    return Section("surfaces", "Learned functions", words, [Tab("", [block])])


def _alone(drawing: Drawing) -> Block:
    """Return a block of one drawing, with the drawing's legend above it."""
    return Block([replace(drawing, keys=())], keys=drawing.keys)


def _pair_name(phase: PhaseDiagram) -> str:
    return phase.columns.label if phase.rows is NO_AXIS else f"{phase.columns.label} × {phase.rows.label}"
