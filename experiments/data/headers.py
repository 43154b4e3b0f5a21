"""Check the names of a table's columns: each column has a name, no two are equal, and an index is not a feature."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from experiments.data.columns import Column
from experiments.data.names import as_seen
from experiments.data.number_formats import TextColumn, is_number
from experiments.errors import DataError, quoted

_Named = TypeVar("_Named", bound=Column | TextColumn)

_INDEX_NAME = re.compile(r"(Unnamed: \d+|__index_level_\d+__)")
_RENAMED = re.compile(r"(.+)\.\d+")


def named_columns(columns: Sequence[_Named], place: str) -> tuple[list[_Named], list[str]]:
    """Return the columns without indices and empty columns, and notes on those left out.

    place: location of the names for messages, such as `data.csv, line 1`.
    Raises DataError for two columns of one name, and for a filled column without a name.
    """
    named: list[_Named] = []
    notes: list[str] = []
    _check_different([column.name for column in columns], place)
    for position, column in enumerate(columns, start=1):
        name = column.name
        if name and not is_index_name(name):
            named.append(column)
        elif name or (position == 1 and not column.is_empty):
            reason = f"has the name {quoted(name)}" if name else "has no name"
            notes.append(
                f"column {position} is left out: it {reason}, like an index that pandas wrote; rename it to use it."
            )
        elif not column.is_empty:
            raise DataError(f"{place}: column {position} has no name; name it, or remove it")
    return named, [*notes, *_alike([column.name for column in named])]


def is_index_name(name: str) -> bool:
    """Return whether pandas gives this name to a column without a name."""
    return _INDEX_NAME.fullmatch(name) is not None


def check_not_data(names: Sequence[str], place: str) -> None:
    """Raise DataError if the first line of a CSV has only numbers, so that it is data and not names.

    The names 0, 1, 2, ... pass: pandas gives them to columns without names.
    """
    if all(map(is_number, filter(None, names))) and list(names) != [str(index) for index in range(len(names))]:
        raise DataError(
            f"{place} should name the columns, but has only numbers ({', '.join(names[:5])}); add a line of names"
        )


def _check_different(names: Sequence[str], place: str) -> None:
    first: dict[str, int] = {}
    for position, name in enumerate(names, start=1):
        if name and name in first:
            raise DataError(
                f"{place}: columns {first[name]} and {position} are both called {quoted(name)}; rename or remove one"
            )
        first[name] = position


def _alike(names: Sequence[str]) -> list[str]:
    """Return notes on names that look equal: they differ only in case, blanks, invisible characters or `.1`."""
    notes: list[str] = []
    first_names: dict[str, str] = {}
    for name in names:
        other = first_names.setdefault(as_seen(name), name)
        if other != name:
            notes.append(
                f"columns {quoted(other)} and {quoted(name)} are two columns; their names differ only in case, "
                "blanks or invisible characters."
            )
        renamed = _RENAMED.fullmatch(name)
        if renamed and renamed[1] in names:
            notes.append(
                f"column {quoted(name)} may be a second {quoted(renamed[1])} that was renamed; remove it if so."
            )
    return notes
