"""Sweeps and trials as the store has them, read from MLflow's runs and the sweeps' tables."""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.search_methods import ASKING
from service.recording.tags import Tag

if TYPE_CHECKING:
    from mlflow.entities import Run

    from service.recording.sqlite_reader import StoredRun

_ENDED = ("FINISHED", "KILLED")  # statuses of a sweep's run that has its table


@dataclass(frozen=True)
class SweepInfo:
    """A recorded sweep.

    sweep: its id.
    spec: the name in the sweep file.
    run_id: of its own run.
    experiment_id: of the experiment that holds its trials.
    parent_id: of the experiment that holds its own run.
    status: of its run, MLflow's: RUNNING, FINISHED, KILLED or FAILED.
    start_time: milliseconds since 1970.
    tags: of its run; see `Tag`.
    metrics: of its run: counts of outcomes, seconds, the best value.
    params: of its run: fixed hyperparameters by name, swept ones as `grid.<name>`.
    """

    sweep: str
    spec: str
    run_id: str
    experiment_id: str
    parent_id: str
    status: str
    start_time: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    params: Mapping[str, str]

    @property
    def ended(self) -> bool:
        """Whether its run has the table of trials."""
        return self.status in _ENDED

    @property
    def swept(self) -> list[str]:
        """The swept hyperparameters."""
        return [name.removeprefix("grid.") for name in self.params if name.startswith("grid.")]

    @property
    def given(self) -> frozenset[str]:
        """The hyperparameters that the sweep file gives, swept or fixed."""
        return frozenset(name.removeprefix("grid.") for name in self.params)

    @property
    def objective(self) -> str:
        """The metric that ranks its trials."""
        return self.tags[Tag.OBJECTIVE]

    @property
    def trial_count(self) -> int | None:
        """The number of trials; None for a sweep of an early version, which did not record it."""
        return int(self.tags[Tag.TRIALS]) if Tag.TRIALS in self.tags else None

    @property
    def zoom_of(self) -> str | None:
        """The id of the sweep that it is a zoom of; None if it is no zoom."""
        return self.tags.get(Tag.ZOOM_OF)

    def count_text(self, recorded: int) -> str:
        """Return how many trials are recorded: `40 of 96`; `96` if it has finished or has all of them.

        A refinement may skip trials, and a sampler may repeat points: then `40 of at most 96`.
        """
        planned = self.trial_count or 0
        if self.status == "FINISHED" or recorded >= planned:
            return f"{recorded:,}"
        at_most = "at most " * ("refine" in self.params or self.params.get("search") in ASKING)
        return f"{recorded:,} of {at_most}{planned:,}"

    @property
    def rungs(self) -> tuple[int, ...]:
        """The rungs of its search, in steps, ascending; empty without any."""
        return tuple(int(steps) for steps in self.tags.get(Tag.RUNGS, "").split(",") if steps)

    @property
    def folder(self) -> Path:
        """The folder from which relative paths of its sweep file start."""
        return Path(self.tags.get(Tag.FOLDER, "."))

    @property
    def job(self) -> str | None:
        """The id of the cluster's job that began it; None if there was none."""
        return self.tags.get(Tag.JOB)

    @property
    def has_frame(self) -> bool:
        """Whether its data came from Python, so that its run has them."""
        return Tag.FRAME in self.tags

    @property
    def has_every_run(self) -> bool:
        """Whether each of its trials has a run. If not, only the table has every trial."""
        return self._runs == "all"

    @property
    def has_no_runs(self) -> bool:
        """Whether none of its trials has a run."""
        return self._runs == "summary"

    @property
    def best_runs(self) -> int:
        """The number of best trials that have runs, if only those do; else 0."""
        return int(self._runs.removeprefix("top ")) if self._runs.startswith("top ") else 0

    @property
    def _runs(self) -> str:
        return self.tags.get(Tag.RUNS, "all")


@dataclass(frozen=True)
class TrialInfo:
    """A recorded trial.

    run_id: of its run; empty if it has none.
    name: the run's.
    experiment_id: of the experiment that holds the run.
    outcome: a word of `engine.outcomes`.
    params: hyperparameter -> value as text.
    metrics: metric -> value at the final weights.
    tags: of its run; see `Tag`.
    """

    run_id: str
    name: str
    experiment_id: str
    outcome: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def trial(self) -> str:
        """The trial's id: 32 hexadecimal digits."""
        return self.tags[Tag.TRIAL]

    @property
    def number(self) -> int:
        """Its position in the grid."""
        return int(self.tags[Tag.NUMBER])

    @property
    def outcome_step(self) -> int:
        """The step at which its outcome began."""
        return int(self.tags[Tag.OUTCOME_STEP])

    @property
    def last_step(self) -> int:
        """The last step whose loss was finite."""
        return int(self.tags[Tag.LAST_STEP])

    @property
    def kernel(self) -> str:
        """The kernel that trained it."""
        return self.tags[Tag.KERNEL]

    @property
    def sweep(self) -> str:
        """The id of its sweep."""
        return self.tags[Tag.SWEEP]

    @property
    def sweep_run_id(self) -> str:
        """The id of its sweep's own run."""
        return self.tags[Tag.SWEEP_RUN]


