"""Profiles: the places and secrets of clusters, under a name in a file."""

import os
from pathlib import Path

import pytest

from experiments.errors import UserError
from service.execution.profiles import use_profile
from tests.service.conftest import run_command

_FILE = """
[profiles.lab]
jobs_address = "http://127.0.0.1:1"
tracking_uri = "http://127.0.0.1:2"
token = "secret"

[profiles.wrong]
tokn = "secret"
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(_FILE, encoding="utf-8")
    monkeypatch.setenv("GRADGRID_CONFIG", str(file))
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # so that what a profile sets is taken back
        monkeypatch.delenv(name)
    return file


def test_a_profile_sets_what_the_environment_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "my own")
    use_profile("lab")
    assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:1"
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:2"
    assert os.environ["RAY_AUTH_TOKEN"] == "my own"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lap", "no profile is called 'lap'; did you mean 'lab'"),
        ("wrong", r"profiles\.wrong\.tokn: not a text that a profile holds; did you mean 'token'"),
    ],
)
def test_a_profile_that_is_wrong_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        use_profile(name)


def test_a_missing_file_and_one_that_is_not_toml_are_reported(config: Path) -> None:
    config.write_text("[profiles", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.toml: "):
        use_profile("lab")
    config.unlink()
    result = run_command("--profile", "lab", "list", "--jobs")
    assert (result.exit_code, "docs/cluster.md shows one" in result.stderr) == (2, True)


def test_the_command_takes_the_profile() -> None:
    result = run_command("--profile", "lab", "list", "--jobs")
    assert result.exit_code == 1
    assert "no Ray dashboard answers at http://127.0.0.1:1" in result.stderr
