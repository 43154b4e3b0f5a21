"""A real PostgreSQL for the tests: Debian's, in a new folder, on a free port of the loopback interface."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_port


def binaries() -> Path | None:
    """Return the folder with initdb and postgres; None if PostgreSQL isn't installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


def _user() -> str | None:
    """Return the user to run PostgreSQL as: it refuses to run as root, and Debian's package brings a user for it."""
    return "postgres" if os.geteuid() == 0 else None


@dataclass
class Postgres:
    """A server that can be stopped and started again."""

    folder: str
    port: int

    @property
    def address(self) -> str:
        return f"postgresql+psycopg://gradgrid@127.0.0.1:{self.port}"

    def run(self, program: str, *arguments: str) -> None:
        binary = binaries()
        assert binary is not None
        command = [str(binary / program), "-D", f"{self.folder}/data", *arguments]
        subprocess.run(command, user=_user(), cwd=self.folder, check=True, capture_output=True)

    def start(self) -> None:
        place = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        # MLflow keeps connections to every database that a process has used
        options = f"-p {self.port} {place} -c fsync=off -c max_connections=1000"
        self.run("pg_ctl", "-o", options, "-l", f"{self.folder}/log", "-w", "start")

    def ask_for(self, password: str) -> None:
        """Set the password, and ask for it from now on."""
        self.start()
        with _connected(f"{self.address}/postgres") as connection:
            connection.execute(f"alter role gradgrid password '{password}'")
        self.stop()
        rules = Path(self.folder) / "data" / "pg_hba.conf"
        rules.write_text(rules.read_text().replace("trust", "scram-sha-256"))

    def stop(self) -> None:
        self.run("pg_ctl", "-m", "immediate", "-w", "stop")


@contextmanager
def running_postgres(password: str = "") -> Iterator[Postgres]:
    """Yield a server in its usual configuration, which asks for this password, or for none."""
    user = _user()
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        if user:
            account = pwd.getpwnam(user)
            os.chown(name, account.pw_uid, account.pw_gid)
        server = Postgres(name, free_port())
        server.run("initdb", "-U", "gradgrid", "-A", "trust", "--no-sync")
        if password:
            server.ask_for(password)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def new_database(address: str, template: str = "template1") -> str:
    """Make a new database of the server at this address, a copy of another; return its tracking URI."""
    name = f"d{uuid.uuid4().hex}"
    with _connected(f"{address}/postgres") as connection:
        connection.execute(f"create database {name} template {template}")
    return f"{address}/{name}"


def _connected(uri: str) -> Any:
    import psycopg

    return psycopg.connect(uri.replace("+psycopg", ""), autocommit=True)
