"""Scores and outcomes in a sweep file: read as written, and refused with the line of the mistake."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import OUTCOMES, History, Score
from engine.tensors import Tensor
from experiments.errors import SpecError
from experiments.scores import outcomes_by, read_outcomes, read_score
from experiments.source import read_yaml
from experiments.spec import ResolvedSpec, check_spec

_FILE = """\
name: scored
dataset: {name: moons}
steps: 10
record:
  scores:
    fit: {sum: loss_ratio, cap: 1e6}
    solved: {SOLVED}
  outcomes:
    converged: OUTCOME
"""


def _check(text: str) -> ResolvedSpec:
    return check_spec(read_yaml(text, "own.yaml", Path()))


def _refusal(solved: str = "first: loss<0.1", outcome: str = "fit<3") -> str:
    text = _FILE.replace("SOLVED", solved).replace("OUTCOME", outcome)
    with pytest.raises(SpecError) as caught:
        _check(text)
    return str(caught.value)


def test_forms_are_read() -> None:
    forms: dict[str, dict[str, Any]] = {
        "a": {"sum": "loss"},
        "b": {"mean": "loss_ratio", "last": 20, "cap": 1000000},
        "c": {"max": "1/loss_ratio"},
        "d": {"min": "loss", "last": 1},
        "e": {"first": " loss_ratio >= 1e-3 "},
    }
    assert [read_score(name, form) for name, form in forms.items()] == [
        Score("a", "sum", "loss"),
        Score("b", "mean", "loss_ratio", 20, 1e6),
        Score("c", "max", "1/loss_ratio"),
        Score("d", "min", "loss", 1),
        Score("e", "first", "loss_ratio", condition=(">=", 1e-3)),
    ]
    spec = _check(_FILE.replace("SOLVED", "first: loss<0.1").replace("OUTCOME", "fit<3"))
    assert [score.name for score in spec.spec.record.scores] == ["fit", "solved"]


@pytest.mark.parametrize(
    ("solved", "message"),
    [
        ("first: loss=0.1", "such as loss<0.1, with one of < <= > >= and a number, not 'loss=0.1'"),
        ("first: loss<low", "first takes a condition such as loss<0.1"),
        ("first: loss<1e31", "first takes a condition such as loss<0.1"),
        ("first: 3", "first takes a condition such as loss<0.1"),
        ("first: loss<0.1, last: 3", "first takes neither last nor cap; remove them"),
        ("first: lost<0.1", "a score is of loss, loss_ratio, 1/loss_ratio, not of 'lost'; did you mean 'loss'?"),
        ("sum: [loss]", "a score is of loss, loss_ratio, 1/loss_ratio, not of ['loss']"),
        ("median: loss", "unknown key 'median'; did you mean 'mean'?"),
        ("last: 3", "should have one of sum, mean, min, max, first, not none"),
        ("sum: loss, max: loss", "should have one of sum, mean, min, max, first, not sum and max"),
        ("mean: loss, last: 0", "last should be a number of steps from 1 to 10,000,000, not 0"),
        ("mean: loss, last: null", "last should be a number of steps from 1 to 10,000,000, not None"),
        ("mean: loss, cap: -1", "cap should be a number from 1e-30 to 1e+30, not -1"),
    ],
)  # fmt: skip
def test_a_wrong_score_is_refused_with_its_line(solved: str, message: str) -> None:
    refusal = _refusal(solved)
    assert refusal.startswith("own.yaml:7: record.scores.solved: ")
    assert message in refusal
    assert "\n" not in refusal


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loss", "'loss' is the name of something else that is recorded; take another name"),
        ("learning_rate", "'learning_rate' is the name of something else"),
        ("test_fit", "'test_fit' is the name of something else"),
        ("r2", "'r2' is the name of a measure; take another name"),
        ("a.b", "a score's name has letters, digits and _, and begins with a letter; not 'a.b'"),
        ("3", "a score's name has letters, digits and _, and begins with a letter; not 3"),
    ],
)
def test_a_name_that_is_taken_is_refused(name: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        _check(_FILE.replace("solved: {SOLVED}", f"{name}: {{sum: loss}}").replace("OUTCOME", "fit<1"))
    assert str(caught.value).startswith("own.yaml:7: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        ("fits<3", "'fits<3': no score is called 'fits'; did you mean 'fit'?"),
        ("fit", "'fit': write NAME OPERATOR VALUE"),
        ("fit<=low", "'fit<=low': 'low' is not a number to compare with"),
        ("fit=low", "'fit=low': fit is a number; compare it with a number, another score or null"),
        ("fit<null", "'fit<null': null can't be compared by <; write = or !="),
        ("[]", "should be a condition on scores such as late<1, or a list of conditions, not []"),
        ("3", "should be a condition on scores such as late<1, or a list of conditions, not 3"),
    ],
)
def test_a_wrong_outcome_is_refused_with_its_line(outcome: str, message: str) -> None:
    refusal = _refusal(outcome=outcome)
    assert refusal.startswith("own.yaml:9: record.outcomes.converged: ")
    assert message in refusal


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        ("converge", "no outcome is called 'converge'; did you mean 'converged'?"),
        ("diverged", "a trial is diverged if its loss or weights are no longer finite, by no other rule"),
    ],
)
def test_only_outcomes_have_conditions(outcome: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_outcomes({outcome: "fit<1"}, ["fit"])


def test_without_scores_the_message_says_so() -> None:
    with pytest.raises(ValueError, match=r"no score is called 'fit'; record\.scores has none"):
        read_outcomes({"converged": "fit<1"}, [])


def test_the_first_rule_that_holds_is_the_outcome() -> None:
    trials = 6
    falling = np.tile([1.0, 0.9, 0.5, 0.3], (trials, 1))
    scores = {"fit": np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan]), "solved": np.array([7.0, np.nan, 8.0, np.nan, 1, 1])}
    diverged = np.array([False] * 4 + [True, False])
    history = History(
        steps=np.array([0, 10, 20, 30]),
        curves={"loss": falling, "grad_norm": np.ones((trials, 4))},
        weights=np.zeros((trials, 1)),
        last_step=np.where(diverged, 12, 30),
        diverged=diverged,
        tensors=(Tensor("layer1.weight", (1, 1)),),
        kernel="",
        scores=scores,
    )  # fmt: skip
    rules = read_outcomes(
        {"converged": ["fit<3", "solved!=null"], "stalled": "solved=null", "improving": "fit=3"}, scores
    )
    found = outcomes_by(rules, history)
    assert [OUTCOMES[code] for code in found.codes] == [
        "converged", "stalled", "improving", "stalled", "diverged", "improving",
    ]  # fmt: skip
    plain = history.outcomes
    assert [OUTCOMES[code] for code in plain.codes] == ["improving"] * 4 + ["diverged", "improving"]
    expected = [30, 30, 30, 30, plain.onset_step[4], plain.onset_step[5]]
    assert plain.onset_step[2] < 30
    assert found.onset_step.tolist() == expected
    assert outcomes_by((), history) is plain
