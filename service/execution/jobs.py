"""Sweeps as jobs of a Ray cluster: submitted, watched and cancelled from outside it, through Ray's Jobs API."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine import ENGINE_VERSION
from experiments.errors import ClusterError, NotFoundError, SpecError
from experiments.spec import Sweepable
from service.execution.cluster import JobClient
from service.recording.tags import Tag

JOB_VARIABLE = "GRADGRID_JOB"
"""In a job, its id: what its sweep is found again by."""

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")

_POLL_SECONDS = 0.5
_MAX_BYTES = 500 * 2**20  # what Ray takes of a working folder


@dataclass(frozen=True)
class Job:
    """A job as Ray knows it. Times in milliseconds since 1970, 0 where there is none yet."""

    id: str
    status: str
    message: str
    spec: str
    start_time: int
    end_time: int

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Jobs:
    """The jobs of one cluster. Raises ClusterError where Ray does not answer, or no more."""

    def __init__(self, client: JobClient) -> None:
        self._client = client

    def submit(self, sweepable: Sweepable, options: Sequence[str] = (), *, again: str = "") -> tuple[Job, bool]:
        """Have a sweep run; returns its job, and whether it is new.

        The id is that of the spec and its data, and of `again`. So what was submitted already is not run twice; but a
        job that failed, was cancelled or was lost with its cluster runs anew under its id, and goes on with its sweep.
        """
        with _package(sweepable) as folder:
            identity = _identity(sweepable, folder, options, again)
            known = {job.id: job for job in self.all()}.get(identity)
            if known is not None and known.status not in ("FAILED", "STOPPED"):
                return known, False
            if known is not None:
                self._client.delete_job(identity)
            file = shlex.quote(f"{sweepable.spec.name}.yaml")
            self._client.submit_job(
                # exec: what stops the job stops the sweep, not a shell around it
                entrypoint=" ".join([f"exec gradgrid sweep {file}", *map(shlex.quote, options)]),
                submission_id=identity,
                runtime_env={"working_dir": str(folder), "env_vars": {JOB_VARIABLE: identity}},
                metadata={Tag.SPEC: sweepable.spec.name},
            )
        return self.find(identity), True

    def all(self) -> list[Job]:
        """Every sweep that was submitted, newest first."""
        jobs = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted((job for job in jobs if job.spec), key=lambda job: job.start_time, reverse=True)

    def find(self, name: str) -> Job:
        """The job of this id, the beginning of it, or the newest of a spec. Raises NotFoundError."""
        jobs = self.all()
        exact = [job for job in jobs if name == job.id] or [job for job in jobs if name == job.spec][:1]
        begun = exact or [job for job in jobs if job.id.startswith(name)]
        if len(begun) == 1:
            return begun[0]
        if begun:
            raise NotFoundError(f"{len(begun)} jobs begin with {name!r}: {', '.join(job.id for job in begun[:5])}")
        raise NotFoundError(f"the cluster has no job {name!r}; `gradgrid list --jobs` shows those that it has")

    def logs(self, job: Job) -> str:
        """What the job has said so far."""
        return str(self._client.get_job_logs(job.id))

    def follow(self, job: Job) -> Iterator[str]:
        """What the job has said, and says until it ends."""
        told = 0
        while True:
            ended = self.find(job.id).ended  # asked before the logs, so that none of them is missed
            text = self.logs(job)
            if len(text) > told:
                yield text[told:]
                told = len(text)
            if ended:
                return
            time.sleep(_POLL_SECONDS)

    def cancel(self, job: Job, seconds: float = 60.0) -> Job:
        """Stop a job as Ctrl-C does, and wait until it has stopped; what was recorded stays."""
        if not job.ended:
            self._client.stop_job(job.id)
        deadline = time.monotonic() + seconds
        while not (job := self.find(job.id)).ended:
            if time.monotonic() > deadline:
                raise ClusterError(f"the job {job.id} has not stopped within {seconds:.0f} s; see `gradgrid status`")
            time.sleep(_POLL_SECONDS)
        return job


def _job(details: Any) -> Job:
    return Job(
        id=str(details.submission_id),
        status=str(details.status.value),
        message=str(details.message or ""),
        spec=str((details.metadata or {}).get(Tag.SPEC, "")),
        start_time=int(details.start_time or 0),
        end_time=int(details.end_time or 0),
    )


@contextmanager
def _package(sweepable: Sweepable) -> Iterator[Path]:
    """A folder with the spec, its data file and its parts: all that a job needs of this machine."""
    spec = dict(sweepable.source.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sweep"
        folder.mkdir()
        path = sweepable.spec.dataset.path
        if path is not None:
            data = sweepable.source.folder / path
            if data.stat().st_size > _MAX_BYTES:
                raise SpecError(
                    f"{sweepable.source.place(('dataset', 'path'))}: dataset.path: {path} is larger than "
                    f"{_MAX_BYTES >> 20} MiB, which is what Ray sends along; put it on the cluster, and run "
                    "`gradgrid sweep` there"
                )
            shutil.copyfile(data, folder / data.name)
            spec["dataset"] = {**spec["dataset"], "path": data.name}
        if sweepable.parts.text:
            (folder / sweepable.parts.origin).write_text(sweepable.parts.text, encoding="utf-8")
            spec["parts"] = sweepable.parts.origin
        text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
        (folder / f"{sweepable.spec.name}.yaml").write_text(text, encoding="utf-8")
        yield folder


def _identity(sweepable: Sweepable, folder: Path, options: Sequence[str], again: str) -> str:
    digest = hashlib.sha256(json.dumps([ENGINE_VERSION, list(options), again]).encode())
    for file in sorted(folder.iterdir()):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{sweepable.spec.name}-{digest.hexdigest()[:12]}"
