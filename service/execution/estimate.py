"""The costs from which the time of a sweep is estimated."""

from __future__ import annotations

SECONDS_A_RUN, SECONDS_A_ROW = 0.0006, 0.000008
"""Seconds to write a run, and each of its metric rows, into a database in bulk while workers train."""
