"""The picture of a phase diagram: texts that do not overlap, and colours that order the values."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from service.report.phase_pictures import phase_figure, phase_picture
from service.report.picture_text import readable_fonts
from service.results.axes import Axis, swept_axes
from service.results.phase_diagram import make_phase_diagram
from tests.pictures import colour_at, is_colourful, read_png

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
def test_texts_of_a_picture_do_not_overlap(columns: Axis) -> None:
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


@pytest.mark.parametrize("values", [[1e-300, 1e300], [5e-324, 1.7e308], [1.0, 1.0], [math.nan, 1e306]])
def test_cells_are_the_paler_the_better_for_values_of_any_size(values: list[float]) -> None:
    """Equal values have equal colours; a cell without a value is grey."""
    table = pd.DataFrame(
        {
            "outcome": "improving",
            "outcome_step": 0,
            "run_id": "",
            "params.activation": ["relu", "tanh"] * 2,
            "params.learning_rate": [0.1, 0.1, 1.0, 1.0],
            "metrics.loss": [*values, *values],
        }
    )
    phase = make_phase_diagram(table, "loss", *reversed(swept_axes(table, ["activation", "learning_rate"])))
    pixels = read_png(phase_picture(phase, "extremes"))
    figure = phase_figure(phase, "extremes")
    figure.draw_without_rendering()
    assert pixels.shape[:2] == (round(figure.bbox.height), round(figure.bbox.width))
    rows = [phase.rows.values.index(name) for name in ("relu", "tanh")]
    first, second = ([colour_at(pixels, figure.axes[0], column, row) for column in (0, 1)] for row in rows)
    assert (second[0] == second[1]).all()
    assert is_colourful(second[0])
    if math.isnan(values[0]):
        assert not is_colourful(first[0])  # hatched in grey
    else:
        assert (first[0] == first[1]).all()
        assert is_colourful(first[0])
        assert int(first[0].sum() > second[0].sum()) == (values[0] < values[1])
        assert (first[0] == second[0]).all() == (values[0] == values[1])
