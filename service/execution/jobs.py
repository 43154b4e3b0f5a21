"""Submit, watch and cancel sweeps as jobs of a Ray cluster, through Ray's Jobs API."""

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
from experiments.spec import ResolvedSpec
from service.execution.cluster import JobClient
from service.recording.tags import Tag

JOB_VARIABLE = "GRADGRID_JOB"
"""The variable that holds the job's id inside a job. A job that runs again finds its sweep by it."""

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")

_POLL_SECONDS = 0.5
_MAX_BYTES = 500 * 2**20  # Ray takes no larger working folder


@dataclass(frozen=True)
class Job:
    """A job of a Ray cluster.

    id: Ray's submission id.
    status: Ray's, such as RUNNING or SUCCEEDED.
    message: Ray's words about the status.
    spec: the sweep's name.
    start_time, end_time: milliseconds since 1970; 0 while there is none.
    """

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
    """The jobs of one cluster. Raises ClusterError if Ray does not answer."""

    def __init__(self, client: JobClient) -> None:
        self._client = client

    def submit(self, resolved: ResolvedSpec, options: Sequence[str] = (), *, again: str = "") -> tuple[Job, bool]:
        """Submit a sweep; return its job, and whether it is new.

        options: of `gradgrid sweep`, for the job.
        again: a word that makes another job of the same sweep.
        The job's id is a digest of spec, data, options and `again`, so that a sweep is not run twice. A job that failed
        or was cancelled runs again under its id, and resumes its sweep.
        """
        with _package(resolved) as folder:
            identity = _identity(resolved, folder, options, again)
            earlier = {job.id: job for job in self.all()}.get(identity)
            if earlier is not None and earlier.status not in ("FAILED", "STOPPED"):
                return earlier, False
            if earlier is not None:
                self._client.delete_job(identity)
            file = shlex.quote(f"{resolved.spec.name}.yaml")
            self._client.submit_job(
                # exec: the signal that stops the job reaches the sweep, not a shell around it
                entrypoint=" ".join([f"exec gradgrid sweep {file}", *map(shlex.quote, options)]),
                submission_id=identity,
                runtime_env={"working_dir": str(folder), "env_vars": {JOB_VARIABLE: identity}},
                metadata={Tag.SPEC: resolved.spec.name},
            )
        return self.find(identity), True

    def all(self) -> list[Job]:
        """Return the job of every submitted sweep, newest first."""
        jobs = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted((job for job in jobs if job.spec), key=lambda job: job.start_time, reverse=True)

    def find(self, name: str) -> Job:
        """Return the job with this id, or this beginning of an id, or the newest of this spec. Raises NotFoundError."""
        jobs = self.all()
        exact = [job for job in jobs if name == job.id] or [job for job in jobs if name == job.spec][:1]
        matches = exact or [job for job in jobs if job.id.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            ids = ", ".join(job.id for job in matches[:5])
            raise NotFoundError(f"{len(matches)} jobs begin with {name!r}: {ids}; give more of the id")
        raise NotFoundError(f"the cluster has no job {name!r}: `gradgrid list --jobs` shows its jobs")

    def logs(self, job: Job) -> str:
        """Return the job's output so far."""
        return str(self._client.get_job_logs(job.id))

    def follow(self, job: Job) -> Iterator[str]:
        """Yield the job's output until the job ends."""
        length = 0
        while True:
            ended = self.find(job.id).ended  # before the logs, so that none is missed
            text = self.logs(job)
            if len(text) > length:
                yield text[length:]
                length = len(text)
            if ended:
                return
            time.sleep(_POLL_SECONDS)

    def cancel(self, job: Job, seconds: float = 60.0) -> Job:
        """Stop a job as Ctrl-C does; return it once it has stopped. Recorded trials stay."""
        if not job.ended:
            self._client.stop_job(job.id)
        deadline = time.monotonic() + seconds
        while not (job := self.find(job.id)).ended:
            if time.monotonic() > deadline:
                raise ClusterError(f"the job {job.id} has not stopped within {seconds:.0f} s: see `gradgrid status`")
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
def _package(resolved: ResolvedSpec) -> Iterator[Path]:
    """Make a temporary folder with the spec, its data files and its parts, which Ray sends to the job."""
    spec = dict(resolved.source.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sweep"
        folder.mkdir()
        for key, copied in _copied_data(resolved, folder):
            spec["dataset"] = {**spec["dataset"], key: copied}
        if resolved.parts.text:
            (folder / resolved.parts.origin).write_text(resolved.parts.text, encoding="utf-8")
            spec["parts"] = resolved.parts.origin
        text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
        (folder / f"{resolved.spec.name}.yaml").write_text(text, encoding="utf-8")
        yield folder


def _copied_data(resolved: ResolvedSpec, folder: Path) -> Iterator[tuple[str, str]]:
    """Copy the data files into a folder; yield the key of each, and the place of its copy there.

    Files for validation and testing have folders of their own, for they may have the name of the training file.
    """
    dataset, size = resolved.spec.dataset, 0
    for key, path in (("path", dataset.path), ("validation", dataset.validation), ("test", dataset.test)):
        if path is None:
            continue
        data = resolved.source.folder / path
        size += data.stat().st_size
        if size > _MAX_BYTES:
            too_large = "and the files above are larger" if size > data.stat().st_size else "is larger"
            raise SpecError(
                f"{resolved.source.location(('dataset', key))}: dataset.{key}: {path} {too_large} than "
                f"{_MAX_BYTES >> 20} MiB, and Ray sends no more; put it on the cluster, and run `gradgrid sweep` "
                "there"
            )
        copy = folder / ("" if key == "path" else f"{key}-part") / data.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(data, copy)
        yield key, copy.relative_to(folder).as_posix()


def _identity(resolved: ResolvedSpec, folder: Path, options: Sequence[str], again: str) -> str:
    digest = hashlib.sha256(json.dumps([ENGINE_VERSION, list(options), again]).encode())
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{resolved.spec.name}-{digest.hexdigest()[:12]}"
