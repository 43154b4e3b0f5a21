"""What the store tells of sweeps and trials, out of MLflow's runs and a sweep's table."""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.recording.tags import Tag

if TYPE_CHECKING:
    from mlflow.entities import Run

    from service.recording.sqlite_reader import StoredRun

_ENDED = ("FINISHED", "KILLED")  # how a sweep's run ends once its table is on it


@dataclass(frozen=True)
class SweepInfo:
    """A sweep as the store knows it. `experiment_id` is where its trials are, `parent_id` where its own run is;
    `metrics` are the sweep run's.
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
        """Whether its table is on its run."""
        return self.status in _ENDED

    @property
    def swept(self) -> list[str]:
        """The hyperparameters that were swept."""
        return [name.removeprefix("grid.") for name in self.params if name.startswith("grid.")]

    @property
    def given(self) -> frozenset[str]:
        """The hyperparameters that the sweep file gives, swept or fixed."""
        return frozenset(name.removeprefix("grid.") for name in self.params)

    @property
    def objective(self) -> str:
        """The metric that its trials are ranked by."""
        return self.tags[Tag.OBJECTIVE]

    @property
    def trial_count(self) -> int | None:
        """How many trials it has; None for a sweep of an early version, which did not say."""
        return int(self.tags[Tag.TRIALS]) if Tag.TRIALS in self.tags else None

    @property
    def folder(self) -> Path:
        """The folder that relative paths of its sweep file start from."""
        return Path(self.tags.get(Tag.FOLDER, "."))

    @property
    def job(self) -> str | None:
        """The cluster's job that it was begun for."""
        return self.tags.get(Tag.JOB)

    @property
    def has_frame(self) -> bool:
        """Whether its data came from Python and are kept on its run."""
        return Tag.FRAME in self.tags

    @property
    def has_every_run(self) -> bool:
        """Whether each of its trials has a run; else the table alone has them all."""
        return self._runs == "all"

    @property
    def has_no_runs(self) -> bool:
        """Whether none of its trials has a run."""
        return self._runs == "summary"

    @property
    def best_runs(self) -> int:
        """How many of the best trials have runs, where only those have."""
        return int(self._runs.removeprefix("top ")) if self._runs.startswith("top ") else 0

    @property
    def _runs(self) -> str:
        return self.tags.get(Tag.RUNS, "all")


@dataclass(frozen=True)
class TrialInfo:
    """A trial as the store knows it; metrics are those of its final weights. `run_id` is empty where it has no run."""

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
        """The run of its sweep."""
        return self.tags[Tag.SWEEP_RUN]


def sweep_tags(fingerprint: str, folder: Path, objective: str, runs: str) -> dict[str, str]:
    """What a sweep must agree with to be resumed, where its relative paths begin, what its trials are ranked by, and
    which of them have runs.
    """
    from engine import ENGINE_VERSION

    return {
        Tag.FINGERPRINT: fingerprint,
        Tag.ENGINE: ENGINE_VERSION,
        Tag.FOLDER: str(folder),
        Tag.OBJECTIVE: objective,
        Tag.RUNS: runs,
    }


def identity_mismatches(sweep: SweepInfo, fingerprint: str) -> list[str]:
    """In what data and engine are not those that the sweep was begun with."""
    from engine import ENGINE_VERSION

    now = {"its data": (Tag.FINGERPRINT, fingerprint), "its engine version": (Tag.ENGINE, ENGINE_VERSION)}
    return [what for what, (tag, value) in now.items() if sweep.tags.get(tag) != value]


def is_sweep(run: Run | StoredRun) -> bool:
    """Whether a run says all that a sweep's must say."""
    needed = (Tag.SWEEP, Tag.SPEC, Tag.EXPERIMENT, Tag.OBJECTIVE)
    return run.data.tags.get(Tag.KIND) == "sweep" and all(name in run.data.tags for name in needed)


def sweep_info(run: Run | StoredRun) -> SweepInfo:
    """A sweep from its run."""
    own = run.data.tags
    return SweepInfo(
        sweep=own[Tag.SWEEP],
        spec=own[Tag.SPEC],
        run_id=run.info.run_id,
        experiment_id=own[Tag.EXPERIMENT],
        parent_id=run.info.experiment_id,
        status=run.info.status,
        start_time=run.info.start_time,
        tags=own,
        metrics=run.data.metrics,
        params=run.data.params,
    )


def trial_info(run: Run | StoredRun) -> TrialInfo:
    """A trial from its run."""
    return TrialInfo(
        run_id=run.info.run_id,
        name=run.info.run_name,
        experiment_id=run.info.experiment_id,
        outcome=run.data.tags.get(Tag.OUTCOME, ""),
        params=run.data.params,
        metrics={name: from_mlflow_value(value) for name, value in run.data.metrics.items()},
        tags=run.data.tags,
    )


def trial_from_row(row: Mapping[Hashable, Any], sweep: SweepInfo) -> TrialInfo:
    """A trial as the sweep's table knows it."""
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
        tags={Tag.TRIAL: str(row["trial"])},
    )


def from_mlflow_value(value: float) -> float:
    """MLflow keeps an infinity as the greatest number."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value
