"""Sweeps as jobs of a cluster: how jobs are found, and the messages where a cluster or a job can't be used."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from experiments.errors import SpecError
from experiments.spec import load_spec
from service.execution.cluster import open_jobs
from service.execution.jobs import Jobs
from tests.ports import free_port
from tests.service.answers import answering
from tests.service.conftest import run_command, run_for_json, write_spec


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name no cluster in the environment, and take back what a command sets there."""
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def _dashboard(*jobs: str) -> dict[str, Any]:
    """Return the answers of a Ray dashboard that has these jobs, the oldest first; a job's id begins with its spec."""
    details = [
        {
            "type": "SUBMISSION",
            "submission_id": job,
            "status": "RUNNING",
            "entrypoint": "gradgrid sweep",
            "metadata": {"gradgrid.spec": job.partition("-")[0]},
            "start_time": 1_790_000_000_000 + number,
        }
        for number, job in enumerate(jobs)
    ]
    logs = {f"/api/jobs/{job}/logs": {"logs": f"first line\nlast line of {job}\n"} for job in jobs}
    return {"/api/version": {"version": "4", "ray_version": version("ray")}, "/api/jobs/": details, **logs}


def test_a_job_is_found_by_its_id_the_beginning_of_it_or_its_spec() -> None:
    with answering(_dashboard("moons-aa11", "moons-aa22", "xor-aa11")) as address:
        for name, job in {"moons-aa11": "moons-aa11", "moons-aa2": "moons-aa22", "moons": "moons-aa22"}.items():
            values = run_for_json("status", name, "--jobs-address", address)
            assert (values["job"], values["last_line"]) == (job, f"last line of {job}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("moons-aa", "2 jobs begin with 'moons-aa': moons-aa22, moons-aa11"),
        ("moonz", "the cluster has no job 'moonz': `gradgrid list --jobs` shows its jobs"),
    ],
)
@pytest.mark.parametrize("command", ["status", "logs", "cancel"])
def test_a_name_of_several_jobs_or_of_none_is_refused(command: str, name: str, message: str) -> None:
    with answering(_dashboard("moons-aa11", "moons-aa22", "xor-aa11")) as address:
        refused = run_command(command, name, "--jobs-address", address)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert message in refused.stderr


def test_data_too_large_for_ray_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with (tmp_path / "big.csv").open("wb") as file:
        file.truncate(500 * 2**20 + 1)  # a hole: it takes no room on the disk
    spec = load_spec(write_spec(tmp_path, {"name": "big", "dataset": {"path": "big.csv", "target": "y"}}))
    message = r"big\.yaml:1: dataset\.path: big\.csv is larger than 500 MiB, .*; put it on the cluster"
    with (
        answering(_dashboard()) as address,
        open_jobs(address) as client,
        pytest.raises(SpecError, match=message),
    ):
        Jobs(client).submit(spec)


@pytest.mark.parametrize("command", [["submit", "xor"], ["status", "x"], ["logs", "x"], ["cancel", "x"]])
def test_without_a_cluster_there_is_one_message(command: list[str]) -> None:
    refused = run_command(*command, "--jobs-address", f"http://127.0.0.1:{free_port()}")
    assert refused.exit_code == 1
    assert "docker-compose up -d" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_mistake_in_the_spec_is_reported_before_a_cluster_is_looked_for() -> None:
    refused = run_command("submit", "xor", "--set", "stepz=3")
    assert (refused.exit_code, "unknown key 'stepz'" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, {}, "asks for a token: set RAY_AUTH_TOKEN"),
        (200, {"hello": 1}, "is not a Ray dashboard: check host and port"),
    ],
)
def test_a_server_that_answers_otherwise_is_reported(status: int, body: dict[str, int], message: str) -> None:
    with answering({"/api/version": body}, status) as address:
        refused = run_command("list", "--jobs", "--jobs-address", address)
    assert refused.exit_code == 1
    assert message in refused.stderr


def test_an_address_without_http_is_refused() -> None:
    refused = run_command("list", "--jobs", "--jobs-address", "127.0.0.1:8265")
    assert (refused.exit_code, "write http://host:port" in refused.stderr) == (1, True)
