"""Write files where an artifact store keeps them, without a request to the tracking server for each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlparse

from experiments.errors import StoreUnavailableError
from service.recording.artifacts import local_folder
from service.recording.connection import is_known, is_server
from service.recording.redaction import redacted, without_passwords
from service.recording.threaded_map import ThreadedMap
from service.recording.whole_files import write_whole

if TYPE_CHECKING:
    from service.recording.rest_client import Server

File = tuple[str, bytes]
"""A path, relative to the writer's location, and the file's content."""


class ArtifactWriter(Protocol):
    """Writes files below one location of an artifact store."""

    def write(self, files: Iterable[File]) -> None:
        """Write files, again if they are there. Raises MLflow's errors."""
        ...

    def close(self) -> None:
        """Free threads."""
        ...


def open_artifact_writer(uri: str, location: str) -> ArtifactWriter:
    """Return the writer for a location.

    uri: the store's.
    location: of an experiment's or a run's artifacts.
    """
    folder = local_folder(location)
    if folder is not None:
        return LocalArtifactWriter(folder)
    if location.startswith("mlflow-artifacts:") and is_server(uri):
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

        from service.recording.rest_client import Server

        address = urlparse(str(MlflowArtifactsRepository.resolve_uri(location, uri)))  # type: ignore[no-untyped-call]
        return ServedArtifactWriter(Server(f"{address.scheme}://{address.netloc}"), address.path)
    return UploadingArtifactWriter(location)


class LocalArtifactWriter:
    """Writes into a folder on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def write(self, files: Iterable[File]) -> None:
        for path, content in files:
            self.write_file(path, content)

    def write_file(self, path: str, content: bytes) -> None:
        """Write one file."""
        write_whole(f"{self._folder}/{path}", content)

    def close(self) -> None:
        pass


class ServedArtifactWriter:
    """Sends files to a tracking server that stores artifacts, several at once. path: of the location on the server."""

    def __init__(self, server: Server, path: str) -> None:
        self._server = server
        self._path = path.rstrip("/")
        self._threads = ThreadedMap()

    def write(self, files: Iterable[File]) -> None:
        self._threads.run(lambda file: self._server.put(f"{self._path}/{file[0]}", file[1]), list(files))

    def close(self) -> None:
        self._threads.close()


class UploadingArtifactWriter:
    """Uploads files to any other artifact store with MLflow's client, several at once.

    MLflow passes on the errors of each cloud's own library. Which of them pass is not known, so all are tried again.
    """

    def __init__(self, location: str) -> None:
        self._location = location.rstrip("/")
        self._threads = ThreadedMap()

    def write(self, files: Iterable[File]) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        def upload(file: File) -> None:
            path = PurePosixPath(file[0])
            with tempfile.TemporaryDirectory() as folder:
                local = Path(folder) / path.name
                local.write_bytes(file[1])
                try:
                    repository = get_artifact_repository(f"{self._location}/{path.parent}")
                    repository.log_artifact(str(local))  # type: ignore[no-untyped-call]
                except Exception as error:
                    if is_known(error) or isinstance(error, (ImportError, NameError, TypeError, AttributeError)):
                        raise  # the latter are no faults of the store
                    raise StoreUnavailableError(
                        f"the artifact store at {without_passwords(self._location)} failed: {redacted(str(error))}"
                    ) from None

        self._threads.run(upload, list(files))

    def close(self) -> None:
        self._threads.close()
