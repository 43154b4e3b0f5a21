"""Colours that mean the same in every picture, on light and dark ground, and that the colour-blind can tell apart."""

from __future__ import annotations

OUTCOME_COLOURS = {
    "converged": "#157a5a",
    "improving": "#a6cf8e",
    "stalled": "#b5aab8",
    "vanishing": "#2f9df0",
    "exploding": "#f59e0b",
    "dead": "#7a4fa8",
    "diverged": "#c0451d",
    "": "#00000000",
}

LINES = ("#3f8fd2", "#e8743b", "#057657", "#b08fc0", "#e8a000", "#a3283f", "#4a55b5", "#7a9480")
"""The colours of a panel's lines, by the index of the value that each stands for."""

FIRST_CLASS, SECOND_CLASS = "#3f8fd2", "#e8743b"


def line_colour(place: int) -> str:
    """Of the value at this place of an axis."""
    return LINES[place % len(LINES)]
