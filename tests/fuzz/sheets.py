"""Tables as people see them, mutated and written in many dialects; and the number that a reader sees in a cell."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

TARGET = "y"
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_OTHER_NUMBERS = {
    "1,234": 1234.0,
    "12 345": 12345.0,
    "1_000": 1000.0,
    "0x10": 16.0,
    "\u0661\u0662": 12.0,
    "\u22125": -5.0,
}
_SWAPPED = str.maketrans(".,", ",.")
_CELLS = (
    *("?", "", "NA", "n/a", "nan", "inf", "-", "1e5", "$5", "5%", "TRUE", "false", "yes", "3/4", "2020-01-01", "00123"),
    *(
        " 7 ",
        "+3",
        ".5",
        "5.",
        "1e",
        "None",
        "null",
        "'7",
        '"',
        "a,b",
        "a;b",
        "a\nb",
        "1.5.2",
        "0.1",
        "1e400",
        "\u00e9",
    ),
    *("1e400", "0", "1", "2", "-0.0", "123456789012345678901", "0.30000000000000004", "#", *_OTHER_NUMBERS),
)
_NAMES = (
    "y",
    "Y",
    " y",
    "a",
    "A",
    "b",
    "",
    "Unnamed: 0",
    "1",
    "share $%$",
    "gr\u00f6\u00dfe",
    "a,b",
    "a;b",
    "index",
    "n\n",
)


@dataclass(frozen=True)
class Sheet:
    """A header and rows of cells; numbers have a point. Rows may be shorter or longer than the header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> list[str]:
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    @property
    def is_ragged(self) -> bool:
        return any(len(row) != len(self.header) for row in self.rows)


def _sheet(header: str, *rows: str) -> Sheet:
    return Sheet(tuple(header.split()), tuple(tuple(row.split()) for row in rows))


BASES = (
    _sheet("radius nuclei y", *(f"{n % 7 + 0.5} {n % 9} {n % 2}" for n in range(40))),
    _sheet("a b y", *(f"{n} {n * n % 11} {('EU', 'NA', 'AS')[n % 3]}" for n in range(30))),
    _sheet("size rooms y", *(f"{50 + n * 1.25} {n % 5} {100 + n * 3.75}" for n in range(25))),
    _sheet("flag x y", *(f"{n % 3 == 0} {n / 8} {('no', 'yes')[n % 2]}" for n in range(24))),
    _sheet("x city y", *(f"{n * 0.1:.1f} {('Paris', 'Rome')[n % 2]} {n % 2}" for n in range(16))),
    _sheet("x y", *(f"{n % 6 - 2.5} {'unknown' if n == 290 else n % 2}" for n in range(300))),
    _sheet("x constant y", *(f"{n % 5} 0.03 {n * 0.5}" for n in range(60))),
)


def mutated_sheet(draw: Draw) -> Sheet:
    """Return one of the base sheets after up to three edits."""
    sheet: Sheet = draw(st.sampled_from(BASES))
    for _ in range(draw(st.integers(0, 3))):
        sheet = draw(st.sampled_from(_EDITS))(draw, sheet)
    return sheet


def _change_cell(draw: Draw, sheet: Sheet) -> Sheet:
    at = draw(st.integers(0, len(sheet.rows) - 1))
    row = list(sheet.rows[at])
    if row:
        row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(_CELLS))
    return replace(sheet, rows=(*sheet.rows[:at], tuple(row), *sheet.rows[at + 1 :]))


def _change_column(draw: Draw, sheet: Sheet) -> Sheet:
    at = draw(st.integers(0, len(sheet.header) - 1))
    cells = draw(st.lists(st.sampled_from(_CELLS), min_size=1, max_size=3))
    rows = (
        (*row[:at], cells[k % len(cells)], *row[at + 1 :]) if len(row) > at else row for k, row in enumerate(sheet.rows)
    )
    return replace(sheet, rows=tuple(rows))


def _rename(draw: Draw, sheet: Sheet) -> Sheet:
    at = draw(st.integers(0, len(sheet.header) - 1))
    return replace(sheet, header=(*sheet.header[:at], draw(st.sampled_from(_NAMES)), *sheet.header[at + 1 :]))


def _copy_column(draw: Draw, sheet: Sheet) -> Sheet:
    at = draw(st.integers(0, len(sheet.header) - 1))
    rows = tuple((*row, row[at] if len(row) > at else "") for row in sheet.rows)
    return Sheet((*sheet.header, draw(st.sampled_from([*_NAMES, sheet.header[at]]))), rows)


def _change_row(draw: Draw, sheet: Sheet) -> Sheet:
    at = draw(st.integers(0, len(sheet.rows) - 1))
    row = sheet.rows[at]
    changed = draw(st.sampled_from([(), (row, row), (row[:-1],), ((*row, "9"),), ((),), (("",) * len(row),)]))
    rows = (*sheet.rows[:at], *changed, *sheet.rows[at + 1 :])
    return replace(sheet, rows=rows or sheet.rows)


_EDITS = (_change_cell, _change_cell, _change_column, _rename, _copy_column, _change_row)


@dataclass(frozen=True)
class Dialect:
    """The signs, line ends and encoding that a sheet is written with."""

    separator: str = ","
    decimal: str = "."
    quote_all: bool = False
    end: str = "\n"
    encoding: str = "utf-8"
    named_separator: bool = False
    trailing: bool = False


dialects = st.builds(
    Dialect,
    separator=st.sampled_from([",", ",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ".", ","]),
    quote_all=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    named_separator=st.sampled_from([False, False, True]),
    trailing=st.sampled_from([False, False, True]),
)


def written(sheet: Sheet, dialect: Dialect) -> bytes:
    """Return the sheet as the bytes of a CSV file; characters that the encoding lacks become `?`."""
    end = dialect.separator * dialect.trailing + dialect.end
    lines = [f"sep={dialect.separator}{dialect.end}"] if dialect.named_separator else []
    lines += [
        dialect.separator.join(_field(cell, dialect) for cell in row) + end for row in (sheet.header, *sheet.rows)
    ]
    return "".join(lines).encode(dialect.encoding, errors="replace")


def in_dialect(cell: str, dialect: Dialect) -> str:
    """Return a cell's text as it is in the file, without the quotation marks around it."""
    is_number = _PLAIN.fullmatch(cell) or cell in _OTHER_NUMBERS
    return cell.translate(_SWAPPED) if dialect.decimal == "," and is_number else cell


def shows_its_decimal_sign(sheet: Sheet, dialect: Dialect) -> bool:
    """Return whether the file tells 1234 from 1.234.

    Where the decimal sign is a comma, 1,234 is written as 1.234. A number with a fraction must show then what is meant.
    """
    cells = {cell for row in sheet.rows for cell in row}
    has_fraction = any(_PLAIN.fullmatch(cell) and "." in cell for cell in cells)
    return dialect.decimal == "." or "1,234" not in cells or has_fraction


def _field(cell: str, dialect: Dialect) -> str:
    cell = in_dialect(cell, dialect)
    needs_quotes = dialect.quote_all or any(sign in cell for sign in (dialect.separator, '"', "\n", "\r"))
    return '"' + cell.replace('"', '""') + '"' if needs_quotes else cell


def number(cell: str) -> float | None:
    """Return the number that a reader sees in a cell; None if it is not a number."""
    cell = cell.strip()
    if cell.lower() in ("true", "false"):
        return float(cell.lower() == "true")
    return float(cell) if _PLAIN.fullmatch(cell) else _OTHER_NUMBERS.get(cell)
