"""Linear and logarithmic scales, and values that are left out of them."""

import math

import numpy as np
import pytest

from service.results.scales import Scale, scale_of, without_outliers


def test_a_scale_is_linear_where_a_logarithm_does_not_help() -> None:
    def scale(*values: float) -> Scale:
        found = scale_of(np.array(values))
        assert found is not None
        return found

    assert not scale(1.0, 2.0, 3.0).logarithmic
    assert not scale(-1.0, 2.0, 300.0).logarithmic
    assert scale(1.0, 300.0).ticks(4) == [1, 10, 100]
    assert scale(0.02, 3.0).ticks(6) == pytest.approx([0.03, 0.1, 0.3, 1, 3])
    assert Scale(0.2, 0.5, True).ticks(4) == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert scale(0.25, 0.25).low < 0.25 < scale(0.25, 0.25).high
    assert scale_of(np.array([math.nan, math.inf])) is None


def test_outliers_at_the_worse_end_are_left_out() -> None:
    losses = np.array([0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 1e-9, 2.0, 1e5])
    assert without_outliers(losses, lower_is_better=True).tolist() == [0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 1e-9, 2.0]
    accuracies = np.array([0.0, 0.8, 0.81, 0.82, 0.83, 0.84, 1.0])
    assert without_outliers(accuracies, lower_is_better=False).tolist() == [0.8, 0.81, 0.82, 0.83, 0.84, 1.0]
