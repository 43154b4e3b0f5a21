"""Progress on stderr: the rate, the time left, and a followed sweep, on a terminal and without one."""

import io
import re
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from experiments.spec import load_spec
from service.cli import progress
from service.cli.progress import LiveProgress, PlainProgress, Viewer
from service.cli.time_left import duration
from service.execution.plan import Plan, make_plan
from service.inspection.watch import SweepSnapshot
from tests.service.clocks import Clock
from tests.service.conftest import Recorded

_SECONDS_A_TRIAL = 0.125  # eight trials a second


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of progress."""
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def _terminals_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset what makes Rich take a file for a terminal or a terminal for a file."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLORTERM", "truecolor")  # Rich keeps a style's codes as it has first written them
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def plan() -> Plan:
    """A thousand trials."""
    return make_plan(load_spec({"name": "a", "dataset": {"name": "moons"}, "grid": {"seed": {"range": 1_000}}}))


def test_plain_progress_reports_rate_and_time_left(
    plan: Plan, recorded: Recorded, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is a line at most every ten seconds. Trials that were recorded before do not count in the rate."""
    shown = PlainProgress()
    shown.begin(plan, recorded.store.find_sweep("small"), done=200, workers=2, note="a note")
    for trial in range(200):
        clock.advance(_SECONDS_A_TRIAL)
        shown.advance(1, best=None if trial < 100 else 0.25)
    clock.advance(400.0)
    shown.advance(1, best=None)
    shown.end()
    first, *lines = capsys.readouterr().err.splitlines()
    assert "1,000 trials of 1 program on 2 workers, 200 of them recorded already; a note" in first
    assert lines == [
        "280 of 1,000 trials, 8.0/s, 90 s left",
        "360 of 1,000 trials, best test_loss 0.25, 8.0/s, 80 s left",
        "401 of 1,000 trials, 0.5/s, 21 min left",
    ]


def test_the_first_report_of_a_single_trial_says_nothing_of_the_time_left(
    plan: Plan, recorded: Recorded, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trial may have waited for Ray to start."""
    shown = PlainProgress()
    shown.begin(plan, recorded.store.find_sweep("small"), done=200, workers=1, note="")
    clock.advance(14.0)
    shown.advance(1, best=0.25)
    assert capsys.readouterr().err.splitlines()[1:] == ["201 of 1,000 trials, best test_loss 0.25"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (95.0, "95 s"), (121.0, "2 min"), (7199.0, "120 min"), (7200.0, "2.0 h"), (84_800.0, "23.6 h")],
)
def test_a_duration_is_written_in_a_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_live_progress_shows_rate_and_time_left(plan: Plan, recorded: Recorded, clock: Clock) -> None:
    shown = LiveProgress()
    shown._bar.get_time = clock.monotonic
    shown.begin(plan, recorded.store.find_sweep("small"), done=200, workers=2, note="")
    for _ in range(80):
        clock.advance(_SECONDS_A_TRIAL)
        shown.advance(1, best=0.25)
    drawn = io.StringIO()
    Console(file=drawn, width=120).print(shown._bar.get_renderable())
    shown.end()
    name, *_, done, rate, best, objective, value, left = drawn.getvalue().split()
    assert (name, done, rate, left) == ("a", "280/1000", "8/s", "01:30")
    assert (best, objective, value) == ("best", "test_loss", "0.25")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _screen(written: str) -> list[str]:
    """Return the lines on a terminal's screen after something was written to it."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[\d;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif token == "\r":
            column = 0
        elif token == "\x1b[2K":
            lines[row] = ""
        elif up := re.fullmatch(r"\x1b\[(\d*)A", token):
            row -= int(up[1] or 1)
        elif not token.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in lines]


def _look(recorded: Recorded, status: str = "RUNNING", trials: int = 12, quiet: float = 0.0) -> SweepSnapshot:
    sweep = replace(recorded.store.find_sweep("small"), status=status)
    return SweepSnapshot(sweep, recorded.result.table.head(trials), 12, quiet)


def test_on_a_terminal_a_followed_sweep_is_drawn_in_its_place(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Viewer() as viewer:
        viewer.show(_look(recorded, trials=9))
        first = _screen(terminal.getvalue())
        viewer.show(_look(recorded, "FINISHED"))
    last = _screen(terminal.getvalue())
    assert "running, 9 of 12 trials" in " ".join(first)
    assert [line for line in last if "trials" in line and "running" in line] == []
    assert " ".join(last).count("finished, 12 of 12 trials") == 1
    assert [line for line in last if line.startswith(("relu", "tanh"))] == ["relu  ··××", "tanh  ██××"]


def test_without_a_terminal_a_followed_sweep_has_a_line_for_each_change(
    recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    with Viewer() as viewer:
        for quiet in (0.0, 30.0, 60.0, 61.0, 69.0, 70.0, 3_599.0):
            viewer.show(_look(recorded, quiet=quiet))
        viewer.show(_look(recorded, "FINISHED", quiet=4_000.0))
    lines = capsys.readouterr().err.splitlines()
    assert all("12 of 12 trials, 6 improving, 6 diverged, best test_loss " in line for line in lines)
    found = [re.search(r"nothing new for (.*) s$", line) for line in lines]
    assert [match and match[1] for match in found] == [None, "60", "70", "3,590", None]
