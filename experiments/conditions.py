"""Conditions on trials: those of `only` in a sweep file, and of the command's `--where`.

A condition compares a name with a value, `learning_rate<0.1`, or with another name, `beta1<beta2`. `or` stands between
alternatives. `null` is the value of a trial that does not have the hyperparameter. Such a trial meets no other
comparison than `!=`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.arrays import Array, Flags, Floats
from experiments.errors import did_you_mean

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_COMPARISON = re.compile(r"\s*([\w.]+)\s*(<=|>=|!=|==|=|<|>)\s*(.+?)\s*")
_OR = re.compile(r"\s+or\s+")
NULL = "null"
"""The value of a trial that does not have one."""


class Trials(Protocol):
    """The trials that conditions are about, as columns of one value a trial."""

    @property
    def names(self) -> Collection[str]:
        """The names that a condition may use."""
        ...

    def numbers(self, name: str) -> Floats:
        """Return a column as numbers, (trials,); NaN where a trial has none."""
        ...

    def words(self, name: str) -> Array:
        """Return a column as text, (trials,)."""
        ...

    def missing(self, name: str) -> Flags:
        """Return which trials do not have a value, (trials,)."""
        ...

    def vocabulary(self, name: str) -> list[str] | None:
        """Return the words of a column; None if a condition may give another word."""
        ...

    def is_numeric(self, name: str) -> bool:
        """Return whether a column has numbers."""
        ...


@dataclass(frozen=True)
class Comparison:
    """One comparison: a name, a sign, and the text of a value or the name of another column."""

    name: str
    sign: str
    text: str

    def holds(self, trials: Trials) -> Flags:
        """Return which trials meet it, (trials,). Raises ValueError if no trial can."""
        if self.name not in trials.names:
            raise ValueError(f"no trial has {self.name!r}{did_you_mean(self.name, trials.names)}")
        compare, is_equality = _COMPARISONS[self.sign], self.sign in ("=", "==", "!=")
        if self.text == NULL:
            missing = trials.missing(self.name)
            if not is_equality:
                raise ValueError(f"{NULL} can't be compared by {self.sign}; write = or !=")
            return ~missing if self.sign == "!=" else missing
        if (threshold := _number(self.text)) is not None:
            return np.asarray(compare(trials.numbers(self.name), threshold))
        if self.text in trials.names and trials.is_numeric(self.name):
            return np.asarray(compare(trials.numbers(self.name), trials.numbers(self.text)))
        if not is_equality:
            raise ValueError(f"{self.text!r} is not a number to compare with")
        return np.asarray(compare(trials.words(self.name), self._word(trials)))

    def _word(self, trials: Trials) -> str:
        """Return the value without quotes and blanks. Raises ValueError if no trial has it."""
        word = without_blanks(self.text)
        if word[:1] in ("'", '"') and word[-1:] == word[:1]:
            word = word[1:-1]
        known = trials.vocabulary(self.name)
        if known is not None and word not in known:
            raise ValueError(f"no trial has the value {word!r}{did_you_mean(word, known)}")
        return word


@dataclass(frozen=True)
class Condition:
    """Comparisons of which a trial has to meet one. text: as the user wrote it."""

    text: str
    alternatives: tuple[Comparison, ...]

    def holds(self, trials: Trials) -> Flags:
        """Return which trials meet it, (trials,). Raises ValueError for a comparison that no trial can meet."""
        meets = [comparison.holds(trials) for comparison in self.alternatives]
        return np.asarray(np.any(meets, axis=0))


def parse_condition(text: str, prefix: str = "") -> Condition:
    """Return the condition that a text states. Raises ValueError if it states none.

    prefix: the beginning that names may have, such as `params.`; it is left out.
    """
    comparisons = []
    for part in _OR.split(text):
        match = _COMPARISON.fullmatch(part)
        if match is None:
            raise ValueError("write NAME OPERATOR VALUE, such as learning_rate<0.1; operators are = != < <= > >=")
        name, sign, value = match.groups()
        comparisons.append(Comparison(name.removeprefix(prefix), sign, value.removeprefix(prefix)))
    return Condition(text, tuple(comparisons))


def without_blanks(text: str) -> str:
    """Return a text without spaces, so that [8,8] matches [8, 8]."""
    return text.replace(" ", "")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
