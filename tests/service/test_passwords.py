"""Passwords with every sign that has a meaning in an address: they open the store, and no output shows them."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import Result
from mlflow import MlflowClient
from mlflow.entities import ViewType

from experiments.errors import StoreError
from service.inspection.doctor import _store
from service.recording.redaction import redacted, remember, tracking_option, without_passwords, without_user
from service.recording.store import Store
from tests.ports import free_port
from tests.service.conftest import TINY, run_command, write_spec
from tests.service.postgres import Postgres, binaries, new_database, running_postgres
from tests.service.tracking import TrackingServer, flaky

_SECRET = "p@ss%:/w?rd#1&x=y"
_QUOTED = quote(_SECRET, safe="")


class _Heard:
    """Collects the output of commands, which must hold no password."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def run(self, *arguments: str, code: int = 0) -> Result:
        result = run_command(*arguments)
        assert result.exit_code == code, result.stderr
        self.say(f"{arguments[0]}: {result.stdout}{result.stderr}")
        return result

    def say(self, *texts: object) -> None:
        for text in map(str, texts):
            assert _SECRET not in text
            assert _QUOTED not in text
            assert "w?rd" not in text
            assert "w%3Frd" not in text
            self.texts.append(text)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Postgres]:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed; .ci/run installs it")
    with running_postgres(_SECRET) as server:
        yield server


def _with_password(address: str, password: str = _QUOTED) -> str:
    return address.replace("gradgrid@", f"gradgrid:{password}@")


