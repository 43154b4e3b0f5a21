"""The formats of numbers in text, and the numbers of a text column under each format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiments.data.read_options import ReadOptions

TRUE_WORDS = ("True", "TRUE", "true")
FALSE_WORDS = ("False", "FALSE", "false")

_DECIMALS = (".", ",")
_THOUSANDS = ("", ",", ".", " ", "'")
_SIGN_CLASSES = {" ": "[ \u00a0\u2009\u202f]", "'": "['’]"}
_SIGN_BYTES = {  # first bytes of the signs in UTF-8
    ",": (b",",),
    ".": (b".",),
    " ": (b" ", b"\xc2\xa0", b"\xe2\x80"),
    "'": (b"'", b"\xe2\x80"),
    "_": (b"_",),
}
_WORDS = "(?i:inf|infinity|nan)"
_NAN = r"^[+-]?(?i:nan)$"
_HEAD = 1000  # first cells: they decide quickly in most columns


@dataclass(frozen=True)
class NumberFormat:
    """A way to write numbers.

    decimal: the decimal sign, "" for none.
    thousands: the sign between thousands, "" for none.
    """

    decimal: str
    thousands: str

    @property
    def pattern(self) -> str:
        """Regular expression of a number. Groups have three digits, the first one to three and no leading 0."""
        whole = r"\d+"
        if self.thousands:
            whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{sign_class(self.thousands)}\d{{3}})+)"
        number = whole
        if self.decimal:
            point = sign_class(self.decimal)
            number = rf"(?:{whole}(?:{point}\d*)?|{point}\d+)"
        return rf"^[+-]?(?:{number}(?:[eE][+-]?\d+)?|{_WORDS})$"

    def normalized(self, cells: Any) -> Any:
        """Return cells with a decimal point and without thousands signs. cells: Arrow strings."""
        if self.thousands in _SIGN_CLASSES:
            cells = pc.replace_substring_regex(cells, sign_class(self.thousands), "")
        elif self.thousands:
            cells = pc.replace_substring(cells, self.thousands, "")
        return pc.replace_substring(cells, self.decimal, ".") if self.decimal not in ("", ".") else cells


PLAIN = NumberFormat(".", "")


def sign_class(sign: str) -> str:
    """Return the regular expression of a sign: blanks and apostrophes have several characters."""
    return _SIGN_CLASSES.get(sign, re.escape(sign))


def open_formats(options: ReadOptions) -> list[NumberFormat]:
    """Return the formats that the options allow, the plain one first."""
    decimals = _DECIMALS if options.decimal is None else (options.decimal,)
    thousands = _THOUSANDS if options.thousands is None else (options.thousands,)
    return [NumberFormat(d, t) for d in decimals for t in thousands if d != t]


class TextColumn:
    """One column of text, and its numbers under each format, computed on demand.

    text: (rows,) Arrow strings without blanks around them, null where empty.
    """

    def __init__(self, name: str, text: Any) -> None:
        self.name, self.text = name, text
        self.size: int = len(text) - text.null_count
        self._has: dict[str, bool] = {}
        self._numbers: dict[NumberFormat, Any] = {}
        self._counts: dict[NumberFormat, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether all cells are empty."""
        return self.size == 0

    @property
    def is_boolean(self) -> bool:
        """Return whether every cell that is not empty is a word for true or false."""
        if self.size == 0 or self.plain is not None:
            return False
        booleans = pc.is_in(self.text.slice(0, _HEAD), value_set=pa.array((*TRUE_WORDS, *FALSE_WORDS, None)))
        return bool(pc.all(booleans).as_py()) and set(self._values.to_pylist()) <= {*TRUE_WORDS, *FALSE_WORDS}

    @cached_property
    def plain(self) -> Any:
        """Numbers in the plain format, (rows,) float64; None unless every cell is one."""
        return self._cast(self.text)

    def reading(self, form: NumberFormat) -> NumberFormat:
        """Return the format without the signs that no cell has. Formats with one reading give the same numbers."""
        return NumberFormat(*(sign if sign and self._contains(sign) else "" for sign in (form.decimal, form.thousands)))

    def numbers(self, form: NumberFormat) -> Any:
        """Return (rows,) float64, NaN where empty; None unless every cell is a number. `-0` is 0 if all are whole."""
        reading = self.reading(form)
        if reading not in self._numbers:
            self._numbers[reading] = self._read(reading)
        return self._numbers[reading]

    def is_full(self, form: NumberFormat) -> bool:
        """Return whether all cells are numbers under a format."""
        return self.numbers(form) is not None

    def count(self, form: NumberFormat) -> int:
        """Return the number of cells that are numbers under a format."""
        if self.is_full(form):
            return self.size
        reading = self.reading(form)
        if reading not in self._counts:
            matches = pc.match_substring_regex(self._values, reading.pattern)
            self._counts[reading] = int(pc.sum(pc.if_else(matches, self._frequencies, 0)).as_py() or 0)
        return self._counts[reading]

    def wrong(self, form: NumberFormat) -> Any:
        """Return the indices of the cells that are not numbers under a format, (wrong cells,)."""
        matches = pc.match_substring_regex(self.text, self.reading(form).pattern)
        return np.flatnonzero(pc.invert(matches).fill_null(False).to_numpy())

    def first(self, pattern: str) -> int:
        """Return the index of the first cell that matches a regular expression."""
        return int(np.flatnonzero(pc.match_substring_regex(self.text, pattern).fill_null(False).to_numpy())[0])

    def cell(self, row: int) -> str:
        """Return the text of a cell. row: its index."""
        return str(self.text[row].as_py())

    @cached_property
    def _counted(self) -> Any:
        return self.text.drop_null().value_counts()

    @property
    def _values(self) -> Any:
        return self._counted.field("values")

    @property
    def _frequencies(self) -> Any:
        return self._counted.field("counts")

    def _contains(self, sign: str) -> bool:
        if self.plain is not None and sign != ".":
            return False
        if sign not in self._has:
            contains = (
                sign in self._signs_by_bytes and pc.any(pc.match_substring_regex(self.text, sign_class(sign))).as_py()
            )
            self._has[sign] = bool(contains)
        return self._has[sign]

    @cached_property
    def _signs_by_bytes(self) -> set[str]:
        """Signs whose first bytes occur in the memory of the cells. This quick test ends the search in most columns."""
        signs: set[str] = set()
        for chunk in self.text.chunks:
            text = chunk.buffers()[2].to_pybytes() if chunk.buffers()[2] is not None else b""
            signs |= {sign for sign, starts in _SIGN_BYTES.items() if any(start in text for start in starts)}
        return signs

    def _read(self, reading: NumberFormat) -> Any:
        if not reading.thousands and (reading.decimal == "." or not (reading.decimal or self._contains("."))):
            numbers = self.plain
        elif (self._contains(".") and "." not in (reading.decimal, reading.thousands)) or not self._has_groups(reading):
            return None  # Arrow would take a point for a decimal sign
        else:
            numbers = self._cast(reading.normalized(self.text))
        if numbers is None or not (np.signbit(numbers) & (numbers == 0)).any():
            return numbers
        whole = pc.match_substring_regex(reading.normalized(self.text), r"^[+-]?\d+$")
        return numbers + 0.0 if pc.all(whole).as_py() else numbers

    def _has_groups(self, reading: NumberFormat) -> bool:
        """Return whether thousands signs, if any, separate groups of three digits in all cells."""
        return not reading.thousands or all(
            pc.all(pc.match_substring_regex(cells, reading.pattern)).as_py()
            for cells in (self.text.slice(0, _HEAD), self.text)
        )

    def _cast(self, text: Any) -> Any:
        try:
            numbers = text.cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            return None
        words = np.flatnonzero(np.isnan(numbers))
        if len(words) > text.null_count:  # Arrow takes nan(...) too
            cells = text.take(pa.array(words)).drop_null()
            if not pc.all(pc.match_substring_regex(cells, _NAN)).as_py():
                return None
        return numbers


def is_number(cell: str) -> bool:
    """Return whether a cell is a number in any format that is detected."""
    return any(re.match(form.pattern, cell.strip(), re.ASCII) for form in open_formats(ReadOptions()))
