"""Scores and outcomes of a sweep's own: the keys `scores` and `outcomes` of the section `record`.

>>> read_score("late", {"mean": "loss_ratio", "last": 20})
Score(name='late', kind='mean', quantity='loss_ratio', last=20, cap=None, condition=None)
>>> read_score("solved", {"first": "loss_ratio < 0.01"}).condition
('<', 0.01)
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import DIVERGED, OUTCOMES, History, Score
from engine.arrays import Array, Flags, Floats
from engine.outcomes import Outcomes
from engine.scores import FIRST, KINDS, LOSS, QUANTITIES, SIGNS
from experiments.conditions import NULL, Condition, parse_condition
from experiments.errors import KeyMistakeError, did_you_mean
from experiments.hyperparameters import HYPERPARAMETERS, MAX_STEPS

MAX_SCORES = 20
"""Largest number of scores of a sweep."""

_GREATEST = 1e30  # a number of float32, and so is its inverse
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_TAKEN = (
    "loss", "accuracy", "grad_norm", "update_ratio", "dead_units", "sharpness", "gradient", "number", "trial", "run_id",
    "outcome", "outcome_step", "last_step", NULL, "or", *HYPERPARAMETERS,
)  # fmt: skip
_OF_PARTS = ("test_", "validation_")
_CONDITION = re.compile(r"\s*(\S+?)\s*(<=|>=|<|>)\s*(\S+)\s*")
_WORDS = tuple(outcome for outcome in OUTCOMES if outcome != DIVERGED)


@dataclass(frozen=True)
class OutcomeRule:
    """An outcome, and the conditions on scores that a trial has to meet for it."""

    outcome: str
    conditions: tuple[Condition, ...]


def read_scores(raw: Any, taken: Collection[str] = ()) -> tuple[Score, ...]:
    """Return the scores of the key `scores`.

    raw: name -> form. taken: further names that no score may have.
    Raises ValueError or KeyMistakeError for a wrong one.
    """
    if not isinstance(raw, Mapping):
        raise ValueError(f"should be a mapping of names to scores such as {{fit: {{sum: loss_ratio}}}}, not {raw!r}")
    if len(raw) > MAX_SCORES:
        raise ValueError(f"a sweep has at most {MAX_SCORES} scores, not {len(raw)}")
    scores = []
    for name, form in raw.items():
        try:
            if name in taken:
                raise ValueError(f"{name!r} is the name of a measure; take another name")
            scores.append(read_score(name, form))
        except ValueError as error:
            raise KeyMistakeError(str(name), str(error)) from None
    return tuple(scores)


def read_score(name: Any, raw: Any) -> Score:
    """Return a score. raw: its form in the sweep file. Raises ValueError for a wrong name or form."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"a score's name has letters, digits and _, and begins with a letter; not {name!r}")
    if name in _TAKEN or name.startswith(_OF_PARTS):
        raise ValueError(f"{name!r} is the name of something else that is recorded; take another name")
    if not isinstance(raw, Mapping):
        raise ValueError(f"should be a score such as {{sum: loss_ratio}} or {{first: loss_ratio<0.01}}, not {raw!r}")
    unknown = [key for key in raw if key not in (*KINDS, "last", "cap")]
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}{did_you_mean(unknown[0], (*KINDS, 'last', 'cap'))}")
    kinds = [kind for kind in KINDS if kind in raw]
    if len(kinds) != 1:
        raise ValueError(f"should have one of {', '.join(KINDS)}, not {' and '.join(kinds) or 'none'}")
    kind, last, cap = kinds[0], raw.get("last"), raw.get("cap")
    if kind == FIRST:
        if len(raw) > 1:
            raise ValueError(f"{FIRST} takes neither last nor cap; remove them")
        quantity, condition = _condition(raw[kind])
        return Score(name, kind, quantity, condition=condition)
    if "last" in raw and (not isinstance(last, int) or isinstance(last, bool) or not 1 <= last <= MAX_STEPS):
        raise ValueError(f"last should be a number of steps from 1 to {MAX_STEPS:,}, not {last!r}")
    if "cap" in raw and not _is_positive(cap):
        raise ValueError(f"cap should be a number from {1 / _GREATEST:g} to {_GREATEST:g}, not {cap!r}")
    return Score(name, kind, _quantity(raw[kind]), last, None if cap is None else float(cap))


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 1 / _GREATEST <= value <= _GREATEST


