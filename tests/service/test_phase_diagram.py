"""Phase diagrams: each cell's outcomes and medians, against the plainest way to compute them."""

import math

import numpy as np
import pandas as pd
import pytest

from service import sweep
from service.results.axes import NO_AXIS, Axis, axis_pairs, swept_axes
from service.results.map_pixels import map_pixels
from service.results.phase_diagram import make_phase_diagram, scale_of_median
from tests.service.conftest import Recorded


def test_a_phase_diagram_counts_outcomes(recorded: Recorded) -> None:
    table = recorded.result.table
    across, down = axis_pairs(swept_axes(table, ["activation", "learning_rate"]))[0]
    phase = make_phase_diagram(table, "test_loss", across, down)
    assert (across.name, down.name) == ("learning_rate", "activation")
    for i, activation in enumerate(down.values):
        for j, rate in enumerate(across.values):
            cell = table[(table["params.activation"] == activation) & (table["params.learning_rate"] == rate)]
            assert phase.trials[i, j] == len(cell) == 3
            for name, share in phase.shares.items():
                assert share[i, j] == pytest.approx((cell["outcome"] == name).mean())
            finished = cell[cell["outcome"] != "diverged"]
            if len(finished) * 2 >= len(cell):
                assert phase.median[i, j] == finished["metrics.test_loss"].median()
                assert phase.best[i, j] == finished.loc[finished["metrics.test_loss"].idxmin(), "run_id"]
            else:
                assert math.isnan(phase.median[i, j])
                assert phase.onset_step[i, j] == cell["outcome_step"].median()
            assert phase.modal_outcome[i, j] in set(cell["outcome"])
    one = make_phase_diagram(table, "test_loss", across, NO_AXIS)
    assert one.trials.tolist() == [[6, 6]]


def test_a_table_without_run_ids_has_the_same_diagram(recorded: Recorded) -> None:
    table = recorded.result.table
    axes = swept_axes(table, recorded.result.swept)
    whole, overview = (make_phase_diagram(rows, "test_loss", *axes) for rows in (table, recorded.result.overview))
    assert (overview.best == "").all()
    for name in ("median", "calm_median", "onset_step", "trials", "number"):
        np.testing.assert_array_equal(getattr(overview, name), getattr(whole, name))
    assert overview.shares.keys() == whole.shares.keys()


def test_cells_of_one_trial_are_as_those_of_three_equal_ones(recorded: Recorded) -> None:
    """A map of one trial for each cell is made without sorting."""
    of_one_seed = recorded.result.table[recorded.result.table["params.seed"] == 0]
    axes = swept_axes(of_one_seed, recorded.result.swept)
    tables = (of_one_seed, pd.concat([of_one_seed] * 3, ignore_index=True))
    once, thrice = (make_phase_diagram(table, "test_loss", *axes) for table in tables)
    assert (once.trials == 1).all()
    assert (thrice.trials == 3).all()
    for name in ("median", "calm_median", "onset_step", "number", "best", "modal_outcome", "modal_share"):
        np.testing.assert_array_equal(getattr(once, name), getattr(thrice, name))
    assert {once.modal_outcome[i, j] for i, j in np.argwhere(once.lost_cells)} == {"diverged"}


def test_an_empty_cell_has_nothing() -> None:
    table = pd.DataFrame(
        {
            "params.a": [1, 2], "params.b": ["x", "y"], "outcome": ["diverged", "dead"], "outcome_step": [3, 5],
            "run_id": ["r", "s"], "metrics.loss": [math.nan, 0.5],
        }
    )  # fmt: skip
    phase = make_phase_diagram(table, "loss", Axis("a", (1, 2)), Axis("b", ("x", "y")))
    assert phase.trials.tolist() == [[1, 0], [0, 1]]
    assert phase.modal_outcome.tolist() == [["diverged", ""], ["", "dead"]]
    assert phase.best.tolist() == [["", ""], ["", "s"]]
    np.testing.assert_equal(phase.onset_step, [[3, math.nan], [math.nan, 5]])
    np.testing.assert_equal(phase.median, [[math.nan, math.nan], [math.nan, 0.5]])


def test_a_cell_may_have_no_value_without_diverging() -> None:
    """A score, such as the first step of a condition, has no value where there is none."""
    table = pd.DataFrame(
        {
            "params.a": [1, 1, 1, 2, 2, 3], "params.b": "x", "outcome": ["dead"] * 3 + ["diverged"] * 2 + ["improving"],
            "outcome_step": 5, "run_id": "r", "number": range(6),
            "metrics.solved": [math.nan, math.nan, 7.0, math.nan, math.nan, 3.0],
        }
    )  # fmt: skip
    phase = make_phase_diagram(table, "solved", Axis("a", (1, 2, 3, 4)), Axis("b", ("x",)))
    assert phase.cells_without_value.tolist() == [[True, False, False, False]]
    assert phase.diverged_cells.tolist() == [[False, True, False, False]]
    best, lost = map_pixels(phase)[0, 2].tolist(), map_pixels(phase)[0, 1].tolist()
    assert map_pixels(phase)[0, [0, 3]].tolist() == [[128, 128, 128]] * 2
    assert [128, 128, 128] not in (best, lost)


def test_a_share_that_is_nowhere_has_no_map(recorded: Recorded) -> None:
    table = recorded.result.table
    columns, rows = axis_pairs(swept_axes(table, ["activation", "learning_rate"]))[0]
    phase = make_phase_diagram(table, "test_loss", columns, rows)
    assert list(phase.shown_shares()) == ["improving", "diverged"]
    assert phase.diverged_cells.tolist() == [[False, True], [False, True]]
    scale = scale_of_median(phase)
    assert scale is not None
    assert scale.high < 10


@pytest.mark.pages
def test_the_deep_networks_diagram_agrees_with_the_literature(uri: str) -> None:
    """As in docs/phase-diagram.md: sigmoid's gradient vanishes with depth, relu dies, past an edge all diverge."""
    found = sweep("deep", tracking_uri=uri, inline=True)
    across, down = axis_pairs(swept_axes(found.trials, ["activation", "learning_rate"]))[0]
    phase = make_phase_diagram(found.trials, "test_loss", across, down)
    rates = np.array(across.values)
    rows = {name: row for row, name in enumerate(down.values)}
    assert (phase.shares["diverged"][:, rates > 2.5] == 1).all()
    assert (phase.shares["diverged"][:, rates < 0.3] == 0).all()
    assert (phase.shares["dead"][rows["relu"], (rates > 0.45) & (rates < 1.1)] >= 0.5).all()
    assert phase.shares["dead"][[rows["gelu"], rows["tanh"]]].max() == 0
    chance = 0.25  # the squared error of predicting the mean of 0 and 1
    assert np.nanmin(phase.median[rows["sigmoid"], rates < 0.3]) > 0.8 * chance
    assert np.nanmin(phase.median[rows["tanh"]]) < 0.05 * chance
    curves = found._store.curves(found.info)
    begun = curves[curves["step"] == 0].set_index("number")
    ratio = (begun["grad_norm.layer1.weight"] / begun["grad_norm.layer5.weight"]).groupby(
        found.trials.set_index("number")["params.activation"]
    )
    medians = ratio.median()
    assert medians["sigmoid"] < 0.01 < 0.3 < medians.drop("sigmoid").min()
