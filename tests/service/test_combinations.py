"""Counting combinations of values, and pictures of maps with more values than they draw."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from service.results import combinations
from service.results.axes import NO_AXIS, Axis
from service.results.combinations import count_combinations
from service.results.leaderboard import ranked
from service.results.phase_diagram import MOST_DRAWN, make_phase_diagram, make_picture_diagram


@pytest.mark.parametrize("most", [1, 1 << 26])
def test_combinations_are_those_of_pandas(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(combinations, "_MOST_CODES", most)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "a": rng.choice([0.1, 0.2, math.nan], 500), "b": rng.choice(["x", "y"], 500),
            "c": rng.integers(0, 40, 500), "d": rng.choice(np.array([None, "[4]", "[4, 4]"], dtype=object), 500),
        }
    )  # fmt: skip
    for columns in ([], ["a"], ["a", "b"], ["a", "b", "c", "d"]):
        expected = len(table[columns].drop_duplicates()) if columns else 1
        assert count_combinations(table, columns) == expected


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_a_leaderboard_of_single_trials_is_the_same_with_and_without_a_limit(metric: str) -> None:
    """With a limit only the best rows are looked at."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "number": rng.permutation(400), "run_id": [f"{k:032x}" for k in range(400)],
            "outcome": rng.choice(["converged", "diverged"], 400), "params.learning_rate": np.arange(400) / 7,
            f"metrics.{metric}": rng.choice([0.5, 0.25, 0.125, math.nan, 1.0], 400),
        }
    )  # fmt: skip
    every = ranked(table, metric, ["learning_rate"])
    for count in (1, 10, 399, 1000):
        assert ranked(table, metric, ["learning_rate"], count=count) == every[:count]


def test_a_picture_draws_some_values_of_a_large_map_evenly_spread() -> None:
    side = MOST_DRAWN + 500
    rows, columns = (Axis(name, tuple(range(count))) for name, count in (("b", 2), ("a", side)))
    table = pd.DataFrame(
        {
            "number": np.arange(2 * side), "params.b": np.repeat([0, 1], side), "params.a": np.tile(np.arange(side), 2),
            "outcome": "improving", "outcome_step": 3, "run_id": None,
            "metrics.loss": np.arange(2 * side, dtype=float),
        }
    )  # fmt: skip
    picture, whole = (make(table, "loss", columns, rows) for make in (make_picture_diagram, make_phase_diagram))
    assert picture.median.shape == (2, MOST_DRAWN)
    assert picture.columns.values[0] == 0
    assert picture.columns.values[-1] == side - 1
    np.testing.assert_array_equal(picture.median, whole.median[:, list(picture.columns.values)])


def test_a_picture_of_one_axis_is_its_diagram() -> None:
    table = pd.DataFrame(
        {
            "number": [0, 1], "run_id": None, "params.a": [1.0, 2.0], "outcome": "improving", "outcome_step": 3,
            "metrics.loss": [0.5, 0.25],
        }
    )  # fmt: skip
    picture = make_picture_diagram(table, "loss", Axis("a", (1.0, 2.0)), NO_AXIS)
    assert picture.median.tolist() == [[0.5, 0.25]]
