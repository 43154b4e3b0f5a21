"""Every error that gradgrid reports to its user.

GradgridError                 failed; exit code 1
├── UserError                 the user's input was wrong; exit code 2
│   ├── SpecError             in a sweep file or a --set
│   ├── DataError             in a data set
│   ├── NotFoundError         a sweep or run that isn't in the store
│   └── UntrustedPartsError   a Python file out of the store that the user has not run before
├── StoreError                MLflow's store can't be opened, read or written
│   └── StoreAway             for now: it may be back in a while
├── ClusterError              Ray can't be started or reached, or a task was lost
└── Interrupted               stopped by Ctrl-C or SIGTERM; exit code 130
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GradgridError(Exception):
    """A failure with a message for the user: what was wrong, where, and what to do next."""

    exit_code = 1


class UserError(GradgridError):
    """Something that the user can mend in what they gave."""

    exit_code = 2


class SpecError(UserError):
    """A sweep file, or an override of it, that can't be run."""


class DataError(UserError):
    """A data set that can't be trained on."""


class NotFoundError(UserError):
    """A sweep or run that the store doesn't hold."""


class UntrustedPartsError(UserError):
    """A Python file that a store holds and that may not run here: the user has neither written nor accepted it."""


class StoreError(GradgridError):
    """MLflow's store can't be used."""


class StoreAway(StoreError):  # noqa: N818
    """MLflow's store can't be used for now: it is restarting, locked by another, or its disk is full."""


class ClusterError(GradgridError):
    """Ray can't be used."""


class Interrupted(GradgridError):  # noqa: N818
    """The user stopped the sweep; what was recorded stays."""

    exit_code = 130


class DataWarning(UserWarning):
    """Something in a data set that the user should know before its results are trusted."""


def nearest(word: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of the known words, else the list of them."""
    words = list(known)
    close = difflib.get_close_matches(str(word), words, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(words)}"
