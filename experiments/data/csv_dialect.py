"""Detect the encoding of a CSV file and the separator between its fields."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.data.number_formats import is_number
from experiments.data.read_options import ReadOptions
from experiments.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
"""Separators that are detected. Others need dataset.separator."""

_SAMPLE = 1 << 18  # bytes to detect the separator from
_SAMPLE_ROWS = 500
_OPENERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_UNPACKING_ERRORS = (EOFError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_MARKS = {  # UTF-32 first: its little-endian mark begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_OTHER_FORMATS = {b"PK\x03\x04": "an Excel workbook or zip archive", b"\xd0\xcf\x11\xe0": "an old Excel workbook",
                  b"PAR1": "a Parquet file", b"%PDF": "a PDF", b"\x1f\x8b": "a gzip file"}  # fmt: skip


@dataclass(frozen=True)
class Dialect:
    """The format of a CSV.

    separator: between fields.
    first_line: number of its first line: 2 after a `sep=` line, else 1.
    """

    separator: str
    first_line: int = 1


def read_text(path: Path, options: ReadOptions) -> bytes:
    """Return a file's text as UTF-8 without a byte order mark. It may be invalid UTF-8: `decoded` checks that.

    Raises DataError for a file that can't be read or is not text in its encoding.
    """
    data = _unpacked(path)
    for start, what in _OTHER_FORMATS.items():
        if data.startswith(start):
            raise DataError(f"{path.name} is not a CSV file but {what}; save the table as CSV or Parquet")
    mark = next((mark for mark in _MARKS if data.startswith(mark)), None)
    encoding = _encoding(mark, options.encoding, path.name)
    if encoding != "utf-8":
        return decoded(data, encoding, path.name).removeprefix("\ufeff").encode()
    text = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in text:
        line = text.count(b"\n", 0, text.index(b"\0")) + 1
        raise DataError(
            f"{path.name}, line {line} has a zero byte, so it is not UTF-8 text; "
            "name its encoding under dataset.encoding, such as utf-16-le"
        )
    return text


def decoded(data: bytes, encoding: str, name: str) -> str:
    """Return bytes as text. name: of the file. Raises DataError with the line and the key to set."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, errors="replace")
        line = len(before.splitlines()) + before.endswith(("\n", "\r")) or 1
        raise DataError(
            f"{name}, line {line} is not {encoding}: byte {error.start} is "
            f"0x{data[error.start]:02x}; name the file's encoding under dataset.encoding, such as cp1252"
        ) from None
    except UnicodeError as error:
        raise DataError(f"{name} is not {encoding}: {error}; name its encoding under dataset.encoding") from None


def _unpacked(path: Path) -> bytes:
    """Return a file's bytes; unpack .gz, .bz2, .xz and .zip files."""
    suffix = path.suffix.lower()
    try:
        if suffix in _OPENERS:
            with _OPENERS[suffix](path) as file:
                data: bytes = file.read()
            return data
        if suffix == ".zip":
            return _only_member(path)
        return path.read_bytes()
    except (OSError, *_UNPACKING_ERRORS) as error:
        raise DataError(f"{path.name} can't be read: {getattr(error, 'strerror', None) or error}") from None


def _only_member(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if not member.endswith("/")]
        if len(members) != 1:
            raise DataError(f"{path.name} holds {len(members)} files; pack one CSV alone")
        return archive.read(members[0])


def _encoding(mark: bytes | None, given: str | None, name: str) -> str:
    """Return a file's encoding. Raises DataError if its byte order mark contradicts dataset.encoding.

    mark: the byte order mark, if the file has one.
    given: dataset.encoding.
    name: of the file.
    """
    encoding = codecs.lookup(given or "utf-8").name.removesuffix("-sig")
    if mark is None:
        return encoding
    marked = _MARKS[mark]
    if given is not None and encoding not in (marked, marked[: len("utf-16")]):
        raise DataError(
            f"{name}, line 1 begins with the byte order mark of {marked}, but dataset.encoding is {given}; leave it out"
        )
    return marked


def find_dialect(data: bytes, options: ReadOptions, name: str) -> tuple[Dialect, bytes]:
    """Return the dialect, and the text after a `sep=` line.

    data: UTF-8 text.
    name: of the file.
    Raises DataError if several separators fit, or the `sep=` line contradicts dataset.separator.
    """
    first = next(iter(data[:16].splitlines(keepends=True)), b"")
    announced = _announced(first)
    if announced is not None:
        if options.separator not in (None, announced):
            raise DataError(
                f"{name}, line 1 says sep={announced}, but dataset.separator is {options.separator!r}; leave it out"
            )
        return Dialect(announced, 2), data[len(first) :]
    return Dialect(options.separator or _likely_separator(data, name)), data


def _announced(line: bytes) -> str | None:
    """Return the separator of Excel's line `sep=;`, which may be in quotes; None for another line."""
    text = line.decode(errors="replace").rstrip("\r\n").strip('"')
    return text[4] if len(text) == 5 and text.lower().startswith("sep=") else None


def records(lines: Iterator[str], separator: str) -> Any:
    """Return a reader of the csv module: quotes within quotes are doubled, blanks after a separator are skipped."""
    return csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)


def _likely_separator(data: bytes, name: str) -> str:
    """Return the separator that gives every line of a sample the same number of fields, and the most numbers."""
    sample = data[:_SAMPLE].decode(errors="replace")
    tables = {separator: _sample_rows(sample, separator, len(data) > _SAMPLE) for separator in SEPARATORS}
    wide = {separator: rows for separator, rows in tables.items() if rows and len(rows[0]) > 1}
    even = {separator: rows for separator, rows in wide.items() if all(_fits(row, rows[0]) for row in rows)}
    if len(even) == 1:
        return next(iter(even))
    if not even:
        return max(wide, key=lambda separator: _evenness(wide[separator]), default=",")
    shares = {separator: _number_share(rows) for separator, rows in even.items()}
    best = [separator for separator, share in shares.items() if share == max(shares.values())]
    if len(best) > 1:
        raise DataError(f"{name}: the separator may be {' or '.join(map(repr, best))}; set dataset.separator")
    return best[0]


def _sample_rows(sample: str, separator: str, is_cut: bool) -> list[list[str]]:
    """Return the first rows that are not blank. If the sample is cut, leave out the last row: it may be cut too."""
    rows: list[list[str]] = []
    try:
        for row in records(io.StringIO(sample, newline=""), separator):
            if any(field.strip() for field in row):
                rows.append(row)
            if len(rows) == _SAMPLE_ROWS:
                return rows
    except csv.Error:
        return rows
    return rows[:-1] if is_cut else rows


def _fits(row: Sequence[str], header: Sequence[str]) -> bool:
    return len(row) == len(header) or (len(row) > len(header) and not any(row[len(header) :]))


def _evenness(rows: list[list[str]]) -> tuple[float, int]:
    return sum(_fits(row, rows[0]) for row in rows) / len(rows), len(rows[0])


def _number_share(rows: list[list[str]]) -> float:
    cells = [cell for row in rows[1:] for cell in row if cell.strip()]
    return sum(map(is_number, cells)) / max(len(cells), 1)
