"""Read a CSV file into a `RawTable`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.data.columns import RawTable
from experiments.data.csv_dialect import SEPARATORS, find_dialect, read_text
from experiments.data.csv_rows import split_csv
from experiments.data.headers import check_not_data, named_columns
from experiments.data.number_formats import TextColumn
from experiments.data.raw_tables import finished_table, text_column
from experiments.data.read_options import ReadOptions
from experiments.data.text_typing import TextTyping
from experiments.errors import DataError, quoted


def read_csv(path: Path, options: ReadOptions) -> RawTable:
    """Read a CSV. Raises DataError with the file's name and the line."""
    dialect, text = find_dialect(read_text(path, options), options, path.name)
    cells = split_csv(text, dialect, path.name)
    del text
    place = f"{path.name}, line {cells.header_line}"
    texts = [text_column(*pair, options.na_values) for pair in zip(cells.names, cells.columns, strict=True)]
    columns, notes = named_columns(texts, place)
    check_not_data([column.name for column in columns], place)
    _check_divided(columns, place)
    typing = TextTyping(options, dialect.separator == ",", False, lambda row: f"line {cells.lines[row]}")
    return finished_table(path.name, typing.columns(columns), cells.lines, "line", notes, options)


def _check_divided(columns: Sequence[TextColumn], place: str) -> None:
    """Raise DataError for a single column with characters that may be separators."""
    if len(columns) != 1:
        return
    column = columns[0]
    first = column.cell(0) if len(column.text) and column.text[0].is_valid else ""
    signs = [sign for sign in (*SEPARATORS, " ", ":") if sign in column.name or sign in first]
    if signs:
        raise DataError(
            f"{place} names a single column, {quoted(column.name)}; if {' or '.join(map(quoted, signs))} separates the "
            "fields, set dataset.separator"
        )
