"""What was deleted in MLflow: how it comes back, and bringing it back."""

from __future__ import annotations

from collections.abc import Collection
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


def experiment_back(experiment_id: str, uri: str) -> str:
    """The command that restores an experiment, in words."""
    return f"`{_restore_experiment(experiment_id)}` brings it back{_with(uri)}"


def how_it_comes_back(runs: Runs, sweep: SweepInfo, uri: str) -> str:
    """That a sweep was deleted, and the commands that restore it."""
    run = runs.run(sweep.run_id)
    own = runs.experiment(run.info.experiment_id) if run else None
    commands = [f"mlflow runs restore --run-id {sweep.run_id}"]
    if own is not None and not is_active(own):
        commands = [_restore_experiment(own.experiment_id)]
    trials = runs.experiment(sweep.experiment_id)
    if trials is not None and not is_active(trials):
        commands.append(_restore_experiment(trials.experiment_id))
    told = " and ".join(f"`{command}`" for command in commands)
    verb = "brings" if len(commands) == 1 else "bring"
    return f"the sweep {sweep.spec}/{sweep.sweep} was deleted: {told} {verb} it back{_with(uri)}"


def _restore_experiment(experiment_id: str) -> str:
    return f"mlflow experiments restore --experiment-id {experiment_id}"


def _with(uri: str) -> str:
    """What MLflow's own commands must know besides."""
    return f", with MLFLOW_TRACKING_URI={without_passwords(uri)}"


def check_trials_experiment(runs: Runs, sweep: SweepInfo, uri: str) -> None:
    """Raise StoreError where the experiment of a sweep's trials was deleted."""
    experiment = runs.experiment(sweep.experiment_id)
    if experiment is None:
        raise StoreError(f"the experiment of the trials of {sweep.sweep} was deleted for good: begin the sweep again")
    if not is_active(experiment):
        raise StoreError(
            f"the experiment of the trials of {sweep.sweep}, {experiment.name!r}, was deleted: "
            f"{experiment_back(sweep.experiment_id, uri)}; resume the sweep then"
        )


def restore_runs(
    client: MlflowClient,
    runs: Runs,
    artifacts: Artifacts,
    experiment_id: str,
    trials: Collection[str],
    *,
    weights: bool,
) -> tuple[list[Run], int]:
    """Restore a deleted run of each of these trials; returns those runs, and how many have lost too much for it.

    A run that was deleted before it was whole, or whose final weights are gone though there should be `weights`, is not
    restored: such a trial is trained again.
    """
    deleted: dict[str, Run] = {}
    for run in runs.of([experiment_id], TRIAL, deleted=True):
        trial = run.data.tags[Tag.TRIAL]
        if trial in trials and run.info.status in WHOLE:
            deleted.setdefault(trial, run)
    whole: list[Run] = []

    def restore(run: Run) -> None:
        if not weights or WEIGHTS_FILE in artifacts.names(run.info.run_id):
            client.restore_run(run.info.run_id)
            whole.append(run)

    threads = ThreadedMap()
    try:
        threads.run(restore, list(deleted.values()))
    finally:
        threads.close()
    return whole, len(deleted) - len(whole)


def lost_runs(runs: Runs, experiment_id: str, run_ids: Collection[str]) -> set[str]:
    """Those of an experiment's runs that were deleted, or are gone for good."""
    if not len(run_ids) or runs.reach(experiment_id, _WHOLE_TRIAL, len(run_ids)):
        return set()
    return set(run_ids) - {str(run.info.run_id) for run in runs.of([experiment_id], _WHOLE_TRIAL)}


def delete_trials(client: MlflowClient, runs: Runs, experiment_id: str) -> None:
    """Delete the experiment of a sweep's trials; where the user has put other runs into it, the trials alone."""
    experiment = runs.experiment(experiment_id)
    if experiment is None or not is_active(experiment):
        return
    if next(runs.of([experiment_id], OTHER), None) is None:
        client.delete_experiment(experiment_id)
        return
    for run in list(runs.of([experiment_id], TRIAL)):
        client.delete_run(run.info.run_id)
