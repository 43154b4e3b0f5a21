"""Pictures made of characters: sparklines and heat maps."""

import io
import math

import pandas as pd
import pytest
from rich.console import Console

from service.cli.heat_map import heat_map, sparkline, sweep_map
from service.results.axes import NO_AXIS, Axis
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
