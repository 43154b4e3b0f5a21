"""Signals and closed terminals end a sweep or a dashboard as Ctrl-C does."""

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from service.execution.interrupts import deferred_interrupts, terminable
from service.recording.signs_of_life import shown_status
from service.recording.store import Store
from tests.ports import free_port
from tests.service.conftest import LONG, Recorded, write_spec
from tests.service.processes import command_line, recorded_trials, wait_until


@pytest.fixture(autouse=True)
def _hang_up_not_ignored() -> Iterator[None]:
    """Handle a hang-up as in a terminal, even if the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("options", [("--inline",), pytest.param(("--workers", "1"), marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["the terminal is closed", "a signal"])
def test_a_hang_up_ends_a_sweep_as_ctrl_c_does(tmp_path: Path, uri: str, options: tuple[str, ...], how: str) -> None:
    """Closing a terminal signals every process in it, Ray's too, and makes every write to it fail."""
    terminal, inside = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(inside, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command_line("sweep", write_spec(tmp_path, LONG), "--tracking-uri", uri, *options),
        cwd=tmp_path, stdin=inside, stdout=inside, stderr=inside, preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(inside)
    reader = threading.Thread(target=_read_all, args=(terminal,), daemon=True)
    try:
        if how == "a signal":
            reader.start()
            wait_until(lambda: recorded_trials(uri) >= 5, process)
            process.send_signal(signal.SIGHUP)
        else:
            os.set_blocking(terminal, False)
            wait_until(lambda: _read_some(terminal) or recorded_trials(uri) >= 5, process)
            os.close(terminal)
        assert process.wait(timeout=90) == 130
    finally:
        process.kill()
        process.wait()
    (sweep,) = Store(uri).sweeps()
    assert (sweep.status, shown_status(sweep)) == ("KILLED", "KILLED")
    assert 5 <= len(Store(uri).table(sweep)) < 400


def _read_some(terminal: int) -> bool:
    """Read what was written, so that the writer does not wait; return False."""
    with suppress(OSError):
        os.read(terminal, 65_536)
    return False


def _read_all(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 65_536):
            pass


def test_under_nohup_a_hang_up_is_ignored(tmp_path: Path, uri: str) -> None:
    process = subprocess.Popen(
        ["nohup", *command_line("sweep", write_spec(tmp_path, {**LONG, "steps": 20_000}), "--inline", "--json")],
        cwd=tmp_path, env={**os.environ, "MLFLOW_TRACKING_URI": uri}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: recorded_trials(uri), process)
    process.send_signal(signal.SIGHUP)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["trials"] == 400


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_dashboard_and_its_server(recorded: Recorded, tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    process = subprocess.Popen(
        command_line("dashboard", "--port", str(port), "--tracking-uri", recorded.uri),
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
