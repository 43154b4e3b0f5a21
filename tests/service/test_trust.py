"""A parts file from another user's store does not run unless the user allows it."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.errors import UntrustedPartsError
from experiments.spec import load_spec
from service.api import load_sweep
from service.recording.trust import Trust, is_remembered, remember_parts
from service.run import run_sweep
from tests.service.conftest import run_command, write_spec

_TEXT = """
import os

from engine.parts import activation

open(os.environ["GRADGRID_TEST_MARK"], "a").close()


@activation
def double(x):
    return 2.0 * x
"""
_SPEC = {
    "name": "theirs", "parts": "parts.py", "dataset": {"name": "xor"}, "model": {"hidden": [2]}, "steps": 3,
    "grid": {"activation": ["double", "tanh"]}, "record": {"points": 2},
}  # fmt: skip
_VARIABLE = "GRADGRID_TRUSTED_PARTS"


@dataclass(frozen=True)
class _Foreign:
    """A sweep whose parts ran somewhere else. file: the parts file there."""

    uri: str
    run: str
    file: Path


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> _Foreign:
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "parts.py").write_text(_TEXT, encoding="utf-8")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADGRID_TEST_MARK", str(folder / "mark"))
        patch.setenv(_VARIABLE, str(folder / "trusted_parts"))
        table = run_sweep(load_spec(write_spec(folder, _SPEC)), tracking_uri=uri, inline=True).table
    return _Foreign(uri, str(table["run_id"][0]), folder / "parts.py")


@pytest.fixture
def foreign(elsewhere: _Foreign) -> Iterator[_Foreign]:
    """The sweep, while the file is not there."""
    elsewhere.file.unlink()
    yield elsewhere
    elsewhere.file.write_text(_TEXT, encoding="utf-8")


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the parts make when they run."""
    monkeypatch.setenv("GRADGRID_TEST_MARK", str(tmp_path / "mark"))
    return tmp_path / "mark"


_COMMANDS = {
    "verify": ["verify", "theirs"],
    "verify a run": ["verify", "RUN"],
    "explain": ["explain", "RUN"],
    "report": ["report", "theirs", "-o", "page.html"],
    "promote": ["promote", "RUN", "--name", "theirs"],
    "resume": ["resume", "theirs", "--inline"],
    "sweep --resume": ["sweep", "--resume", "theirs", "--inline"],
}


@pytest.mark.parametrize("name", _COMMANDS)
def test_a_command_runs_foreign_parts_only_if_the_user_allows_it(name: str, foreign: _Foreign, mark: Path) -> None:
    command = [foreign.run if word == "RUN" else word for word in _COMMANDS[name]]
    refused = run_command(*command, "--tracking-uri", foreign.uri)
    assert refused.exit_code == 2
    assert "contains a Python file, 'parts.py', which you have not run before" in refused.stderr
    assert "--trust-parts" in refused.stderr
    assert not mark.exists()
    trusted = run_command(*command, "--trust-parts", "--tracking-uri", foreign.uri)
    assert trusted.exit_code == 0, trusted.stderr
    assert mark.exists()
    assert not is_remembered(_TEXT)  # it was for this once


@pytest.mark.parametrize("command", [["top", "theirs"], ["show", "theirs"], ["list"], ["export", "theirs"]])
def test_other_commands_run_no_parts(command: list[str], foreign: _Foreign, mark: Path) -> None:
    assert run_command(*command, "--tracking-uri", foreign.uri).exit_code == 0
    assert not mark.exists()


def test_python_runs_foreign_parts_only_if_the_user_allows_it(foreign: _Foreign, mark: Path) -> None:
    found = load_sweep("theirs", tracking_uri=foreign.uri)
    assert len(found.trials) == 2
    with pytest.raises(UntrustedPartsError, match="trust_parts=True"):
        found.model(foreign.run)
    with pytest.raises(UntrustedPartsError):
        found.report(keep=False)
    assert not mark.exists()
    trusting = load_sweep("theirs", tracking_uri=foreign.uri, trust_parts=True)
    assert trusting.model(foreign.run).predict([[0.0, 1.0]]) is not None
    assert "<html" in trusting.report(keep=False).page
    assert mark.exists()


