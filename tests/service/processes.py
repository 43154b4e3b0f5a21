"""The command `gradgrid` in another process, and conditions that a test waits for while it runs."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def command_line(*arguments: str) -> list[str]:
    """Return the program and arguments that run the command."""
    return [sys.executable, "-m", "service.cli", *arguments]


def start_command(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start the command, with pipes for what it prints."""
    return subprocess.Popen(
        command_line(*arguments), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_process(
    *arguments: str,
    cwd: Path,
    variables: Mapping[str, str | None],
    before: tuple[str, ...] = (),
    umask: int = -1,
) -> str:
    """Run the command to its end and return its stdout; it must succeed.

    variables: of the environment, in addition to those of this process. None unsets one.
    before: the words that the command line begins with, such as those of `setpriv`.
    """
    environment = {name: value for name, value in {**os.environ, **variables}.items() if value is not None}
    command = [*before, *command_line(*arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, umask=umask, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def wait_until(condition: Callable[[], object], process: subprocess.Popen[Any]) -> None:
    """Wait until a condition holds while a process runs; fail if the process ends first, or after two minutes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        assert process.poll() is None, f"the process ended with {process.returncode}"
        time.sleep(0.1)


def recorded_trials(uri: str) -> int:
    """Return how many trials an SQLite store holds, read without MLflow; 0 as long as there is no store."""
    path = Path(uri.removeprefix("sqlite:///"))
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            count = connection.execute("select count(*) from tags where key = 'gradgrid.trial'").fetchone()[0]
        connection.close()
    except sqlite3.OperationalError:
        return 0
    return int(count)
