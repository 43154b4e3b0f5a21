"""The texts of a phase diagram's picture, as Matplotlib has laid them out."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from service.report.phase_pictures import phase_figure
from service.report.picture_text import readable_fonts
from service.results.axes import Axis
from service.results.phase_diagram import make_phase_diagram

_OUTCOMES = ["converged", "improving", "stalled", "vanishing", "exploding", "dead", "diverged"]


def _table(columns: Axis, rows: Axis) -> pd.DataFrame:
    cells = list(itertools.product(columns.values, rows.values))
    return pd.DataFrame(
        {
            "params." + columns.name: [c for c, _ in cells],
            "params." + rows.name: [r for _, r in cells],
            "outcome": [_OUTCOMES[k % len(_OUTCOMES)] for k in range(len(cells))],
            "outcome_step": 3.0,
            "metrics.loss": np.geomspace(1e-3, 1e6, len(cells)),
            "run_id": "r",
        }
    )


@pytest.mark.parametrize(
    "columns",
    [
        Axis("learning_rate", tuple(np.geomspace(0.00123, 300, 5).tolist())),
        Axis("learning_rate", tuple(np.geomspace(0.00123, 300, 16).tolist())),
        Axis("learning_rate", tuple(np.geomspace(0.00123, 300, 60).tolist())),
        Axis("initializer", tuple(f"an_initializer_with_a_long_name_{k}" for k in range(9))),
    ],
)
def test_no_text_of_a_picture_lies_over_another(columns: Axis) -> None:
    rows = Axis("activation", ("relu", "leaky_relu", "tanh"))
    with readable_fonts():
        figure = phase_figure(make_phase_diagram(_table(columns, rows), "loss", columns, rows), "sweep/20260101")
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        shown = [text for text in texts if text.get_rotation() in (0, 90)]
        boxes = [text.get_window_extent() for text in shown]
    assert len(shown) > 15
    for (one, box), (other, over) in itertools.combinations(zip(shown, boxes, strict=True), 2):
        assert not box.padded(-1).overlaps(over.padded(-1)), (one.get_text(), other.get_text())
