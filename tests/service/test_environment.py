"""The environment that a command sets up: proxies, and addresses that are reached without one."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from requests.utils import get_environ_proxies

from service.recording.environment import prepare_environment
from tests.service.conftest import TINY, write_spec
from tests.service.processes import run_process
from tests.service.tracking import TrackingServer

_LOOPBACK = "localhost,127.0.0.1,::1,127.0.0.0/8"
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set an environment without a proxy, which the test may change."""
    kept = {name: value for name, value in os.environ.items() if name.lower() not in _PROXY_VARIABLES}
    monkeypatch.setattr(os, "environ", kept)


@pytest.mark.usefixtures("_no_proxies")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.1.1", "[::1]"])
def test_no_address_of_loopback_is_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Debian gives a machine's own name the address 127.0.1.1."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    prepare_environment()
    assert get_environ_proxies(f"http://{host}:5000/health") == {}
    assert get_environ_proxies("http://128.0.0.1:5000/health") != {}


@pytest.mark.usefixtures("_no_proxies")
@pytest.mark.parametrize("proxy", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"no_proxy": _LOOPBACK, "NO_PROXY": _LOOPBACK}),
        (
            {"NO_PROXY": ".example.org, localhost"},
            {
                "no_proxy": f".example.org,{_LOOPBACK}",
                "NO_PROXY": f".example.org,{_LOOPBACK}",
            },
        ),
        (
            {"no_proxy": "a", "NO_PROXY": "b"},
            {"no_proxy": f"a,{_LOOPBACK}", "NO_PROXY": f"b,{_LOOPBACK}"},
        ),
        ({"no_proxy": "*"}, {"no_proxy": "*", "NO_PROXY": None}),
    ],
)
def test_loopback_is_added_to_the_users_no_proxy(
    monkeypatch: pytest.MonkeyPatch, proxy: str, before: dict[str, str], after: dict[str, str | None]
) -> None:
    for name, value in {**before, proxy: "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):  # a second time changes nothing
        prepare_environment()
        assert {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")} == after


@pytest.mark.usefixtures("_no_proxies")
def test_without_a_proxy_nothing_is_set() -> None:
    prepare_environment()
    assert "no_proxy" not in os.environ
    assert "NO_PROXY" not in os.environ


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a proxy that refuses every request, and the requests that it got."""
    paths: list[str] = []

    class Refusing(http.server.BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            paths.append(f"{self.command} {self.path}")
            self.send_error(502)

        do_GET = do_POST = do_PUT = do_CONNECT = _refuse  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()


def _proxied(address: str) -> dict[str, str | None]:
    ways = dict.fromkeys(_PROXY_VARIABLES[:3], address)
    return {**ways, **{name.upper(): address for name in ways}, "no_proxy": None, "NO_PROXY": None}


def test_a_tracking_server_of_this_machine_is_reached_without_the_proxy(
    tmp_path: Path, tracking_server: TrackingServer, asked: tuple[str, list[str]]
) -> None:
    proxy, paths = asked
    spec, server = write_spec(tmp_path, {**TINY, "name": "direct"}), ("--tracking-uri", tracking_server.uri)
    values = json.loads(
        run_process("sweep", spec, "--inline", "--json", *server, cwd=tmp_path, variables=_proxied(proxy))
    )
    assert values["finished"] == 3
    assert "direct" in run_process("list", *server, cwd=tmp_path, variables=_proxied(proxy))
    assert paths == []


@pytest.mark.slow
@pytest.mark.parametrize("dead", [False, True])
def test_a_ray_that_the_sweep_starts_is_reached_without_the_proxy(
    tmp_path: Path, asked: tuple[str, list[str]], dead: bool
) -> None:
    proxy, paths = asked
    variables = _proxied("http://127.0.0.1:1" if dead else proxy)
    values = json.loads(
        run_process("sweep", write_spec(tmp_path, TINY), "--workers", "1", "--json", cwd=tmp_path, variables=variables)
    )
    assert values["finished"] == 3
    ours = [path for path in paths if any(host in path for host in ("127.0.0.1", "localhost", "[::1]"))]
    assert ours == []  # Ray asks by itself whether a cloud is around it, which is not on this machine


def test_rays_jobs_of_this_machine_are_asked_without_the_proxy(tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    """The proxy takes the place of a dashboard: a request that came through a proxy would name a whole address."""
    proxy, paths = asked
    script = (
        "from service.cli.process import prepare_process; prepare_process()\n"
        "from service.execution.cluster import check_jobs, open_jobs\n"
        f"check_jobs({proxy!r}, None)"
    )
    variables = {k: v for k, v in {**os.environ, **_proxied("http://127.0.0.1:1")}.items() if v is not None}
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False)
    assert "is not a Ray dashboard" in done.stderr
    assert paths == ["GET /api/version"]


def test_the_clusters_services_reach_one_another_without_a_proxy(root: Path) -> None:
    compose = yaml.safe_load((root / "docker-compose.yml").read_text(encoding="utf-8"))
    ours = {name: service for name, service in compose["services"].items() if service.get("image") == "gradgrid:local"}
    assert len(ours) == 4
    for service in ours.values():
        for name in ("no_proxy", "NO_PROXY"):
            assert {"localhost", "127.0.0.1", "mlflow", "ray-head", "postgres"} <= set(
                service["environment"][name].split(",")
            )


def test_only_mlflow_and_postgresql_know_the_clusters_database(root: Path) -> None:
    text = (root / "docker-compose.yml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    knowing = {name for name, service in services.items() if "POSTGRES_PASSWORD" in str(service.get("environment"))}
    near = {name for name, service in services.items() if "store" in service["networks"]}
    assert knowing == near == {"postgres", "mlflow"}
    assert "GRADGRID_BACKEND_STORE_URI" not in text
