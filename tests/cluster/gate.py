"""A gate for the fault tests: the sweep on the cluster waits at it, so a fault comes in the middle on any machine.

The sweep's initializer is a function of the user's. On a worker it asks the gate before it draws a trial's weights. The
gate lets a number of draws pass and holds back the rest, until the test opens it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PARTS = '''
import os
import time
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import numpy as np

from engine.parts import initializer

_GATE = "{address}"
_FIRST_LAYER = (4, 2)


def _wait_at_gate():
    while True:
        try:
            build_opener(ProxyHandler({{}})).open(_GATE, timeout=5).close()
            return
        except (URLError, OSError):
            time.sleep(0.2)


@initializer
def gated(rng, shape):
    """Xavier's uniform distribution (Glorot and Bengio, 2010)."""
    if shape == _FIRST_LAYER and "WORKER_CPUS" in os.environ:
        _wait_at_gate()
    return rng.uniform(-1.0, 1.0, size=shape) * np.sqrt(6.0 / sum(shape))
'''


@dataclass
class Gate:
    """Answers 200 to a draw that may go on, and 503 to one that must wait.

    waiting: the addresses of the workers that have had to wait since the gate was closed.
    """

    address: str
    allowed: float = 0
    waiting: set[str] = field(default_factory=set)
    _passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def parts(self) -> str:
        """Return the text of a parts file whose initializer `gated` waits at this gate."""
        return _PARTS.format(address=self.address)

    def close(self, allowed: int) -> None:
        """Let so many more draws pass, and hold back the rest."""
        with self._lock:
            self.allowed = self._passed + allowed
            self.waiting.clear()

    def open(self) -> None:
        """Let all pass."""
        with self._lock:
            self.allowed = float("inf")

    def try_pass(self, worker: str) -> bool:
        """Let one more draw of a worker pass if one may; return whether it does."""
        with self._lock:
            if self._passed >= self.allowed:
                self.waiting.add(worker)
                return False
            self._passed += 1
            return True


@contextmanager
def running_gate(host: str) -> Iterator[Gate]:
    """Yield a gate that listens on a free port of `host`, an address that the workers reach."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if gate.try_pass(self.client_address[0]) else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True  # a worker that was cut off may hold its connection open
    gate = Gate(f"http://{host}:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        gate.open()
        server.shutdown()
        server.server_close()
        thread.join()
