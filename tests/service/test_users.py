"""Users without a name or a home folder, and two users of one store."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.service.conftest import TINY, write_spec
from tests.service.processes import run_process

_UNNAMED = 54_321  # a user id that nobody has


@pytest.fixture
def somebody() -> tuple[str, ...]:
    """The words that run a command as a user without a name, who may read everything and write its own files."""
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


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/", "/nonexistent", "/root"])
def test_a_user_without_a_name_or_a_home(somebody: tuple[str, ...], place: Path, home: str | None) -> None:
    spec, variables = write_spec(place, TINY), {**_NAMELESS, "HOME": home}
    values = json.loads(
        run_process("sweep", spec, "--inline", "--json", cwd=place, before=somebody, variables=variables)
    )
    assert values["finished"] == 3
    assert (place / "mlflow.db").stat().st_uid == _UNNAMED
    assert "tiny" in run_process("top", "tiny", cwd=place, before=somebody, variables=variables)


@pytest.mark.slow
def test_a_user_without_a_name_or_a_home_on_ray(somebody: tuple[str, ...], place: Path) -> None:
    """Ray's folder is another user's."""
    theirs = place / "ray"
    theirs.mkdir(mode=0o755)
    spec, variables = write_spec(place, TINY), {**_NAMELESS, "TMPDIR": str(place), "HOME": None}
    values = json.loads(
        run_process("sweep", spec, "--workers", "1", "--json", cwd=place, before=somebody, variables=variables)
    )
    assert values["finished"] == 3
    assert list(theirs.iterdir()) == []


@pytest.mark.slow
def test_two_users_share_a_store(somebody: tuple[str, ...], place: Path) -> None:
    """Both can take the lock that one has made under a strict umask."""
    spec = write_spec(place, TINY)
    sweep = ("sweep", spec, "--inline", "--json")
    run_process(*sweep, cwd=place, umask=0o077, variables=_NAMELESS)
    for path in (place, *place.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    run_process(*sweep, cwd=place, before=somebody, variables=_NAMELESS)
    assert len(json.loads(run_process("list", "--json", cwd=place, variables=_NAMELESS))["sweeps"]) == 2
