"""The matched trials of two sweeps as rows and sentences for readers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from service.results.axes import Axis, format_value
from service.results.matching import Difference, Matching


def difference_rows(matched: Matching) -> list[dict[str, Any]]:
    """Return the rows of a table of differences: column -> value."""
    return [_row(difference, matched.differs) for difference in matched.differences]


def variant_texts(matched: Matching) -> list[str]:
    """Return what each combination of values that are not shared is called: `optimizer sgd → adam`."""
    return [", ".join(f"{name} {_change(d, name)}" for name in matched.differs) for d in matched.differences]


def quartiles_along(pairs: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Return the quartiles of the difference for each value of an axis and each combination.

    pairs: see `service.results.matching.Matching`.
    Columns: `position`, the index of the value; `variant`; `low`, `middle`, `high`; `pairs`, their number. Only pairs
    of which none exploded or diverged count: a difference from an explosion would hide the others.
    """
    calm = pairs[pairs["calm"]]
    rows = calm[["variant"]].assign(position=axis.indices(calm), change=calm["second"] - calm["first"])
    rows = rows[np.isfinite(rows["change"]) & (rows["position"] >= 0)]
    groups = rows.groupby(["position", "variant"])["change"]
    quartiles = {name: groups.quantile(q) for name, q in (("low", 0.25), ("middle", 0.5), ("high", 0.75))}
    return pd.DataFrame({**quartiles, "pairs": groups.size()}).reset_index()


def _change(difference: Difference, name: str) -> str:
    return f"{_value(difference.first_values[name])} → {_value(difference.second_values[name])}"


def _row(difference: Difference, differs: Sequence[str]) -> dict[str, Any]:
    half = difference.high - difference.mean
    change = {name: _change(difference, name) for name in differs}
    first, median, third = difference.quartiles
    return {
        **change,
        "pairs": difference.pairs,
        "mean": difference.mean,
        "±": "" if math.isnan(half) else f"{half:.2g}",
        "median": median,
        "quartiles": "" if math.isnan(first) else f"{first:.3g} to {third:.3g}",
        "first better": difference.first_better,
        "second better": difference.second_better,
        "equal": difference.equal,
        **({"both lost": difference.lost} if difference.lost else {}),
    }


def _value(value: Any) -> str:
    return "none" if value is None else format_value(value)


def partners_text(matched: Matching) -> str:
    """Return sentences on what partners have in common, and on the trials without one."""
    sentences = []
    if matched.disjoint:
        names = " and ".join(matched.disjoint)
        sentences.append(f"No trial has a partner: the two sweeps have no value of {names} in common.")
    elif not len(matched.pairs):
        sentences.append("No trial has a partner with the same values in the other sweep.")
    else:
        shared = f"Partners are equal in {_listed(matched.shared)}." if matched.shared else "The sweeps share no axis."
        sentences.append(shared)
    same = sum(difference.same for difference in matched.differences)
    if same:
        sentences.append(f"{same:,} of {len(matched.pairs):,} pairs are one trial in both sweeps, so they are equal.")
    if any(difference.over == "seeds" for difference in matched.differences):
        sentences.append("There is one configuration, so ± is over its seeds.")
    first, second = matched.alone
    sentences.append(f"Without a partner: {first:,} of {matched.first}, {second:,} of {matched.second}.")
    return " ".join([*sentences, *([] if matched.disjoint else _reasons(matched))])


def _reasons(matched: Matching) -> Iterator[str]:
    """Yield sentences on why trials have no partner."""
    both = matched.unmatched
    if stopped := _counts(matched, [side.stopped for side in both]):
        yield (
            f"{stopped}: the trial with the same values was trained for another number of steps, because one of the "
            "two was stopped early."
        )
    if foreign := _counts(matched, [side.foreign for side in both]):
        names = _listed(list(dict.fromkeys(name for side in both for name in side.names)))
        yield f"{foreign}: values of {names} that the other sweep does not have."
    if rest := _counts(matched, [side.rest for side in both]):
        yield f"{rest}: no trial of the other sweep has these values together."


def _counts(matched: Matching, counts: Sequence[int]) -> str:
    """Return numbers of trials of the two sweeps, without zeros; empty if both are zero."""
    both = zip(counts, (matched.first, matched.second), strict=True)
    return " and ".join(f"{count:,} of {sweep}" for count, sweep in both if count)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
