"""The steps that tables of every source share: find empty cells, and cut empty rows at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.arrays import Integers
from experiments.data.columns import Column, RawTable
from experiments.data.number_formats import FALSE_WORDS, TRUE_WORDS, TextColumn
from experiments.data.read_options import ReadOptions


def text_column(name: str, cells: Any, na_values: Sequence[str]) -> TextColumn:
    """Return a text column without blanks around its cells, null where empty or one of the `na_values`.

    cells: Arrow strings, (rows,).
    """
    untouched = TextColumn(name, cells)
    if untouched.plain is not None:  # numbers without blanks or empty cells
        return untouched
    cells = pc.utf8_trim_whitespace(cells)
    empty = pc.is_in(cells, value_set=pa.array(["", *na_values], cells.type))
    return TextColumn(name, pc.if_else(empty, pa.scalar(None, cells.type), cells) if pc.any(empty).as_py() else cells)


def finished_table(
    name: str,
    columns: Sequence[Column],
    lines: Integers,
    unit: Literal["line", "row"],
    notes: Sequence[str],
    options: ReadOptions,
) -> RawTable:
    """Return the table without the empty rows at its end, and with the notes of its columns.

    name, lines, unit: as in RawTable.
    columns: all of one length.
    notes: other notes of the table.
    options: of the dataset section; its `na_values` are empty cells.
    """
    columns = [_settled(column, options.na_values) for column in columns]
    rows = len(lines)
    while rows and columns and all(_is_blank(column.values[rows - 1]) for column in columns):
        rows -= 1
    left_out = len(lines) - rows
    ending = [_ending_note(left_out)] if left_out else []
    if left_out:
        columns = [replace(column, values=column.values[:rows]) for column in columns]
    column_notes = [column.note for column in columns if column.note]
    return RawTable(name, tuple(columns), lines[:rows], unit, (*notes, *column_notes, *ending))


def _ending_note(rows: int) -> str:
    return "the last row is empty and left out." if rows == 1 else f"the last {rows} rows are empty and left out."


def _settled(column: Column, na_values: Sequence[str]) -> Column:
    """Return the column with an empty cell for each number or boolean that `na_values` has as a word."""
    if column.kind == "boolean" and column.is_empty:
        return replace(column, kind="number")  # as in a CSV, where an empty column has no type
    if column.kind == "number":
        values = [float(word) for word in na_values if _is_plain(word)]
    elif column.kind == "boolean":
        values = [float(word in TRUE_WORDS) for word in na_values if word in TRUE_WORDS + FALSE_WORDS]
    else:
        return column
    return replace(column, values=np.where(np.isin(column.values, values), np.nan, column.values)) if values else column


def _is_blank(value: Any) -> bool:
    return value is None or value != value  # only NaN differs from itself


def _is_plain(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word
