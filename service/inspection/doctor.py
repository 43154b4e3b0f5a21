"""Checks that everything a sweep needs is there and works."""

from __future__ import annotations

import math
import platform
import sys
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from experiments.errors import GradgridError

_PACKAGES = ("gradgrid", "numpy", "llvmlite", "ray", "mlflow", "click")
_OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    subject: what was checked.
    ok: whether it works.
    detail: its version, its address or its error.
    remedy: what to do if it does not work; else empty.
    """

    subject: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(tracking_uri: str | None, address: str | None) -> list[Finding]:
    """Check this machine, the store and Ray. A failed check is a finding, not an error.

    tracking_uri: the store; None for the default. address: a running Ray to connect to; None to start one.
    """
    return [_python(), *map(_package, _PACKAGES), _kernels(), _cores(), _store(tracking_uri), _ray(address)]


def examine_cluster(tracking_uri: str | None, jobs_address: str | None, token: str | None) -> list[Finding]:
    """Check a cluster from outside: its jobs, its nodes, its store.

    tracking_uri: the store; None for the default. jobs_address, token: the cluster's Ray dashboard and its token;
    None for those of the environment.
    """
    return [*map(_package, _PACKAGES), *_jobs(jobs_address, token), _store(tracking_uri)]


def _jobs(address: str | None, token: str | None) -> list[Finding]:
    from service.execution.cluster import check_jobs, cluster_nodes, jobs_access

    address, token = jobs_access(address, token)
    try:
        cluster_version = str(check_jobs(address, token)["ray_version"])
        nodes = cluster_nodes(address, token)
    except GradgridError as error:
        return [_failed("jobs", error)]
    same = metadata.version("ray") == cluster_version
    remedy = "" if same else f"pip install ray=={cluster_version}"
    jobs = Finding("jobs", same, f"{address} answers, Ray {cluster_version}", remedy)
    cores = [int((node.get("resources_total") or {}).get("CPU", 0)) for node in nodes]
    working = sum(count > 0 for count in cores)
    detail = f"{working} that train{'' if working != 1 else 's'}, {sum(cores)} cores in all"
    remedy = "" if working else "docker-compose up -d --scale ray-worker=2"
    return [jobs, Finding("workers", working > 0, detail, remedy)]


def _python() -> Finding:
    recent = sys.version_info >= _OLDEST_PYTHON
    return Finding("python", recent, platform.python_version(), "" if recent else "install Python 3.11 or newer")


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", f"pip install {name}")


def _kernels() -> Finding:
    """Train a neuron with both kernels and compare the losses."""
    from engine import KERNELS, LOSSES, MLP, OPTIMIZERS, Samples, initial_weights, target_description, trace_step, train

    widths = (2, 1)
    program = trace_step(MLP(widths), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=2, targets=1)
    start, rate = initial_weights(widths, "lecun_normal", 0)[None], {"learning_rate": np.array([0.1])}
    samples = Samples(np.array([[0.0, 1.0], [1.0, 0.5]]), np.array([[1.0], [0.0]]))
    try:
        losses = [train(program, start, rate, samples, steps=10, kernel=k).final("loss")[0] for k in KERNELS]
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("kernels", False, str(error), "pip install --force-reinstall llvmlite, or set kernel: reference")
    same = math.isclose(*losses, rel_tol=1e-9)
    remedy = "" if same else "they differ; set kernel: reference, and report it"
    return Finding("kernels", same, target_description(), remedy)


def _cores() -> Finding:
    from service.execution.cores import available_cores

    cores = available_cores()
    return Finding("cores", True, f"{cores} for the sweep's workers")


def _store(tracking_uri: str | None) -> Finding:
    from service.recording.connection import resolve, sqlite_path
    from service.recording.redaction import without_passwords
    from service.recording.sqlite_files import check_writable
    from service.recording.store import Store

    uri = resolve(tracking_uri)
    path = sqlite_path(uri)
    if path and not path.exists() and path.parent.is_dir():
        return Finding("store", True, f"{without_passwords(uri)}: not there yet; the first sweep creates it")
    try:
        sweeps = len(Store(tracking_uri, direct=False).sweeps())
        if path:
            check_writable(path)
    except GradgridError as error:
        return _failed("store", error)
    return Finding("store", True, f"{without_passwords(uri)}: {sweeps} sweep{'' if sweeps == 1 else 's'}")


def _ray(address: str | None) -> Finding:
    from service.execution.cluster import open_pool

    try:
        with open_pool(address=address) as pool:
            workers = pool.workers
    except GradgridError as error:
        return _failed("ray", error)
    where = f"reached at {address}" if address else "starts on this machine"
    return Finding("ray", True, f"{where}, {workers} worker{'' if workers == 1 else 's'}")


def _failed(subject: str, error: GradgridError) -> Finding:
    """Return the finding of an error. Its message ends in a colon and what to do."""
    detail, _, remedy = str(error).rpartition(": ")
    return Finding(subject, False, detail or str(error), remedy if detail else "")
