"""Train and record on Ray. Only this module imports Ray."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from experiments.data.datasets import Dataset
from experiments.errors import ClusterError
from experiments.sections import EarlyStoppingSpec
from service.execution.cores import available_cores
from service.execution.interrupts import shield_children_from_hang_up
from service.execution.local_pool import InlinePool, ThreadPool
from service.execution.pool import Handle, Pool, RecorderHandle, RecorderLostError
from service.execution.ray_folder import folder_for_ray
from service.execution.reach import check_reachable
from service.execution.shard import Shard
from service.execution.shard_recorder import ShardRecorder, ShardRecorderRecipe
from service.execution.shard_tables import TableSettings, train_tables
from service.execution.worker import screened

_JOBS_ADDRESS = "http://127.0.0.1:8265"
_REACH_SECONDS = 5
_NODES_SECONDS = 9
_TASKS_A_WORKER = 2  # one trains, one waits. More would pile up results
_RECORDER_RESOURCE = "recorder"
_CLOSE_SECONDS = 5
_LOGS = "see Ray's logs on each node: session_latest/logs in its temporary folder, /tmp/ray"


class JobClient(Protocol):
    """The part of Ray's job client that is used here."""

    def submit_job(
        self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any], metadata: dict[str, str]
    ) -> str: ...

    def list_jobs(self) -> list[Any]: ...

    def get_job_logs(self, job_id: str) -> str: ...

    def stop_job(self, job_id: str) -> bool: ...

    def delete_job(self, job_id: str) -> bool: ...


class RayPool:
    """Trains and records on a Ray cluster.

    connect: starts or reaches Ray, and returns how many tasks may run at once. It runs in a thread of its own, so that
    the caller can work meanwhile. The thread lives until the pool is released, because Ray's processes end with the
    thread that started them.
    """

    spare_bytes = 2**32  # Ray moves what does not fit into its memory to the disk

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

    @property
    def tasks_at_once(self) -> int:
        return _TASKS_A_WORKER * self.workers

    def release(self) -> None:
        gc.collect()  # Ray ends the process if a handle is freed while it shuts down in the other thread
        self._released.set()

    def close(self) -> None:
        """Release the pool, and wait until Ray has shut down."""
        self.release()
        while self._thread.is_alive():
            self._thread.join(0.1)  # a join without a limit could not be interrupted

    def _live(self) -> None:
        import ray

        shield_children_from_hang_up()
        try:
            self._workers = self._connect()
        except ClusterError as error:
            self._error = error
        except Exception as error:
            self._error = ClusterError(f"Ray can't be reached or started: {error}")
        finally:
            self._connected.set()
        self._released.wait()
        ray.shutdown()  # it ends the tasks. Ray's cancel may end this process, if a task ends at that moment

    def share(self, datasets: Sequence[Dataset]) -> Handle:
        import ray

        return ray.put(datasets)

    def train(self, shard: Shard, datasets: Handle, settings: TableSettings) -> tuple[Handle, Handle]:
        summary, tables = self._task.remote(shard, datasets, settings)
        return summary, tables

    @cached_property
    def _task(self) -> Any:
        """`train_tables` as a function of Ray's. Ray keeps each that is made, so it is made once."""
        import ray

        return ray.remote(num_cpus=1, max_retries=3, num_returns=2)(train_tables)

    def screen(self, shard: Shard, datasets: Handle, metric: str, rule: EarlyStoppingSpec | None) -> Handle:
        return self._screen.remote(shard, datasets, metric, rule)

    @cached_property
    def _screen(self) -> Any:
        """`screened` as a function of Ray's."""
        import ray

        return ray.remote(num_cpus=1, max_retries=3)(screened)

    def open_recorder(self, recipe: ShardRecorderRecipe) -> RecorderHandle:
        return _RayRecorder(recipe)

    def first_done(self, handles: Collection[Handle], seconds: float | None) -> Handle | None:
        import ray

        done, _ = ray.wait(list(handles), num_returns=1, timeout=seconds, fetch_local=False)
        return done[0] if done else None

    def fetch(self, handle: Handle) -> Any:
        import ray

        try:
            return ray.get(handle)
        except (ray.exceptions.ActorDiedError, ray.exceptions.ActorUnavailableError) as error:
            raise RecorderLostError(
                f"the process that records trials has ended, {_LOGS}: {str(error).strip().splitlines()[0]}"
            ) from None
        except ray.exceptions.RayError as error:
            raise ClusterError(f"a task that trained trials was lost: {error}\n{_LOGS}") from None


class _RayRecorder:
    """A recorder in a process of its own, where the store can be reached.

    That is a node with the resource `recorder`; the driver's node if no node has it, or if the store is in its files.
    The process costs no core of those that train: mostly it waits for the store.
    """

    def __init__(self, recipe: ShardRecorderRecipe) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0}
        self._anywhere = not recipe.is_local and _has_recorder_nodes()
        if self._anywhere:
            options["resources"] = {_RECORDER_RESOURCE: 0.001}
        else:
            here = ray.get_runtime_context().get_node_id()
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(here, soft=False)
        actor: Any = ray.remote(**options)(ShardRecorder).remote(recipe, elsewhere=True)
        self._actor = actor
        self._ready: Handle = actor.__ray_ready__.remote()

    def started(self) -> Handle:
        return self._ready

    @property
    def stranded(self) -> bool:
        return self._anywhere and not _has_recorder_nodes()

    @property
    def delay(self) -> str:
        place = f"a node with the resource `{_RECORDER_RESOURCE}`" if self._anywhere else "the driver's node"
        return f"the process that records trials does not start on {place}: check that node, and {_LOGS}"

    def record(self, tables: Handle, first: int, count: int, again: bool) -> Handle:
        return self._actor.record.remote(tables, first, count, again=again)

    def finish(self) -> Handle:
        return self._actor.finish.remote()

    def close(self) -> None:
        import ray

        if ray.wait([self._ready], timeout=0)[0]:
            with suppress(ray.exceptions.RayError):  # it may have ended
                ray.get(self._actor.close.remote(), timeout=_CLOSE_SECONDS)  # so that SQLite empties its log
        ray.kill(self._actor)


