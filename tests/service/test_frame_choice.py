"""The values of an axis for which a report shows curves."""

import math

import pandas as pd

from service.results.axes import NO_AXIS, Axis
from service.results.frame_choice import choose_frames, describe
from service.results.phase_diagram import make_phase_diagram


def test_frames_are_chosen_where_something_happens() -> None:
    rates = tuple(float(10.0**k) for k in range(-6, 4))
    outcomes = ["stalled"] * 3 + ["improving"] * 3 + ["dead"] + ["diverged"] * 3
    table = pd.DataFrame(
        {
            "params.learning_rate": rates, "outcome": outcomes, "outcome_step": 5.0, "run_id": "r",
            "metrics.loss": [0.9, 0.8, 0.7, 0.5, 0.1, 0.3, 0.6, math.nan, math.nan, math.nan],
        }
    )  # fmt: skip
    phase = make_phase_diagram(table, "loss", Axis("learning_rate", rates), NO_AXIS)
    chosen = choose_frames(phase, 4)
    assert [(frame.column, frame.reasons) for frame in chosen] == [
        (0, ("smallest",)), (2, ()), (4, ("best",)), (6, ("before the edge", "most dead")),
    ]  # fmt: skip
    assert describe(chosen, phase) == (
        "4 of 10 values of learning rate are shown: the smallest, the best, the last before most trials are lost, "
        "the one with the most dead trials and some between them."
    )
    assert [frame.column for frame in choose_frames(phase, 10)] == [0, 1, 2, 3, 4, 5, 6]
    assert [frame.column for frame in choose_frames(phase, 2, lost_outcomes=("dead", "diverged"))] == [4, 5]