def _recorded_texts(uri: str, folder: Path) -> Iterator[str]:
    """Yield every tag and param of the store, and every artifact."""
    client = MlflowClient(uri)
    experiments = client.search_experiments(ViewType.ALL)
    for run in client.search_runs([e.experiment_id for e in experiments], run_view_type=ViewType.ALL):
        yield f"{run.data.tags} {run.data.params} {run.info.artifact_uri}"
    yield from (f"{experiment.tags} {experiment.artifact_location}" for experiment in experiments)
    yield from (path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_no_command_on_postgresql_shows_the_password(
    guarded: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where MLflow puts the artifacts
    uri = new_database(_with_password(guarded.address))
    option = ("--tracking-uri", uri)
    heard, spec = _Heard(), write_spec(tmp_path, TINY)
    swept = heard.run("sweep", spec, "--inline", *option)
    assert "gradgrid:***@127.0.0.1" in swept.stderr
    assert "run by run" not in swept.stderr  # in bulk
    client = MlflowClient(uri)
    (sweep,) = Store(uri).sweeps()
    client.delete_run(Store(uri).table(sweep)["run_id"].iloc[0])
    heard.run("top", "tiny", *option)
    heard.run("sweep", "--resume", "tiny", "--inline", "--json", *option)
    for command in ("list", "top tiny", "show tiny", "report tiny", "verify tiny", "export tiny", "top tiny --json"):
        heard.run(*command.split(), *option)
    heard.run("show", "nothing", *option, code=2)
    heard.run("promote", "tiny", "--name", "m", *option)
    heard.say(_store(uri), repr(Store(uri)))
    client.delete_experiment(sweep.experiment_id)
    heard.run("resume", "tiny", "--inline", *option, code=1)
    client.restore_experiment(sweep.experiment_id)
    heard.run("delete", "tiny", "--yes", *option)
    heard.run("top", "tiny", *option, code=2)
    heard.say(*_recorded_texts(uri, tmp_path))
    assert any("MLFLOW_TRACKING_URI=postgresql+psycopg://gradgrid:***@" in text for text in heard.texts)


@pytest.mark.parametrize("command", ["sweep {spec} --inline", "list", "resume tiny", "dashboard --port {port}"])
@pytest.mark.parametrize(
    "wrong",
    [
        f"postgresql+psycopg://gradgrid:{_QUOTED}x@127.0.0.1:PORT/postgres",
        f"postgresql+psycopg://gradgrid:{_QUOTED}@127.0.0.1:PORT/nothing",
        f"postgresql+psycopg://gradgrid:{_QUOTED}@127.0.0.1:1/postgres",
        f"postgresql+psycopg://gradgrid:{_SECRET}@127.0.0.1:PORT/postgres",
        f"postgresql+psycopg://127.0.0.1:PORT/postgres?user=gradgrid&password={_QUOTED}x",
        f"postgresql+psycopg://gradgrid:{_QUOTED}@127.0.0.1:PORT/postgres?nonsense=1",
        f"http://u:{_QUOTED}@127.0.0.1:1",
        f"http://u:{_SECRET}@127.0.0.1:1",
        f"mysql+nothing://u:{_QUOTED}@127.0.0.1:1/d",
    ],
)
def test_no_failure_shows_the_password(guarded: Postgres, wrong: str, command: str, tmp_path: Path) -> None:
    words = command.format(spec=write_spec(tmp_path, TINY), port=free_port()).split()
    failed = _Heard().run(*words, "--tracking-uri", wrong.replace("PORT", str(guarded.port)), code=1)
    assert "Traceback" not in failed.stderr
    assert failed.stderr.startswith("gradgrid: ")


def test_an_address_that_is_not_encoded_says_how_it_would_be(guarded: Postgres) -> None:
    with pytest.raises(StoreError, match="percent-encode the password in the address: @ is %40"):
        Store(f"postgresql+psycopg://gradgrid:{_SECRET}@127.0.0.1:{guarded.port}/postgres")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["address", "variables"])
def test_no_command_through_a_server_shows_the_password(
    tracking_server: TrackingServer, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, spec, page = _Heard(), write_spec(tmp_path, TINY), tmp_path / "page.html"
    with flaky(tracking_server, password=_SECRET) as proxy:
        refused = heard.run("list", "--tracking-uri", proxy, code=1)
        assert "401" in refused.stderr
        uri = proxy.replace("http://", f"http://u:{_QUOTED}@") if how == "address" else proxy
        if how == "variables":
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "u")
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", _SECRET)
        option = ("--tracking-uri", uri)
        swept = heard.run("sweep", spec, "--inline", "--json", *option)
        assert ('"tracking_uri": "http://u:***@' in swept.stdout) == (how == "address")
        for command in ("list", "top tiny", "show tiny", f"report tiny -o {page}", "verify tiny"):
            heard.run(*command.split(), *option)
        heard.run("show", "nothing", *option, code=2)
        heard.run("dashboard", *option)
        text = page.read_text(encoding="utf-8")
        heard.say(text)
        assert f"{proxy}/#/" in text  # links have no user
        other = ("--backend-store-uri", f"postgresql+psycopg://u:{_QUOTED}@127.0.0.1:1/d")
        heard.run("resume", "tiny", "--inline", *option, *other, code=1)
    heard.say(*_recorded_texts(tracking_server.uri, tracking_server.folder / "artifacts"))


def test_a_traceback_shows_no_cause_that_holds_the_password(tracking_server: TrackingServer) -> None:
    def fault(path: str) -> str:
        return "pass" if path == "/health" else "swallow"

    with flaky(tracking_server, fault) as proxy, pytest.raises(StoreError) as raised:
        Store(proxy.replace("http://", f"http://u:{_QUOTED}@"))
    assert raised.value.__suppress_context__
    assert raised.value.__cause__ is None
    _Heard().say(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sqlite:////a/b@c.db", "sqlite:////a/b@c.db"),
        ("http://host:5000/a", "http://host:5000/a"),
        ("http://user@host/a", "http://user@host/a"),
        ("http://user:a@host/a", "http://user:***@host/a"),
        (
            "failed: postgresql://u:a@b/c:d@host/e and http://v:b@h",
            "failed: postgresql://u:***@host/e and http://v:***@h",
        ),
        ("mssql://host/db?driver=x&pwd=abc&z=1", "mssql://host/db?driver=x&pwd=***&z=1"),
        ('{"a": "http://u:one@h", "b": 1}', '{"a": "http://u:***@h", "b": 1}'),
        ("http://u:***@host", "http://u:***@host"),
    ],
)
def test_the_password_of_an_address_is_hidden(text: str, expected: str) -> None:
    assert without_passwords(text) == expected
    assert redacted(text) == expected


def test_messages_of_libraries_are_searched_for_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    remember(f"postgresql://u:{_QUOTED}@host/d")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-long-token")
    assert redacted(f'invalid percent-encoded token: "{_SECRET}"') == 'invalid percent-encoded token: "***"'
    assert redacted("header a-long-token refused") == "header *** refused"
    assert "a-long-token" in os.environ.values()


def test_addresses_for_links_and_for_command_lines() -> None:
    assert without_user(f"https://u:{_QUOTED}@host/a/") == "https://host/a/"
    assert without_user("https://u@host") == "https://host"
    assert without_user("https://host/a@b") == "https://host/a@b"
    assert tracking_option(None) == ""
    assert tracking_option("http://host") == " --tracking-uri http://host"
    assert tracking_option("postgresql://u:p@h/d?a=1&b=2") == " --tracking-uri 'postgresql://u:***@h/d?a=1&b=2'"


@pytest.mark.parametrize("password", ["abc@x:Seven/zz", "abc/@x:Seven/y", "@[Seven", "a@h:Seven"])
def test_an_address_that_can_not_be_read_shows_no_part_of_its_password(password: str, tmp_path: Path) -> None:
    result = run_command("list", "--tracking-uri", f"postgresql://someone:{password}@127.0.0.1:1/mlflow")
    assert result.exit_code == 1
    assert "Seven" not in result.stderr
    assert "127.0.0.1:1/mlflow" in result.stderr
