"""Set environment variables that MLflow and Ray read when they are imported."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_LOOPBACK = ("localhost", "127.0.0.1", "::1", "127.0.0.0/8")  # not every library knows networks
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_OF_RECORDING = (
    *("MLFLOW_", "PG", "AWS_", "AZURE_", "GOOGLE_", "REQUESTS_CA_BUNDLE", "SSL_CERT_", "NO_PROXY", "no_proxy"),
    *_PROXIES,
    *(name.upper() for name in _PROXIES),
)
_OF_SERVERS = ("MLFLOW_AUTH_", "MLFLOW_FLASK_", "MLFLOW_BACKEND_STORE_URI")  # secrets that no client needs
_NO_PROXY = ("no_proxy", "NO_PROXY")  # libraries differ in which they read first; gRPC reads these two only


def prepare_environment() -> None:
    """Exclude this machine from proxies, and make sure that there is a home folder."""
    _spare_loopback()
    _have_a_home()


def recording_environment() -> dict[str, str]:
    """Return the variables from which MLflow, the databases and the artifact stores take credentials and the like."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_OF_RECORDING) and not name.startswith(_OF_SERVERS)
    }


def _spare_loopback() -> None:
    """If a proxy is set, add this machine to NO_PROXY. Hosts that the user has put there stay."""
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES):
        return
    for name, other in (_NO_PROXY, _NO_PROXY[::-1]):
        listed = [host.strip() for host in (os.environ.get(name) or os.environ.get(other) or "").split(",")]
        if "*" not in listed:
            hosts = [host for host in listed if host]
            os.environ[name] = ",".join([*hosts, *(host for host in _LOOPBACK if host not in hosts)])


def _have_a_home() -> None:
    """Set HOME if there is no home folder: MLflow can't be imported without one. A user id without a name has none."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()
