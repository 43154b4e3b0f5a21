"""Databases in which runs are written in bulk: the shape of the written tables decides."""

from collections.abc import Callable
from contextlib import closing

import pytest
import sqlalchemy

from experiments.errors import StoreError
from service.recording.bulk_recorder import BulkRecorder
from service.recording.client_recorder import ClientRecorder
from service.recording.schema import check_revision, schema_revision, shape_difference
from service.recording.store import Store
from tests.service.trial_records import RECORDS, begin_sweep, write


def _change(uri: str, *statements: str) -> None:
    engine = sqlalchemy.create_engine(uri)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sqlalchemy.text(statement))
    engine.dispose()


def _is_sqlite(uri: str) -> bool:
    return uri.startswith("sqlite")


@pytest.fixture(params=["sqlite", "postgresql"])
def made(request: pytest.FixtureRequest) -> str:
    """A new MLflow store in a database of each kind: a copy, because MLflow takes seconds to make one."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("uri"))
    return str(request.getfixturevalue("make_postgres_store")())


def test_revision_and_other_tables_do_not_matter(made: str) -> None:
    """MLflow 3.18, for example, has three new revisions, which are about other tables."""
    store, sweep = begin_sweep(made)
    _change(
        made,
        "UPDATE alembic_version SET version_num = 'f4a9b2c7d1e6'",
        "CREATE TABLE robots (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(10) NOT NULL)",
        "ALTER TABLE experiments ADD COLUMN colour VARCHAR(10)",
        "ALTER TABLE runs ADD COLUMN colour VARCHAR(10)",
        "ALTER TABLE metrics ADD COLUMN unit VARCHAR(10) DEFAULT 'none' NOT NULL",
        "CREATE INDEX index_runs_experiment ON runs (experiment_id)",
    )
    with closing(store.recorder(sweep).open()) as recorder:
        assert isinstance(recorder, BulkRecorder)
        assert store.recorder(sweep).note == ""
        write(recorder, sweep, RECORDS)
    assert len(list(store.trials(sweep))) == len(RECORDS)


def _rebuilt(table: str, old: str, new: str) -> Callable[[str], list[str]]:
    """Return statements that make an SQLite table again with a changed definition, which SQLite can't alter."""

    def statements(uri: str) -> list[str]:
        engine = sqlalchemy.create_engine(uri)
        with engine.connect() as connection:
            found = connection.execute(
                sqlalchemy.text(f"SELECT sql FROM sqlite_master WHERE name = '{table}'")
            ).scalar()
        engine.dispose()
        assert old in str(found)
        return [f"DROP TABLE {table}", str(found).replace(old, new)]

    return statements


