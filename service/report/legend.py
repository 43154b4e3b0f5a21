"""Legends: their keys and colours, which mean the same in every section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.report.surfaces import Surface
from service.results.colours import FIRST_CLASS, OUTCOME_COLOURS, SECOND_CLASS, line_colour

NO_VALUE, BEYOND = "#8a929c", "#ffffff"
"""Colours of the hatches of cells without a value, and of cells beyond the colour scale."""


@dataclass(frozen=True)
class Key:
    """An entry of a legend. mark: the class in page.css that draws it."""

    label: str
    colour: str = ""
    mark: str = "square"


DATA_COLOUR = "#9aa0a8"
"""The colour of the data that a curve was fitted to."""


def outcome_keys(shown: Mapping[str, object]) -> list[Key]:
    """Return the legend of outcomes. shown: the outcomes."""
    return [Key(name, OUTCOME_COLOURS[name]) for name in shown]


def surface_keys(surface: Surface) -> list[Key]:
    """Return the legend that all surfaces of a sweep share."""
    if surface.y is None:
        return [Key("training data", DATA_COLOUR, "dot"), Key("network", line_colour(0), "line")]
    colours = class_colours(surface)
    names = [f"class {name}" if str(name).isdigit() else str(name) for name in surface.classes]
    return [Key(name, colour, "dot") for name, colour in zip(names, colours, strict=False)]


def class_colours(surface: Surface) -> list[str]:
    """Return the colours of a surface's classes."""
    if len(surface.classes) > 2:
        return [line_colour(k) for k in range(len(surface.classes))]
    return [FIRST_CLASS, SECOND_CLASS]
