"""`gradgrid dashboard` in another process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port


@dataclass(frozen=True)
class Dashboard:
    """A running dashboard. address: the one that it printed. base: host and port, as http://host:port."""

    address: str
    base: str


@contextmanager
def running_dashboard(
    uri: str, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Dashboard]:
    """Yield the dashboard of a store, once it has printed its address; its stderr is in `folder/dashboard.log`."""
    port = free_port()
    command = [sys.executable, "-m", "service.cli", "dashboard", *arguments, "--port", str(port)]
    log = folder / "dashboard.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--tracking-uri", uri],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, log.read_text(encoding="utf-8")
        yield Dashboard(address, f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
