"""Every error that gradgrid reports to its user.

GradgridError                   failed; exit code 1
├── UserError                   the user's input is wrong; exit code 2
│   ├── SpecError               in a sweep file or a --set
│   ├── DataError               in a data set
│   ├── NotFoundError           the store has no such sweep or run
│   └── UntrustedPartsError     a Python file out of the store, which the user has not run before
├── StoreError                  MLflow's store can't be opened, read or written
│   └── StoreUnavailableError   for now: another attempt may succeed
├── ClusterError                Ray can't be started or reached, or a task was lost
└── SweepInterruptedError       Ctrl-C or SIGTERM stopped the sweep; exit code 130
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

_QUOTED = 80  # characters of a name or cell in a message
_LISTED = 40


class GradgridError(Exception):
    """A failure with a message for the user: what is wrong, where, and what to do."""

    exit_code = 1


class UserError(GradgridError):
    """An error that the user can correct in the input."""

    exit_code = 2


class SpecError(UserError):
    """An error in a sweep file or in a `--set`."""


class DataError(UserError):
    """An error in a data set.

    key: the key of the dataset section that it is about; empty for that of its source, name or path.
    """

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class KeyMistakeError(ValueError):
    """A key of a section of a sweep file that contradicts another one.

    key: the key whose line the message names.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class NotFoundError(UserError):
    """A sweep or run isn't in the store."""


class UntrustedPartsError(UserError):
    """A Python file from the store may not run here: the user has neither run nor accepted it."""


class StoreError(GradgridError):
    """MLflow's store can't be used."""


class StoreUnavailableError(StoreError):
    """MLflow's store can't be used for now: it restarts, another process has locked it, or its disk is full."""


class ClusterError(GradgridError):
    """Ray can't be used."""


class SweepInterruptedError(GradgridError):
    """The user stopped the sweep; the trials recorded so far stay."""

    exit_code = 130


class DataWarning(UserWarning):
    """A property of a data set that may spoil the results."""


_OLD_NAMES = {"StoreAway": StoreUnavailableError, "Interrupted": SweepInterruptedError}

if not TYPE_CHECKING:  # else mypy would accept any name

    def __getattr__(name: str) -> type[GradgridError]:
        """Return the error that had this name before. Raises AttributeError."""
        if name not in _OLD_NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        error = _OLD_NAMES[name]
        warnings.warn(f"{name} is now called {error.__name__}", DeprecationWarning, stacklevel=2)
        return error


def quoted(value: object) -> str:
    """Return the repr of a name or cell for a message, at most 80 characters of it."""
    text = repr(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


_VALIDATION = "validation_"


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest known word, else a list of the known words.

    It is the end of a message about `word`.
    """
    words = list(known)
    close = difflib.get_close_matches(str(word), words, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {quoted(close[0])}?"
    more = f" and {len(words) - _LISTED} more" if len(words) > _LISTED else ""
    return f"; known: {', '.join(name[:_QUOTED] for name in words[:_LISTED])}{more}"


def did_you_mean_metric(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` as `did_you_mean`. If there is a validation part, x is of that part.

    A word with the name of a part is taken as it is.
    """
    names = list(known)
    of_validation = {name.removeprefix(_VALIDATION): name for name in names if name.startswith(_VALIDATION)}
    close = difflib.get_close_matches(word, of_validation, n=1, cutoff=0.6)
    if close and not word.startswith(("test", "valid")):
        return f"; did you mean {quoted(of_validation[close[0]])}?"
    return did_you_mean(word, names)
