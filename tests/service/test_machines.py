"""What machines differ in: proxies, quotas of processors, temporary folders, users."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from requests.utils import get_environ_proxies

from experiments.errors import ClusterError
from service.execution.cores import available_cores
from service.execution.ray_folder import folder_for_ray
from service.recording.environment import prepare_environment
from tests.service.conftest import TINY, write_spec
from tests.service.tracking import TrackingServer

_UNNAMED = 54_321  # a user id that nobody has
_LOOPBACK = "localhost,127.0.0.1,::1,127.0.0.0/8"
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def _run(
    *arguments: str,
    cwd: Path,
    variables: Mapping[str, str | None],
    before: tuple[str, ...] = (),
    umask: int = -1,
) -> str:
    """The command in a process of its own; what it prints. A variable that is None is not set."""
    environment = {name: value for name, value in {**os.environ, **variables}.items() if value is not None}
    command = [*before, sys.executable, "-m", "service.cli", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, umask=umask, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


# ------------------------------------------------------------------------------------------------------------ proxies


@pytest.fixture
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of the test's own, without a proxy."""
    kept = {name: value for name, value in os.environ.items() if name.lower() not in _PROXY_VARIABLES}
    monkeypatch.setattr(os, "environ", kept)


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
def test_proxies_are_kept_from_loopback_and_what_the_user_spared_stays_spared(
    monkeypatch: pytest.MonkeyPatch, proxy: str, before: dict[str, str], after: dict[str, str | None]
) -> None:
    for name, value in {**before, proxy: "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):  # a second time changes nothing
        prepare_environment()
        assert {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")} == after


@pytest.mark.usefixtures("_no_proxies")
@pytest.mark.usefixtures("_no_proxies")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.1.1", "[::1]"])
def test_no_address_of_loopback_is_asked_of_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Debian gives a machine's own name the address 127.0.1.1."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    prepare_environment()
    assert get_environ_proxies(f"http://{host}:5000/health") == {}
    assert get_environ_proxies("http://128.0.0.1:5000/health") != {}


def test_without_a_proxy_nothing_is_set() -> None:
    prepare_environment()
    assert "no_proxy" not in os.environ
    assert "NO_PROXY" not in os.environ


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A proxy that refuses all, and what it was asked for."""
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
    told = json.loads(_run("sweep", spec, "--inline", "--json", *server, cwd=tmp_path, variables=_proxied(proxy)))
    assert told["finished"] == 3
    assert "direct" in _run("list", *server, cwd=tmp_path, variables=_proxied(proxy))
    assert paths == []


@pytest.mark.slow
@pytest.mark.parametrize("dead", [False, True])
def test_a_ray_of_our_own_is_reached_without_the_proxy(
    tmp_path: Path, asked: tuple[str, list[str]], dead: bool
) -> None:
    proxy, paths = asked
    variables = _proxied("http://127.0.0.1:1" if dead else proxy)
    told = json.loads(
        _run("sweep", write_spec(tmp_path, TINY), "--workers", "1", "--json", cwd=tmp_path, variables=variables)
    )
    assert told["finished"] == 3
    ours = [path for path in paths if any(host in path for host in ("127.0.0.1", "localhost", "[::1]"))]
    assert ours == []  # Ray asks by itself whether a cloud is around it, which is not on this machine


def test_rays_jobs_of_this_machine_are_asked_without_the_proxy(tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    """The proxy's own address stands for a dashboard: it is asked by its path alone, not by a whole address."""
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


# -------------------------------------------------------------------------------------------------------------- cores

_UNIFIED = "30 1 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw"
_SPLIT = "33 31 0:30 {top} /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct"


def _limits(group: str, quota: str, period: str) -> dict[str, str]:
    """The files of a control group of version 1."""
    folder = f"sys/fs/cgroup/cpu,cpuacct{group}"
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


def _machine(root: Path, groups: str, mounts: str, limits: dict[str, str]) -> Path:
    """A root folder in which a process is in these control groups; `limits`: file -> what is in it."""
    for file, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **limits}.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("groups", "mounts", "limits", "expected"),
    [
        ("0::/", _UNIFIED, {}, 64),
        ("0::/", _UNIFIED, {"sys/fs/cgroup/cpu.max": "max 100000"}, 64),
        ("0::/", _UNIFIED, {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2),  # a container that sees its group as root
        ("0::/a/b", _UNIFIED, {"sys/fs/cgroup/a/b/cpu.max": "300000 100000"}, 3),
        (
            "0::/a/b",
            _UNIFIED,
            {"sys/fs/cgroup/a/cpu.max": "150000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"},
            2,
        ),
        ("0::/docker/123", _UNIFIED, {"sys/fs/cgroup/cpu.max": "400000 100000"}, 4),
        ("0::/", _UNIFIED, {"sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ("0::/", _UNIFIED, {"sys/fs/cgroup/cpu.max": "9900000 100000"}, 64),
        (
            "4:cpu,cpuacct:/docker/123\n0::/docker/123",
            _SPLIT.format(top="/docker/123"),
            _limits("", "200000", "100000"),
            2,
        ),
        (
            "4:cpu,cpuacct:/a/b\n9:memory:/",
            _SPLIT.format(top="/"),
            {**_limits("/a", "50000", "10000"), **_limits("/a/b", "-1", "100000")},
            5,
        ),
        (
            "3:cpuset:/",
            "35 31 0:32 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset",
            {"sys/fs/cgroup/cpuset/cpu.max": "1 1"},
            64,
        ),
    ],
)
def test_a_quota_of_processors_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, mounts: str, limits: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    assert available_cores(_machine(tmp_path, groups, mounts, limits)) == expected


def test_without_control_groups_all_cores_that_may_be_run_on_count(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == len(os.sched_getaffinity(0))


# ------------------------------------------------------------------------------------------------- temporary folders


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_ray_has_its_own_folder_where_that_will_do_else_a_short_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, variable: str
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="g") as short:
        monkeypatch.setenv(variable, short)
        with folder_for_ray() as folder:
            assert folder is None
        (Path(short) / "ray").touch()  # somebody's file
        with folder_for_ray() as folder:
            assert folder is not None
    monkeypatch.setenv(variable, str(tmp_path_factory.mktemp("x" * 60)))
    with folder_for_ray() as folder:
        assert folder is not None
        assert folder.is_dir()
        assert len(f"{folder}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.10") <= 107
        (folder / "left").touch()
    assert not folder.exists()


def test_where_no_folder_will_do_the_user_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("service.execution.ray_folder._SHORT", (str(tmp_path / "nowhere"),))
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 100)))
    with (
        pytest.raises(
            ClusterError, match=r"set TMPDIR to a folder that you can write to, with a path of at most \d+ letters"
        ),
        folder_for_ray(),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["long", "missing"])
