"""Writing the user's files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from experiments.errors import GradgridError


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all.

    path: the file. It is replaced if it is there.
    write: writes to the path that it is given, in the same folder.
    Raises GradgridError if the file can't be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        partial.replace(path)
    except OSError as error:
        raise GradgridError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
