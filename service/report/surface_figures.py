"""What networks have learned as Bokeh figures."""

from __future__ import annotations

from typing import Any

from bokeh.models import LinearColorMapper, PlainText, Range1d

from service.report.style import make_figure, single
from service.report.surfaces import Surface
from service.results.colours import FIRST_CLASS, SECOND_CLASS, line_colour


def surface_figure(surface: Surface) -> Any:
    """What a network has learned, and the data that it saw."""
    if surface.y is None:
        made = make_figure(260, title=surface.title)
        made.scatter(
            single(surface.data[:, 0]),
            single(surface.targets),
            size=5,
            fill_color="#9aa0a8",
            line_color=None,
        )
        made.line(single(surface.x), single(surface.values), line_color=line_colour(0), line_width=2.5)
        made.xaxis[0].axis_label = PlainText(surface.names[0])
        return made
    several = len(surface.classes) > 2
    ground = [line_colour(k) for k in range(len(surface.classes))] if several else [FIRST_CLASS, SECOND_CLASS]
    palette = [f"{colour}66" for colour in ground] if several else _between(*ground)
    mapper = LinearColorMapper(palette=palette, low=0, high=len(ground) - 1)
    x, y = surface.x, surface.y
    made = make_figure(
        260, title=surface.title, x_range=Range1d(start=x[0], end=x[-1]), y_range=Range1d(start=y[0], end=y[-1])
    )
    made.image(
 [single(surface.values)], x=float(x[0]), y=float(y[0]), dw=float(x[-1] - x[0]), dh=float(y[-1] - y[0]),
        color_mapper=mapper,
    )  # fmt: skip
    colours = [ground[int(target)] for target in surface.targets]
    made.scatter(
 single(surface.data[:, 0]), single(surface.data[:, 1]), size=5, fill_color=colours,
        line_color="#ffffff", line_width=0.5,
    )  # fmt: skip
    made.grid.visible = False
    made.xaxis[0].axis_label, made.yaxis[0].axis_label = map(PlainText, surface.names)
    return made


def _between(first: str, second: str) -> list[str]:
    """From one colour through nothing to another."""
    strengths = [round(k * 12.8) for k in range(10, 0, -1)]
    return [f"{first}{s:02x}" for s in strengths] + [f"{second}{s:02x}" for s in reversed(strengths)]
