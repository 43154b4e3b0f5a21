"""Columns that are no features: one that says which row is which, one with weights."""

from __future__ import annotations

from dataclasses import replace

from experiments.data.columns import Column, RawTable
from experiments.errors import DataError, did_you_mean, quoted


def taken_out(raw: RawTable, name: str, key: str) -> tuple[Column, RawTable]:
    """Return a column, and the table without it. Raises DataError if there is none.

    key: the key of the dataset section that names it.
    """
    column = next((column for column in raw.columns if column.name == name), None)
    if column is None:
        names = [column.name for column in raw.columns]
        raise DataError(f"{raw.name} has no column {quoted(name)}{did_you_mean(name, names)}", key)
    rest = tuple(other for other in raw.columns if other is not column)
    return column, replace(raw, columns=rest, notes=tuple(note for note in raw.notes if note != column.note))
