"""The files of MLflow's runs, wherever the store keeps them: also where its folder was moved or copied."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from experiments.errors import StoreError
from service.recording.connection import sqlite_path, translated_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_OPENED = 64  # runs whose place is remembered


def local_folder(location: str) -> Path | None:
    """The folder of an artifact location that is one."""
    parts = urlparse(location)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


class Artifacts:
    """Lists, reads and writes artifacts. Every failure is a StoreError.

    MLflow keeps absolute paths. An SQLite store that was moved or copied together with its artifacts still names the
    folder where they were; so a run's own folder is looked for beside the database first. Run ids are unique, so a
    folder of this name can be of no other run.
    """

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client = client
        self._uri = uri
        path = sqlite_path(uri)
        self._beside = path.absolute().parent if path else None
        self._moved: dict[Path, Path] = {}
        self._repository = lru_cache(_OPENED)(self._open)

    def names(self, run_id: str, folder: str | None = None) -> list[str]:
        """The paths of a run's artifacts, or of those in one of its folders."""
        with translated_errors(self._uri):
            return [str(artifact.path) for artifact in self._repository(run_id).list_artifacts(folder)]

    def read(self, run_id: str, name: str) -> bytes:
        """The content of an artifact."""
        with translated_errors(self._uri), tempfile.TemporaryDirectory() as place:
            repository = self._repository(run_id)
            folder = local_folder(repository.artifact_uri)
            if folder is not None and not (folder / name).exists():
                raise StoreError(
                    f"the artifact {name} of the run {run_id} is not in {folder}, where MLflow's store says it is; if "
                    "the store was moved, move its artifacts (mlruns) with it, into the folder of the database"
                )
            return Path(repository.download_artifacts(name, place)).read_bytes()  # type: ignore[no-untyped-call]

    def write(self, run_id: str, files: Mapping[str, bytes], folder: str | None = None) -> None:
        """Put files on a run, or into one of its folders."""
        with translated_errors(self._uri), tempfile.TemporaryDirectory() as place:
            for name, content in files.items():
                path = Path(place) / name
                path.write_bytes(content)
                self._repository(run_id).log_artifact(str(path), folder)  # type: ignore[no-untyped-call]

    def remove(self, run_id: str, folder: str) -> None:
        """Remove a folder of a run's artifacts; not every artifact store can."""
        self._repository(run_id).delete_artifacts(folder)  # type: ignore[no-untyped-call]

    def location(self, experiment_location: str, run_id: str) -> str:
        """Where an experiment's artifacts are now, if they moved together with those of this run."""
        self._repository(run_id)
        folder = local_folder(experiment_location)
        root = self._moved.get(folder.parent) if folder else None
        return str(root / folder.name) if root and folder else experiment_location

    def _open(self, run_id: str) -> ArtifactRepository:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        place = str(self._client.get_run(run_id).info.artifact_uri)
        return get_artifact_repository(self._found(place), tracking_uri=self._uri)

    def _found(self, place: str) -> str:
        """The place of a run's artifacts, or where they were moved to."""
        folder = local_folder(place)
        if folder is None or self._beside is None or len(folder.parts) < 5:
            return place
        if self._beside in folder.parents and folder.is_dir():
            return place
        root, own = folder.parents[2], Path(*folder.parts[-3:])  # experiment, run, `artifacts`
        for start in range(1, len(root.parts)):
            candidate = self._beside.joinpath(*root.parts[start:])
            if (candidate / own).is_dir():
                if folder.is_dir() and folder.samefile(candidate / own):
                    return place  # a link leads from where it was to where it is
                self._moved[root] = candidate
                return str(candidate / own)
        return place
