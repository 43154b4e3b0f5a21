"""The table that `search.py` prints: the ends of the searches of each program, and their ratios to our best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """The end of a search.

    seconds, trials: until it found a good configuration; if it found none, until its budget was over.
    """

    seconds: float
    trials: int
    is_good: bool


@dataclass(frozen=True)
class Row:
    """A program's searches. start: seconds of its start. is_ours: whether gradgrid did them."""

    label: str
    every: Sequence[Found]
    start: float
    is_ours: bool


@dataclass(frozen=True)
class _Seconds:
    """A quantile. is_bound: whether the search that has it found nothing, so that it is greater than `value`."""

    value: float
    is_bound: bool

    def text(self, added: float = 0.0) -> str:
        return f"{'> ' if self.is_bound else ''}{self.value + added:.2f}"


def _quantile(every: Sequence[Found], share: float) -> _Seconds:
    """Return a quantile of the seconds. A search that found nothing would have taken longer than any other."""
    at = round(share * (len(every) - 1))
    seconds = sorted(found.seconds if found.is_good else math.inf for found in every)[at]
    if math.isfinite(seconds):
        return _Seconds(seconds, is_bound=False)
    return _Seconds(sorted(found.seconds for found in every)[at], is_bound=True)


def _ratio(seconds: _Seconds, start: float, best: float) -> str:
    return f"{'> ' if seconds.is_bound else ''}{(seconds.value + start) / best:.1f}" if math.isfinite(best) else "-"


def print_table(rows: Sequence[Row]) -> None:
    """Print a row for each program. Ratios are to the least of our medians."""
    medians = [_quantile(row.every, 0.5) for row in rows]
    ours = [(m.value, row.start) for m, row in zip(medians, rows, strict=True) if row.is_ours and not m.is_bound]
    best = min((value for value, _ in ours), default=math.inf)
    best_started = min((value + start for value, start in ours), default=math.inf)
    print("\n| program | found | trials | seconds | quartiles | with start | ratio | ratio with start |")
    print("|---|---|---|---|---|---|---|---|")
    for row, median in zip(rows, medians, strict=True):
        good = sum(found.is_good for found in row.every)
        trials = statistics.median(found.trials for found in row.every)
        cells = [
            row.label,
            f"{good} of {len(row.every)}",
            f"{'> ' if median.is_bound else ''}{trials:,.0f}",
            median.text(),
            f"{_quantile(row.every, 0.25).text()} to {_quantile(row.every, 0.75).text()}",
            median.text(row.start),
            _ratio(median, 0.0, best),
            _ratio(median, row.start, best_started),
        ]
        print(f"| {' | '.join(cells)} |")


def rows_of(found: Mapping[str, Sequence[Found]], starts: Mapping[str, float], labels: Mapping[str, str]) -> list[Row]:
    """Return the rows of searches. labels: method -> what the table calls it; ours begin with `gradgrid`."""
    return [Row(labels[n], every, starts[n], labels[n].startswith("gradgrid")) for n, every in found.items()]
