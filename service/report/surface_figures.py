"""The functions that networks have learned, as Bokeh figures."""

from __future__ import annotations

from typing import Any

from bokeh.models import LinearColorMapper, PlainText, Range1d

from service.report.layout import Drawing
from service.report.legend import DATA_COLOUR, class_colours
from service.report.style import as_float32, make_figure, number_formatter
from service.report.surfaces import Surface
from service.results.colours import line_colour


def surface_drawing(surface: Surface) -> Drawing:
    """Return a drawing of a network's output over its data."""
    heading, _, note = surface.title.partition(", ")
    return Drawing(_curve(surface) if surface.y is None else _plane(surface), heading, note)


def _curve(surface: Surface) -> Any:
    plot = make_figure(290)
    x, y = as_float32(surface.data[:, 0]), as_float32(surface.targets)
    plot.scatter(x, y, size=5, fill_color=DATA_COLOUR, fill_alpha=0.7, line_color=None)
    plot.line(as_float32(surface.x), as_float32(surface.values), line_color=line_colour(0), line_width=2.5)
    plot.xaxis[0].axis_label, plot.yaxis[0].axis_label = PlainText(surface.names[0]), PlainText(surface.target)
    plot.xaxis[0].formatter = plot.yaxis[0].formatter = number_formatter()
    return plot


def _plane(surface: Surface) -> Any:
    assert surface.y is not None
    colours = class_colours(surface)
    palette = _between(*colours) if len(colours) == 2 else [f"{colour}66" for colour in colours]
    mapper = LinearColorMapper(palette=palette, low=0, high=len(colours) - 1)
    x, y = (float(end) for end in surface.x[[0, -1]]), (float(end) for end in surface.y[[0, -1]])
    (left, right), (bottom, top) = x, y
    plot = make_figure(290, x_range=Range1d(start=left, end=right), y_range=Range1d(start=bottom, end=top))
    image = [as_float32(surface.values)]
    plot.image(image, x=left, y=bottom, dw=right - left, dh=top - bottom, color_mapper=mapper)
    points = as_float32(surface.data)
    fill = [colours[int(target)] for target in surface.targets]
    plot.scatter(points[:, 0], points[:, 1], size=5, fill_color=fill, line_color="#ffffff", line_width=0.5)
    plot.grid.visible = False
    plot.xaxis[0].formatter = plot.yaxis[0].formatter = number_formatter()
    plot.xaxis[0].axis_label, plot.yaxis[0].axis_label = map(PlainText, surface.names)
    return plot


def _between(first: str, second: str) -> list[str]:
    """Return a palette from one colour through transparent to another."""
    strengths = [round(k * 12.8) for k in range(10, 0, -1)]
    return [f"{first}{s:02x}" for s in strengths] + [f"{second}{s:02x}" for s in reversed(strengths)]
