"""MLflow's runs by condition, however many runs and experiments a store has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from service.recording.tags import Tag

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

SWEEP = f"tags.`{Tag.KIND}` = 'sweep'"
"""Runs of sweeps. Nothing is asked of the experiment: it may be the user's own, renamed, or without our tags."""

TRIAL = f"tags.`{Tag.TRIAL}` != ''"
"""Runs of trials; in the same experiment may be others, which the user made."""

OTHER = f"tags.`{Tag.TRIAL}` IS NULL"
"""Those others."""

WHOLE = ("FINISHED", "FAILED")
"""How a trial's run ends once all of it is written."""

_PAGE = 1_000
_EXPERIMENTS = 500  # a search: databases limit how many values a statement has
_ABSENT = "RESOURCE_DOES_NOT_EXIST"


class Runs:
    """What MLflow's client finds, page by page. Raises what the client raises."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def everywhere(self, condition: str, *, deleted: bool = False) -> Iterator[Run]:
        """The runs of all experiments that meet a condition; or the deleted ones, of deleted experiments too."""
        experiments = list(self._experiments(deleted=deleted))
        for start in range(0, len(experiments), _EXPERIMENTS):
            yield from self.of(experiments[start : start + _EXPERIMENTS], condition, deleted=deleted)

    def of(self, experiment_ids: Sequence[str], condition: str, *, deleted: bool = False) -> Iterator[Run]:
        """The runs of some experiments that meet a condition, or the deleted ones."""
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
        """Whether at least so many runs of an experiment meet a condition; False also where MLflow can't tell.

        It asks for the last of them alone: reading thousands of runs takes seconds.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.utils.search_utils import SearchUtils

        try:
            before = SearchUtils.create_page_token(count - 1).decode() if count > 1 else None  # type: ignore[no-untyped-call]
            found = self._client.search_runs([experiment_id], condition, max_results=1, page_token=before)
        except MlflowException:
            return False
        return len(found) > 0

    def run(self, run_id: str) -> Run | None:
        """The run of this id, deleted or not; None where there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != _ABSENT:
                raise
            return None

    def experiment(self, experiment_id: str) -> Experiment | None:
        """The experiment of this id, deleted or not; None where there is none."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_experiment(experiment_id)
        except MlflowException as error:
            if error.error_code != _ABSENT:
                raise
            return None

    def _experiments(self, *, deleted: bool) -> Iterator[str]:
        """The ids of the active experiments, and of the deleted ones too."""
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
    """Whether a run or an experiment is not deleted."""
    holder: Any = getattr(entity, "info", entity)
    return bool(holder.lifecycle_stage == "active")
