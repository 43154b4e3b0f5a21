"""A comparison of sweeps, as text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from service.cli.output import entry_json, print_page
from service.cli.tables import print_rows, rows_csv, rows_markdown
from service.cli.trial_output import trial_json
from service.results.comparison import SWEEP
from service.results.comparison_rows import difference_rows, partners_text

if TYPE_CHECKING:
    from service.inspection.compare import Comparison
    from service.recording.store import Store
    from service.results.leaderboard import Entry
    from service.results.matching import Difference, Matching


def print_comparison(comparison: Comparison, entries: Sequence[Entry], store: Store, shape: str) -> None:
    """Print the leaderboard of several sweeps and, unless as CSV, their matched trials.

    shape: `text`, `markdown` or `csv`.
    """
    from service.results.leaderboard import entry_rows, means_text

    rows = entry_rows(entries, comparison.metric)
    if shape == "csv":
        click.echo(rows_csv(rows))
        return
    if shape == "markdown":
        click.echo(rows_markdown(rows))
    else:
        means = means_text(entries, comparison.names)
        print_rows(rows, title=f"{len(comparison.sweeps)} sweeps by {comparison.metric}{means}")
    for matched in comparison.matchings:
        title = f"{matched.second} minus {matched.first}: {comparison.metric} of matched trials"
        differences = difference_rows(matched)
        if shape == "markdown":
            click.echo(f"\n{title}\n")
            click.echo(f"{rows_markdown(differences)}\n" if differences else "", nl=bool(differences))
        elif differences:
            print_rows(differences, title=title)
        else:
            click.echo(f"{title}: none")
        click.echo(partners_text(matched))
    if shape == "text":
        for sweep in comparison.sweeps:
            print_page(store, sweep)


def comparison_json(comparison: Comparison, entries: Sequence[Entry], store: Store, count: int) -> dict[str, Any]:
    """Return a comparison. count: the greatest number of single trials in `top`."""
    best = [trial for sweep, row in comparison.best(count) for trial in store.trials_of_rows(sweep, row)]
    return {
        "sweeps": [
            {"sweep": s.sweep, "spec": s.spec, "trials": len(comparison.trials_of(s))} for s in comparison.sweeps
        ],
        "by": comparison.metric,
        "differences": {key: list(values) for key, values in comparison.differences.items()},
        "top": list(map(trial_json, best)),
        "entries": list(map(_entry_json, entries)),
        "matched": list(map(_matching_json, comparison.matchings)),
        "notes": list(comparison.notes),
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    values = entry_json(entry)
    params = dict(values["params"])
    return {"sweep": params.pop(SWEEP), **values, "params": params}


def _matching_json(matched: Matching) -> dict[str, Any]:
    return {
        "first": matched.first,
        "second": matched.second,
        "shared": list(matched.shared),
        "differs": list(matched.differs),
        "pairs": len(matched.pairs),
        "first_alone": matched.alone[0],
        "second_alone": matched.alone[1],
        "first_unmatched": vars(matched.unmatched[0]),
        "second_unmatched": vars(matched.unmatched[1]),
        "differences": list(map(_difference_json, matched.differences)),
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {name: _plain(value) for name, value in vars(difference).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return None if isinstance(value, float) and math.isnan(value) else value
