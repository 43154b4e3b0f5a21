"""Pictures made of characters: sparklines and heat maps."""

import io
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from service.cli.heat_map import heat_map, sparkline, sweep_map, sweep_picture
from service.results.axes import NO_AXIS, Axis
from service.results.map_pixels import map_pixels
from service.results.phase_diagram import make_phase_diagram
from tests.service.conftest import Recorded, run_command


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0], "▁▅█"),
        ([1.0, 10.0, 100.0], "▁▅█"),
        ([5.0, 5.0], "▁▁"),
        ([-1.0, 0.0, math.nan, 100.0, math.inf], "▁▁×█×"),
        ([math.nan], "×"),
        ([], ""),
    ],
)
def test_a_sparkline_has_a_bar_for_each_value(values: list[float], expected: str) -> None:
    assert sparkline(values) == expected


def _table(outcomes: list[str], losses: list[float], rates: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "params.learning_rate": rates,
            "outcome": outcomes,
            "outcome_step": 0,
            "run_id": "r",
            "metrics.loss": losses,
        }
    )


def test_a_heat_map_is_full_where_it_is_good_and_a_letter_where_there_is_trouble() -> None:
    rates = [0.1, 1.0, 10.0, 100.0, 1000.0]
    outcomes = ["stalled", "converged", "dead", "diverged", "improving"]
    table = _table(outcomes, [1.0, 0.001, 1.0, math.nan, 0.03], rates)
    text = heat_map(make_phase_diagram(table, "loss", Axis("learning_rate", tuple(rates)), NO_AXIS), 80).plain
    lines = text.split("\n")
    assert lines[0] == "median loss by learning rate"
    assert lines[1] == "  ··██dd××▒▒"
    assert lines[2].split() == ["0.1", "1000"]
    assert lines[3] == "█ 0.001 to · 1  d most dead  × most diverged"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_heat_map_fits_its_width(width: int) -> None:
    rates = [float(k + 1) for k in range(300)]
    table = _table(["stalled"] * 300, rates, rates)
    text = heat_map(make_phase_diagram(table, "loss", Axis("learning_rate", tuple(rates)), NO_AXIS), width)
    assert max(map(len, text.plain.split("\n")[1:-1])) <= width


def test_colours_say_nothing_that_signs_do_not(recorded: Recorded) -> None:
    text = sweep_map(recorded.result.table, "test_loss", ["activation", "learning_rate", "seed"])
    assert text is not None
    plain, coloured = io.StringIO(), io.StringIO()
    Console(file=plain, no_color=True, width=80).print(text)
    Console(file=coloured, force_terminal=True, color_system="truecolor", width=80).print(text)
    assert "\x1b" not in plain.getvalue()
    assert "\x1b[38;2;" in coloured.getvalue()
    assert "relu  ··××\ntanh  ██××" in plain.getvalue()
    assert sweep_map(recorded.result.table, "test_loss", ["seed"]) is None
    assert sweep_map(recorded.result.table, "nothing", ["activation"]) is None


def _large(side: int) -> pd.DataFrame:
    """Return a map whose right half diverges, the later the higher the row, and whose loss grows to the right."""
    rows, columns = (axis.ravel() for axis in np.divmod(np.arange(side * side), side))
    lost = columns >= side // 2
    return pd.DataFrame(
        {
            "number": np.arange(side * side),
            "params.learning_rate": columns + 1.0,
            "params.init_scale": rows + 1.0,
            "outcome": np.where(lost, "diverged", "improving"),
            "outcome_step": np.where(lost, rows, side),
            "run_id": None,
            "metrics.loss": np.where(lost, np.nan, 10.0 ** (columns - side / 2)),
        }
    )


def test_a_large_map_is_a_picture_of_half_blocks() -> None:
    swept = ["init_scale", "learning_rate"]
    text = sweep_picture(_large(40), "loss", swept, 80, 26)
    assert text is not None
    lines = text.plain.split("\n")
    assert lines[0] == "median loss by learning rate and, upwards, init scale"
    assert len(lines) == 26 - 6 + 3
    assert set(lines[1].split()[-1]) == {"▀"}
    assert lines[1].split()[0] == "40"  # the largest value is on top
    first = next(span for span in text.spans if span.start == lines[0].__len__() + 1 + 4)
    assert first.style == "#fde725 on #fde725"  # the best
    colours = [str(span.style) for span in text.spans if " on " in str(span.style)]
    assert colours[len(lines[1]) - 5].startswith("#f8dcc0")  # the last to be lost
    assert sweep_picture(_large(16), "loss", swept) is None
    assert sweep_picture(_large(40), "accuracy", swept) is None
    for width, height in ((40, 20), (200, 60)):
        small = sweep_picture(_large(40), "loss", swept, width, height)
        assert small is not None
        assert max(map(len, small.plain.split("\n")[1:-1])) <= width
        assert small.plain.count("\n") < height


def test_pixels_say_what_their_cells_are() -> None:
    phase = make_phase_diagram(
        _large(20), "loss", *(Axis(n, tuple(range(1, 21))) for n in ("learning_rate", "init_scale"))
    )
    pixels = map_pixels(phase)
    assert pixels.shape == (20, 20, 3)
    assert pixels[5, 0].tolist() == [253, 231, 37]
    assert pixels[5, 9].tolist() == [68, 1, 84]
    assert pixels[0, 15].tolist() == [74, 13, 8]
    assert pixels[19, 15].tolist() == [248, 220, 192]
    gap = make_phase_diagram(_large(20).iloc[1:], "loss", phase.columns, phase.rows)
    assert map_pixels(gap)[0, 0].tolist() == [128, 128, 128]


def test_show_has_the_heat_map_of_a_sweep_and_the_curves_of_a_trial(recorded: Recorded) -> None:
    shown = run_command("show", "small", "--tracking-uri", recorded.uri).stdout
    assert "median test loss by learning rate and activation" in shown
    assert "× most diverged" in shown
    best = recorded.result.best
    assert best is not None
    lines = run_command("show", best["run_id"], "--tracking-uri", recorded.uri).stdout.splitlines()
    (line,) = [line for line in lines if line.split()[:1] == ["test_loss"]]
    assert line.split()[2][0] == "█"
    assert line.split()[2][-1] == "▁"
