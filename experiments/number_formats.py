"""Finds the decimal and thousands signs of a table's text columns, and turns each into numbers, booleans or text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiments.columns import BadNumbers, Column
from experiments.read_options import ReadOptions

TRUE_WORDS = ("True", "TRUE", "true")
FALSE_WORDS = ("False", "FALSE", "false")

_DECIMALS = (".", ",")
_THOUSANDS = ("", ",", ".", " ", "'")
_SIGN_CLASSES = {" ": "[ \u00a0\u2009\u202f]", "'": "['’]"}
_WORDS = r"(?i)^[+-]?(?:inf|infinity|nan)$"
_NAN = r"(?i)^[+-]?nan$"

EXACT_WHOLE_NUMBERS = 2**53
"""Whole numbers up to this one are float64s."""


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written: the decimal sign, and the sign between thousands, "" for none."""

    decimal: str
    thousands: str

    @property
    def pattern(self) -> str:
        """Regular expression of a number. A group of thousands has three digits, the first one to three and no 0."""
        whole = r"\d+"
        if self.thousands:
            whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{_class(self.thousands)}\d{{3}})+)"
        if not self.decimal:
            return rf"^[+-]?{whole}(?:[eE][+-]?\d+)?$"
        point = _class(self.decimal)
        return rf"^[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?$"

    def normalized(self, cells: Any) -> Any:
        """Cells with a decimal point and without thousands signs and leading plus."""
        cells = pc.replace_substring_regex(cells, r"^\+", "")
        if self.thousands:
            cells = pc.replace_substring_regex(cells, _class(self.thousands), "")
        return pc.replace_substring(cells, self.decimal, ".") if self.decimal not in ("", ".") else cells


PLAIN = NumberFormat(".", "")


def _class(sign: str) -> str:
    return _SIGN_CLASSES.get(sign, re.escape(sign))


def _formats(options: ReadOptions) -> list[NumberFormat]:
    """The formats that the options leave open, the plain one first."""
    decimals = _DECIMALS if options.decimal is None else (options.decimal,)
    thousands = _THOUSANDS if options.thousands is None else (options.thousands,)
    return [NumberFormat(d, t) for d in decimals for t in thousands if d != t]


