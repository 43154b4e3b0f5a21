"""A real MLflow tracking server for the tests, and a proxy before it that loses requests or answers."""

import base64
import http.client
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from tests.ports import free_port

PASSWORD = "a long password of the tests"


@dataclass
class TrackingServer:
    """`mlflow server` in a folder; it can be stopped and started again.

    auth: whether it has accounts.
    prefix: of its paths.
    app: whether it has gradgrid's app.
    workers: its processes.
    settings: variables of its environment.
    """

    folder: Path
    store: str
    port: int = field(default_factory=free_port)
    auth: bool = False
    prefix: str = ""
    app: bool = False
    workers: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store]
        command += ["--workers", str(self.workers)]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--port", str(self.port)]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment.update(self.settings)
        if self.prefix:
            command += ["--static-prefix", self.prefix]
        name = "-".join(["gradgrid"] * self.app + ["basic-auth"] * self.auth)
        if name:
            command += ["--app-name", name]
        if self.auth:
            environment["MLFLOW_FLASK_SERVER_SECRET_KEY"] = "a secret of the tests"
            environment["MLFLOW_AUTH_ADMIN_PASSWORD"] = PASSWORD
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if requests.get(f"{self.uri}/health", timeout=1).ok:
                    return
            except requests.RequestException:
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def running_server(folder: Path, *, store: str = "", **options: Any) -> Iterator[TrackingServer]:
    """Yield a tracking server that serves artifacts from a folder.

    store: its database; an SQLite file in the folder if left out.
    options: of `TrackingServer`.
    """
    server = TrackingServer(folder, store or f"sqlite:///{folder / 'mlflow.db'}", **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


Fault = Callable[[str], str]
"""Given a request's path: "pass" it on, "refuse" it with 503, or "swallow" the answer after it was carried out."""


def _pass(_: str) -> str:
    return "pass"


@contextmanager
def flaky(
    server: TrackingServer,
    fault: Fault = _pass,
    *,
    prefix: str = "",
    certificate: Path | None = None,
    password: str = "",
) -> Iterator[str]:
    """Yield the address of a proxy before the server.

    fault: decides by a request's path whether it is passed on.
    prefix: of the paths that it passes on; the server gets them without it.
    certificate: a file that has the key too, for a proxy that speaks TLS.
    password: the one that it asks for, of the user `u`.
    """
    wanted = f"Basic {base64.b64encode(f'u:{password}'.encode()).decode()}" if password else ""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            what = fault(self.path)
            if what == "refuse":
                self.send_error(503)
                return
            if wanted and self.headers.get("Authorization") != wanted:
                self.send_error(401)
                return
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            upstream = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            dropped = ("Host", "Content-Length", "Accept-Encoding", "Authorization")
            headers = {k: v for k, v in self.headers.items() if k not in dropped}
            upstream.request(self.command, self.path.removeprefix(prefix), body, headers)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if what == "swallow":
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _forward  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{proxy.server_port}{prefix}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