@pytest.mark.parametrize(
    ("sqlite", "postgresql", "reason"),
    [
        (
            ["ALTER TABLE runs ADD COLUMN owner VARCHAR(10) NOT NULL DEFAULT 'x'"],
            ["ALTER TABLE runs ADD COLUMN owner VARCHAR(10) NOT NULL DEFAULT 'x'"],
            "",
        ),
        (
            _rebuilt("params", "run_uuid VARCHAR(32) NOT NULL,", "run_uuid VARCHAR(32) NOT NULL, kind TEXT NOT NULL,"),
            ["ALTER TABLE params ADD COLUMN kind TEXT NOT NULL"],
            "its table params has an unknown column kind without a default",
        ),
        (
            ["ALTER TABLE runs DROP COLUMN source_version"],
            ["ALTER TABLE runs DROP COLUMN source_version"],
            "its table runs has no column source_version",
        ),
        (
            _rebuilt("latest_metrics", "step BIGINT", "step TEXT"),
            ["ALTER TABLE latest_metrics ALTER COLUMN step TYPE TEXT"],
            "the column step of its table latest_metrics has the type TEXT",
        ),
        (
            _rebuilt("metrics", "timestamp BIGINT", "timestamp INTEGER"),
            ["ALTER TABLE metrics ALTER COLUMN timestamp TYPE INTEGER"],
            "the column timestamp of its table metrics has the type INTEGER",
        ),
        (
            _rebuilt("tags", "value VARCHAR(8000)", "value VARCHAR(500)"),
            ["ALTER TABLE tags ALTER COLUMN value TYPE VARCHAR(500)"],
            "the column value of its table tags has the type VARCHAR(500)",
        ),
        (
            _rebuilt("tags", 'PRIMARY KEY ("key", run_uuid)', "PRIMARY KEY (run_uuid)"),
            ["ALTER TABLE tags DROP CONSTRAINT tag_pk", "ALTER TABLE tags ADD PRIMARY KEY (run_uuid)"],
            "its table tags has another primary key",
        ),
        (
            ["CREATE UNIQUE INDEX names ON runs (experiment_id, name)"],
            ["CREATE UNIQUE INDEX names ON runs (experiment_id, name)"],
            "its table runs has an unknown unique index",
        ),
        (
            _rebuilt("runs", "'NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT'", "'NOTEBOOK', 'JOB'"),
            [
                "ALTER TABLE runs DROP CONSTRAINT source_type",
                "ALTER TABLE runs ADD CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB'))",
            ],
            "its table runs has an unknown rule",
        ),
        (["DROP TABLE params"], ["DROP TABLE params"], "it has no table params"),
    ],
)
def test_a_shape_that_is_not_known_is_refused_with_its_reason(
    made: str, sqlite: list[str] | Callable[[str], list[str]], postgresql: list[str], reason: str
) -> None:
    if not _is_sqlite(made):
        _change(made, *postgresql)
    else:
        _change(made, *(sqlite if isinstance(sqlite, list) else sqlite(made)))
    found = shape_difference(made)
    assert found.startswith(reason) if reason else found == ""


def test_the_client_writes_into_tables_of_an_unknown_shape_and_says_why(uri: str) -> None:
    store, sweep = begin_sweep(uri)
    _change(
        uri, *_rebuilt("tags", "run_uuid VARCHAR(32) NOT NULL,", "run_uuid VARCHAR(32) NOT NULL, a TEXT NOT NULL,")(uri)
    )
    recorder = store.recorder(sweep).open()
    assert isinstance(recorder, ClientRecorder)
    why = "its table tags has an unknown column a without a default"
    assert store.recorder(sweep).note == f"recording through MLflow's client, run by run: {why}"


def test_a_trigger_fires_for_bulk_as_it_does_for_the_client(made: str) -> None:
    store, sweep = begin_sweep(made)
    body = "INSERT INTO seen VALUES (NEW.run_uuid)"
    if _is_sqlite(made):
        trigger = [f"CREATE TRIGGER audit AFTER INSERT ON runs BEGIN {body}; END"]
    else:
        function = f"BEGIN {body}; RETURN NEW; END"
        trigger = [
            f"CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS '{function}'",
            "CREATE TRIGGER audit AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION audit()",
        ]
    _change(made, "CREATE TABLE seen (run_uuid VARCHAR(32))", *trigger)
    with closing(store.recorder(sweep).open()) as recorder:
        assert isinstance(recorder, BulkRecorder)
        runs = write(recorder, sweep, RECORDS)
    engine = sqlalchemy.create_engine(made)
    with engine.connect() as connection:
        seen = {row[0] for row in connection.execute(sqlalchemy.text("SELECT run_uuid FROM seen"))}
    engine.dispose()
    assert seen == set(runs.values())


def test_the_store_of_another_mlflow_is_refused_with_a_remedy(made: str) -> None:
    head, known = schema_revision()
    check_revision(made, head)
    with pytest.raises(StoreError, match="back it up and run `mlflow db upgrade"):
        check_revision(made, min(known - {head}))
    _change(made, "UPDATE alembic_version SET version_num = 'f00000000000'")
    with pytest.raises(StoreError, match=r"its schema is f00000000000.*install the MLflow that made it"):
        Store(made, direct=False)
