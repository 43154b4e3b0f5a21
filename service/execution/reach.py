"""Check that a Ray head listens at an address, before Ray is asked: it would try for minutes."""

from __future__ import annotations

import socket
import subprocess
import sys

from experiments.errors import ClusterError

_REACH_SECONDS = 5
_HEALTH_SECONDS = 60  # a second on an idle machine; a busy one takes long to start the check


def check_reachable(address: str) -> None:
    """Raise ClusterError if no Ray listens at the address. `ray.init` itself would try for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"{address!r} is not a Ray address: write host:port, for example 127.0.0.1:6379, or auto")
    try:
        with socket.create_connection((host, int(port)), timeout=_REACH_SECONDS) as connection:
            if _speaks_http(connection, host):
                raise ClusterError(_not_ray(address))
    except OSError as error:
        raise ClusterError(
            f"nothing listens at {address} ({error.strerror or error}): start Ray there with `ray start --head`, "
            "or leave --address out to train on this machine"
        ) from None
    if not address.startswith("ray://"):
        _check_health(address)


def _check_health(address: str) -> None:
    command = [
        sys.executable,
        "-c",
        "from ray.scripts.scripts import main; main()",
        "health-check",
        "--address",
        address,
    ]
    try:
        healthy = subprocess.run(command, capture_output=True, timeout=_HEALTH_SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        healthy = False
    if not healthy:
        raise ClusterError(_not_ray(address))


def _speaks_http(connection: socket.socket, host: str) -> bool:
    """Return whether a server answers a request of HTTP/1. Ray's dashboard does; a Ray head speaks gRPC."""
    try:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def _not_ray(address: str) -> str:
    return (
        f"the server at {address} does not answer as a Ray head of this version: check host and port (Ray's own is "
        "6379, not the dashboard's 8265), and the token if the cluster asks for one"
    )