def sweep_tags(fingerprint: str, folder: Path, objective: str, runs: str) -> dict[str, str]:
    """Return the tags of a new sweep's run.

    fingerprint: a hash of the data.
    folder: from which relative paths of the sweep file start.
    objective: the metric that ranks the trials.
    runs: which trials get runs: `all`, `summary`, or `top 100`.
    """
    from engine import ENGINE_VERSION, FLOAT32_VERSION

    return {
        Tag.FINGERPRINT: fingerprint,
        Tag.ENGINE: ENGINE_VERSION,
        Tag.FLOAT32: FLOAT32_VERSION,
        Tag.FOLDER: str(folder),
        Tag.OBJECTIVE: objective,
        Tag.RUNS: runs,
    }


def identity_mismatches(sweep: SweepInfo, fingerprint: str) -> list[str]:
    """Return what has changed since the sweep began: its data, its engine version, both or nothing."""
    from engine import ENGINE_VERSION, FLOAT32_VERSION

    now = {"its data": (Tag.FINGERPRINT, fingerprint), "its engine version": (Tag.ENGINE, ENGINE_VERSION)}
    if any("float32" in sweep.params.get(name, "") for name in ("dtype", "grid.dtype")):
        now["the engine's arithmetic of float32"] = (Tag.FLOAT32, FLOAT32_VERSION)
    return [name for name, (tag, value) in now.items() if sweep.tags.get(tag) != value]


def is_sweep(run: Run | StoredRun) -> bool:
    """Return whether a run has the tags of a sweep's run."""
    needed = (Tag.SWEEP, Tag.SPEC, Tag.EXPERIMENT, Tag.OBJECTIVE)
    return run.data.tags.get(Tag.KIND) == "sweep" and all(name in run.data.tags for name in needed)


def sweep_info(run: Run | StoredRun) -> SweepInfo:
    """Return the sweep of this run."""
    tags = run.data.tags
    return SweepInfo(
        sweep=tags[Tag.SWEEP],
        spec=tags[Tag.SPEC],
        run_id=run.info.run_id,
        experiment_id=tags[Tag.EXPERIMENT],
        parent_id=run.info.experiment_id,
        status=run.info.status,
        start_time=run.info.start_time,
        tags=tags,
        metrics=run.data.metrics,
        params=run.data.params,
    )


def trial_info(run: Run | StoredRun) -> TrialInfo:
    """Return the trial of this run."""
    return TrialInfo(
        run_id=run.info.run_id,
        name=run.info.run_name,
        experiment_id=run.info.experiment_id,
        outcome=run.data.tags.get(Tag.OUTCOME, ""),
        params=run.data.params,
        metrics={name: from_mlflow_value(value) for name, value in run.data.metrics.items()},
        tags=run.data.tags,
    )


_COLUMNS_OF_TAGS = {Tag.NUMBER: "number", Tag.OUTCOME_STEP: "outcome_step", Tag.LAST_STEP: "last_step"}


def trial_from_row(row: Mapping[Hashable, Any], sweep: SweepInfo) -> TrialInfo:
    """Return the trial of this row of the sweep's table."""
    import pandas as pd

    def part(prefix: str) -> dict[str, Any]:
        return {str(k).removeprefix(prefix): v for k, v in row.items() if str(k).startswith(prefix) and not pd.isna(v)}

    run_id = row.get("run_id")
    return TrialInfo(
        run_id="" if run_id is None or pd.isna(run_id) else str(run_id),
        name="",
        experiment_id=sweep.experiment_id,
        outcome=str(row["outcome"]),
        params={name: str(value) for name, value in part("params.").items()},
        metrics={name: float(value) for name, value in part("metrics.").items()},
        tags={
            Tag.TRIAL: str(row["trial"]),
            Tag.SWEEP: sweep.sweep,
            Tag.SWEEP_RUN: sweep.run_id,
            **{tag: str(int(row[name])) for tag, name in _COLUMNS_OF_TAGS.items() if name in row},
        },
    )


def from_mlflow_value(value: float) -> float:
    """Return a metric's value as it was recorded: MLflow stores infinity as the largest float."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value