def _quantity(raw: Any) -> str:
    if raw not in QUANTITIES:
        raise ValueError(f"a score is of {', '.join(QUANTITIES)}, not of {raw!r}{did_you_mean(raw, QUANTITIES)}")
    return str(raw)


def _condition(raw: Any) -> tuple[str, tuple[str, float]]:
    """Return what a condition compares, and its sign and number."""
    match = _CONDITION.fullmatch(raw) if isinstance(raw, str) else None
    try:
        bound = float(match[3]) if match else math.nan
    except ValueError:
        bound = math.nan
    if match is None or not abs(bound) <= _GREATEST:
        raise ValueError(
            f"{FIRST} takes a condition such as {LOSS}<0.1, with one of {' '.join(SIGNS)} and a number, not {raw!r}"
        )
    return _quantity(match[1]), (match[2], bound)


def read_outcomes(raw: Any, scores: Collection[str]) -> tuple[OutcomeRule, ...]:
    """Return the rules of the key `outcomes`, in order.

    raw: outcome -> a condition on scores, or a list of conditions that all have to hold.
    scores: the names of the scores.
    Raises ValueError or KeyMistakeError for a wrong one.
    """
    if not isinstance(raw, Mapping):
        raise ValueError(f"should be a mapping of outcomes to conditions such as {{converged: late<1}}, not {raw!r}")
    rules = []
    for outcome, conditions in raw.items():
        try:
            rules.append(_rule(outcome, conditions, scores))
        except ValueError as error:
            raise KeyMistakeError(str(outcome), str(error)) from None
    return tuple(rules)


def _rule(outcome: Any, raw: Any, scores: Collection[str]) -> OutcomeRule:
    if outcome == DIVERGED:
        raise ValueError(f"a trial is {DIVERGED} if its loss or weights are no longer finite, by no other rule")
    if outcome not in _WORDS:
        raise ValueError(f"no outcome is called {outcome!r}{did_you_mean(outcome, _WORDS)}")
    texts = raw if isinstance(raw, list) else [raw]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"should be a condition on scores such as late<1, or a list of conditions, not {raw!r}")
    return OutcomeRule(outcome, tuple(_checked(text, scores) for text in texts))


def _checked(text: str, scores: Collection[str]) -> Condition:
    """Return a condition on scores. Raises ValueError if it names anything else."""
    try:
        condition = parse_condition(text)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    for comparison in condition.alternatives:
        if comparison.name not in scores:
            raise ValueError(f"{text!r}: no score is called {comparison.name!r}{_known(comparison.name, scores)}")
    try:
        condition.holds(_Scores({name: np.zeros(1) for name in scores}))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    return condition


def _known(name: str, scores: Collection[str]) -> str:
    return did_you_mean(name, scores) if scores else "; record.scores has none"


def outcomes_by(rules: Sequence[OutcomeRule], history: History) -> Outcomes:
    """Return the outcome of each trial: that of the first rule that holds, else the engine's.

    A trial that diverged stays so. An outcome by a rule begins at the trial's last step, because it is known only then.
    """
    outcomes = history.outcomes
    if not rules:
        return outcomes
    codes, onset_step = outcomes.codes.copy(), outcomes.onset_step.copy()
    trials, undecided = _Scores(history.scores), ~history.diverged
    for rule in rules:
        matches = undecided & np.logical_and.reduce([condition.holds(trials) for condition in rule.conditions])
        codes[matches], onset_step[matches] = OUTCOMES.index(rule.outcome), history.last_step[matches]
        undecided &= ~matches
    return Outcomes(codes, onset_step)


@dataclass(frozen=True)
class _Scores:
    """Trials with their scores, for conditions. scores: name -> (trials,)."""

    scores: Mapping[str, Floats]

    @property
    def names(self) -> Collection[str]:
        return self.scores.keys()

    def numbers(self, name: str) -> Floats:
        return self.scores[name]

    def words(self, name: str) -> Array:
        return self.scores[name].astype(str)

    def missing(self, name: str) -> Flags:
        return np.isnan(self.scores[name])

    def vocabulary(self, name: str) -> list[str] | None:
        raise ValueError(f"{name} is a number; compare it with a number, another score or {NULL}")

    def is_numeric(self, name: str) -> bool:
        return True
