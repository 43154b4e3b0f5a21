"""A leaderboard and matched trials as DataFrames, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from service.results.leaderboard import Entry
from service.results.matching import Difference, Matching

_OF_AN_ENTRY = ("trials", "finished", "mean", "low", "high", "run_id")
_OF_A_DIFFERENCE = ("pairs", "finished", "mean", "low", "high", "over")
_QUARTILES = ("first_quartile", "median", "third_quartile")
_COUNTS = ("first_better", "second_better", "equal", "lost", "same")


def entries_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return a leaderboard: rank, tied, the swept hyperparameters, and the columns of `_OF_AN_ENTRY`."""
    rows = [
        {"rank": e.rank, "tied": e.tied, **e.params, **{name: getattr(e, name) for name in _OF_AN_ENTRY}}
        for e in entries
    ]
    return pd.DataFrame(rows)


def matched_frame(matchings: Sequence[Matching]) -> pd.DataFrame:
    """Return the differences of matched trials, one row for each combination of values that sweeps do not share."""
    rows = [_row(matched, difference) for matched in matchings for difference in matched.differences]
    columns = ["first", "second", *_OF_A_DIFFERENCE, *_QUARTILES, *_COUNTS]
    return pd.DataFrame(rows, columns=None if rows else columns)


def _row(matched: Matching, difference: Difference) -> dict[str, Any]:
    values = {f"first.{name}": value for name, value in difference.first_values.items()}
    values |= {f"second.{name}": value for name, value in difference.second_values.items()}
    return {
        "first": matched.first,
        "second": matched.second,
        **values,
        **{name: getattr(difference, name) for name in _OF_A_DIFFERENCE},
        **dict(zip(_QUARTILES, difference.quartiles, strict=True)),
        **{name: getattr(difference, name) for name in _COUNTS},
    }