def test_the_users_own_file_with_the_same_text_may_run(elsewhere: _Foreign, mark: Path) -> None:
    at = ("verify", "theirs", "--tracking-uri", elsewhere.uri)
    assert run_command(*at).exit_code == 0
    mark.unlink()
    elsewhere.file.write_text(_TEXT + "# changed\n", encoding="utf-8")
    assert run_command(*at).exit_code == 2
    assert not mark.exists()
    elsewhere.file.write_text(_TEXT, encoding="utf-8")


def test_parts_that_the_user_ran_may_run_again_without_their_file(uri: str, tmp_path: Path, mark: Path) -> None:
    (tmp_path / "parts.py").write_text(_TEXT, encoding="utf-8")
    at = ("--tracking-uri", uri)
    assert run_command("sweep", write_spec(tmp_path, _SPEC), "--inline", *at).exit_code == 0
    (tmp_path / "parts.py").unlink()
    assert run_command("verify", "theirs", *at).exit_code == 0
    assert is_remembered(_TEXT)
    assert not is_remembered(_TEXT + "# changed\n")
    memory = Path(os.environ[_VARIABLE])
    assert memory.stat().st_mode & 0o077 == 0
    assert run_command("sweep", "--resume", "theirs", "--inline", *at).exit_code == 0
    assert len(memory.read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.parametrize("place", ["/dev/null/trusted_parts", "no/absolute/path"])
def test_a_sweep_runs_where_nothing_can_be_remembered(
    place: str, uri: str, tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(_VARIABLE, place)
    (tmp_path / "parts.py").write_text(_TEXT, encoding="utf-8")
    assert run_command("sweep", write_spec(tmp_path, _SPEC), "--inline", "--tracking-uri", uri).exit_code == 0
    assert run_command("verify", "theirs", "--tracking-uri", uri).exit_code == 0  # its file is there
    assert not is_remembered(_TEXT)
    assert not Path("no").exists()


def test_a_file_where_the_store_says_is_the_users_only_if_it_is_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "parts.py"
    file.write_text(_TEXT, encoding="utf-8")
    Trust().check(_TEXT, "parts.py", "it", file)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UntrustedPartsError):  # the folder in which the user happens to be
        Trust().check(_TEXT, "parts.py", "it", Path("parts.py"))
    monkeypatch.setattr(os, "getuid", lambda: file.stat().st_uid + 1)
    with pytest.raises(UntrustedPartsError):  # another user's
        Trust().check(_TEXT, "parts.py", "it", file)
    remember_parts(_TEXT)
    assert not is_remembered(_TEXT)  # the file of digests is another user's too


def test_a_yes_is_remembered_and_a_no_is_not(tmp_path: Path) -> None:
    asked: list[str] = []

    def answering(answer: bool) -> Trust:
        def ask(question: str, text: str) -> bool:
            asked.append(f"{question} {text == _TEXT}")
            return answer

        return Trust(ask=ask)

    nowhere = tmp_path / "parts.py"
    with pytest.raises(UntrustedPartsError):
        answering(False).check(_TEXT, "parts.py", "the sweep s", nowhere)
    answering(True).check(_TEXT, "parts.py", "the sweep s", nowhere)
    answering(False).check(_TEXT, "parts.py", "the sweep s", nowhere)
    assert asked == ["the sweep s contains a Python file, 'parts.py'. Run it here? True"] * 2


def _at_a_terminal(answer: str, *arguments: str) -> tuple[int, str]:
    """Run the command at a terminal where a user types an answer; return its exit code and the terminal's text."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", *arguments], stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs
        )
        os.close(theirs)
        terminal.write(f"{answer}\n".encode())
        shown = b""
        try:
            while piece := terminal.read(4096):
                shown += piece
        except OSError:  # Linux: the other end was closed
            pass
        return process.wait(), shown.decode()


def test_the_user_is_asked_at_a_terminal(foreign: _Foreign, mark: Path) -> None:
    at = ("verify", "theirs", "--tracking-uri", foreign.uri)
    code, shown = _at_a_terminal("n", *at)
    assert code == 2
    assert "def double(x):" in shown
    assert "contains a Python file, 'parts.py'. Run it here? [y/N]" in shown
    assert not mark.exists()
    code, shown = _at_a_terminal("y", *at)
    assert code == 0, shown
    assert mark.exists()
    assert run_command(*at).exit_code == 0  # remembered