class TextColumn:
    """One column as text, and what its cells are under each number format, worked out when asked.

    text: (rows,) Arrow strings without blanks around them, null where empty.
    """

    def __init__(self, name: str, text: Any) -> None:
        self.name, self.text = name, text
        self.size: int = len(text) - text.null_count
        self._has: dict[str, bool] = {}
        self._counts: dict[NumberFormat, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether all cells are empty."""
        return self.size == 0

    @cached_property
    def plain(self) -> Any:
        """(rows,) float64 where every cell is a number with a decimal point and no thousands signs, else None."""
        try:
            numbers = self.text.cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            return None
        words = np.flatnonzero(np.isnan(numbers))
        if len(words) > self.text.null_count:  # Arrow takes nan(...) too
            cells = self.text.take(pa.array(words)).drop_null()
            if not pc.all(pc.match_substring_regex(cells, _NAN)).as_py():
                return None
        return numbers

    @property
    def is_boolean(self) -> bool:
        """Whether every cell that is not empty is a word for true or false."""
        if self.size == 0 or self.plain is not None:
            return False
        known = pc.is_in(self.text, value_set=pa.array(TRUE_WORDS + FALSE_WORDS), skip_nulls=True)
        return int(pc.sum(known).as_py()) == self.size

    def reading(self, form: NumberFormat) -> NumberFormat:
        """The format without the signs that the column does not hold. Formats of one reading give the same numbers."""
        return NumberFormat(*(sign if sign and self._contains(sign) else "" for sign in (form.decimal, form.thousands)))

    def count(self, form: NumberFormat) -> int:
        """How many cells are numbers under a format."""
        reading = self.reading(form)
        if self.plain is not None and (reading.decimal == "." or not self._contains(".")):
            return self.size
        if reading not in self._counts:
            self._counts[reading] = int(pc.sum(self._matches(reading)).as_py() or 0)
        return self._counts[reading]

    def is_full(self, form: NumberFormat) -> bool:
        """Whether all cells are numbers under a format."""
        return self.count(form) == self.size

    def numbers(self, form: NumberFormat) -> Any:
        """(rows,) float64 under a format that is full, NaN where empty. `-0` is 0 where all cells are whole."""
        reading = self.reading(form)
        plain = self.plain if self.plain is not None and reading.decimal in ("", ".") else None
        text = self.text if plain is not None and not reading.thousands else reading.normalized(self.text)
        numbers = plain if text is self.text and plain is not None else text.cast(pa.float64()).to_numpy()
        if (np.signbit(numbers) & (numbers == 0)).any() and pc.all(pc.match_substring_regex(text, r"^-?\d+$")).as_py():
            return numbers + 0.0
        return numbers

    def is_whole(self, form: NumberFormat, numbers: Any) -> bool:
        """Whether each cell is written as a whole number, without a decimal sign.

        numbers: (rows,) what the cells are under this format.
        """
        if not (np.isnan(numbers) | (numbers == np.round(numbers))).all():
            return False
        text = self.reading(form).normalized(self.text)
        return bool(pc.all(pc.match_substring_regex(text, r"^-?\d+$")).as_py())

    def wrong(self, form: NumberFormat) -> Any:
        """(wrong cells,) indices of the cells that are no numbers under a format."""
        return np.flatnonzero(pc.invert(self._matches(self.reading(form))).fill_null(False).to_numpy())

    def first(self, pattern: str) -> int:
        """Index of the first cell that matches."""
        return int(np.flatnonzero(pc.match_substring_regex(self.text, pattern).fill_null(False).to_numpy())[0])

    def cell(self, row: int) -> str:
        return str(self.text[row].as_py())

    def _matches(self, reading: NumberFormat) -> Any:
        return pc.or_(pc.match_substring_regex(self.text, reading.pattern), pc.match_substring_regex(self.text, _WORDS))

    def _contains(self, sign: str) -> bool:
        if self.plain is not None and sign != ".":
            return False
        if sign not in self._has:
            self._has[sign] = bool(pc.any(pc.match_substring_regex(self.text, _class(sign))).as_py())
        return self._has[sign]


@dataclass(frozen=True)
class TextTyping:
    """Turns the text columns of one table into typed ones.

    options: what the user says of the numbers.
    point_first: whether a decimal point is meant where a number may be read in two ways, as between commas.
    has_fractions: whether other columns of the table, which come with a type, hold fractions.
    location: words for where a row's index lies, such as `line 25`.
    """

    options: ReadOptions
    point_first: bool
    has_fractions: bool
    location: Callable[[int], str]

    def columns(self, texts: Sequence[TextColumn]) -> list[Column]:
        """The typed columns. The first whose signs had to be found out has a note that says so."""
        words = [text.is_boolean for text in texts]
        formats = self._likely_formats([text for text, is_word in zip(texts, words, strict=True) if not is_word])
        typed = [_boolean(t) if w else self._typed(t, formats) for t, w in zip(texts, words, strict=True)]
        for index, (text, column) in enumerate(zip(texts, typed, strict=True)):
            note = self._signs_found(text, formats) if column.kind == "number" else None
            if note:
                typed[index] = replace(column, note=" ".join(filter(None, (note, column.note))))
                break
        return typed

    def _likely_formats(self, texts: Sequence[TextColumn]) -> list[NumberFormat]:
        """The formats under which no other makes more numbers of some column and not fewer of another."""
        formats = _formats(self.options)
        odd = [text for text in texts if text.plain is None]
        best_is_first = all(text.count(formats[0]) >= max(map(text.count, formats)) for text in odd)
        if self.point_first and formats[0].decimal == "." and best_is_first:
            return formats[:1]
        evidence = [text for text in texts if 2 * max(map(text.count, formats)) >= text.size]
        counts = {form: [text.count(form) for text in evidence] for form in formats}
        if self.has_fractions:
            for form, column_counts in counts.items():
                column_counts.append(int(form.decimal == "."))
        return [form for form in formats if not any(_exceeds(counts[other], counts[form]) for other in formats)]

    def _typed(self, text: TextColumn, formats: list[NumberFormat]) -> Column:
        readings = {text.reading(form): form for form in formats if text.is_full(form)}
        points = [form for form in formats if form.decimal == "."]
        if not readings:
            return self._text(text, formats)
        if self.point_first and points and text.plain is not None:
            return self._number(text, points[0])
        if len(readings) > 1:
            return self._unsupported(text, self._ambiguous(text, list(readings.values())))
        if points and not any(map(text.is_full, points)):
            return self._unsupported(text, self._two_signs(text, points[0]))
        return self._number(text, next(iter(readings.values())))

    def _text(self, text: TextColumn, formats: list[NumberFormat]) -> Column:
        form = max(formats, key=text.count)
        other = next((other for other in _formats(ReadOptions()) if text.is_full(other)), None)
        if other is not None:
            return self._unsupported(text, self._contradiction(text, form))
        wrong = text.wrong(form)
        bad = BadNumbers(len(wrong), int(wrong[0]), text.cell(wrong[0]))
        return Column(text.name, "text", _objects(text.text), bad)

    def _number(self, text: TextColumn, form: NumberFormat) -> Column:
        values = text.numbers(form)
        large = np.flatnonzero(np.isfinite(values) & (np.abs(values) >= EXACT_WHOLE_NUMBERS))
        if len(large):
            cells = text.reading(form).normalized(text.text.take(pa.array(large)))
            whole = cells.filter(pc.match_substring_regex(cells, r"^-?\d+$")).to_pylist()
            return whole_number_column(text.name, values, map(int, whole), integer=text.is_whole(form, values))
        return Column(text.name, "number", values, integer=text.is_whole(form, values))

    def _unsupported(self, text: TextColumn, problem: str) -> Column:
        return Column(text.name, "unsupported", _objects(text.text), problem=problem)

    def _ambiguous(self, text: TextColumn, forms: list[NumberFormat]) -> str:
        one, two = (text.reading(form).normalized(text.text) for form in forms[:2])
        row = int(np.flatnonzero(pc.not_equal(one, two).fill_null(False).to_numpy())[0])
        return (
            f"column {text.name!r} has {text.cell(row)!r} in {self.location(row)}, which is either "
            f"{one[row].as_py()} or {two[row].as_py()}; say which with dataset.decimal or dataset.thousands"
        )

    def _two_signs(self, text: TextColumn, form: NumberFormat) -> str:
        row = text.wrong(form)[0]
        return (
            f"column {text.name!r} has {text.cell(row)!r} in {self.location(row)}, but other columns have "
            f"{form.decimal!r} as their decimal sign; write all numbers alike, or set dataset.decimal"
        )

    def _contradiction(self, text: TextColumn, form: NumberFormat) -> str:
        row = text.wrong(form)[0]
        given = [f"dataset.{key} {sign!r}" for key in ("decimal", "thousands") if (sign := getattr(self.options, key))]
        return (
            f"column {text.name!r} has {text.cell(row)!r} in {self.location(row)}, which is not a number "
            f"with {' and '.join(given) or 'the signs of the other columns'}"
        )

    def _signs_found(self, text: TextColumn, formats: list[NumberFormat]) -> str | None:
        """A sentence, with an example, on signs that the user did not name."""
        reading = text.reading(next(form for form in formats if text.is_full(form)))
        signs = {
            sign: words
            for sign, words, given in (
                (reading.decimal.strip("."), "the decimal sign", self.options.decimal),
                (reading.thousands, "the sign between thousands", self.options.thousands),
            )
            if sign and given is None
        }
        if not signs:
            return None
        row = text.first("|".join(map(_class, signs)))
        value = reading.normalized(text.text.slice(row, 1))[0].as_py()
        found = " and ".join(f"{sign!r} as {words}" for sign, words in signs.items())
        return f"numbers are read with {found}: {text.cell(row)!r} in {self.location(row)} is {value}."


def _boolean(text: TextColumn) -> Column:
    truth = pc.is_in(text.text, value_set=pa.array(TRUE_WORDS)).cast(pa.float64()).to_numpy()
    return Column(text.name, "boolean", np.where(text.text.is_valid().to_numpy(), truth, np.nan))


def is_number(cell: str) -> bool:
    """Whether a cell is a number in any format that is found without a word from the user."""
    return any(re.match(form.pattern, cell.strip(), re.ASCII) for form in _formats(ReadOptions()))


def _exceeds(counts: Sequence[int], others: Sequence[int]) -> bool:
    pairs = list(zip(counts, others, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def _objects(text: Any) -> Any:
    return np.array(text.to_pylist(), dtype=object)


def whole_number_column(name: str, values: Any, large: Iterable[int], *, integer: bool = True) -> Column:
    """A number column with a note where it was rounded; unsupported where that made two numbers one.

    values: (rows,) float64.
    large: its whole numbers past 2^53, of which a float64 may not hold every digit.
    """
    different = set(large)
    rounded = [number for number in different if int(float(number)) != number]
    if len(set(map(float, different))) == len(different):
        note = (
            f"column {name!r} is rounded: a float64 does not hold {rounded[0]} to the last digit." if rounded else None
        )
        return Column(name, "number", values, note=note, integer=integer)
    problem = (
        f"column {name!r} has whole numbers past 2^53, such as {rounded[0]}, that become equal when they are "
        "rounded to a float64; leave it out with dataset.features, or write smaller numbers"
    )
    cells = np.where(np.isnan(values), np.array(None), np.array("a whole number", dtype=object))
    return Column(name, "unsupported", cells, problem=problem)
