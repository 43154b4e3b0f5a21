"""Write files that are there as a whole or not at all."""

from __future__ import annotations

import os
import uuid


def write_whole(file: str, content: bytes) -> None:
    """Write a file, and make its folder if there is none. pathlib would take as long as the disk."""
    try:
        _write_or_replace(file, content)
    except FileNotFoundError:
        _make_folder(file.rpartition("/")[0])
        _write_or_replace(file, content)


def _make_folder(path: str) -> None:
    """Make a folder and those above it. `os.makedirs` first asks for each whether it is there."""
    try:
        os.mkdir(path)  # noqa: PTH102
    except FileNotFoundError:
        _make_folder(path.rpartition("/")[0])
        os.makedirs(path, exist_ok=True)  # noqa: PTH103
    except FileExistsError:
        pass  # another process has just made it


def _write_or_replace(file: str, content: bytes) -> None:
    """Write a file. One that is there may be of a run that counts already: it is replaced whole, not written over."""
    try:
        _write_new(file, content)
    except FileExistsError:
        partial = f"{file}.{uuid.uuid4().hex}"
        _write_new(partial, content)
        os.replace(partial, file)  # noqa: PTH105


def _write_new(file: str, content: bytes) -> None:
    """Write a file that is not there. Raises FileExistsError if it is."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as stream:
        stream.write(content)
