"""A folder for a Ray of our own: its sockets need a short path, and its owner must be able to write."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.errors import ClusterError

_LONGEST_SOCKET = 107  # bytes, on Linux; 104 on a Mac
_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.10"
_LONGEST = _LONGEST_SOCKET - len(_SOCKET) - 3
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")


@contextmanager
def folder_for_ray() -> Iterator[Path | None]:
    """None where Ray's own choice will do; else a folder that is removed afterwards, with all that Ray wrote.

    Ray takes `ray` in RAY_TMPDIR, TMPDIR or /tmp. Raises ClusterError where no folder will do.
    """
    own = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp") / "ray"
    if _is_short(own) and _is_writable(own):
        yield None
        return
    folder = _made()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made() -> Path:
    for parent in dict.fromkeys([*_SHORT, os.environ.get("TMPDIR", "/tmp")]):
        try:
            folder = Path(tempfile.mkdtemp(prefix="ray", dir=parent))
        except OSError:
            continue
        if _is_short(folder):
            return folder
        folder.rmdir()
    raise ClusterError(
        f"Ray has no folder to start in: set TMPDIR to one that can be written and has at most {_LONGEST - 4} letters, "
        "or train with --inline"
    )


def _is_short(folder: Path) -> bool:
    return len(os.fsencode(folder.absolute())) <= _LONGEST


def _is_writable(folder: Path) -> bool:
    """Whether it can be written, or made."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
