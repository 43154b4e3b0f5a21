"""One small sweep, trained in this process and recorded once, which many tests read; and stores of every kind."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from experiments.spec import ResolvedSpec, load_spec
from service.cli import main
from service.execution.result import SweepResult
from service.recording.store import Store
from service.run import run_sweep
from tests.service.postgres import binaries, new_database, running_postgres
from tests.service.tracking import TrackingServer, running_server

SPEC = {
    "name": "small",
    "dataset": {"name": "moons", "samples": 40, "noise": 0.1},
    "model": {"hidden": [3]},
    "loss": "mean_squared_error",
    "steps": 20,
    "grid": {"activation": ["relu", "tanh"], "learning_rate": [0.1, 1e30], "seed": {"range": 3}},
    "record": {"points": 6},
}

LONG = {**SPEC, "name": "long", "steps": 200_000, "grid": {"activation": ["relu", "tanh"], "seed": {"range": 200}}}
"""400 trials that take some seconds, so that a test can stop the sweep half-way."""

TINY = {"name": "tiny", "dataset": {"name": "xor"}, "steps": 5, "grid": {"seed": {"range": 3}}}

MAX_SHARD_BYTES = 20_000
"""The most bytes of a request to the server with gradgrid's app: some forty of the tests' records."""


@dataclass(frozen=True)
class Recorded:
    """A finished sweep and the store that it is in."""

    uri: str
    resolved: ResolvedSpec
    result: SweepResult
    client: MlflowClient
    store: Store


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        resolved = load_spec(SPEC)
        result = run_sweep(resolved, tracking_uri=uri, inline=True)
        yield Recorded(uri, resolved, result, MlflowClient(uri), Store(uri))


def run_command(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def run_for_json(*arguments: str) -> Any:
    """Run the command with --json and return the values that it prints; it must succeed."""
    result = run_command(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def write_spec(folder: Path, spec: dict[str, Any]) -> str:
    """Write the spec into a file of its name, and return the path."""
    file = folder / f"{spec['name']}.yaml"
    file.write_text(json.dumps(spec), encoding="utf-8")  # JSON is YAML
    return str(file)


@pytest.fixture(scope="session")
def _new_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a new store. MLflow takes seconds to make one, in hundreds of small transactions."""
    path = tmp_path_factory.mktemp("new") / "mlflow.db"
    Store(f"sqlite:///{path}", create=True)
    return path.read_bytes()


@pytest.fixture
def uri(tmp_path: Path, _new_store: bytes) -> str:
    """A new, empty SQLite store."""
    path = tmp_path / "mlflow.db"
    path.write_bytes(_new_store)
    return f"sqlite:///{path}"


@pytest.fixture
def make_uri(tmp_path: Path, _new_store: bytes) -> Callable[[], str]:
    """A function that makes a new, empty SQLite store in a folder of its own."""
    numbers = itertools.count()

    def make() -> str:
        folder = tmp_path / f"store{next(numbers)}"
        folder.mkdir()
        (folder / "mlflow.db").write_bytes(_new_store)
        return f"sqlite:///{folder / 'mlflow.db'}"

    return make


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed; .ci/run installs it")
    with running_postgres() as server:
        yield server.address


@pytest.fixture
def make_postgres(_postgres_server: str) -> Callable[[], str]:
    """A function that makes a new database and returns its tracking URI."""
    return lambda: new_database(_postgres_server)


@pytest.fixture(scope="session")
def _postgres_store(_postgres_server: str) -> str:
    """A store made in another process: a database with a connection can't be copied."""
    uri = new_database(_postgres_server)
    script = f"from service.recording.store import Store; Store({uri!r}, create=True)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
    return uri


@pytest.fixture
def make_postgres_store(_postgres_store: str) -> Callable[[], str]:
    """A function that makes a new, empty store in PostgreSQL: a copy, because MLflow takes seconds to make one."""
    address, _, name = _postgres_store.rpartition("/")
    return lambda: new_database(address, name)


@pytest.fixture(scope="session")
def tracking_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """A real `mlflow server` on a new store."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def app_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """A real `mlflow server` with gradgrid's app, in two processes, on a new store. It takes small requests only."""
    settings = {"GRADGRID_MAX_SHARD_BYTES": str(MAX_SHARD_BYTES)}
    with running_server(tmp_path_factory.mktemp("app"), app=True, workers=2, settings=settings) as server:
        yield server
