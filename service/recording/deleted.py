"""Restore runs that were deleted in MLflow, or say which command restores a run or an experiment."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from experiments.errors import StoreError
from service.recording.artifacts import Artifacts
from service.recording.infos import SweepInfo
from service.recording.redaction import without_passwords
from service.recording.runs import OTHER, TRIAL, WHOLE, Runs, is_active
from service.recording.tags import Tag
from service.recording.threaded_map import ThreadedMap
from service.recording.weights import WEIGHTS_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_WHOLE_TRIAL = f"{TRIAL} AND attributes.status != 'RUNNING'"


def restore_hint(experiment_id: str, uri: str) -> str:
    """Return the part of a message that names the command which restores an experiment."""
    return f"`{_restore_experiment(experiment_id)}` brings it back{_with(uri)}"


def deleted_sweep_message(runs: Runs, sweep: SweepInfo, uri: str) -> str:
    """Return the message on a sweep that was deleted, with the commands that restore it."""
    run = runs.run(sweep.run_id)
    parent = runs.experiment(run.info.experiment_id) if run else None
    commands = [f"mlflow runs restore --run-id {sweep.run_id}"]
    if parent is not None and not is_active(parent):
        commands = [_restore_experiment(parent.experiment_id)]
    trials = runs.experiment(sweep.experiment_id)
    if trials is not None and not is_active(trials):
        commands.append(_restore_experiment(trials.experiment_id))
    text = " and ".join(f"`{command}`" for command in commands)
    verb = "brings" if len(commands) == 1 else "bring"
    return f"the sweep {sweep.spec}/{sweep.sweep} was deleted: {text} {verb} it back{_with(uri)}"


def _restore_experiment(experiment_id: str) -> str:
    return f"mlflow experiments restore --experiment-id {experiment_id}"


def _with(uri: str) -> str:
    """Return the part of a message that names the variable which MLflow's commands need."""
    return f", with MLFLOW_TRACKING_URI={without_passwords(uri)}"


def check_trials_experiment(runs: Runs, sweep: SweepInfo, uri: str) -> None:
    """Raise StoreError if the experiment of a sweep's trials was deleted."""
    experiment = runs.experiment(sweep.experiment_id)
    if experiment is None:
        raise StoreError(f"the experiment of the trials of {sweep.sweep} was deleted for good: start a new sweep")
    if not is_active(experiment):
        raise StoreError(
            f"the experiment of the trials of {sweep.sweep}, {experiment.name!r}, was deleted: "
            f"{restore_hint(sweep.experiment_id, uri)}; then resume the sweep"
        )


def restore_runs(
    client: MlflowClient,
    runs: Runs,
    artifacts: Artifacts,
    experiment_id: str,
    is_missing: Callable[[str], bool],
    *,
    weights: bool,
) -> tuple[list[Run], int]:
    """Restore a deleted run of each missing trial; return the runs, and how many could not be restored.

    is_missing: whether the trial with this id is missing.
    weights: whether a run must have its final weights.
    A run is not restored if it was deleted before it was complete, or if its weights are gone. Its trial must be
    trained again.
    """
    deleted: dict[str, Run] = {}
    for run in runs.of([experiment_id], TRIAL, deleted=True):
        trial = run.data.tags[Tag.TRIAL]
        if run.info.status in WHOLE and is_missing(trial):
            deleted.setdefault(trial, run)
    restored: list[Run] = []

    def restore(run: Run) -> None:
        if not weights or WEIGHTS_FILE in artifacts.names(run.info.run_id):
            client.restore_run(run.info.run_id)
            restored.append(run)

    threads = ThreadedMap()
    try:
        threads.run(restore, list(deleted.values()))
    finally:
        threads.close()
    return restored, len(deleted) - len(restored)


def lost_runs(runs: Runs, experiment_id: str, run_ids: Collection[str]) -> set[str]:
    """Return those of an experiment's runs that were deleted, or are gone for good."""
    if not len(run_ids) or runs.reach(experiment_id, _WHOLE_TRIAL, len(run_ids)):
        return set()
    return set(run_ids) - {str(run.info.run_id) for run in runs.of([experiment_id], _WHOLE_TRIAL)}


def delete_trials(client: MlflowClient, runs: Runs, experiment_id: str) -> None:
    """Delete the experiment of a sweep's trials; only the trials, if the user has other runs in it."""
    experiment = runs.experiment(experiment_id)
    if experiment is None or not is_active(experiment):
        return
    if next(runs.of([experiment_id], OTHER), None) is None:
        client.delete_experiment(experiment_id)
        return
    for run in list(runs.of([experiment_id], TRIAL)):
        client.delete_run(run.info.run_id)
