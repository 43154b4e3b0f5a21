"""A temporary folder for Ray on this machine. Ray's sockets need a short path that can be written."""

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
    """Yield None if Ray's default folder will do; else another, which is removed when the block ends.

    Ray's default is `ray` in RAY_TMPDIR, TMPDIR or /tmp. Raises ClusterError if no folder will do.
    """
    default = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp") / "ray"
    if _is_short(default) and _is_writable(default):
        yield None
        return
    folder = _make_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder() -> Path:
    for parent in dict.fromkeys([*_SHORT, os.environ.get("TMPDIR", "/tmp")]):
        try:
            folder = Path(tempfile.mkdtemp(prefix="ray", dir=parent))
        except OSError:
            continue
        if _is_short(folder):
            return folder
        folder.rmdir()
    raise ClusterError(
        f"Ray has no folder to start in: set TMPDIR to a folder that you can write to, with a path of at most "
        f"{_LONGEST - 4} letters; or train with --inline"
    )


def _is_short(folder: Path) -> bool:
    return len(os.fsencode(folder.absolute())) <= _LONGEST


def _is_writable(folder: Path) -> bool:
    """Return whether the folder can be written, or created."""
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
