"""The lines that a sweep shows in a log while it runs."""

from types import SimpleNamespace
from typing import Any

import pytest

from service.cli import progress


def test_the_first_report_says_nothing_of_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes of a single trial, late because Ray has just started."""
    now = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    plan: Any = SimpleNamespace(trials=6000, objective="loss", programs=[0], notes=(), note="")
    sweep: Any = SimpleNamespace(sweep="s")
    shown = progress.PlainProgress()
    shown.begin(plan, sweep, 1000, 1, "")
    capsys.readouterr()
    now = 14.0
    shown.advance(0.25)
    assert capsys.readouterr().err == "1,001 of 6,000 trials, best loss 0.25\n"
    now = 15.0
    for _ in range(998):
        shown.advance(0.25)
    now = 50.0
    shown.advance(0.125)
    assert capsys.readouterr().err == "2,000 of 6,000 trials, best loss 0.125, 20/s, 3 min left\n"
    now = 51.0
    for _ in range(999):
        shown.advance(None)
    now = 1000.0
    shown.advance(None)
    assert capsys.readouterr().err == "3,000 of 6,000 trials, 2.0/s, 25 min left\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (95.0, "95 s"), (121.0, "2 min"), (7199.0, "120 min"), (7200.0, "2.0 h"), (84_800.0, "23.6 h")],
)
def test_a_duration_is_written_in_a_unit_that_fits(seconds: float, text: str) -> None:
    assert progress._duration(seconds) == text
