"""Run the recorders' tests with the newest MLflow that can be installed, in addition to the pinned one.

    python tests/newest_mlflow.py [PYTEST OPTIONS] [TESTS]

It makes a temporary environment: the packages of this one, and over them the newest MLflow of the index. If the index
has no newer MLflow, it says so and succeeds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path

from packaging.version import InvalidVersion, Version

_ROOT = Path(__file__).absolute().parent.parent
_TESTS = [f"tests/service/test_{name}.py" for name in ("recorder_contract", "schema", "deleted_runs")]
_BELOW = Version("4")  # as pyproject.toml says
_PIP = ("-m", "pip", "--disable-pip-version-check")


def main() -> int:
    """Run the tests; return pytest's exit code, or 0 if there is nothing to test."""
    pinned = Version(version("mlflow"))
    with tempfile.TemporaryDirectory(prefix="newest-mlflow-") as folder:
        python = _environment(Path(folder))
        found = _newer(python, pinned)
        if not found:
            _say(f"the index has no MLflow between {pinned}, which is tested already, and {_BELOW}")
            return 0
        for candidate in found:
            if _installs(python, candidate):
                return _tested(python, candidate)
        _say(f"none of {', '.join(map(str, found))} can be installed here")
        return 0


def _environment(folder: Path) -> Path:
    """Make an environment that sees the packages of this one after its own; return its Python."""
    venv.create(folder, with_pip=True)
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "beneath.pth").write_text("\n".join(packages) + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def _newer(python: Path, pinned: Version) -> list[Version]:
    """Return the newer versions of MLflow that the index has, the newest first."""
    asked = subprocess.run(
        [str(python), *_PIP, "index", "versions", "mlflow"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        _say(f"the index can't be asked for MLflow: {asked.stderr.strip().splitlines()[-1:]}")
    words = re.findall(r"\d[\w.]*", asked.stdout)
    versions = {number for word in words if (number := _version(word)) is not None}
    return sorted((v for v in versions if pinned < v < _BELOW and not v.is_prerelease), reverse=True)


def _version(word: str) -> Version | None:
    try:
        return Version(word)
    except InvalidVersion:
        return None


def _installs(python: Path, candidate: Version) -> bool:
    """Install a version, without its dependencies if the index lacks some; return whether that succeeded."""
    for options in ((), ("--no-deps",)):
        command = [str(python), *_PIP, "install", "--quiet", *options, f"mlflow=={candidate}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return True
        _say(f"mlflow {candidate}{' alone' if options else ''}: {done.stderr.strip().splitlines()[-1:]}")
    return False


def _tested(python: Path, candidate: Version) -> int:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    script = "import mlflow; print(mlflow.__version__)"
    used = subprocess.run([str(python), "-c", script], env=environment, capture_output=True, text=True, check=True)
    if used.stdout.strip() != str(candidate):
        _say(f"mlflow {candidate} was installed, but {used.stdout.strip()} is imported")
        return 1
    _say(f"testing with mlflow {candidate}")
    arguments = sys.argv[1:]
    if not any(argument.startswith("tests") for argument in arguments):
        arguments = [*arguments, *_TESTS]
    # a warning of a newer version is not a failure yet
    command = [str(python), "-m", "pytest", "-q", "-o", "filterwarnings=default", "--disable-warnings", *arguments]
    return subprocess.run(command, cwd=_ROOT, env=environment, check=False).returncode


def _say(text: str) -> None:
    sys.stderr.write(f"newest MLflow: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
