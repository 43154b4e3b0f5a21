"""Successive halving and Hyperband: rungs, brackets, and who leaves."""

import numpy as np
import pytest

from experiments.rungs import Ladder, ladder_rungs
from experiments.search import SearchSpec
from experiments.sections import EarlyStoppingSpec
from experiments.stopping import UNDECIDED, stopping_steps


def _ladder(method: str, configurations: int, *, first: int = 1, factor: int = 3, steps: int = 81) -> Ladder:
    search = SearchSpec.model_validate({"method": method, "first": first, "factor": factor})
    return Ladder.of(search, steps, configurations)


@pytest.mark.parametrize(
    ("first", "factor", "steps", "rungs"),
    [(1, 3, 81, (1, 3, 9, 27, 81)), (10, 2, 50, (10, 20, 40, 50)), (49, 4, 50, (49, 50)), (5, 4, 6, (5, 6))],
)
def test_rungs_grow_by_the_factor_up_to_the_last_step(first: int, factor: int, steps: int, rungs: tuple[int]) -> None:
    assert ladder_rungs(first, factor, steps) == rungs


def test_one_configuration_of_factor_goes_on() -> None:
    ladder = _ladder("halving", 81)
    assert [ladder.reaching(k) for k in range(5)] == [81, 27, 9, 3, 1]
    assert [ladder.leaving(k) for k in range(5)] == [54, 18, 6, 2, 1]
    compared = 81 * 1 + 27 * 3 + 9 * 9 + 3 * 27
    recorded = 54 * 1 + 18 * 3 + 6 * 9 + 2 * 27 + 81
    assert ladder.share == pytest.approx((compared + recorded) / (81 * 81))


def test_hyperband_has_the_brackets_of_the_paper() -> None:
    """Table 1 of Li and others, Hyperband: R = 81 and eta = 3 give 81, 34, 15, 8 and 5 configurations: 143."""
    ladder = _ladder("hyperband", 143)
    sizes = [len(bracket.members) for bracket in ladder.brackets]
    assert np.abs(np.array(sizes) - [81, 34, 15, 8, 5]).max() <= 2
    assert sum(sizes) == 143
    members = np.concatenate([bracket.members for bracket in ladder.brackets])
    assert sorted(members.tolist()) == list(range(143))
    other = Ladder.of(SearchSpec.model_validate({"method": "hyperband", "first": 1, "seed": 1}), 81, 143)
    assert other.brackets[0].members.tolist() != ladder.brackets[0].members.tolist()


@pytest.mark.parametrize("method", ["halving", "hyperband"])
@pytest.mark.parametrize("configurations", [1, 2, 5, 40, 143])
@pytest.mark.parametrize("factor", [2, 3, 5])
def test_all_leave_somewhere_and_the_best_of_a_bracket_last(method: str, configurations: int, factor: int) -> None:
    ladder = _ladder(method, configurations, factor=factor)
    values = np.random.default_rng(configurations).permutation(configurations).astype(float)
    values[values > 0.8 * configurations] = np.nan
    still_in = np.ones(configurations, dtype=bool)
    left_at = np.full(configurations, len(ladder.rungs) - 1)
    for rung in range(len(ladder.rungs) - 1):
        leave = ladder.worst(rung, still_in, values)
        assert still_in[leave].all()
        assert len(leave) == ladder.leaving(rung)
        still_in[leave], left_at[leave] = False, rung
        assert not list(ladder.compared(rung, still_in))  # to decide again changes nothing
    assert int(still_in.sum()) == ladder.leaving(len(ladder.rungs) - 1)
    for bracket in ladder.brackets:
        ranked = bracket.members[np.argsort(values[bracket.members], kind="stable")]
        assert (np.diff(left_at[ranked]) <= 0).all()


def test_equal_configurations_leave_from_the_last() -> None:
    ladder = _ladder("halving", 6, factor=2, steps=4)
    assert ladder.worst(0, np.ones(6, dtype=bool), np.zeros(6)).tolist() == [3, 4, 5]


def test_a_trial_stops_at_the_first_look_after_patience() -> None:
    looks = np.arange(6) * 10
    values = np.array(
        [
            [5.0, 4.0, 3.0, 2.0, 1.0, 0.5],  # always better
            [5.0, 4.0, 4.0, 4.0, 3.0, 2.0],  # not better for 20 steps after step 10
            [5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
            [5.0, 4.0, np.nan, np.nan, np.nan, np.nan],  # diverged between 10 and 20
            [5.0, 4.95, 4.9, 4.85, 4.8, 4.0],  # too slowly: less than min_delta at a time, more together
        ]
    )
    rule = EarlyStoppingSpec(patience=20)
    assert stopping_steps(looks, values, rule).tolist() == [UNDECIDED, 30, 20, 20, UNDECIDED]
    strict = EarlyStoppingSpec(patience=20, min_delta=0.08)
    assert stopping_steps(looks, values, strict).tolist() == [UNDECIDED, 30, 20, 20, UNDECIDED]
    stricter = EarlyStoppingSpec(patience=20, min_delta=0.3)
    assert stopping_steps(looks, values, stricter).tolist() == [UNDECIDED, 30, 20, 20, 20]
