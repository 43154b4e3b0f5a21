"""Writing the user's files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from experiments.errors import GradgridError

_Result = TypeVar("_Result")


def write_file(path: Path, write: Callable[[Path], _Result]) -> _Result:
    """Write a file whole or not at all, and return what `write` returns.

    path: the file. It is replaced if it is there.
    write: writes to the path that it is given, in the same folder.
    Raises GradgridError if the file can't be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        result = write(partial)
        partial.replace(path)
    except OSError as error:
        raise GradgridError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return result
