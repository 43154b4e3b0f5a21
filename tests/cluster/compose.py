"""The cluster of docker-compose.yml, under a project name and secrets for the tests, on free ports."""

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
PROJECT = "gradgridtest"
PASSWORD = "a-long-password-of-the-tests"


def compose_command() -> list[str] | None:
    """Return the words that call docker-compose or Compose v2; None without a Docker Engine."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return None
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    return ["docker", "compose"]


@dataclass
class Cluster:
    """A running cluster, and the command that uses it from this machine."""

    folder: Path
    compose: Sequence[str]
    token: str = "a-token-of-the-tests"
    mlflow_port: int = field(default_factory=free_port)
    ray_port: int = field(default_factory=free_port)

    @property
    def mlflow(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def ray(self) -> str:
        return f"http://127.0.0.1:{self.ray_port}"

    def write_secrets(self, *, auth: bool = False) -> None:
        lines = [
            "POSTGRES_PASSWORD=a-secret-of-the-tests",
            f"RAY_AUTH_TOKEN={self.token}",
            f"MLFLOW_AUTH_ADMIN_PASSWORD={PASSWORD if auth else ''}",
            "MLFLOW_FLASK_SERVER_SECRET_KEY=another-secret-of-the-tests",
            f"MLFLOW_PORT={self.mlflow_port}",
            f"RAY_PORT={self.ray_port}",
        ]
        (self.folder / ".env").write_text("\n".join(lines), encoding="utf-8")

    @property
    def _prefix(self) -> list[str]:
        return [*self.compose, "-p", PROJECT, "--env-file", str(self.folder / ".env")]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a Compose command."""
        command = [*self._prefix, *arguments]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_", "POSTGRES_"))}
        done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done

    def shell(self, arguments: str) -> None:
        """Run a Compose command with a shell's redirections, in the cluster's folder."""
        prefix = shlex.join([*self._prefix, "-f", str(ROOT / "docker-compose.yml")])
        subprocess.run(["sh", "-c", f"{prefix} {arguments}"], cwd=self.folder, check=True, capture_output=True)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, the oldest first."""
        found = self.run("ps", "-q", service).stdout.split()
        return sorted(found, key=lambda c: str(self.inspect(c)["Created"]))

    def inspect(self, container: str) -> dict[str, Any]:
        text = subprocess.run(["docker", "inspect", container], capture_output=True, text=True, check=True).stdout
        (found,) = json.loads(text)
        return dict(found)

    @property
    def gateway(self) -> str:
        """The address at which containers reach this machine."""
        command = ["docker", "network", "inspect", f"{PROJECT}_cluster"]
        (network,) = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return str(network["IPAM"]["Config"][0]["Gateway"])

    def wait_until_healthy(self, seconds: float = 300) -> None:
        """Wait until every container is healthy. Raises AssertionError with their last words."""
        deadline = time.monotonic() + seconds
        states: dict[str, str] = {}
        while time.monotonic() < deadline:
            containers = [self.inspect(c) for c in self.run("ps", "-q").stdout.split()]
            states = {str(c["Name"]): str(c["State"].get("Health", {}).get("Status")) for c in containers}
            if states and set(states.values()) == {"healthy"}:
                return
            time.sleep(0.5)
        raise AssertionError(f"not healthy within {seconds} s: {states}\n{self.run('logs', '--tail=40').stdout}")

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment of a user outside the cluster."""
        settings = {
            "RAY_API_SERVER_ADDRESS": self.ray,
            "RAY_AUTH_TOKEN": self.token,
            "MLFLOW_TRACKING_URI": self.mlflow,
        }
        return {**os.environ, **settings, **changes}


@contextmanager
def running_cluster(folder: Path, workers: int) -> Iterator[Cluster]:
    """Yield a new cluster whose containers are healthy; remove it in the end."""
    compose = compose_command()
    assert compose is not None
    cluster = Cluster(folder, compose)
    cluster.write_secrets()
    cluster.run("build")
    _remove(cluster)  # an earlier one, whose tests were killed
    try:
        cluster.run("up", "-d", "--scale", f"ray-worker={workers}")
        cluster.wait_until_healthy()
        yield cluster
    finally:
        _remove(cluster)


def _remove(cluster: Cluster) -> None:
    """Remove the cluster's containers, networks and volumes."""
    cluster.run("--profile", "launcher", "down", "-v", "--remove-orphans", "-t", "2", check=False)


MARKS = [pytest.mark.cluster, pytest.mark.skipif(compose_command() is None, reason="there is no Docker Engine")]
"""The marks of the tests that need the cluster."""
