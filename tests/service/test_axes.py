"""The swept axes of a table: their order, their pairs and their scales."""

import math

import pandas as pd

from service.results.axes import NO_AXIS, Axis, axis_pairs, swept_axes


def test_axes_are_ordered_and_paired() -> None:
    table = pd.DataFrame(
        {
            "params.activation": ["tanh", "relu", "tanh"],
            "params.learning_rate": [1.0, 0.01, 0.1],
            "params.momentum": [0.9, math.nan, 0.5],
            "params.seed": [0, 1, 2],
            "params.steps": 5,
        }
    )
    axes = swept_axes(table, ["activation", "learning_rate", "momentum", "seed", "steps"])
    assert [axis.values for axis in axes] == [("tanh", "relu"), (0.01, 0.1, 1.0), (0.5, 0.9)]
    assert [(a.name, d.name) for a, d in axis_pairs(axes)] == [
        ("learning_rate", "activation"), ("learning_rate", "momentum"), ("momentum", "activation"),
    ]  # fmt: skip
    assert axis_pairs(axes[:1]) == [(axes[0], NO_AXIS)]
    assert axes[1].is_logarithmic
    assert Axis("n", (0.01, 0.1)).is_logarithmic
    assert not Axis("n", (1, 2, 3, 4, 5, 6)).is_logarithmic
    assert not axes[2].is_logarithmic
    assert axes[2].indices(table).tolist() == [1, -1, 0]
    assert Axis("n", tuple(range(100))).spread_indices(5) == (0, 25, 50, 74, 99)
