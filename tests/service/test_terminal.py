"""Pictures made of characters, and following a sweep from elsewhere."""

import io
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from experiments.spec import load_spec
from service.cli.heat_map import heat_map, sparkline, sweep_map
from service.execution.observer import NullObserver
from service.inspection.watch import follow
from service.recording.store import Store
from service.results.axes import NO_AXIS, Axis
from service.results.phase_diagram import make_phase_diagram
from service.run import run_sweep
from tests.service.conftest import SPEC, Recorded, run_command, run_for_json, write_spec


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
def test_a_sparkline_has_a_bar_a_value(values: list[float], expected: str) -> None:
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


class _Stepwise(NullObserver):
    """A sweep that stands still after some trials, until it is let go on."""

    def __init__(self, after: int) -> None:
        self._after = after
        self.there = threading.Event()
        self.go_on = threading.Event()

    def advance(self, best: float | None) -> None:
        self._after -= 1
        if self._after == 0:
            self.there.set()
            assert self.go_on.wait(30)


def test_a_sweep_is_followed_to_its_end(uri: str) -> None:
    observer = _Stepwise(5)
    running = threading.Thread(
        target=lambda: run_sweep(load_spec(SPEC), tracking_uri=uri, inline=True, observer=observer, shard_size=5)
    )
    running.start()
    assert observer.there.wait(60)
    looks = []
    for look in follow(Store(uri), "small", 0.05):
        looks.append(look)
        observer.go_on.set()
    running.join()
    assert looks[0].sweep.status == "RUNNING"
    assert 5 <= looks[0].trials < 12
    assert looks[-1].trials == looks[-1].total == 12
    assert looks[-1].ended
    assert looks[-1].outcomes == {"improving": 6, "diverged": 6}
    best = min(looks[-1].table["metrics.test_loss"].dropna())
    assert looks[-1].best == pytest.approx(best)


def test_watching_a_sweep_that_has_ended_tells_of_it_once(recorded: Recorded) -> None:
    told = run_command("watch", "small", "--tracking-uri", recorded.uri)
    assert told.exit_code == 0
    assert told.stdout == ""
    assert "finished, 12 of 12 trials, " in told.stderr
    values: Any = run_for_json("watch", "small", "--tracking-uri", recorded.uri)
    assert values["outcomes"]["diverged"] == 6
    assert run_command("watch", "nothing", "--tracking-uri", recorded.uri).exit_code == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_a_sign_is_written_its_code(encoding: str, tmp_path: Path) -> None:
    name = "größe 高さ"
    rows = [f"{math.sin(3 * k)},{math.cos(5 * k)},{'>50K €' if k % 3 else '<b>'}" for k in range(24)]
    (tmp_path / f"{name}.csv").write_text("\n".join([f"{name},x,y", *rows]), encoding="utf-8")
    dataset = {"path": f"{name}.csv", "target": "y", "features": [name, "x"]}
    spec = write_spec(tmp_path, {"name": "own", "dataset": dataset, "steps": 2, "grid": {"seed": {"range": 2}}})

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "service.cli", *arguments]
        variables = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr.decode(encoding)
        return done.stdout.decode(encoding)

    run("sweep", spec, "--inline")
    assert "seed" in run("top", "own", "--trials")
    assert json.loads(run("show", "own", "--json"))["params"]["dataset"] == name
