"""A sweep whose driver is gone ends, or is seen to be lost; one whose driver is at work is left alone."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.errors import StoreUnavailableError, UserError
from experiments.spec import load_spec
from service import run
from service.execution.heartbeat import Heartbeat
from service.execution.interrupts import deferred_interrupts, terminable
from service.execution.observer import NullObserver
from service.execution.plan import Plan
from service.recording.infos import SweepInfo
from service.recording.signs_of_life import (
    driver_tags,
    driving,
    shown_status,
    who_is_at_work,
    why_lost,
)
from service.recording.store import Store
from service.recording.tags import Tag
from service.run import run_sweep
from tests.ports import free_port
from tests.service.conftest import SPEC, TINY, Recorded, run_command, run_for_json, write_spec

_LONG = {**SPEC, "name": "long", "steps": 200_000, "grid": {"activation": ["relu", "tanh"], "seed": {"range": 200}}}


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "service.cli", *arguments]


def _wait(what: Callable[[], object], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        assert process.poll() is None, f"it has ended with {process.returncode}"
        time.sleep(0.1)


def _trials(uri: str) -> int:
    path = Path(uri.removeprefix("sqlite:///"))
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            count = connection.execute("select count(*) from tags where key = 'gradgrid.trial'").fetchone()[0]
        connection.close()
    except sqlite3.OperationalError:
        return 0
    return int(count)


@pytest.fixture(autouse=True)
def _hang_up_not_ignored() -> Iterator[None]:
    """As in a terminal, even where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("options", [("--inline",), pytest.param(("--workers", "1"), marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["the terminal is closed", "a signal"])
def test_a_hang_up_ends_a_sweep_as_ctrl_c_does(tmp_path: Path, uri: str, options: tuple[str, ...], how: str) -> None:
    """Closing a terminal signals every process in it, Ray's too, and what is written to it fails from then on."""
    terminal, inside = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(inside, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        _command("sweep", write_spec(tmp_path, _LONG), "--tracking-uri", uri, *options),
        cwd=tmp_path, stdin=inside, stdout=inside, stderr=inside, preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(inside)
    reader = threading.Thread(target=_read_all, args=(terminal,), daemon=True)
    try:
        if how == "a signal":
            reader.start()
            _wait(lambda: _trials(uri) >= 5, process)
            process.send_signal(signal.SIGHUP)
        else:
            os.set_blocking(terminal, False)
            _wait(lambda: _read_some(terminal) or _trials(uri) >= 5, process)
            os.close(terminal)
        assert process.wait(timeout=90) == 130
    finally:
        process.kill()
        process.wait()
    (sweep,) = Store(uri).sweeps()
    assert (sweep.status, shown_status(sweep)) == ("KILLED", "KILLED")
    assert 5 <= len(Store(uri).table(sweep)) < 400


def _read_some(terminal: int) -> bool:
    """Take what was written, so that the writer does not wait; always False."""
    with suppress(OSError):
        os.read(terminal, 65_536)
    return False


def _read_all(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 65_536):
            pass


def test_under_nohup_a_hang_up_is_ignored(tmp_path: Path, uri: str) -> None:
    process = subprocess.Popen(
        ["nohup", *_command("sweep", write_spec(tmp_path, {**_LONG, "steps": 20_000}), "--inline", "--json")],
        cwd=tmp_path, env={**os.environ, "MLFLOW_TRACKING_URI": uri}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _wait(lambda: _trials(uri), process)
    process.send_signal(signal.SIGHUP)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["trials"] == 400


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_dashboard_that_is_told_to_end_takes_its_server_along(
    recorded: Recorded, tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    process = subprocess.Popen(
        _command("dashboard", "--port", str(port), "--tracking-uri", recorded.uri),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert str(port) in process.stdout.readline()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_interrupt_and_those_that_are_ignored_stay_so(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), number)
    reached = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():  # noqa: PT012
        os.kill(os.getpid(), number)
        reached.append(True)
    assert reached
    assert signal.getsignal(number) is before
    signal.signal(number, signal.SIG_IGN)
    try:
        with terminable(), deferred_interrupts():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_killed_sweep_is_lost_and_one_at_work_is_not_resumed(tmp_path: Path, uri: str) -> None:
    process = subprocess.Popen(
        _command("sweep", write_spec(tmp_path, _LONG), "--tracking-uri", uri, "--inline"),
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(lambda: _trials(uri), process)
        (row,) = run_for_json("list", "--tracking-uri", uri)["sweeps"]
        assert row["status"] == "RUNNING"
        refused = run_command("resume", "long", "--inline", "--tracking-uri", uri)
        assert refused.exit_code == 2
        assert re.search(rf"still run by process {process.pid} of this machine: wait until it ends", refused.stderr)
        assert process.poll() is None
    finally:
        process.kill()
    # not waited for yet, so the process is a zombie: that is no driver at work either
    _wait_for_state(process.pid, "Z")
    assert run_for_json("list", "--tracking-uri", uri)["sweeps"][0]["status"] == "LOST"
    process.wait()
    listed = run_command("list", "--tracking-uri", uri)
    assert "lost" in listed.stdout
    hint = f"is lost: process {process.pid} of this machine is gone; `gradgrid resume {row['sweep']}` trains the rest"
    assert hint in listed.stderr
    watched = run_command("watch", "long", "--tracking-uri", uri)
    assert watched.exit_code == 1
    assert f"long/{row['sweep']}: lost, " in watched.stderr
    assert run_for_json("resume", "long", "--inline", "--tracking-uri", uri)["trials"] == 400
    assert run_for_json("list", "--tracking-uri", uri)["sweeps"][0]["status"] == "FINISHED"


def _wait_for_state(pid: int, state: str) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != state:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of this machine."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def running(recorded: Recorded, other: subprocess.Popen[bytes]) -> SweepInfo:
    """A sweep that says it is running, by that process."""
    started = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
    sweep = recorded.store.find_sweep("small")
    return _by(replace(sweep, status="RUNNING", tags={**sweep.tags, **driver_tags()}), pid=other.pid, started=started)


def _by(sweep: SweepInfo, ago: float = 0.0, **driver: object) -> SweepInfo:
    """The same with other signs of life; the heartbeat was so many seconds ago."""
    told = {**json.loads(sweep.tags[Tag.DRIVER]), **driver}
    beat = str(int((time.time() - ago) * 1000))
    return replace(sweep, tags={**sweep.tags, Tag.DRIVER: json.dumps(told), Tag.HEARTBEAT: beat})


def test_a_driver_of_this_machine_is_looked_for_among_its_processes(
    running: SweepInfo, other: subprocess.Popen[bytes]
) -> None:
    assert who_is_at_work(running) == f"process {other.pid} of this machine"
    assert why_lost(running) == ""
    assert why_lost(_by(running, ago=600)).startswith(f"no sign of life from process {other.pid} on ")
    assert why_lost(_by(running, started="1")) == f"process {other.pid} of this machine is gone"  # the id is another's
    assert why_lost(_by(running, boot="an earlier one"))
    assert who_is_at_work(_by(running, boot="an earlier one")) == ""
    other.send_signal(signal.SIGSTOP)
    _wait_for_state(other.pid, "T")
    assert why_lost(_by(running, ago=600)) == ""  # Ctrl-Z: it may go on at any time
    other.kill()
    other.wait()
    assert why_lost(running) == f"process {other.pid} of this machine is gone"


def test_this_process_knows_which_sweeps_it_runs(running: SweepInfo) -> None:
    own = replace(running, tags={**running.tags, **driver_tags()})
    assert (who_is_at_work(own), why_lost(own)) == ("", "it has ended in this process")
    with driving(own):
        assert (who_is_at_work(own), why_lost(own)) == (f"process {os.getpid()} of this machine", "")
    assert shown_status(own) == "LOST"


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"processes": "pid:[1]"}])
def test_a_driver_elsewhere_is_known_by_its_heartbeat(running: SweepInfo, elsewhere: dict[str, str]) -> None:
    assert who_is_at_work(_by(running, 60, **elsewhere, pid=7)).startswith("process 7 on ")
    assert why_lost(_by(running, 60, **elsewhere)) == ""
    assert re.fullmatch(
        r"no sign of life from process 7 on \S+ for 10 minutes", why_lost(_by(running, 600, **elsewhere, pid=7))
    )
    assert why_lost(_by(running, -3_600, **elsewhere)) == ""  # a clock that is ahead


def test_a_sweep_that_has_ended_or_left_no_signs_is_not_judged(running: SweepInfo) -> None:
    ended = replace(_by(running, host="another", ago=10_000), status="FAILED")
    bare = replace(running, tags={k: v for k, v in running.tags.items() if k not in (Tag.DRIVER, Tag.HEARTBEAT)})
    broken = replace(running, tags={**running.tags, Tag.DRIVER: "[]", Tag.HEARTBEAT: "soon"})
    for sweep in (ended, bare, broken):
        assert (why_lost(sweep), who_is_at_work(sweep), shown_status(sweep)) == ("", "", sweep.status)


def test_a_heartbeat_goes_on_after_a_store_that_was_away() -> None:
    beats = 0
    enough = threading.Event()

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 2:
            raise StoreUnavailableError("restarting")
        if beats > 4:
            enough.set()

    with Heartbeat(beat, 0.01):
        assert enough.wait(60)


class _Watching(NullObserver):
    """An observer that waits until the sweep's heartbeat has changed."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.beats: set[str] = set()

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        deadline = time.monotonic() + 60
        while len(self.beats) < 3 and time.monotonic() < deadline:
            self.beats.add(Store(self._uri).find_sweep(sweep.sweep).tags[Tag.HEARTBEAT])


def test_a_sweep_shows_that_it_is_at_work(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SECONDS_BETWEEN_BEATS", 0.05)
    watching = _Watching(uri)
    result = run_sweep(load_spec(TINY), tracking_uri=uri, inline=True, observer=watching)
    assert len(watching.beats) == 3
    told = json.loads(Store(uri).find_sweep(result.sweep).tags[Tag.DRIVER])
    assert (told["host"], told["pid"]) == (socket.gethostname(), os.getpid())


def test_a_job_goes_on_with_its_own_sweep_whatever_the_signs_say(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster's head that was restarted: the old driver is gone, though its last heartbeat is recent."""
    first = run_sweep(load_spec(TINY), tracking_uri=uri, inline=True, job="tiny-1")
    store = Store(uri, create=True)
    monkeypatch.setattr(socket, "gethostname", lambda: "the head")
    store.reopen(store.find_sweep(first.sweep))
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"still run by process \d+ on the head, seen \d+ s ago"):
        run_sweep(load_spec(TINY), tracking_uri=uri, inline=True, resume=first.sweep)
    assert run_sweep(load_spec(TINY), tracking_uri=uri, inline=True, job="tiny-1").sweep == first.sweep
