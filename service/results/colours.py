"""Colours for all pictures. They work on light and dark ground, and colour-blind readers can tell them apart."""

from __future__ import annotations

OUTCOME_COLOURS = {
    "converged": "#157a5a",
    "improving": "#a6cf8e",
    "stalled": "#b5aab8",
    "vanishing": "#2f9df0",
    "exploding": "#f59e0b",
    "dead": "#7a4fa8",
    "diverged": "#c0451d",
    "stopped": "#647088",
    "": "#00000000",
}
"""Outcome -> colour; "" is a cell without trials."""

LINES = ("#3f8fd2", "#e8743b", "#057657", "#b08fc0", "#e8a000", "#a3283f", "#4a55b5", "#7a9480")
"""The colours of lines and of the axis values that they belong to, in order; of more than eight some are shown."""

LEVEL_COLOUR = "#8a929c"
"""The colour of a horizontal line that curves are compared with."""

FIRST_CLASS, SECOND_CLASS = "#3f8fd2", "#e8743b"
"""The colours of the two classes of a binary classification."""


def line_colour(index: int) -> str:
    """Return the colour of the shown axis value at this index. Colours repeat after eight."""
    return LINES[index % len(LINES)]
