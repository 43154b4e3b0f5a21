"""Split the text of a CSV into columns of text, and find the line of each row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from engine.arrays import Integers
from experiments.data.csv_dialect import Dialect, decoded, records
from experiments.errors import DataError, quoted

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BLOCK = 1 << 24  # bytes that Arrow parses at a time
_CHUNK = 1 << 14  # rows that become Arrow arrays at a time
_QUOTE = ord('"')


@dataclass(frozen=True)
class CsvText:
    """The cells of a CSV as text.

    names: the column names, from the first line that is not blank.
    header_line: number of the line on which the header ends, from 1.
    columns: one array of Arrow strings, (rows,), for each name.
    lines: (rows,). The first line of each row, from 1. Blank lines are not rows.
    """

    names: list[str]
    header_line: int
    columns: list[Any]
    lines: Integers


def split_csv(data: bytes, dialect: Dialect, name: str) -> CsvText:
    """Split UTF-8 text into columns. Raises DataError, with the line, for a row of another length.

    name: of the file.
    """
    names, height = _header(data, dialect, name)
    columns, lines = _split_fast(data, height, len(names), dialect) or _split_exactly(
        data, height, names, dialect, name
    )
    return CsvText(names, height + dialect.first_line - 1, columns, lines + (dialect.first_line - 1))


def _header(data: bytes, dialect: Dialect, name: str) -> tuple[list[str], int]:
    """Return the names of the columns, and the number of lines up to the end of the names."""
    reader = records(_text_lines(data), dialect.separator)
    try:
        for row in reader:
            if any(field.strip() for field in row):
                return [field.strip() for field in row], reader.line_num
    except UnicodeDecodeError:
        decoded(data, "utf-8", name)
    except csv.Error as error:
        raise _fault(error, name, dialect.first_line, reader.line_num + dialect.first_line - 1) from None
    raise DataError(f"{name} is empty; write the names of the columns into its first line")


def _text_lines(data: bytes) -> Iterator[str]:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")


# ------------------------------------------------------------------------------------- the fast way, for simple files


def _split_fast(data: bytes, height: int, width: int, dialect: Dialect) -> tuple[list[Any], Any] | None:
    """Return columns and lines by Arrow's parser; None for a file that needs the exact way.

    Arrow does not count lines and does not report stray quotation marks.
    """
    start = 0
    for end, _ in zip(_LINE_END.finditer(data), range(height), strict=False):
        start = end.end()
    if not dialect.separator.isascii() or dialect.separator == " " or not _has_tidy_quotes(data, start, dialect):
        return None
    names = [str(index) for index in range(width)]
    strings = dict.fromkeys(names, pa.string())
    try:
        table = pa.csv.read_csv(
            pa.py_buffer(data).slice(start),
            # Arrow may abort a process that ends soon after its threads began, and one block needs none
            read_options=pa.csv.ReadOptions(column_names=names, block_size=_BLOCK, use_threads=len(data) > _BLOCK),
            parse_options=pa.csv.ParseOptions(
                delimiter=dialect.separator, newlines_in_values=data.find(b'"', start) >= 0
            ),
            convert_options=pa.csv.ConvertOptions(column_types=strings, null_values=[], strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, ValueError):
        return None
    lines = _lines_of_rows(data, start, table.num_rows)
    return None if lines is None else (table.columns, lines + height)


def _has_tidy_quotes(data: bytes, start: int, dialect: Dialect) -> bool:
    """Return whether each quotation mark after `start` opens or closes a whole field, or is doubled."""
    if data.find(b'"', start) < 0:
        return True
    text = np.frombuffer(b"\n" + data[start:] + b"\n", np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    before, after = text[quotes[0::2] - 1], text[quotes[1::2] + 1]
    edges = (ord("\n"), ord("\r"), ord(dialect.separator), _QUOTE)  # a doubled one closes and opens again
    tidy = [np.logical_or.reduce([neighbours == edge for edge in edges]).all() for neighbours in (before, after)]
    return len(quotes) % 2 == 0 and all(tidy)


def _lines_of_rows(data: bytes, start: int, rows: int) -> Any:
    """Return the line of each row, (rows,), from 1 at `start`; None if a row takes several lines."""
    ends = data.count(b"\n", start)
    if data.find(b"\r", start) >= 0:
        ends += data.count(b"\r", start) - data.count(b"\r\n", start)
    if rows == ends + (not data.endswith((b"\n", b"\r"))):
        return np.arange(1, rows + 1)
    lines = np.flatnonzero([bool(line) for line in data[start:].splitlines()]) + 1
    return lines if len(lines) == rows else None


# ----------------------------------------------------------------------------------- the exact way, for all others


def _split_exactly(
    data: bytes, height: int, names: Sequence[str], dialect: Dialect, name: str
) -> tuple[list[Any], Any]:
    """Return columns and lines by the csv module."""
    decoded(data, "utf-8", name)
    chunks: list[list[Any]] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, row in _rows(data, height, names, dialect, name):
        rows.append(row)
        lines.append(line)
        if len(rows) == _CHUNK:
            chunks.append(_arrow(rows))
            rows = []
    chunks.append(_arrow(rows))
    columns = [pa.chunked_array([chunk[i] for chunk in chunks if chunk], pa.string()) for i in range(len(names))]
    return columns, np.array(lines, dtype=np.int64)


def _arrow(rows: list[list[str]]) -> list[Any]:
    return [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]


def _rows(
    data: bytes, height: int, names: Sequence[str], dialect: Dialect, name: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row below the names, without blank lines."""
    reader = records(_text_lines(data), dialect.separator)
    width, before = len(names), 0
    try:
        for row in reader:
            line, before = before + 1, reader.line_num
            if line > height and row and not (len(row) == 1 and width > 1 and not row[0].strip()):
                if len(row) != width:
                    _check_width(row, names, dialect, f"{name}, line {line + dialect.first_line - 1}")
                yield line, row[:width]
    except csv.Error as error:
        raise _fault(error, name, before + dialect.first_line, reader.line_num + dialect.first_line - 1) from None


def _check_width(row: Sequence[str], names: Sequence[str], dialect: Dialect, place: str) -> None:
    """Raise DataError for a row that is too short, or too long with fields that are not empty."""
    if len(row) >= len(names) and not any(field.strip() for field in row[len(names) :]):
        return
    hint = ""
    if len(row) > len(names) and dialect.separator == ",":
        hint = "; where ',' is the decimal sign too, put such numbers in quotes or separate the fields by ';'"
    if len(names) == 1 < len(row):
        hint += f". If {quoted(names[0])} is a title above the table, remove it"
    fields, header = f"{len(row)} field{'s' * (len(row) != 1)}", f"{len(names)} name{'s' * (len(names) != 1)}"
    raise DataError(
        f"{place} has {fields}, but the header has {header} "
        f"(separator {dialect.separator!r}; dataset.separator sets another){hint}"
    )


def _fault(error: csv.Error, name: str, start: int, line: int) -> DataError:
    if "expected after" in str(error):
        return DataError(f"{name}, line {line}: text follows a closing quotation mark; double the marks within a field")
    return DataError(f"{name}, line {start}: a quotation mark opens a field that never closes ({error})")
