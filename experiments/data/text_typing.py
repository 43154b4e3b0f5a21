"""Detect the decimal and thousands signs of a table, and turn its text into numbers, booleans or words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiments.data.columns import BadNumbers, Column
from experiments.data.number_formats import TRUE_WORDS, NumberFormat, TextColumn, open_formats, sign_class
from experiments.data.read_options import ReadOptions
from experiments.errors import quoted

EXACT_WHOLE_NUMBERS = 2**53
"""A float64 holds every whole number up to this one."""


@dataclass(frozen=True)
class TextTyping:
    """Turns the text columns of one table into typed ones.

    options: the signs that the user named.
    point_first: whether an ambiguous number has a decimal point, as in a file with commas between fields.
    has_fractions: whether typed columns of the table hold fractions.
    location: returns the location of a row for messages, such as `line 25`.
    """

    options: ReadOptions
    point_first: bool
    has_fractions: bool
    location: Callable[[int], str]

    def columns(self, texts: Sequence[TextColumn]) -> list[Column]:
        """Return the typed columns. The first with signs that the user did not name has a note on them."""
        kept = {text.name: text for text in texts if text.name in self.options.words}
        typed = iter(self._typed_columns([text for text in texts if text.name not in kept]))
        return [Column(text.name, "text", _objects(text.text)) if text.name in kept else next(typed) for text in texts]

    def _typed_columns(self, texts: Sequence[TextColumn]) -> list[Column]:
        words = [text.is_boolean for text in texts]
        formats = self._likely_formats([text for text, is_word in zip(texts, words, strict=True) if not is_word])
        typed = [_boolean(t) if w else self._typed(t, formats) for t, w in zip(texts, words, strict=True)]
        for index, (text, column) in enumerate(zip(texts, typed, strict=True)):
            note = self._signs_note(text, formats) if column.kind == "number" else None
            if note:
                typed[index] = replace(column, note=" ".join(filter(None, (note, column.note))))
                break
        return typed

    def _likely_formats(self, texts: Sequence[TextColumn]) -> list[NumberFormat]:
        """Return the best formats: no other gives more numbers in one column without giving fewer in another."""
        formats = open_formats(self.options)
        if self.point_first and formats[0].decimal == ".":
            odd = [_evidence(text, formats) for text in texts if text.plain is None]
            if all(counts[0] == max(counts) for counts in odd if counts):
                return formats[:1]
        evidence = [counts for text in texts if (counts := _evidence(text, formats))]
        if self.has_fractions:
            evidence.append([int(form.decimal == ".") for form in formats])
        scores = list(zip(*evidence, strict=True)) or [() for _ in formats]
        return [
            form
            for form, score in zip(formats, scores, strict=True)
            if not any(_exceeds(other, score) for other in scores)
        ]

    def _typed(self, text: TextColumn, formats: list[NumberFormat]) -> Column:
        points = [form for form in formats if form.decimal == "."]
        if self.point_first and points and text.plain is not None:
            return self._number(text, points[0])
        readings = {text.reading(form): form for form in formats if text.is_full(form)}
        if not readings:
            return self._text(text, formats)
        if len(readings) > 1:
            return self._unsupported(text, self._ambiguous(text, list(readings.values())))
        if points and not any(map(text.is_full, points)):
            return self._unsupported(text, self._two_signs(text, points[0]))
        return self._number(text, next(iter(readings.values())))

    def _text(self, text: TextColumn, formats: list[NumberFormat]) -> Column:
        form = max(formats, key=text.count)
        other = next((other for other in open_formats(ReadOptions()) if text.is_full(other)), None)
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
            whole = cells.filter(pc.match_substring_regex(cells, r"^[+-]?\d+$")).to_pylist()
            return whole_number_column(text.name, values, map(int, whole), integer=_is_whole(text, form, values))
        return Column(text.name, "number", values, integer=_is_whole(text, form, values))

    def _unsupported(self, text: TextColumn, problem: str) -> Column:
        return Column(text.name, "unsupported", _objects(text.text), problem=problem)

    def _ambiguous(self, text: TextColumn, forms: list[NumberFormat]) -> str:
        one, two = (text.reading(form).normalized(text.text) for form in forms[:2])
        row = int(np.flatnonzero(pc.not_equal(one, two).fill_null(False).to_numpy())[0])
        return (
            f"column {quoted(text.name)} has {quoted(text.cell(row))} in {self.location(row)}, which is either "
            f"{one[row].as_py()} or {two[row].as_py()}; set dataset.decimal or dataset.thousands"
        )

    def _two_signs(self, text: TextColumn, form: NumberFormat) -> str:
        row = text.wrong(form)[0]
        return (
            f"column {quoted(text.name)} has {quoted(text.cell(row))} in {self.location(row)}, but other columns have "
            f"{quoted(form.decimal)} as their decimal sign; write all numbers with one sign, or set dataset.decimal"
        )

    def _contradiction(self, text: TextColumn, form: NumberFormat) -> str:
        row = text.wrong(form)[0]
        signs = [
            f"dataset.{key} {quoted(sign)}" for key in ("decimal", "thousands") if (sign := getattr(self.options, key))
        ]
        return (
            f"column {quoted(text.name)} has {quoted(text.cell(row))} in {self.location(row)}, which is not a number "
            f"with {' and '.join(signs) or 'the signs of the other columns'}"
        )

    def _signs_note(self, text: TextColumn, formats: list[NumberFormat]) -> str | None:
        """Return a sentence with an example on signs that the user did not name; None if there are none."""
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
        row = text.first("|".join(map(sign_class, signs)))
        value = reading.normalized(text.text.slice(row, 1))[0].as_py()
        listed = " and ".join(f"{quoted(sign)} as {words}" for sign, words in signs.items())
        return f"numbers are read with {listed}: {quoted(text.cell(row))} in {self.location(row)} is {value}."


def _is_whole(text: TextColumn, form: NumberFormat, numbers: Any) -> bool:
    """Return whether each cell is a whole number, written without a decimal sign and an exponent."""
    reading = text.reading(form)
    if reading.decimal or not (np.isnan(numbers) | (numbers == np.round(numbers))).all():
        return False
    return not pc.any(pc.match_substring_regex(text.text, "[eEnN]")).as_py()


def _boolean(text: TextColumn) -> Column:
    truth = pc.is_in(text.text, value_set=pa.array(TRUE_WORDS)).cast(pa.float64()).to_numpy()
    return Column(text.name, "boolean", np.where(text.text.is_valid().to_numpy(), truth, np.nan))


def _evidence(text: TextColumn, formats: Sequence[NumberFormat]) -> list[int]:
    """Return a score for each format; an empty list if none fits half of the cells."""
    full = [text.is_full(form) for form in formats]
    counts = list(map(int, full)) if any(full) else [text.count(form) for form in formats]
    return counts if any(full) or 2 * max(counts) >= text.size else []


def _exceeds(counts: Sequence[int], others: Sequence[int]) -> bool:
    pairs = list(zip(counts, others, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def _objects(text: Any) -> Any:
    return np.array(text.to_pylist(), dtype=object)


def whole_number_column(name: str, values: Any, large: Iterable[int], *, integer: bool = True) -> Column:
    """Return a number column, with a note if it was rounded; an unsupported column if rounding made numbers equal.

    name: of the column.
    values: (rows,) float64.
    large: its whole numbers past 2^53; a float64 may not hold all their digits.
    integer: whether all numbers are written or typed as whole ones.
    """
    distinct = set(large)
    rounded = [number for number in distinct if int(float(number)) != number]
    if len(set(map(float, distinct))) == len(distinct):
        note = (
            f"column {quoted(name)} is rounded: a float64 does not hold {rounded[0]} to the last digit."
            if rounded
            else None
        )
        return Column(name, "number", values, note=note, integer=integer)
    problem = (
        f"column {quoted(name)} has whole numbers past 2^53, such as {rounded[0]}, that become equal when "
        "rounded to a float64; leave it out with dataset.features, or write smaller numbers"
    )
    cells = np.where(np.isnan(values), np.array(None), np.array("a whole number", dtype=object))
    return Column(name, "unsupported", cells, problem=problem)
