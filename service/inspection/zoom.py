"""Zooms: a recorded map again, closer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from engine.arrays import Array
from experiments.errors import UserError
from experiments.spec import ResolvedSpec, check_spec
from experiments.window import Range, range_of, with_ranges
from service.execution.recorded_plan import recorded_spec
from service.inspection.files import write_file
from service.recording.infos import SweepInfo
from service.recording.recorded_table import read_table
from service.recording.store import Store
from service.results.axes import Axis, axis_pairs, display_name, swept_axes
from service.results.columns import columns_to_rank
from service.results.edge import LEAST_SIDE, Edge, lost_cells, measure_edge
from service.results.leaderboard import check_metric
from service.results.map_pixels import map_pixels
from service.results.phase_diagram import make_phase_diagram
from service.results.refined_table import with_untrained_cells

if TYPE_CHECKING:
    from PIL.Image import Image

_FRAME_SIDE = 512  # pixels of a film's frame, at least
_FRAME_MILLISECONDS, _LAST_MILLISECONDS = 500, 2500
_LETTER, _LINE, _MARGIN = 14, 20, 8  # pixels: of the text below a frame


@dataclass(frozen=True)
class Zoom:
    """A closer look at a recorded map.

    sweep: the sweep that it comes from.
    columns, rows: the ranges of its two axes.
    at: the values in their middle.
    spec: the sweep to run.
    """

    sweep: SweepInfo
    columns: Range
    rows: Range
    at: tuple[float, float]
    spec: ResolvedSpec

    def closer(self, by: float) -> Zoom:
        """Return the zoom at the same place that is `by` times closer."""
        return make_zoom(self.sweep, self.spec, (self.columns, self.rows), self.at, by, None)


def make_zoom(
    sweep: SweepInfo,
    spec: ResolvedSpec,
    ranges: tuple[Range, Range],
    at: tuple[float, float],
    by: float,
    points: int | None,
) -> Zoom:
    """Return the zoom of a sweep.

    sweep: the sweep that it comes from.
    spec: a spec whose axes it changes.
    ranges: the ranges that it shortens: of the columns and of the rows.
    at: the values in the middle of the new ranges.
    by: the factor by which they are shorter.
    points: the number of values of each; None for as many as before.
    """
    columns, rows = (window.zoomed(centre, by, points) for window, centre in zip(ranges, at, strict=True))
    text = f"{sweep.spec}/{sweep.sweep} closer, at {columns.name} {at[0]!r} and {rows.name} {at[1]!r}"
    data = with_ranges(spec.source.data, (columns, rows), text)
    return Zoom(sweep, columns, rows, at, check_spec(replace(spec.source, data=data, locations={}, origin="the zoom")))


def first_zoom(
    store: Store, sweep: SweepInfo, table: pd.DataFrame, at: tuple[float, float], by: float, points: int | None = None
) -> Zoom:
    """Return the zoom of a recorded map.

    store: where the sweep is recorded.
    sweep: the sweep.
    table: its trials (see `map_table`).
    at, by, points: as in `make_zoom`.
    Raises UserError if the sweep has no two axes of numbers, or can't be zoomed there.
    """
    table = with_untrained_cells(table, store.spec(sweep))
    axes = [axis for axis in swept_axes(table, sweep.swept) if axis.is_numeric]
    if len(axes) < 2:
        has = f"only one, {axes[0].label}" if axes else "none"
        raise UserError(f"{sweep.spec}/{sweep.sweep} can't be zoomed: a map needs two axes of numbers; it has {has}")
    spec = recorded_spec(store, sweep)
    if not isinstance(spec.spec.grid, Mapping) or not all(axis.name in spec.spec.grid for axis in axes):
        raise UserError(f"{sweep.spec}/{sweep.sweep} can't be zoomed: its grid should be one block, without zip")
    ranges = tuple(_range(spec, axis) for axis in axis_pairs(axes)[0])
    return make_zoom(sweep, spec, (ranges[0], ranges[1]), at, by, points)


def _range(spec: ResolvedSpec, axis: Axis) -> Range:
    """Return the range of an axis. Its form says whether it is logarithmic; of a list, its values do."""
    form = spec.spec.grid[axis.name]
    of_space = isinstance(form, Mapping) and bool({"logspace", "linspace"} & set(form))
    whole = range_of(axis.name, axis.values, logarithmic="logspace" in form if of_space else axis.is_logarithmic)
    return replace(whole, points=form["points"]) if of_space else whole


@dataclass(frozen=True)
class Frame:
    """A zoom that was run.

    zoom: the zoom.
    sweep: its sweep's id.
    seconds: the time that it took.
    edge: the measures of its edge; None if it is too small.
    colours: what its colours are, for readers.
    pixels: its picture, (rows, columns, 3), the largest value of the rows' axis on top.
    """

    zoom: Zoom
    sweep: str
    seconds: float
    edge: Edge | None
    pixels: Array
    colours: str

    @property
    def row(self) -> dict[str, Any]:
        """Its row of the film's table."""
        columns, rows, edge = self.zoom.columns, self.zoom.rows, self.edge
        ends = {f"{side} {window.name}": end for window in (columns, rows) for side, end in _ends(window)}
        names = ("pixels", "dimension", "error", "median_slope")
        measures = {name: getattr(edge, name) if edge else float("nan") for name in names}
        return {"sweep": self.sweep, **ends, **measures, "seconds": round(self.seconds, 1)}