def _has_recorder_nodes() -> bool:
    import ray

    return _RECORDER_RESOURCE in ray.cluster_resources()  # type: ignore[no-untyped-call]


@contextmanager
def open_pool(
    *, inline: bool = False, here: bool = False, address: str | None = None, workers: int | None = None
) -> Iterator[Pool]:
    """Open a pool, and close it when the block ends.

    inline: train in this process and in the caller's thread, without Ray.
    here: train in threads of this process, without Ray.
    address: of the Ray cluster; else RAY_ADDRESS, else start Ray on this machine.
    workers: how many tasks run at once; by default one a core.
    Ray starts while the block runs. The pool's `wait` raises ClusterError if Ray can't be reached.
    """
    if inline:
        yield InlinePool()
        return
    if here:
        threads = ThreadPool(available_cores())
        try:
            yield threads
        finally:
            threads.release()
        return
    address = address or os.environ.get("RAY_ADDRESS")
    _set_up_environment(local=address is None)
    import ray  # noqa: F401 - here: of two threads that import it at once, one may see it half initialised

    with nullcontext() if address else folder_for_ray() as folder:
        pool = RayPool(
            lambda: _join_ray(address, workers) if address else _start_ray(workers or available_cores(), folder)
        )
        try:
            yield pool
        finally:
            pool.close()


def _join_ray(address: str, workers: int | None) -> int:
    """Join a running Ray; return how many tasks may run at once."""
    check_reachable(address)
    _init(f"reached at {address}", address=address)
    return workers or max(1, _cluster_cores())


def _start_ray(workers: int, folder: Path | None) -> int:
    """Start Ray on this machine; return how many tasks may run at once. folder: for its sockets and logs."""
    options = {} if folder is None else {"_temp_dir": str(folder)}
    _init("started", address="local", num_cpus=workers, include_dashboard=False, **options)
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


@contextmanager
def open_jobs(address: str | None = None, token: str | None = None) -> Iterator[JobClient]:
    """Open Ray's Jobs API.

    address: of the dashboard, http://host:port; else RAY_API_SERVER_ADDRESS, else this machine's.
    token: the cluster's; else RAY_AUTH_TOKEN.
    Raises ClusterError if the API can't be reached, refuses the token, or fails while the block runs.
    """
    address, token = jobs_access(address, token)
    check_jobs(address, token)
    import requests

    _set_up_environment(local=False)
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # else Ray would take RAY_ADDRESS
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.ERROR)

    try:
        client: JobClient = JobSubmissionClient(address, headers=_authorization(token))
        yield client
    except (RuntimeError, ConnectionError, requests.RequestException) as error:
        raise ClusterError(f"Ray's jobs at {address} failed: {str(error).strip().splitlines()[-1]}") from error


def jobs_access(address: str | None, token: str | None) -> tuple[str, str | None]:
    """Return address and token of the Jobs API: the arguments, else the environment's."""
    address = address or os.environ.get("RAY_API_SERVER_ADDRESS") or _JOBS_ADDRESS
    return address.rstrip("/"), token or os.environ.get("RAY_AUTH_TOKEN")


def _authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def check_jobs(address: str, token: str | None) -> dict[str, Any]:
    """Return the version of the Jobs API at `address`. Raises ClusterError if it does not answer, or refuses."""
    if not address.startswith(("http://", "https://")):
        raise ClusterError(f"{address!r} is not the address of a Ray dashboard: write http://host:port")
    import requests

    try:
        answer = requests.get(f"{address}/api/version", headers=_authorization(token), timeout=_REACH_SECONDS)
    except requests.RequestException:
        raise ClusterError(
            f"no Ray dashboard answers at {address}: start the cluster with `docker-compose up -d`, or give another "
            "address with --jobs-address or RAY_API_SERVER_ADDRESS"
        ) from None
    if answer.status_code in (401, 403):
        reason = "refused the token" if token else "asks for a token"
        raise ClusterError(
            f"the cluster at {address} {reason}: set RAY_AUTH_TOKEN to the one in its .env, or give --token"
        )
    try:
        version: dict[str, Any] = answer.json()
        version["ray_version"]
    except (ValueError, KeyError, TypeError):
        raise ClusterError(f"the server at {address} is not a Ray dashboard: check host and port") from None
    return version


def cluster_nodes(address: str, token: str | None) -> list[dict[str, Any]]:
    """Return the cluster's living nodes, as its dashboard lists them. Raises ClusterError."""
    import requests

    try:
        answer = requests.get(f"{address}/api/v0/nodes?detail=1", headers=_authorization(token), timeout=_NODES_SECONDS)
        nodes = answer.json()["data"]["result"]["result"]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        raise ClusterError(
            f"the Ray dashboard at {address} does not list its nodes: check that its Ray version is this one's"
        ) from None
    return [node for node in nodes if node.get("state") == "ALIVE"]