def test_a_sweep_on_ray_with_a_temporary_folder_that_will_not_do(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / ("x" * 120)
    if kind == "long":
        folder.mkdir()
    spec = write_spec(tmp_path, TINY)
    told = json.loads(_run("sweep", spec, "--workers", "1", "--json", cwd=tmp_path, variables={"TMPDIR": str(folder)}))
    assert told["finished"] == 3


# -------------------------------------------------------------------------------------------------------------- users


@pytest.fixture
def somebody() -> tuple[str, ...]:
    """What a command begins with to run as a user who has no name: it may read everything and write its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a command as another user")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (of util-linux) is not installed")
    ids = [f"--reuid={_UNNAMED}", f"--regid={_UNNAMED}", "--clear-groups"]
    return ("setpriv", *ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of the user without a name."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="g") as folder:
        with suppress(PermissionError):
            os.chown(folder, _UNNAMED, _UNNAMED)
        yield Path(folder)


_NAMELESS: dict[str, str | None] = {"USER": None, "LOGNAME": None, "TMPDIR": None}


@pytest.mark.parametrize("home", [None, "/", "/nonexistent", "/root"])
def test_a_user_without_a_name_or_a_home(somebody: tuple[str, ...], place: Path, home: str | None) -> None:
    spec, variables = write_spec(place, TINY), {**_NAMELESS, "HOME": home}
    told = json.loads(_run("sweep", spec, "--inline", "--json", cwd=place, before=somebody, variables=variables))
    assert told["finished"] == 3
    assert (place / "mlflow.db").stat().st_uid == _UNNAMED
    assert "tiny" in _run("top", "tiny", cwd=place, before=somebody, variables=variables)


@pytest.mark.slow
def test_a_user_without_a_name_or_a_home_on_ray(somebody: tuple[str, ...], place: Path) -> None:
    """And whose folder for Ray is another user's."""
    theirs = place / "ray"
    theirs.mkdir(mode=0o755)
    spec, variables = write_spec(place, TINY), {**_NAMELESS, "TMPDIR": str(place), "HOME": None}
    told = json.loads(_run("sweep", spec, "--workers", "1", "--json", cwd=place, before=somebody, variables=variables))
    assert told["finished"] == 3
    assert list(theirs.iterdir()) == []


def test_two_users_share_a_store(somebody: tuple[str, ...], place: Path) -> None:
    """The lock that one has made, under a strict umask, is the other's too."""
    spec = write_spec(place, TINY)
    sweep = ("sweep", spec, "--inline", "--json")
    _run(*sweep, cwd=place, umask=0o077, variables=_NAMELESS)
    for path in (place, *place.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    _run(*sweep, cwd=place, before=somebody, variables=_NAMELESS)
    assert len(json.loads(_run("list", "--json", cwd=place, variables=_NAMELESS))["sweeps"]) == 2
