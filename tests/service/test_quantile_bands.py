"""Medians and quartiles of curves, step by step."""

import math

import numpy as np
import pandas as pd

from service.results.axes import NO_AXIS, cell_indices
from service.results.quantile_bands import Curves


def test_bands_are_quartiles_and_the_diverged_are_infinite() -> None:
    values = np.array([[4.0, 3.0, 2.0], [5.0, 1.0, 1.0], [6.0, 9.0, math.nan], [7.0, 2.0, 0.5]])
    points = pd.DataFrame(
        [
            {"number": n, "step": step, "loss": value, "accuracy": value}
            for n, row in enumerate(values)
            for step, value in zip((0, 5, 10), row, strict=True)
            if not math.isnan(value)
        ]
    )
    table = pd.DataFrame(
        {"number": range(4), "outcome": ["dead", "dead", "diverged", "dead"], "last_step": [10, 10, 7, 10]}
    )
    curves = Curves(points, table)
    assert curves.steps == (0, 5, 10)
    nowhere = cell_indices(table, NO_AXIS, NO_AXIS)
    bands = curves.bands("loss", nowhere, [0], [0])
    np.testing.assert_allclose(bands.middle[0, 0, :2], np.median(values[:, :2], axis=0))
    np.testing.assert_allclose(bands.low[0, 0, :2], np.quantile(values[:, :2], 0.25, axis=0))
    assert bands.middle[0, 0, 2] == 1.5  # of 0.5, 1, 2 and infinity
    assert math.isinf(bands.high[0, 0, 2])
    np.testing.assert_allclose(bands.calm[1, 0, 0], [5.0, 2.0, 1.0])
    accuracy = curves.bands("accuracy", nowhere, [0], [0])
    assert accuracy.middle[0, 0, 2] == 1.0  # more is better: what has diverged has none
