"""The memory that the plan of a sweep takes. It bounds the number of trials.

Trials are computed where they are needed. What grows with their number is in the driver: a position for each point that
a condition or a comparison with other blocks keeps; and when a sweep is resumed, an index of the trials' ids.
"""

from __future__ import annotations

_BYTES_A_TRIAL = 64  # at most: measured with 10^6 to 10^8 trials

MAX_BYTES = 1 << 32
"""The most memory that a plan may take, in bytes."""

MAX_TRIALS = MAX_BYTES // _BYTES_A_TRIAL
"""The number of trials whose plan takes that."""


def plan_bytes(trials: int) -> int:
    """Return how much memory the plan of so many trials takes at most, in bytes."""
    return trials * _BYTES_A_TRIAL


def too_large(trials: int) -> str:
    """Return the end of a message on a plan that takes too much memory; empty if it does not."""
    if trials <= MAX_TRIALS:
        return ""
    return (
        f"planning and resuming them takes {bytes_text(plan_bytes(trials))} of memory, of {bytes_text(MAX_BYTES)} "
        f"at most, which are {MAX_TRIALS:,} trials"
    )


def bytes_text(count: int) -> str:
    """Return a number of bytes for readers."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):,.1f} MB"
