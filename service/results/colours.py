"""Colours that say the same in every picture, on light ground and dark, and can be told apart by the colour-blind."""

from __future__ import annotations

OUTCOME_COLOURS = {
    "converged": "#1b9e55",
    "improving": "#8bcf9a",
    "stalled": "#a3a7ae",
    "vanishing": "#3f8fd2",
    "exploding": "#f0932b",
    "dead": "#8e6bbf",
    "diverged": "#d9463b",
    "": "#00000000",
}

LINES = ("#3f8fd2", "#e8743b", "#1fa187", "#b265c9", "#d9a400", "#d9466f", "#6b7fd7", "#7c8794")
"""Of the lines of a panel, by the place of the value that each stands for."""

FIRST_CLASS, SECOND_CLASS = "#3f8fd2", "#e8743b"


def line_colour(place: int) -> str:
    """Of the value at this place of an axis."""
    return LINES[place % len(LINES)]
