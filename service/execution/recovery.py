"""Read the state of a sweep from the store, to resume it. A sweep may have more trials than memory holds."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from engine.arrays import Integers
from service.execution.plan import Plan
from service.execution.sweep_state import SweepState
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.recorded_table import row_from_trial
from service.recording.store import Store
from service.results.metrics import METRICS, PARAMS
from service.results.table_values import cell_value

_AT_ONCE = 10_000  # trials


def recovered_state(store: Store, sweep: SweepInfo, plan: Plan) -> SweepState:
    """Return the state of a sweep of this plan. Restores runs that were deleted in MLflow. Raises StoreError."""
    state, numbers = SweepState(plan), TrialNumbers(plan.trial_ids)
    has_run = np.zeros(plan.trials, dtype=bool)

    def recover(trials: Iterable[TrialInfo]) -> int:
        """Note the runs of trials, and their rows if every trial has a run; return how many trials there were."""
        count, remaining = 0, iter(trials)
        while some := list(itertools.islice(remaining, _AT_ONCE)):
            of = numbers.of([info.trial for info in some])
            known = [(int(number), info) for number, info in zip(of, some, strict=True) if number >= 0]
            has_run[[number for number, _ in known]] = True
            if not known:
                continue
            if plan.record.runs == "all":
                state.recover(_rows(plan, known))
            else:
                runs.update((number, info.run_id) for number, info in known)
            count += len(known)
        return count

    runs: dict[int, str] = {}
    recover(store.trials(sweep))

    def is_missing(trial: str) -> bool:
        (number,) = numbers.of([trial])
        return bool(number >= 0 and not has_run[number])

    restored, lost = store.restore_deleted(sweep, is_missing, weights=plan.record.weights == "artifact")
    recover(restored)
    if plan.record.runs != "all":
        for rows in store.row_tables(sweep):
            of = numbers.of(rows.column("trial").to_pylist())
            rows, of = rows.filter(of >= 0), of[of >= 0]
            texts = pa.array([runs.get(number) for number in of.tolist()], pa.string())
            given = {name: rows.column(name) for name in rows.column_names}
            state.recover(pa.table({**given, "number": pa.array(of, pa.int64()), "run_id": texts}))
    state.note = _deleted_note(len(restored), lost)
    return state


class TrialNumbers:
    """Finds the numbers of trials by their ids, in 24 bytes a trial."""

    def __init__(self, ids: Sequence[str]) -> None:
        """ids: of a plan's trials, by number."""
        keys = np.fromiter(map(_key, ids), dtype="S16", count=len(ids))
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def of(self, trials: Sequence[str]) -> Integers:
        """Return the number of each trial; -1 for one that the plan does not have."""
        wanted = np.array(list(map(_key, trials)), dtype="S16")
        if not len(self._keys):
            return np.full(len(wanted), -1)
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[places] == wanted, self._order[places], -1)


def _key(trial: str) -> bytes:
    """Return 16 bytes for an id; the store may hold any text."""
    return hashlib.blake2b(trial.encode(), digest_size=16).digest()


def _rows(plan: Plan, trials: Sequence[tuple[int, TrialInfo]]) -> pa.Table:
    """Return the rows of trials that have runs, with the types of a worker's rows. trials: numbers and trials."""
    params = _params(plan, [number for number, _ in trials])  # typed; a run has them as text
    rows = []
    for number, info in trials:
        row = {name: value for name, value in row_from_trial(info).items() if not name.startswith(PARAMS)}
        rows.append({**row, **params[number], "number": number})
    names = dict.fromkeys(name for row in rows for name in row)
    types = {name: pa.float64() for name in names if name.startswith(METRICS)}
    types |= dict.fromkeys(("trial", "run_id", "outcome"), pa.string())
    types |= dict.fromkeys(("number", "outcome_step", "last_step"), pa.int64())
    return pa.table({name: pa.array([row.get(name) for row in rows], types.get(name)) for name in names})


def _params(plan: Plan, numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the hyperparameters of the trials with these numbers, as the trials' table has them."""
    groups: dict[int, list[int]] = defaultdict(list)  # by population
    for number in numbers:
        groups[id(plan.population(number))].append(number)
    found = {}
    for of in groups.values():
        population = plan.population(of[0])
        indices = np.array([population.index_of(number) for number in of])
        columns = {name: column.tolist() for name, column in population.at(indices).items()}
        shared = {PARAMS + name: cell_value(value) for name, value in population.shared_params.items()}
        names = [PARAMS + name for name in columns]
        for number, values in zip(of, zip(*columns.values(), strict=True), strict=True):
            found[number] = {**shared, **dict(zip(names, map(cell_value, values), strict=True))}
    return found


def _deleted_note(restored: int, lost: int) -> str:
    parts = []
    if restored:
        parts.append(f"{restored:,} deleted run{' is' if restored == 1 else 's are'} restored")
    if lost:
        parts.append(f"{lost:,} deleted run{' has' if lost == 1 else 's have'} no weights any more: trained again")
    return ", ".join(parts)
