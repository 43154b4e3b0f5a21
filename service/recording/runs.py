"""Search MLflow's runs, page by page, in stores with many runs and experiments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from service.recording.tags import Tag

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

SWEEP = f"tags.`{Tag.KIND}` = 'sweep'"
"""Condition for runs of sweeps. It does not check the experiment: a user may rename it, or have made it."""

TRIAL = f"tags.`{Tag.TRIAL}` != ''"
"""Condition for runs of trials. The same experiment may hold the user's other runs."""

OTHER = f"tags.`{Tag.TRIAL}` IS NULL"
"""Condition for those other runs."""

WHOLE = ("FINISHED", "FAILED")
"""Statuses of a trial's run that is complete."""

_PAGE = 1_000
_EXPERIMENTS = 500  # per search: databases limit the values of a statement
_ABSENT = "RESOURCE_DOES_NOT_EXIST"


class Runs:
    """Searches runs with MLflow's client. Raises the client's errors."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def everywhere(self, condition: str, *, deleted: bool = False) -> Iterator[Run]:
        """Yield the runs of all experiments that meet a condition; or the deleted ones, also of deleted experiments."""
        experiments = list(self._experiments(deleted=deleted))
        for start in range(0, len(experiments), _EXPERIMENTS):
            yield from self.of(experiments[start : start + _EXPERIMENTS], condition, deleted=deleted)

    def of(self, experiment_ids: Sequence[str], condition: str, *, deleted: bool = False) -> Iterator[Run]:
        """Yield the runs of these experiments that meet a condition; or the deleted ones."""
        from mlflow.entities import ViewType

        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        token: str | None = None
        while True:
            page = self._client.search_runs(list(experiment_ids), condition, view, max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def reach(self, experiment_id: str, condition: str, count: int) -> bool:
        """Return whether at least `count` runs of an experiment meet a condition; False also if MLflow can't tell.

        It reads only the last of them: to read thousands takes seconds.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.utils.search_utils import SearchUtils

        try:
            before = SearchUtils.create_page_token(count - 1).decode() if count > 1 else None  # type: ignore[no-untyped-call]
            runs = self._client.search_runs([experiment_id], condition, max_results=1, page_token=before)
        except MlflowException:
            return False
        return len(runs) > 0

    def run(self, run_id: str) -> Run | None:
        """Return the run with this id, deleted or not; None if there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != _ABSENT:
                raise
            return None

    def experiment(self, experiment_id: str) -> Experiment | None:
        """Return the experiment with this id, deleted or not; None if there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_experiment(experiment_id)
        except MlflowException as error:
            if error.error_code != _ABSENT:
                raise
            return None

    def _experiments(self, *, deleted: bool) -> Iterator[str]:
        """Yield the ids of the active experiments; with `deleted`, also those of deleted ones."""
        from mlflow.entities import ViewType

        view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
        token: str | None = None
        while True:
            page = self._client.search_experiments(view, max_results=_PAGE, page_token=token)
            yield from (str(experiment.experiment_id) for experiment in page)
            token = page.token
            if not token:
                return


def is_active(entity: Experiment | Run) -> bool:
    """Return whether a run or an experiment is not deleted."""
    holder: Any = getattr(entity, "info", entity)
    return bool(holder.lifecycle_stage == "active")
