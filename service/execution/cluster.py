"""Running shards: on Ray, or in this process by the same interface. The only module that imports Ray."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from experiments.data.datasets import Dataset
from experiments.errors import ClusterError
from service.execution.cores import available_cores
from service.execution.interrupts import shield_children_from_hang_up
from service.execution.plan import Shard
from service.execution.ray_folder import folder_for_ray
from service.execution.worker import TrainedShard, train_shard

_JOBS_ADDRESS = "http://127.0.0.1:8265"
_REACH_SECONDS = 5
_HEALTH_SECONDS = 9
_TASKS_IN_FLIGHT = 2  # a worker: one that it trains and one that waits, so that results don't pile up


class Pool(Protocol):
    """Trains shards; results come in the order in which they are done. `workers`: tasks at once."""

    @property
    def workers(self) -> int: ...

    def wait(self) -> None:
        """Return once it can train. Raises ClusterError where Ray can't be reached or started."""
        ...

    def release(self) -> None:
        """Nothing more is to be trained: what it holds is given back, in the background."""
        ...

    def run(self, shards: Sequence[Shard], dataset: Dataset) -> Generator[TrainedShard, None, None]:
        """Yield each shard's result. Raises ClusterError where a task is lost for good."""
        ...


class JobClient(Protocol):
    """Ray's Jobs API, as its own client offers it."""

    def submit_job(
        self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any], metadata: dict[str, str]
    ) -> str: ...

    def list_jobs(self) -> list[Any]: ...

    def get_job_logs(self, job_id: str) -> str: ...

    def stop_job(self, job_id: str) -> bool: ...

    def delete_job(self, job_id: str) -> bool: ...


class InlinePool:
    """Ray's twin in this process, for debugging: same interface, same numbers."""

    workers = 1

    def wait(self) -> None:
        pass

    def release(self) -> None:
        pass

    def run(self, shards: Sequence[Shard], dataset: Dataset) -> Generator[TrainedShard, None, None]:
        for shard in shards:
            yield train_shard(shard, dataset)


class RayPool:
    """Tasks on a Ray cluster, a bounded number at once.

    `connect` starts or reaches Ray and returns how many tasks may run at once. It runs in a thread, so that other work
    is done meanwhile. The thread stays until the pool is released: Ray's processes end with the thread that started
    them.
    """

    def __init__(self, connect: Callable[[], int]) -> None:
        self._connect = connect
        self._workers = 0
        self._error: ClusterError | None = None
        self._connected = threading.Event()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._live, name="ray", daemon=True)
        self._thread.start()

    @property
    def workers(self) -> int:
        self.wait()
        return self._workers

    def wait(self) -> None:
        self._connected.wait()
        if self._error is not None:
            raise self._error

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        """Release, and return once Ray has let go."""
        self.release()
        while self._thread.is_alive():
            self._thread.join(0.1)  # a join without end could not be interrupted

    def _live(self) -> None:
        import ray

        shield_children_from_hang_up()
        try:
            self._workers = self._connect()
        except ClusterError as error:
            self._error = error
        finally:
            self._connected.set()
        self._released.wait()
        ray.shutdown()

    def run(self, shards: Sequence[Shard], dataset: Dataset) -> Generator[TrainedShard, None, None]:
        import ray

        task = ray.remote(num_cpus=1, max_retries=3)(train_shard)
        shared = ray.put(dataset)
        waiting = iter(shards)
        running: dict[Any, Shard] = {}
        try:
            while True:
                for shard in waiting:
                    running[task.remote(shard, shared)] = shard
                    if len(running) >= _TASKS_IN_FLIGHT * self.workers:
                        break
                if not running:
                    return
                (done, *_), _ = ray.wait(list(running), num_returns=1)
                shard = running.pop(done)
                yield self._fetch(done, shard)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _fetch(self, reference: Any, shard: Shard) -> TrainedShard:
        import ray

        try:
            trained: TrainedShard = ray.get(reference)
        except ray.exceptions.RayError as error:
            first, last = shard.numbers[0], shard.numbers[-1]
            raise ClusterError(
                f"the task that trained trials {first} to {last} was lost: {error}\n"
                "Ray's logs are under session_latest/logs in its temporary folder (/tmp/ray) on each node"
            ) from None
        return trained


@contextmanager
def open_pool(*, inline: bool = False, address: str | None = None, workers: int | None = None) -> Iterator[Pool]:
    """A pool to train on: inline, on the cluster at `address` (or RAY_ADDRESS), or on a Ray of our own.

    `workers` bounds the tasks at once; by default every core. Ray starts while the block runs; the pool's `wait`
    raises ClusterError where it can't be reached.
    """
    if inline:
        yield InlinePool()
        return
    address = address or os.environ.get("RAY_ADDRESS")
    _set_up_environment(local=address is None)
    import ray  # noqa: F401 - here, because two threads that import the same modules may see them half made

    with nullcontext() if address else folder_for_ray() as folder:
        pool = RayPool(
            lambda: _attached(address, workers) if address else _started(workers or available_cores(), folder)
        )
        try:
            yield pool
        finally:
            pool.close()


