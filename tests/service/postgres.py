"""A real PostgreSQL for the tests: Debian's, in a folder of its own, on a free port of the loopback interface."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port


def binaries() -> Path | None:
    """The folder with initdb and postgres; None where PostgreSQL isn't installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


def _user() -> str | None:
    """PostgreSQL refuses to run as root; Debian's package brings a user for it."""
    return "postgres" if os.geteuid() == 0 else None


@contextmanager
def running_postgres() -> Iterator[str]:
    """The server's address, with an empty password and every check of its own left on."""
    folder = binaries()
    assert folder is not None
    user = _user()
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        if user:
            account = pwd.getpwnam(user)
            os.chown(name, account.pw_uid, account.pw_gid)
        data, port = f"{name}/data", free_port()

        def run(program: str, *arguments: str) -> None:
            command = [str(folder / program), "-D", data, *arguments]
            subprocess.run(command, user=user, cwd=name, check=True, capture_output=True)

        run("initdb", "-U", "gradgrid", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={name} -c fsync=off"
        run("pg_ctl", "-o", options, "-l", f"{name}/log", "-w", "start")
        try:
            yield f"postgresql+psycopg://gradgrid@127.0.0.1:{port}"
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")
