"""Writers of artifacts: what happens when a file is there already, and when a cloud fails."""

import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact import artifact_repository_registry

from experiments.errors import StoreUnavailableError
from service.recording.artifact_writers import LocalArtifactWriter, UploadingArtifactWriter, open_artifact_writer


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed while it writes a file again leaves the old content."""
    writer = LocalArtifactWriter(tmp_path)
    writer.write([("a/b.json", b"old")])
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            writer.write([("a/b.json", b"new content")])
    assert (tmp_path / "a" / "b.json").read_bytes() == b"old"
    writer.write([("a/b.json", b"new content")])
    assert (tmp_path / "a" / "b.json").read_bytes() == b"new content"


class _CloudError(Exception):
    """An error of a cloud's library, of which gradgrid knows nothing."""


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (_CloudError("slow down"), StoreUnavailableError, "the artifact store at s3://bucket/1 failed: slow down"),
        (MlflowException("no such bucket"), MlflowException, "no such bucket"),
    ],
)
def test_an_error_of_a_clouds_library_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception], message: str
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise raised

    monkeypatch.setattr(artifact_repository_registry, "get_artifact_repository", fail)
    writer = open_artifact_writer("postgresql://db/x", "s3://bucket/1")
    assert isinstance(writer, UploadingArtifactWriter)
    with pytest.raises(expected, match=message):
        writer.write([("run/artifacts/final_weights.json", b"{}")])
    writer.close()
