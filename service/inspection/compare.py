"""Compare recorded sweeps: one leaderboard of their trials, what differs between them, and matched trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from experiments.errors import NotFoundError, UserError
from service.recording.infos import SweepInfo
from service.recording.recorded_table import lost_runs_note, missing_trials_note, read_table
from service.recording.store import Store
from service.recording.tags import Tag
from service.results.comparison import (
    SWEEP,
    ComparedSweep,
    check_metric,
    differing_names,
    given_names,
    joined,
)
from service.results.leaderboard import Entry, matching, ranked
from service.results.matching import Matching, match
from service.results.metrics import PARAMS, metric_names, validation_metric
from service.results.trials_table import best_trials

MOST_SWEEPS = 8
"""The greatest number of sweeps in a comparison: as many as there are colours of lines."""

_SECTIONS = ("dataset", "model", "search", "record", "grid")
_NO_DIFFERENCE = ("name", "description")
_AXES_OF_DATA = ("samples", "noise", "seed", "test_fraction", "fold", "class_weight")
_ABSENT = "—"


@dataclass(frozen=True)
class Comparison:
    """Recorded sweeps, compared.

    sweeps: the sweeps, in the order of the user.
    metric: the metric that they are compared by.
    metrics: the metrics that each sweep's trials have, by the sweep's id.
    specs: the content of each sweep file.
    table: the trials of all that meet the conditions, with the sweep's id as `params.sweep`; see
        `service.results.trials_table`.
    names: the hyperparameters in which these trials differ, within a sweep or between sweeps.
    differences: what differs between the sweep files: key -> its value in each, as text.
    matchings: the partners of the first sweep and each of the others.
    notes: sentences on what to keep in mind.
    """

    sweeps: Sequence[SweepInfo]
    metric: str
    metrics: Mapping[str, Sequence[str]]
    specs: Sequence[Mapping[str, Any]]
    table: pd.DataFrame
    names: Sequence[str]
    differences: Mapping[str, Sequence[str]]
    matchings: Sequence[Matching]
    notes: Sequence[str]

    def entries(
        self,
        metric: str | None = None,
        where: str | Sequence[str] = (),
        *,
        over_seeds: bool = True,
        count: int | None = None,
    ) -> list[Entry]:
        """Return the leaderboard of all trials. The first hyperparameter of an entry is its sweep.

        metric: the metric to rank by; None for that of the comparison.
        where: further conditions; trials that meet all of them are ranked.
        over_seeds: whether trials that differ only in the seed or the fold are one entry; else each trial is one.
        count: the greatest number of entries; None for all.
        Raises NotFoundError if one of the sweeps does not have the metric, UserError for a condition that no trial can
        meet.
        """
        by = metric or self.metric
        check_metric(self.metrics, by)
        return ranked(self.table, by, [SWEEP, *self.names], where, over_seeds=over_seeds, count=count)

    def best(self, count: int) -> list[tuple[SweepInfo, pd.DataFrame]]:
        """Return the rows of the best trials, best first, each with its sweep."""
        rows = best_trials(self.table, self.metric, count)
        infos = {sweep.sweep: sweep for sweep in self.sweeps}
        return [(infos[rows.iloc[k][PARAMS + SWEEP]], rows.iloc[[k]]) for k in range(len(rows))]

    def trials_of(self, sweep: SweepInfo) -> pd.DataFrame:
        """Return the rows of one sweep."""
        return self.table[self.table[PARAMS + SWEEP] == sweep.sweep]

    @property
    def has_validation(self) -> list[bool]:
        """For each sweep, whether its trials have the metric of the validation part."""
        return [validation_metric(self.metric) in self.metrics[sweep.sweep] for sweep in self.sweeps]

    @property
    def labels(self) -> list[str]:
        """The sweeps' names for readers: the spec's names if all are different, else the ids."""
        specs = [sweep.spec for sweep in self.sweeps]
        return specs if len(set(specs)) == len(specs) else [sweep.sweep for sweep in self.sweeps]

    def label(self, sweep: str) -> str:
        """Return the label of the sweep with this id."""
        return self.labels[[info.sweep for info in self.sweeps].index(sweep)]


def find_sweeps(store: Store, names: Sequence[str]) -> list[SweepInfo]:
    """Return the sweeps of these names. Raises UserError if two are the same sweep, or if they are too many."""
    if len(names) > MOST_SWEEPS:
        raise UserError(f"{len(names)} sweeps are too many to compare: name at most {MOST_SWEEPS}")
    found: dict[str, str] = {}
    sweeps = []
    for name in names:
        sweep = store.find_sweep(name)
        if sweep.sweep in found:
            raise UserError(
                f"{found[sweep.sweep]!r} and {name!r} are the same sweep, {sweep.sweep}: a spec's name is its newest "
                "sweep; `gradgrid list` shows the ids of the others"
            )
        found[sweep.sweep] = name
        sweeps.append(sweep)
    return sweeps


def compare(
    store: Store, sweeps: Sequence[SweepInfo], metric: str | None = None, where: Sequence[str] = ()
) -> Comparison:
    """Compare sweeps of a store.

    store: where the sweeps are recorded.
    sweeps: at least two.
    metric: what to compare them by; None for their objective.
    where: conditions; only trials that meet all of them are compared.
    Raises UserError if the sweeps have other tasks, or other objectives and no `metric` is given; NotFoundError if
    a sweep has no trials, or no such metric.
    """
    data = [store.data(sweep) for sweep in sweeps]
    _check_tasks(sweeps, data)
    by = metric or _common_objective(sweeps)
    specs = [store.spec(sweep) for sweep in sweeps]
    compared = [_compared(store, *pair) for pair in zip(sweeps, specs, strict=True)]
    metrics = {c.name: metric_names(c.table.columns) for c in compared}
    check_metric(metrics, by)
    same_data = len({sweep.tags.get(Tag.FINGERPRINT) for sweep in sweeps}) == 1 and not any(
        map(_has_data_axis, compared)
    )
    everything = joined(compared, same_data=same_data)
    table, given = matching(everything, where), given_names(compared)
    names = differing_names(everything, given)
    matchings = [match(table, (sweeps[0].sweep, other.sweep), by, names, given) for other in sweeps[1:]]
    lost = [
        note(store, sweep, c.table)
        for note in (missing_trials_note, lost_runs_note)
        for sweep, c in zip(sweeps, compared, strict=True)
    ]
    differences = _spec_differences(specs)
    notes = [note for note in (*_data_notes(sweeps, differences), *lost) if note]
    return Comparison(sweeps, by, metrics, specs, table, names, differences, matchings, notes)


def _check_tasks(sweeps: Sequence[SweepInfo], data: Sequence[Mapping[str, Any]]) -> None:
    tasks = {sweep.sweep: str(facts.get("task", "")) for sweep, facts in zip(sweeps, data, strict=True)}
    if len(set(tasks.values()) - {""}) > 1:
        raise UserError(f"the sweeps have different tasks, so their figures can't be compared: {_listed(tasks)}")


def _common_objective(sweeps: Sequence[SweepInfo]) -> str:
    objectives = {sweep.sweep: sweep.objective for sweep in sweeps}
    if len(set(objectives.values())) > 1:
        raise UserError(
            f"the sweeps have different objectives: {_listed(objectives)}; choose a metric of all of them with --by"
        )
    return sweeps[0].objective


def _compared(store: Store, sweep: SweepInfo, spec: Mapping[str, Any]) -> ComparedSweep:
    table = read_table(store, sweep)
    if not len(table):
        raise NotFoundError(f"the sweep {sweep.sweep} has no trials yet, so there is nothing to compare")
    section = spec.get("dataset") or {}
    given = {name: section[name] for name in _AXES_OF_DATA if name in section}
    values = {f"dataset.{name}": value for name, value in given.items() if not isinstance(value, Mapping)}
    return ComparedSweep(sweep.sweep, table, sweep.given, {"dataset": sweep.params.get("dataset", ""), **values})


def _has_data_axis(sweep: ComparedSweep) -> bool:
    return any(name.startswith(f"{PARAMS}dataset.") for name in sweep.table.columns)


def _data_notes(sweeps: Sequence[SweepInfo], differences: Mapping[str, Sequence[str]]) -> list[str]:
    """Return notes on data and engines that differ. differences: between the sweep files."""
    notes = []
    if len({sweep.tags.get(Tag.FINGERPRINT) for sweep in sweeps}) > 1:
        keys = [key for key in differences if key.startswith("dataset")]
        why = ", ".join(f"{key} is {' and '.join(differences[key])}" for key in keys)
        notes.append(
            f"the sweeps have different data ({why or 'the same keys, other content'}), so a difference of their "
            "figures may come from the data"
        )
    engines = {sweep.sweep: sweep.tags.get(Tag.ENGINE, "") for sweep in sweeps}
    if len(set(engines.values())) > 1:
        notes.append(f"the sweeps were trained by different versions of the engine: {_listed(engines)}")
    return notes


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{value} in {name}" for name, value in values.items())


def _spec_differences(specs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return what differs between sweep files: key -> its value in each, as text."""
    flat = [_flat(spec) for spec in specs]
    keys = dict.fromkeys(key for spec in flat for key in spec if key not in _NO_DIFFERENCE)
    rows = {key: [spec.get(key, _ABSENT) for spec in flat] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def _flat(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of a sweep file, those of its sections as `section.key`, with their values as text."""
    flat = {}
    for key, value in spec.items():
        if key in _SECTIONS and isinstance(value, Mapping):
            flat.update({f"{key}.{name}": _yaml_text(item) for name, item in value.items()})
        else:
            flat[key] = _yaml_text(value)
    return flat


def _yaml_text(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.strip().removesuffix("...").strip()
