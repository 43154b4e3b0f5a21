"""Which columns of the trials' table a question needs: with all of them, memory may not hold a large sweep."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from experiments.conditions import parse_condition
from service.results.metrics import METRICS, PARAMS, test_metric

Choose = Callable[[Sequence[str]], Collection[str]]
"""Returns the columns to read, of those that a table has."""


def main_columns(names: Iterable[str], swept: Iterable[str], metrics: Iterable[str]) -> list[str]:
    """Return the columns of numbers, outcomes, swept hyperparameters and some metrics, in the table's order.

    names: the columns that the table has.
    """
    params, values = (PARAMS + name for name in swept), (METRICS + name for name in metrics)
    wanted = {"number", "outcome", "outcome_step", *params, *values}
    return [name for name in names if name in wanted]


def columns_to_rank(
    swept: Sequence[str], metric: str, where: Sequence[str] = (), more: Collection[str] = (), also: str = ""
) -> Choose:
    """Return the choice of what a leaderboard or a map needs.

    swept: the swept hyperparameters.
    metric: what trials are ranked by, without prefix.
    where: conditions on the trials, as the user wrote them.
    more: further columns.
    also: another metric that is needed, without prefix; empty for none.
    If the table lacks a metric, or a name of a condition, all columns are chosen: messages suggest another one.
    """

    def choose(names: Sequence[str]) -> Collection[str]:
        mentioned = _mentioned(where, names)
        needed = {METRICS + name for name in (metric, also) if name}
        if mentioned is None or not needed <= {*names}:
            return names
        of_metrics = main_columns(names, swept, [metric, test_metric(metric)])
        chosen = {*of_metrics, "run_id", "last_step", *mentioned, *more, *needed}
        return [name for name in names if name in chosen]

    return choose


def _mentioned(where: Sequence[str], names: Sequence[str]) -> set[str] | None:
    """Return the columns that conditions mention; None if a condition is wrong or has a name without a column."""
    columns = set[str]()
    for text in where:
        try:
            comparisons = parse_condition(text).alternatives
        except ValueError:
            return None
        for comparison in comparisons:
            found = _columns_of(comparison.name, names)
            if not found:
                return None
            columns.update(found, _columns_of(comparison.text, names))
    return columns


def _columns_of(name: str, names: Collection[str]) -> list[str]:
    return [column for column in (name, PARAMS + name, METRICS + name) if column in names]
