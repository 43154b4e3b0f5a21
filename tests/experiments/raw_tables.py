"""Tables as they are read, and what is in their cells."""

from pathlib import Path
from typing import Any

from experiments.data.columns import Column, RawTable
from experiments.data.readers import ReadOptions, read_file


def read_csv_text(folder: Path, text: str | bytes, **options: Any) -> RawTable:
    """Write a text into own.csv in a folder, and return the table that is read from it."""
    (folder / "own.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_file(folder / "own.csv", ReadOptions(**options))


def values_of(column: Column) -> list[Any]:
    """Return a column's values, None where a cell is empty."""
    return [None if value is None or value != value else value for value in column.values.tolist()]


def cells_of(table: RawTable) -> dict[str, list[Any]]:
    """Return the values of each column by its name; of an unsupported column that word alone."""
    return {c.name: [c.kind] if c.kind == "unsupported" else values_of(c) for c in table.columns}
