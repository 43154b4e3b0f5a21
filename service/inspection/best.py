"""The best single trial of a sweep, and the place of its configuration on the leaderboard."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.errors import NotFoundError
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.recorded_table import read_table
from service.recording.store import Store
from service.results.columns import columns_to_rank
from service.results.leaderboard import Entry, ranked
from service.results.metrics import METRICS, PARAMS
from service.results.trials_table import best_trials, none_if_missing, shown_params


@dataclass(frozen=True)
class BestTrial:
    """The best trial of a sweep that has a run.

    trial: the trial.
    sweep: its sweep.
    metric: what it is best by.
    value: that metric of its final weights.
    compared: the number of trials with a run that were compared.
    entry: that of the trial's configuration, on the leaderboard of the same metric.
    leader: the first of that leaderboard.
    configurations: the length of that leaderboard.
    repeated: whether some configuration has several trials.
    """

    trial: TrialInfo
    sweep: SweepInfo
    metric: str
    value: float
    compared: int
    entry: Entry
    leader: Entry
    configurations: int
    repeated: bool


def best_of(store: Store, sweep: SweepInfo, metric: str | None = None) -> BestTrial:
    """Return the best single trial of a sweep that has finished and has a run.

    metric: what to choose by, at the final weights; None for the sweep's objective.
    Raises NotFoundError if there is no such trial, or no such metric.
    """
    by = metric or sweep.objective
    table = read_table(store, sweep, columns_to_rank(sweep.swept, by))
    names = shown_params(table.columns, sweep.swept)
    entries = ranked(table, by, names)
    with_run = table[table["run_id"].notna()] if len(table) else table
    best = best_trials(with_run, by, 1)
    if not len(best):
        raise NotFoundError(_nothing_text(sweep, by))
    row = best.iloc[0]
    params = {name: none_if_missing(row[PARAMS + name]) for name in names}
    entry = next(e for e in entries if all(params[name] == value for name, value in e.params.items()))
    trial, value = store.find_trial(str(row["run_id"])), float(row[METRICS + by])
    repeated = any(each.trials > 1 for each in entries)
    return BestTrial(trial, sweep, by, value, len(with_run), entry, entries[0], len(entries), repeated)


def _nothing_text(sweep: SweepInfo, metric: str) -> str:
    """Return why a sweep has no best trial."""
    name = f"{sweep.spec}/{sweep.sweep}"
    if not sweep.has_no_runs:
        return f"no trial of {name} that has a run has finished with a value of {metric}"
    return (
        f"no trial of {name} has a run, because of `record: {{runs: summary}}`, and only a trial with a run can be "
        "promoted; start a new sweep with `record: {runs: {top: 1}}`, which gives a run to the best trial, or with "
        "`runs: all`"
    )