def _ends(window: Range) -> Iterator[tuple[str, float]]:
    yield "first", window.first
    yield "last", window.last


def map_table(store: Store, sweep: SweepInfo, metric: str, lost_by: str = "") -> pd.DataFrame:
    """Return the trials of a map with the metrics that colour it.

    metric: of the trials that were not lost. lost_by: of the lost ones; empty for the step at which they failed.
    Raises NotFoundError if no trial has one of them.
    """
    table = read_table(store, sweep, columns_to_rank(sweep.swept, metric, also=lost_by))
    for name in filter(None, (metric, lost_by)):
        check_metric(table, name)
    return table


def make_frame(zoom: Zoom, table: pd.DataFrame, metric: str, lost_by: str, sweep: str, seconds: float) -> Frame:
    """Return the frame of a zoom that was run.

    table: its trials. metric, lost_by: what colours its picture. For all three see `map_table`.
    sweep: its sweep's id.
    seconds: the time that it took.
    """
    table = with_untrained_cells(table, zoom.spec.source.data)
    by_name = {axis.name: axis for axis in swept_axes(table, (zoom.columns.name, zoom.rows.name))}
    columns, rows = by_name[zoom.columns.name], by_name[zoom.rows.name]
    lost = lost_cells(table, columns, rows)
    edge = measure_edge(lost) if min(lost.shape) >= LEAST_SIDE else None
    pixels = map_pixels(make_phase_diagram(table, metric, columns, rows, lost_by=lost_by))[::-1]
    best = f"yellow: best {display_name(metric)}"
    colours = f"{best}; red: lost, pale if {f'{display_name(lost_by)} is large' if lost_by else 'late'}"
    return Frame(zoom, sweep, seconds, edge, pixels, colours)


def write_film(frames: Sequence[Frame], path: Path) -> None:
    """Write the frames as an animated GIF: pictures, each with lines of text below it.

    Raises GradgridError if the file can't be written.
    """
    images = [_image(frame) for frame in frames]
    times = [*[_FRAME_MILLISECONDS] * (len(images) - 1), _LAST_MILLISECONDS]
    first, rest = images[0], images[1:]
    write_file(
        path,
        lambda partial: first.save(partial, format="GIF", save_all=True, append_images=rest, duration=times, loop=0),
    )


def _image(frame: Frame) -> Image:
    """Return a frame's picture, with the ranges of its axes and what its colours are below it."""
    from PIL import Image, ImageDraw, ImageFont

    rows, columns = frame.pixels.shape[:2]
    scale = max(1, -(-_FRAME_SIDE // max(rows, columns)))
    picture = Image.fromarray(frame.pixels.repeat(scale, axis=0).repeat(scale, axis=1))
    font = ImageFont.load_default(_LETTER)
    axes = (("right", frame.zoom.columns), ("up", frame.zoom.rows))
    lines = [f"{direction}: {display_name(window.name)}, {window.ends}" for direction, window in axes]
    lines.append(frame.colours)
    width = max(picture.width, *(math.ceil(font.getlength(line)) + 2 * _MARGIN for line in lines))
    image = Image.new("RGB", (width, picture.height + len(lines) * _LINE + _MARGIN), "white")
    image.paste(picture)
    pen = ImageDraw.Draw(image)
    for k, line in enumerate(lines):
        pen.text((_MARGIN, picture.height + _MARGIN // 2 + k * _LINE), line, fill="black", font=font)
    return image
