"""Read Parquet files and other typed Arrow arrays into columns: numbers, booleans, text, or unsupported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from experiments.data.columns import Column, RawTable
from experiments.data.headers import named_columns
from experiments.data.number_formats import TextColumn
from experiments.data.raw_tables import finished_table, text_column
from experiments.data.read_options import ReadOptions
from experiments.data.text_typing import EXACT_WHOLE_NUMBERS, TextTyping, whole_number_column
from experiments.errors import DataError, quoted

_TYPE_WORDS = (
    (pa.types.is_timestamp, "timestamps"),
    (pa.types.is_date, "dates"),
    (pa.types.is_time, "times of day"),
    (pa.types.is_duration, "durations"),
    (pa.types.is_nested, "nested values"),
    (pa.types.is_binary, "bytes"),
)


def read_parquet(path: Path, options: ReadOptions) -> RawTable:
    """Read a Parquet file; leave out the index of a data frame. Raises DataError."""
    try:
        with pa.parquet.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(f"{path.name} can't be read: {detail}") from None
    index = _index_columns(table.schema)
    names = table.column_names
    columns = [(name, cells) for name, cells in zip(names, table.columns, strict=True) if name not in index]
    notes = [index_note(name) for name in names if name in index]
    return table_of_arrays(path.name, columns, table.num_rows, notes, options)


def _index_columns(schema: Any) -> set[str]:
    """Return the columns that pandas wrote for the index of a data frame."""
    try:
        metadata = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        return {name for name in metadata.get("index_columns", ()) if isinstance(name, str)}
    except (ValueError, TypeError, AttributeError):
        return set()


def index_note(name: str) -> str:
    """Return the note on an index that is left out; `name` may be empty."""
    index = f"the index {quoted(name)}" if name else "the index"
    return f"{index} is left out: it is not a feature; reset_index() in pandas makes it a column."


def table_of_arrays(
    name: str, arrays: Sequence[tuple[str, Any]], rows: int, notes: Sequence[str], options: ReadOptions
) -> RawTable:
    """Return the table of named Arrow arrays.

    name: how messages call the table.
    arrays: (name, array) of each column. A string instead of an array names a type that Arrow does not have.
    rows: length of each array.
    notes: notes for the table.
    options: of the dataset section.
    Raises DataError for a column without a name, and for two columns of one name.
    """
    arrays = [(column, pa.chunked_array([a]) if isinstance(a, pa.Array) else a) for column, a in arrays]
    columns = [
        _typed_column(column, cells, rows) or text_column(column, _strings(cells), options.na_values)
        for column, cells in ((column.strip(), cells) for column, cells in arrays)
    ]
    columns, name_notes = named_columns(columns, name)
    texts = [column for column in columns if isinstance(column, TextColumn)]
    typing = TextTyping(options, True, any(_has_fractions(cells) for _, cells in arrays), lambda row: f"row {row + 1}")
    typed = {column.name: _noted(column) for column in typing.columns(texts)}
    done = [column if isinstance(column, Column) else typed[column.name] for column in columns]
    return finished_table(name, done, np.arange(1, rows + 1), "row", [*notes, *name_notes], options)


def _strings(cells: Any) -> Any:
    return cells.cast(pa.string())


def _noted(column: Column) -> Column:
    """Return a column that came as text, with a note if its words are numbers or booleans."""
    if column.kind not in ("number", "boolean") or column.is_empty:
        return column
    kind = f"{column.kind}s"
    note = f"column {quoted(column.name)} is text, but holds only {kind}: it is read as {kind}, as in a CSV."
    return replace(column, note=" ".join(filter(None, (note, column.note))))


def _has_fractions(cells: Any) -> bool:
    """Return whether a CSV would write the numbers of an array's type with a decimal point."""
    if isinstance(cells, str) or cells.null_count == len(cells):
        return False
    kind = _value_type(cells)
    return bool(pa.types.is_floating(kind)) or bool(pa.types.is_decimal(kind) and kind.scale > 0)


def _typed_column(name: str, cells: Any, rows: int) -> Column | None:
    """Return the column of an array, by its type; None for text."""
    if isinstance(cells, str):
        return _unsupported(name, cells, np.zeros(rows, dtype=bool))
    kind = _value_type(cells)
    if _is_text(kind):
        return None
    empty = cells.is_null().to_numpy()
    if pa.types.is_boolean(kind):
        return Column(name, "boolean", cells.cast(kind).cast(pa.float64()).to_numpy())
    if pa.types.is_decimal(kind):
        values = np.array([np.nan if cell is None else float(cell) for cell in cells.to_pylist()])
        return Column(name, "number", values, integer=kind.scale <= 0)
    if pa.types.is_integer(kind):
        return _whole_numbers(name, cells.cast(kind))
    if pa.types.is_floating(kind) or pa.types.is_null(kind):
        return Column(name, "number", cells.cast(kind).cast(pa.float64()).to_numpy())
    return _unsupported(name, str(kind), empty, next((w for is_kind, w in _TYPE_WORDS if is_kind(kind)), "values"))


def _is_text(kind: Any) -> bool:
    """Return whether an Arrow type is a string type."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _value_type(cells: Any) -> Any:
    return cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type


def _whole_numbers(name: str, cells: Any) -> Column:
    values = cells.cast(pa.float64(), safe=False).to_numpy()
    large = np.flatnonzero(np.abs(values) >= EXACT_WHOLE_NUMBERS)
    return whole_number_column(name, values, cells.take(pa.array(large)).to_pylist())


def _unsupported(name: str, kind: str, empty: Any, words: str = "values") -> Column:
    problem = (
        f"column {quoted(name)} holds {words} of type {kind}, not numbers, booleans or words; "
        "turn them into numbers, or leave the column out with dataset.features"
    )
    return Column(name, "unsupported", np.where(empty, np.array(None), np.array(kind, dtype=object)), problem=problem)
