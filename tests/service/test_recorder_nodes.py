"""The nodes that may record die, or are not there: a sweep on a real Ray goes on, or ends with a message."""

from collections.abc import Callable
from typing import Any

import psutil
import pytest
import ray
from mlflow import MlflowClient

import service.execution.pipeline
from experiments.errors import StoreUnavailableError
from experiments.spec import load_spec
from service.execution.observer import NullObserver
from service.execution.result import SweepResult
from service.recording.store import Store
from service.run import run_sweep
from tests.service.tables import assert_same_trials
from tests.service.tracking import TrackingServer

pytestmark = pytest.mark.slow

_NODE: dict[str, Any] = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
_TRIALS = 40


def _spec(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "dataset": {"name": "moons", "samples": 40},
        "steps": 20,
        "grid": {"learning_rate": [0.1, 1e30], "seed": {"range": _TRIALS // 2}},
        "record": {"points": 3},
    }


def _run(name: str, server: TrackingServer, **options: Any) -> SweepResult:
    return run_sweep(load_spec(_spec(name)), tracking_uri=server.uri, shard_size=10, **options)


def _check(server: TrackingServer, result: SweepResult) -> None:
    """Check that every trial is there exactly once, with the bits of a sweep without Ray."""
    expected = run_sweep(load_spec(_spec("undisturbed")), tracking_uri="sqlite:///undisturbed.db", inline=True)
    assert_same_trials(result.table, expected.table)
    runs = MlflowClient(server.uri).search_runs([Store(server.uri).find_sweep(result.sweep).experiment_id])
    assert sorted(run.data.tags["gradgrid.trial"] for run in runs) == sorted(expected.table["trial"])


class _Watcher(NullObserver):
    """Notes what it hears, and does something as soon as a shard is recorded."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.recorded, self.reasons = 0, list[str]()
        self._act = act

    def advance(self, trials: int, best: float | None) -> None:
        if self.recorded == 0:
            self._act()
        self.recorded += trials

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        self.reasons.append(why)


def test_a_sweep_whose_only_recorder_node_dies_goes_on_where_the_driver_runs(tracking_server: TrackingServer) -> None:
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **_NODE})
    try:
        node = cluster.add_node(num_cpus=0, resources={"recorder": 1}, **_NODE)
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)

        def kill() -> None:
            assert any("ray::ShardRecorder" in " ".join(p.cmdline()) for p in raylet.children(recursive=True))
            cluster.remove_node(node, allow_graceful=False)

        watcher = _Watcher(kill)
        result = _run("dies", tracking_server, address=cluster.address, observer=watcher)
    finally:
        cluster.shutdown()
    assert watcher.recorded == _TRIALS
    _check(tracking_server, result)


def _pretend_a_recorder_node(monkeypatch: pytest.MonkeyPatch, looks: float) -> None:
    """Let Ray list a node that may record, as it does for a while when it is dead, at the first looks."""
    listed: Any = ray.cluster_resources
    count = 0

    def resources() -> dict[str, float]:
        nonlocal count
        count += 1
        return {**listed(), **({"recorder": 1.0} if count <= looks else {})}

    monkeypatch.setattr(ray, "cluster_resources", resources)
    monkeypatch.setattr(service.execution.pipeline, "_START_SECONDS", 1.0)


def test_a_recorder_that_waits_for_a_dead_node_is_started_elsewhere(
    tracking_server: TrackingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_a_recorder_node(monkeypatch, looks=2)
    watcher = _Watcher()
    result = _run("elsewhere", tracking_server, workers=1, observer=watcher)
    assert "does not start on a node with the resource `recorder`" in watcher.reasons[0]
    assert watcher.recorded == _TRIALS
    _check(tracking_server, result)


def test_a_sweep_for_which_no_recorder_starts_ends_and_is_resumed(
    tracking_server: TrackingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _pretend_a_recorder_node(patched, looks=float("inf"))
        with pytest.raises(StoreUnavailableError, match=r"(?s)does not start.*gave up.*gradgrid resume") as raised:
            _run("ends", tracking_server, workers=1, store_timeout=1.0)
        assert "see Ray's logs" in str(raised.value)
    (sweep,) = [sweep for sweep in Store(tracking_server.uri).sweeps() if sweep.spec == "ends"]
    _check(tracking_server, _run("ends", tracking_server, workers=1, resume=sweep.sweep))
