"""Checks of the cells of a table: refuse those that a network can't take, and find the complete rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from engine.arrays import Flags
from experiments.data.column_rules import DROP, REFUSE, na_values_key
from experiments.data.columns import Column, RawTable
from experiments.errors import DataError, quoted

Rows = Flags

_TIME = re.compile(r"(\d{1,4}([-/.])\d{1,2}\2\d{1,4}([ T]+\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2}.*)?)")
"""A date, a time of day, or both: `2024-01-31 08:30:00`, `31.1.2024`, `8:30`."""
_WITH_SIGN = re.compile(r"[$€£¥]\s*[+-]?\d[\d.,]*|[+-]?\d[\d.,]*\s*[$€£¥%‰°]")
"""A number with a currency, a percent sign or a degree sign: `€ 12.50`, `12%`."""


def refuse_unsupported(raw: RawTable, column: Column) -> None:
    """Raise DataError for a column of an unsupported type."""
    if column.kind == "unsupported":
        raise DataError(f"{raw.name}: {column.problem}")


def refuse_unusable(raw: RawTable, column: Column, *, is_target: bool) -> None:
    """Raise DataError for a column of an unsupported type, and for one without a filled cell."""
    refuse_unsupported(raw, column)
    if column.empty.all():
        way_out = "name another column to predict"
        if not is_target:
            way_out = "leave it out: name the columns to use under dataset.features"
        raise DataError(f"{raw.name}: column {quoted(column.name)} is empty in every row; {way_out}")


def words_message(raw: RawTable, column: Column) -> str:
    """Return the message on a feature of words. A word among numbers may be a mistake or mean an empty cell."""
    bad, filled = column.bad_numbers, column.values[~column.empty]
    if bad is None:
        return (
            f"{raw.name}: column {quoted(column.name)} holds numbers as text, such as {quoted(filled[0])}; "
            f"make it a column of numbers, or write encode: {{{column.name}: one_hot}} under dataset"
        )
    cell = f"{raw.location(bad.row)}: column {quoted(column.name)} holds {quoted(bad.cell)}, which is not a number"
    if bad.count < len(filled):
        return (
            f"{cell} ({_cells(bad.count)}; {len(filled) - bad.count:,} hold numbers). If it means an empty cell, "
            f"write {na_values_key(bad.cell)} and missing: drop, mean or median under "
            f"dataset; if the column holds words, write encode: {{{column.name}: one_hot}}"
        )
    if all(_TIME.fullmatch(word) for word in filled):
        return (
            f"{raw.location(bad.row)}: column {quoted(column.name)} holds dates or times, such as {quoted(bad.cell)} "
            f"({_cells(bad.count)}); turn them into numbers, or leave the column out: name the columns to use "
            "under dataset.features"
        )
    if all(_WITH_SIGN.fullmatch(word) for word in filled):
        return f"{cell} ({_cells(bad.count)}) because of its sign or unit; write only the number into the file"
    return (
        f"{cell} ({_cells(bad.count)}); write encode: one_hot under dataset to make an input of each word, or "
        "name the columns of numbers under dataset.features"
    )


def _cells(count: int) -> str:
    return f"{count:,} such cell{'' if count == 1 else 's'}"


def complete_rows(
    raw: RawTable, features: Sequence[Column], targets: Sequence[Column], missing: Mapping[str, str], least: int = 2
) -> Rows:
    """Return a mask of the complete rows, (rows,). Raises DataError for an empty cell under the rule `refuse`.

    missing: column -> rule for its empty cells.
    least: the smallest number of rows that may be left; training needs two.
    """
    columns = (*features, *targets)
    refused = [column for column in columns if missing[column.name] == REFUSE]
    empties = {column.name: column.empty for column in refused if column.empty.any()}
    if empties:
        raise DataError(_empty_message(raw, refused, empties, targets))
    rows = np.ones(len(raw.lines), dtype=bool)
    for column in columns:
        if missing[column.name] == DROP:
            rows &= ~column.empty
    if rows.sum() < least:
        needed = "training needs at least two" if least > 1 else "fill some of them"
        raise DataError(
            f"{raw.name}: {'1 row is' if rows.any() else 'no row is'} left when those with empty cells are dropped; "
            f"{needed}"
        )
    return rows


def _empty_message(
    raw: RawTable, columns: Sequence[Column], empties: Mapping[str, Rows], targets: Sequence[Column]
) -> str:
    row = min(int(np.argmax(empty)) for empty in empties.values())
    name = next(name for name, empty in empties.items() if empty[row])
    column = next(column for column in columns if column.name == name)
    others = [quoted(other) for other in empties if other != name]
    also = f"; {', '.join(others[:5])} {'has' if len(others) == 1 else 'have'} empty cells too" if others else ""
    if any(column is target for target in targets):
        way_out = "write missing: drop under dataset to leave such rows out; a target is never filled"
    elif column.kind == "text":
        way_out = "write missing: drop under dataset to leave such rows out, or write a word such as unknown into them"
    else:
        way_out = "write missing: drop, mean or median under dataset, or fill them in"
    return f"{raw.location(row)}: column {quoted(name)} is empty ({_cells(int(empties[name].sum()))}{also}); {way_out}"


def refuse_infinite(raw: RawTable, column: Column) -> None:
    """Raise DataError for an infinite number."""
    if column.kind == "number" and np.isinf(column.values).any():
        infinite = np.isinf(column.values)
        raise DataError(
            f"{raw.location(int(np.argmax(infinite)))}: column {quoted(column.name)} is infinite "
            f"({_cells(int(infinite.sum()))}); correct these cells or remove the rows"
        )


def kept_rows(columns: Sequence[Column], rows: Rows) -> tuple[Column, ...]:
    """Return the columns with these rows alone. rows: a mask, (rows,)."""
    return tuple(replace(column, values=column.values[rows]) for column in columns)


def with_rows(raw: RawTable, rows: Rows) -> RawTable:
    """Return the table with these rows alone. rows: a mask, (rows,)."""
    return replace(raw, columns=kept_rows(raw.columns, rows), lines=raw.lines[rows])
