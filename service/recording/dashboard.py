"""Serve MLflow's pages for a store, and print the address of a sweep's page."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import requests

from experiments.errors import StoreError
from service.recording.connection import is_server
from service.recording.infos import SweepInfo
from service.recording.links import experiments_link
from service.recording.pages import guide_recorded, sweep_pages
from service.recording.store import Store

_HOST = "127.0.0.1"
_START_SECONDS = 120  # on a busy machine; a second or two is usual
_STDERR = 2  # stdout is for results
_NO_PROXY = ("no_proxy", "NO_PROXY")


def shown_sweep(store: Store, name: str | None) -> SweepInfo | None:
    """Return the sweep with this name, else the newest, and write its saved views; None if the store has no sweep.

    Raises NotFoundError if no sweep has the name.
    """
    sweep = store.find_sweep(name) if name else next(iter(store.sweeps()), None)
    if sweep is not None:
        guide_recorded(store, sweep)
    return sweep


def serve(store: Store, port: int, sweep: SweepInfo | None, *, announce: Callable[[str, bool], object]) -> None:
    """Serve MLflow's pages until interrupted. A tracking server serves them itself: only announce the address.

    announce: called with the address of the sweep's table of trials, or of the list of experiments without a sweep; and
    with whether this process serves it. Raises StoreError if the port is taken or the server does not start.
    """
    if is_server(store.uri):
        announce(_page(store, sweep, store.uri), False)
        return
    base = f"http://{_HOST}:{port}"
    with socket.socket() as probe:
        if probe.connect_ex((_HOST, port)) == 0:
            raise StoreError(f"port {port} is taken: choose another with --port")
    page = _page(store, sweep, base)
    server = subprocess.Popen(_command(port), env=_environment(store.address), stdout=_STDERR)
    try:
        _wait_until_up(server, base)
        announce(page, True)
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()


def _page(store: Store, sweep: SweepInfo | None, base: str) -> str:
    return experiments_link(base) if sweep is None else sweep_pages(store, sweep, base).trials


def _command(port: int) -> list[str]:
    program = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    return [*program, "--host", _HOST, "--port", str(port), "--uvicorn-opts", "--log-level warning"]


def _environment(uri: str) -> dict[str, str]:
    """Return the server's environment: its store, no background jobs, and no proxy for requests to this machine.

    The store's address may hold a password. Every user of the machine can list arguments, so it is a variable.
    """
    no_proxy = {name: ",".join(filter(None, [os.environ.get(name), _HOST, "localhost"])) for name in _NO_PROXY}
    settings = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return {**os.environ, **no_proxy, **settings}


def _wait_until_up(server: subprocess.Popen[bytes], base: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with requests.Session() as session:
        session.trust_env = False  # no proxy: it can't reach this machine's loopback address
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise StoreError(f"the MLflow server ended with exit code {server.returncode}; its message is above")
            with contextlib.suppress(requests.RequestException):
                if session.get(f"{base}/health", timeout=1).ok:
                    return
            time.sleep(0.2)
    raise StoreError(f"the MLflow server did not start within {_START_SECONDS} s: try again")
