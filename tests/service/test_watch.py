"""Following a sweep that runs elsewhere, from its store."""

import threading
from contextlib import closing
from typing import Any

import pytest

from experiments.spec import load_spec
from service.execution.observer import NullObserver
from service.inspection import watch
from service.inspection.watch import follow
from service.recording.signs_of_life import driving
from service.recording.store import Store
from service.run import run_sweep
from tests.service.clocks import Clock
from tests.service.conftest import SPEC, Recorded, run_command, run_for_json
from tests.service.trial_records import begin_sweep, make_record, write


class _Stepwise(NullObserver):
    """An observer that holds a sweep after some trials, until the test lets it go on."""

    def __init__(self, after: int) -> None:
        self._after = after
        self.there = threading.Event()
        self.go_on = threading.Event()

    def advance(self, trials: int, best: float | None) -> None:
        self._after -= trials
        if self._after <= 0 and not self.there.is_set():
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


def test_a_sweep_is_quiet_from_the_last_trial_on(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    store, sweep = begin_sweep(uri)
    with closing(store.recorder(sweep).open()) as recorder, driving(sweep):
        looks = follow(store, sweep.sweep, 1.0, sleep=lambda _: clock.advance(45.0))
        before = [next(looks).idle_seconds for _ in range(3)]
        write(recorder, sweep, [make_record(0)])
        after = [next(looks).idle_seconds for _ in range(2)]
    assert (before, after) == ([0.0, 45.0, 90.0], [0.0, 45.0])


def test_a_sweep_that_has_ended_is_shown_once(recorded: Recorded) -> None:
    result = run_command("watch", "small", "--tracking-uri", recorded.uri)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "finished, 12 of 12 trials, " in result.stderr
    values: Any = run_for_json("watch", "small", "--tracking-uri", recorded.uri)
    assert values["outcomes"]["diverged"] == 6
    assert run_command("watch", "nothing", "--tracking-uri", recorded.uri).exit_code == 2
