"""A folder for Ray whose path is short enough for its sockets."""

import json
import tempfile
from pathlib import Path

import pytest

from experiments.errors import ClusterError
from service.execution.ray_folder import folder_for_ray
from tests.service.conftest import TINY, write_spec
from tests.service.processes import run_process


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_ray_has_its_own_folder_if_that_is_short_enough_else_another(
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


def test_a_user_without_a_usable_folder_gets_a_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
    values = json.loads(
        run_process("sweep", spec, "--workers", "1", "--json", cwd=tmp_path, variables={"TMPDIR": str(folder)})
    )
    assert values["finished"] == 3
