"""Serving the MLflow UI on a store."""

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
from service.recording.connection import is_server, open_client, resolve
from service.recording.redaction import without_user

_HOST = "127.0.0.1"
_START_SECONDS = 60
_STDERR = 2  # what the server says is no result of ours


def serve(tracking_uri: str | None, port: int, *, announce: Callable[[str], object]) -> None:
    """Serve until interrupted; an HTTP store has its UI already, so only its address is announced.

    Raises StoreError where the store can't be opened, the port is taken or the server does not come up.
    """
    uri = resolve(tracking_uri)
    open_client(uri, create=False)
    if is_server(uri):
        announce(without_user(uri))
        return
    with socket.socket() as probe:
        if probe.connect_ex((_HOST, port)) == 0:
            raise StoreError(f"port {port} is taken: choose another with --port")
    # the store's address is no argument: everybody may list those of a process, and it may hold a password
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_BACKEND_STORE_URI": uri}
    server = subprocess.Popen(_command(port), env=environment, stdout=_STDERR)
    try:
        _wait_until_up(server, port)
        announce(f"The MLflow dashboard is at http://{_HOST}:{port} (Ctrl-C ends it)")
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()


def _command(port: int) -> list[str]:
    program = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--workers",
        "1",
    ]
    return [*program, "--host", _HOST, "--port", str(port), "--uvicorn-opts", "--log-level warning"]


def _wait_until_up(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise StoreError(f"the MLflow server ended with exit code {server.returncode}; its message is above")
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"http://{_HOST}:{port}/health", timeout=1).ok:
                return
        time.sleep(0.2)
    raise StoreError(f"the MLflow server did not come up within {_START_SECONDS} s")
