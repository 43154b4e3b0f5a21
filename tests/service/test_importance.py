"""The share of the ranks' variance that a hyperparameter accounts for."""

import math
from typing import Any

import pandas as pd
import pytest

from service.results.importance import importance


@pytest.mark.parametrize(
    ("result", "alone", "together"),
    [
        (lambda a, b: 2.0 * a, {"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}),
        (lambda a, b: float(a != b), {"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 1.0}),
        (lambda a, b: 4.0 * a + b, {"a": 0.8, "b": 0.2}, {"a": 0.8, "b": 0.2}),
        (lambda a, b: math.nan if a else b, {"a": 8 / 9, "b": 1 / 18}, {"a": 17 / 18, "b": 1 / 9}),
    ],
)
def test_importance_is_the_share_of_the_variance_of_the_ranks(
    result: Any, alone: dict[str, float], together: dict[str, float]
) -> None:
    cells = [(a, b) for a in (0, 1) for b in (0, 1)]
    table = pd.DataFrame(
        {
            "params.a": [a for a, _ in cells],
            "params.b": [b for _, b in cells],
            "params.c": 7,
            "outcome": ["diverged" if math.isnan(result(a, b)) else "stalled" for a, b in cells],
            "metrics.loss": [result(a, b) for a, b in cells],
        }
    )
    found = {share.axis: share for share in importance(table, "loss", ["a", "b", "c"])}
    assert set(found) == {"a", "b"}
    for name, share in found.items():
        assert share.first_order == pytest.approx(alone[name])
        assert share.total == pytest.approx(together[name])


def test_equal_results_have_no_importances() -> None:
    table = pd.DataFrame({"params.a": [0, 1], "outcome": "dead", "metrics.loss": 1.0})
    assert importance(table, "loss", ["a"]) == []
