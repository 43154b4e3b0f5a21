"""About how long a sweep takes, before it runs."""

from __future__ import annotations

SECONDS_A_RUN, SECONDS_A_ROW = 0.0006, 0.000008
"""About what it takes to write a run into a database in bulk, and each metric row of it, while workers train."""