def _attached(address: str, workers: int | None) -> int:
    """Join a Ray that runs already; returns how many tasks may run at once."""
    check_reachable(address)
    _init(f"reached at {address}", address=address)
    return workers or max(1, _cluster_cores())


def _started(workers: int, folder: Path | None) -> int:
    """Start a Ray on this machine; returns how many tasks may run at once. `folder`: for its sockets and logs."""
    place = {} if folder is None else {"_temp_dir": str(folder)}
    _init("started", address="local", num_cpus=workers, include_dashboard=False, **place)
    return workers


def _init(purpose: str, **options: Any) -> None:
    import ray

    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except Exception as error:
        raise ClusterError(f"Ray can't be {purpose}: {error}") from None


def _set_up_environment(*, local: bool) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if local:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray writes a token under HOME


def _cluster_cores() -> int:
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("CPU", 1))


def check_reachable(address: str) -> None:
    """Raise ClusterError, within 15 s, where no Ray listens: `ray.init` itself would try for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"{address!r} is no Ray address; write host:port, for example 127.0.0.1:6379, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"nobody listens at {address} ({error.strerror or error}): start Ray there with `ray start --head`, "
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
        raise ClusterError(
            f"something listens at {address}, but it does not answer as a Ray head of this version: check host and "
            "port (Ray's own is 6379, not the dashboard's 8265), and the token where the cluster asks for one"
        )


@contextmanager
def open_jobs(address: str | None = None, token: str | None = None) -> Iterator[JobClient]:
    """The Jobs API at `address`, a dashboard's http://host:port: else RAY_API_SERVER_ADDRESS, else this machine's.

    `token`: what the cluster asks for; else RAY_AUTH_TOKEN. Raises ClusterError where it can't be reached, refuses us,
    or fails meanwhile.
    """
    address, token = jobs_access(address, token)
    check_jobs(address, token)
    import requests

    _set_up_environment(local=False)
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # else RAY_ADDRESS would take its place
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.ERROR)

    try:
        client: JobClient = JobSubmissionClient(address, headers=_authorization(token))
        yield client
    except (RuntimeError, ConnectionError, requests.RequestException) as error:
        raise ClusterError(f"Ray's jobs at {address} failed: {str(error).strip().splitlines()[-1]}") from error


def jobs_access(address: str | None, token: str | None) -> tuple[str, str | None]:
    """Address and token as given, else as the environment says."""
    place = address or os.environ.get("RAY_API_SERVER_ADDRESS") or _JOBS_ADDRESS
    return place.rstrip("/"), token or os.environ.get("RAY_AUTH_TOKEN")


def _authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def check_jobs(address: str, token: str | None) -> dict[str, Any]:
    """What the Jobs API at `address` says of itself. Raises ClusterError where it does not answer, or refuses us."""
    if not address.startswith(("http://", "https://")):
        raise ClusterError(f"{address!r} is no address of Ray's jobs; write http://host:port, the dashboard's")
    import requests

    try:
        answer = requests.get(f"{address}/api/version", headers=_authorization(token), timeout=_REACH_SECONDS)
    except requests.RequestException:
        raise ClusterError(
            f"no Ray dashboard answers at {address}: bring the cluster up with `docker-compose up -d`, or name another "
            "with --jobs-address or RAY_API_SERVER_ADDRESS"
        ) from None
    if answer.status_code in (401, 403):
        what = "refused the token" if token else "asks for a token"
        raise ClusterError(
            f"the cluster at {address} {what}: set RAY_AUTH_TOKEN to the one in its .env, or give --token"
        )
    try:
        version: dict[str, Any] = answer.json()
        version["ray_version"]
    except (ValueError, KeyError, TypeError):
        raise ClusterError(f"what answers at {address} is no Ray dashboard: check host and port") from None
    return version


def cluster_nodes(address: str, token: str | None) -> list[dict[str, Any]]:
    """The cluster's living nodes, by its dashboard. Raises ClusterError."""
    import requests

    try:
        answer = requests.get(
            f"{address}/api/v0/nodes?detail=1", headers=_authorization(token), timeout=_HEALTH_SECONDS
        )
        nodes = answer.json()["data"]["result"]["result"]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        raise ClusterError(f"the Ray dashboard at {address} does not tell of its nodes") from None
    return [node for node in nodes if node.get("state") == "ALIVE"]
