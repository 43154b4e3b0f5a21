"""The artifacts of MLflow's runs, also of a store whose folder was moved or copied."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from experiments.errors import StoreError
from service.recording.connection import sqlite_path, translated_errors
from service.recording.whole_files import write_whole

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_OPENED = 64  # runs whose artifact repository stays open


def local_folder(location: str) -> Path | None:
    """Return the folder of an artifact location; None if it is not on this machine."""
    parts = urlparse(location)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


class Artifacts:
    """Lists, reads and writes artifacts. Every failure is a StoreError.

    MLflow stores absolute paths. If an SQLite store was moved or copied together with its artifacts, its paths name the
    old folder. So a run's artifacts are searched next to the database first. Run ids are unique: a folder with a run's
    id belongs to that run.
    """

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client = client
        self._uri = uri
        path = sqlite_path(uri)
        self._store_folder = path.absolute().parent if path else None
        self._moved: dict[Path, Path] = {}
        self._repository = lru_cache(_OPENED)(self._open)

    def names(self, run_id: str, folder: str | None = None) -> list[str]:
        """Return the paths of a run's artifacts, or of those in one of its folders."""
        with translated_errors(self._uri):
            return [str(artifact.path) for artifact in self._repository(run_id).list_artifacts(folder)]

    @contextmanager
    def file(self, run_id: str, name: str) -> Iterator[Path]:
        """Yield the path of a copy of an artifact, in a temporary folder, or of itself if it is on this machine."""
        with tempfile.TemporaryDirectory() as temporary:
            with translated_errors(self._uri):
                repository = self._repository(run_id)
                folder = local_folder(repository.artifact_uri)
                if folder is not None and not (folder / name).exists():
                    raise StoreError(
                        f"the artifact {name} of the run {run_id} is not in {folder}, which MLflow's store names; if "
                        "the store was moved, move its artifacts (mlruns) too, into the folder of the database"
                    )
                path = Path(repository.download_artifacts(name, temporary))  # type: ignore[no-untyped-call]
            yield path

    def write(self, run_id: str, files: Mapping[str, bytes], folder: str | None = None) -> None:
        """Write files to a run, or into one of its folders."""
        with translated_errors(self._uri), tempfile.TemporaryDirectory() as temporary:
            repository = self._repository(run_id)
            on_disk = local_folder(repository.artifact_uri)
            for name, content in files.items():
                if on_disk:  # MLflow would write over a file that is there
                    write_whole(str(on_disk / (folder or "") / name), content)
                else:
                    path = Path(temporary) / name
                    path.write_bytes(content)
                    repository.log_artifact(str(path), folder)  # type: ignore[no-untyped-call]

    def copy(self, run_id: str, file: Path) -> None:
        """Write a copy of a file to a run."""
        with translated_errors(self._uri):
            self._repository(run_id).log_artifact(str(file))  # type: ignore[no-untyped-call]

    def remove(self, run_id: str, folder: str) -> None:
        """Remove a folder of a run's artifacts. Raises NotImplementedError if the artifact store can't."""
        self._repository(run_id).delete_artifacts(folder)  # type: ignore[no-untyped-call]

    def location(self, experiment_location: str, run_id: str) -> str:
        """Return an experiment's current artifact location, assuming it moved together with this run's artifacts."""
        self._repository(run_id)
        folder = local_folder(experiment_location)
        root = self._moved.get(folder.parent) if folder else None
        return str(root / folder.name) if root and folder else experiment_location

    def run_location(self, run_id: str) -> str:
        """Return where a run's artifacts are now."""
        return str(self._repository(run_id).artifact_uri)

    def _open(self, run_id: str) -> ArtifactRepository:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        location = str(self._client.get_run(run_id).info.artifact_uri)
        return get_artifact_repository(self._current_location(location), tracking_uri=self._uri)

    def _current_location(self, location: str) -> str:
        """Return where a run's artifacts are now, given the location in the store."""
        folder = local_folder(location)
        if folder is None or self._store_folder is None or len(folder.parts) < 5:
            return location
        if self._store_folder in folder.parents and folder.is_dir():
            return location
        root, run_folder = folder.parents[2], Path(*folder.parts[-3:])  # experiment, run, `artifacts`
        for start in range(1, len(root.parts)):
            candidate = self._store_folder.joinpath(*root.parts[start:])
            if (candidate / run_folder).is_dir():
                if folder.is_dir() and folder.samefile(candidate / run_folder):
                    return location  # a link leads from the old location to the new one
                self._moved[root] = candidate
                return str(candidate / run_folder)
        return location
