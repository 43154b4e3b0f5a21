"""What this process's environment must hold before MLflow and Ray are imported."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_LOOPBACK = ("localhost", "127.0.0.1", "::1", "127.0.0.0/8")  # not every library knows networks
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_NO_PROXY = ("no_proxy", "NO_PROXY")  # some libraries read the one first, and gRPC knows no other


def prepare_environment() -> None:
    """Keep proxies away from this machine's own servers, and have a home folder."""
    _spare_loopback()
    _have_a_home()


def _spare_loopback() -> None:
    """Where a proxy is set, add this machine to what it is not asked for; what the user has put there stays."""
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES):
        return
    for name, other in (_NO_PROXY, _NO_PROXY[::-1]):
        spared = [host.strip() for host in (os.environ.get(name) or os.environ.get(other) or "").split(",")]
        if "*" not in spared:
            hosts = [host for host in spared if host]
            os.environ[name] = ",".join([*hosts, *(host for host in _LOOPBACK if host not in hosts)])


def _have_a_home() -> None:
    """A user id without a name has no home folder but HOME's, and MLflow can't be imported without one."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()
