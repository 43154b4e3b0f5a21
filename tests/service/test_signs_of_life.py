"""A sweep whose driver is gone is lost; one whose driver is at work is left alone."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.errors import StoreUnavailableError, UserError
from experiments.spec import load_spec
from service import run
from service.execution.heartbeat import Heartbeat
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
from tests.service.conftest import LONG, TINY, Recorded, run_command, run_for_json, write_spec
from tests.service.processes import command_line, recorded_trials, wait_until


@pytest.mark.slow
def test_a_killed_sweep_is_lost_and_one_at_work_is_not_resumed(tmp_path: Path, uri: str) -> None:
    process = subprocess.Popen(
        command_line("sweep", write_spec(tmp_path, LONG), "--tracking-uri", uri, "--inline"),
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: recorded_trials(uri), process)
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


@pytest.mark.slow
@pytest.mark.parametrize("where", ["tracking_server", "app_server"])
def test_a_sweep_at_work_on_a_server_is_not_resumed_until_its_driver_is_gone(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    uri = request.getfixturevalue(where).uri
    name = f"alive-{where.partition('_')[0]}"
    process = subprocess.Popen(
        command_line("sweep", write_spec(tmp_path, {**LONG, "name": name}), "--tracking-uri", uri, "--inline"),
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def trials() -> list[str]:
        sweeps = [sweep for sweep in Store(uri).sweeps() if sweep.spec == name]
        return [trial.tags["gradgrid.trial"] for sweep in sweeps for trial in Store(uri).trials(sweep)]

    try:
        wait_until(lambda: len(trials()), process)
        process.send_signal(signal.SIGSTOP)  # so that it does not end meanwhile
        refused = run_command("resume", name, "--inline", "--tracking-uri", uri)
        assert refused.exit_code == 2
        assert f"still run by process {process.pid} of this machine: wait until it ends" in refused.stderr
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert len(trials()) < 400
    assert run_for_json("resume", name, "--inline", "--tracking-uri", uri)["trials"] == 400
    assert len(trials()) == len(set(trials())) == 400


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
    """A sweep whose run says RUNNING, by that process."""
    started = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
    sweep = recorded.store.find_sweep("small")
    return _by(replace(sweep, status="RUNNING", tags={**sweep.tags, **driver_tags()}), pid=other.pid, started=started)


def _by(sweep: SweepInfo, ago: float = 0.0, **driver: object) -> SweepInfo:
    """Return the sweep with other signs of life. ago: seconds since the last heartbeat."""
    signs = {**json.loads(sweep.tags[Tag.DRIVER]), **driver}
    beat = str(int((time.time() - ago) * 1000))
    return replace(sweep, tags={**sweep.tags, Tag.DRIVER: json.dumps(signs), Tag.HEARTBEAT: beat})


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
    values = json.loads(Store(uri).find_sweep(result.sweep).tags[Tag.DRIVER])
    assert (values["host"], values["pid"]) == (socket.gethostname(), os.getpid())


def test_a_job_goes_on_with_its_own_sweep_despite_signs_of_life(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster's head was restarted: the old driver is gone, though its last heartbeat is recent."""
    first = run_sweep(load_spec(TINY), tracking_uri=uri, inline=True, job="tiny-1")
    store = Store(uri, create=True)
    monkeypatch.setattr(socket, "gethostname", lambda: "the head")
    store.reopen(store.find_sweep(first.sweep))
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"still run by process \d+ on the head, seen \d+ s ago"):
        run_sweep(load_spec(TINY), tracking_uri=uri, inline=True, resume=first.sweep)
    assert run_sweep(load_spec(TINY), tracking_uri=uri, inline=True, job="tiny-1").sweep == first.sweep
