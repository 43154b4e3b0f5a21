"""Keys of legends, and the marks that mean the same in every section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.results.colours import OUTCOME_COLOURS

NO_VALUE, BEYOND = "#8a929c", "#ffffff"
"""Hatches of cells without a value, and of cells beyond the scale of colours."""


@dataclass(frozen=True)
class Key:
    """An entry of a legend. mark: the class of the page's style sheet that draws it."""

    label: str
    colour: str = ""
    mark: str = "square"


ABOVE = Key("goes beyond the frame", mark="up")
DIVERGED_POINT = Key("diverged", mark="cross")


def outcome_keys(shown: Mapping[str, object]) -> list[Key]:
    """The outcomes' colours."""
    return [Key(name, OUTCOME_COLOURS[name]) for name in shown]
