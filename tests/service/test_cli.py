"""The command, as a user meets it: what it prints, where, and its exit code."""

import re
import sqlite3
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from experiments.data.builtin_data import BUILTINS
from service.cli import main
from service.execution import cluster
from service.recording.store import Store
from tests.service.conftest import TINY, Recorded, run_command, run_for_json, write_spec


def test_sweep_prints_one_json_object_with_the_contracts_keys(tmp_path: Path, uri: str) -> None:
    values = run_for_json("sweep", write_spec(tmp_path, TINY), "--inline", "--tracking-uri", uri)
    assert set(values) == {
        "sweep", "sweep_run_id", "experiment_id", "tracking_uri", "trials", "finished", "diverged", "outcomes",
        "seconds", "best", "missing",
    }  # fmt: skip
    assert (values["trials"], values["finished"], values["diverged"], values["tracking_uri"]) == (3, 3, 0, uri)
    assert set(values["best"]) == {"run_id", "params", "metrics"}
    assert Store(uri).find_sweep(values["sweep"]).run_id == values["sweep_run_id"]


def test_sweep_shows_a_leaderboard_on_stdout_and_notes_on_stderr(tmp_path: Path, uri: str) -> None:
    result = run_command("sweep", write_spec(tmp_path, TINY), "--inline", "--tracking-uri", uri)
    assert "The best of 3 trials by loss" in result.stdout
    assert re.search(r"^sweep \S+: 3 trials of 1 program on 1 worker$", result.stderr, re.MULTILINE)
    assert "3 trials finished, 0 diverged (3 stalled)" in result.stderr
    assert re.search(rf"^the dashboard: gradgrid dashboard \S+ --tracking-uri {uri}$", result.stderr, re.MULTILINE)
    run = re.search(r"gradgrid show (\w{8})", result.stderr)
    assert run is not None
    assert run_command("show", run[1], "--tracking-uri", uri).exit_code == 0


def test_the_store_is_mlflows_default_in_the_folder_or_the_environments(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_spec(tmp_path, TINY)
    assert run_command("sweep", spec, "--inline").exit_code == 0
    assert Path("mlflow.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert run_for_json("sweep", spec, "--inline")["tracking_uri"] == uri


def test_a_dry_run_shows_the_size_and_writes_nothing(tmp_path: Path) -> None:
    result = run_command("sweep", "moons", "--dry-run", "--workers", "2")
    assert "1,000 trials (4 activation x 25 learning_rate x 10 seed)" in result.stdout
    assert "325,000 metric rows" in result.stdout
    values = run_for_json("sweep", write_spec(tmp_path, TINY), "--dry-run", "--set", "grid.seed.range=7")
    assert (values["trials"], values["programs"], values["shards"]) == (7, 1, 1)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["sweep"],
            2,
            "Missing argument 'SPEC': a sweep file, or a ready sweep: breast_cancer, deep, digits, fractal_drift",
        ),
        (["sweep", "moonz"], 2, "did you mean 'moons'"),
        (["sweep", "moons", "--set", "steps=-1"], 2, "--set steps=-1: steps should be greater than or equal to 1"),
        (["sweep", "moons", "--set", "grid.seed.range=1000000000"], 2, "the grid has 100,000,000,000 trials"),
        (["sweep", "moons", "--set", "dataset.name=moonz"], 2, "--set dataset.name=moonz: dataset: no data set"),
        (["sweep", "moons", "--inline", "--address", "auto"], 2, "--inline trains without Ray"),
        (["sweep", "moons", "--workers", "0"], 2, "0 is not in the range"),
        (["sweep", "moons", "--address", "127.0.0.1:1"], 1, "nothing listens at 127.0.0.1:1"),
        (["sweep", "moons", "--address", "somewhere"], 1, "'somewhere' is not a Ray address: write host:port"),
        (
            ["sweep", "moons", "--inline", "--tracking-uri", "sqlite:////nowhere/m.db"],
            1,
            "/nowhere of the store does not",
        ),
        (["sweep", "moons", "--inline", "--tracking-uri", "http://127.0.0.1:1"], 1, "no MLflow server answers at"),
        (["sweep", "moons", "--inline", "--tracking-uri", "gopher://x"], 1, "MLflow's store at gopher://x failed"),
        (["top", "moons"], 1, "there is no MLflow store at"),
        (["--tracking-uri", "x", "list"], 2, "--tracking-uri belongs after the command: gradgrid list --tracking-uri"),
        (["--set", "steps=1"], 2, "--set belongs after the command: gradgrid sweep --set"),
        (["--stes", "steps=1", "sweep"], 2, "No such option"),
        (["list"], 1, "run a sweep first, or name another store with --tracking-uri"),
        (["show", "abc"], 1, "there is no MLflow store at"),
        (["dashboard"], 1, "there is no MLflow store at"),
        (["sweep", "--resume", "abc"], 1, "there is no MLflow store at"),
    ],
)
def test_a_mistake_gets_one_message_and_its_exit_code(arguments: list[str], code: int, message: str) -> None:
    began = time.monotonic()
    result = run_command(*arguments)
    assert time.monotonic() - began < 15
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(Path.cwd().iterdir()) == []  # nothing half-made


def test_a_store_that_cannot_be_written_or_is_of_another_version(tmp_path: Path) -> None:
    def with_table(name: str, *statements: str) -> str:
        with sqlite3.connect(tmp_path / name) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        return f"sqlite:///{tmp_path / name}"

    version = "create table alembic_version (version_num varchar(32))"
    older = with_table("older.db", version, "insert into alembic_version values ('451aebb31d03')")
    newer = with_table("newer.db", version, "insert into alembic_version values ('ffffffffffff')")
    other = with_table("other.db", "create table recipes (name text)")
    (tmp_path / "text.db").write_text("no database at all, but long enough to be looked at as one", encoding="utf-8")
    for uri, message in (
        (older, "made by another MLflow version: its schema is 451aebb31d03.* back it up and run `mlflow db upgrade"),
        (newer, "made by another MLflow version: its schema is ffffffffffff.* install the MLflow that made it"),
        (other, "is not an MLflow store: name another"),
        (f"sqlite:///{tmp_path / 'text.db'}", "can't be opened: .*file is not a database"),
        (f"sqlite:///{tmp_path}", "is a folder: name a file"),
    ):
        result = run_command("sweep", "moons", "--inline", "--tracking-uri", uri)
        assert result.exit_code == 1
        assert re.search(message, result.stderr), result.stderr
        assert result.stderr.count("\n") == 1


def test_bad_data_gets_its_place_and_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,y\n1,0\n,1\n", encoding="utf-8")
    file = tmp_path / "own.yaml"
    file.write_text("name: own\ndataset:\n  path: d.csv\n  target: y\n", encoding="utf-8")
    result = run_command("sweep", str(file), "--inline")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "gradgrid: own.yaml:3: dataset: d.csv, line 3: column 'x' is empty (1 such cell); write missing: "
    )
    assert list(Path.cwd().iterdir()) == []


def test_top_ranks_by_any_metric(recorded: Recorded) -> None:
    by_loss = run_for_json("top", "small", "-n", "3", "--tracking-uri", recorded.uri)
    losses = [trial["metrics"]["test_loss"] for trial in by_loss["top"]]
    assert by_loss["by"] == "test_loss"
    assert losses == sorted(losses)
    assert len(losses) == 3
    best = recorded.result.best
    assert best is not None
    assert by_loss["top"][0]["run_id"] == best["run_id"]
    everything = run_for_json(
        "top", recorded.result.sweep, "--by", "accuracy", "-n", "99", "--tracking-uri", recorded.uri
    )
    accuracies = [trial["metrics"]["accuracy"] for trial in everything["top"]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert len(accuracies) == 6  # those that diverged are not ranked
    result = run_command("top", "small", "--by", "acuracy", "--tracking-uri", recorded.uri)
    assert result.exit_code == 2
    assert "no trial has the metric 'acuracy'; did you mean 'accuracy'" in result.stderr
    result = run_command("top", "small", "--where", "seed>7", "--tracking-uri", recorded.uri)
    assert result.exit_code == 0
    assert f"no trial meets --where 'seed>7'; `gradgrid show {recorded.result.sweep}`" in result.stderr
    assert "no trial meets" not in run_command("top", "small", "--tracking-uri", recorded.uri).stderr
    text = run_command("top", "small", "--tracking-uri", recorded.uri).stdout
    assert best["run_id"][:8] in text


def test_tables_say_whether_their_values_are_means_or_single_trials(recorded: Recorded) -> None:
    at = ("--tracking-uri", recorded.uri)
    assert f"small/{recorded.result.sweep} by test_loss, means over seeds" in run_command("top", "small", *at).stdout
    assert "means over" not in run_command("top", "small", "--trials", *at).stdout
    assert "The best by test_loss, means over seeds" in run_command("show", "small", *at).stdout
    best = recorded.result.table["metrics.test_loss"].min()
    listed = run_command("list", *at).stdout
    assert "best trial" in listed
    assert f"test_loss {best:.4g}" in listed
    assert best < run_for_json("top", "small", *at)["entries"][0]["mean"]


def test_show_a_sweep_and_a_trial(recorded: Recorded) -> None:
    text = run_command("show", "small", "--tracking-uri", recorded.uri).stdout
    assert f"small/{recorded.result.sweep}: finished" in text
    assert "relu, tanh" in text
    best = recorded.result.best
    assert best is not None
    trial = run_command("show", best["run_id"][:10], "--tracking-uri", recorded.uri).stdout
    assert best["run_id"] in trial
    assert "improving after 20 steps; kernel compiled 1" in trial
    assert "layer1.weight [3, 2]: " in trial
    values = run_for_json("show", best["run_id"], "--tracking-uri", recorded.uri)
    assert values["metrics"] == pytest.approx(best["metrics"])
    assert [len(tensor["values"]) for tensor in values["final_weights"]] == [6, 3, 3, 1]
    assert run_for_json("show", "small", "--tracking-uri", recorded.uri)["metrics"]["trials"] == 12
    result = run_command("show", "zzz", "--tracking-uri", recorded.uri)
    assert (result.exit_code, "has no sweep 'zzz'" in result.stderr) == (2, True)


def test_list_shows_the_sweeps(recorded: Recorded, uri: str) -> None:
    assert recorded.result.sweep in run_command("list", "--tracking-uri", recorded.uri).stdout
    (sweep,) = run_for_json("list", "--tracking-uri", recorded.uri)["sweeps"]
    assert (sweep["spec"], sweep["status"], sweep["metrics"]["diverged"]) == ("small", "FINISHED", 6)
    Store(uri, create=True)
    empty = run_command("list", "--tracking-uri", uri)
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "no sweeps yet" in empty.stderr


def test_a_deleted_sweep_is_gone_until_mlflow_restores_it(tmp_path: Path, uri: str) -> None:
    sweep = run_for_json("sweep", write_spec(tmp_path, TINY), "--inline", "--tracking-uri", uri)
    refused = CliRunner().invoke(main, ["delete", "tiny", "--tracking-uri", uri], input="n\n")
    assert refused.exit_code == 1
    assert len(run_for_json("list", "--tracking-uri", uri)["sweeps"]) == 1
    assert run_command("delete", "tiny", "--yes", "--tracking-uri", uri).exit_code == 0
    assert run_for_json("list", "--tracking-uri", uri)["sweeps"] == []
    client = MlflowClient(uri)
    client.restore_run(sweep["sweep_run_id"])
    client.restore_experiment(sweep["experiment_id"])
    assert len(run_for_json("top", "tiny", "--tracking-uri", uri)["top"]) == 3


def test_the_catalog_lists_data_sets_activations_and_optimizers() -> None:
    assert [row["name"] for row in run_for_json("datasets")["datasets"]] == list(BUILTINS)
    assert {"relu", "gelu", "mish"} <= {row["name"] for row in run_for_json("activations")["activations"]}
    optimizers = {row["name"]: row["hyperparameters"] for row in run_for_json("optimizers")["optimizers"]}
    assert optimizers["adam"] == {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    for command in ("datasets", "activations", "optimizers"):
        assert run_command(command).exit_code == 0


def test_a_dry_run_of_resume_runs_nothing(recorded: Recorded) -> None:
    before = [sweep.status for sweep in recorded.store.sweeps()]
    result = run_command("sweep", "--resume", "small", "--dry-run", "--inline", "--tracking-uri", recorded.uri)
    assert (result.exit_code, "small: 12 trials" in result.stdout) == (0, True)
    assert "recorded already" not in result.stderr
    assert [sweep.status for sweep in recorded.store.sweeps()] == before


_UNSURE = "interrupted: run the command again, or look in the model registry whether it is there"


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "small"], "interrupted: not every trial was compared"),
        (["report", "small"], "interrupted: the page is not complete; run the command again"),
        (["top", "small"], "interrupted"),
        (["show", "small"], "interrupted"),
        (["list"], "interrupted"),
        (["watch", "small"], "interrupted"),
        (["explain", "small"], "interrupted"),
        (["resume", "small"], "interrupted before anything more was recorded"),
        (["sweep", "xor", "--inline"], "interrupted before anything was recorded"),
        (["export", "small"], "interrupted: the file was not written; run the command again"),
        (["promote", "small", "--name", "m"], _UNSURE),
    ],
)
def test_ctrl_c_is_reported_in_the_words_of_the_command(
    arguments: list[str], message: str, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "__init__", _interrupt)
    result = run_command(*arguments, "--tracking-uri", recorded.uri)
    assert (result.exit_code, result.stderr) == (130, f"gradgrid: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit", "xor"], "interrupted: `gradgrid status` shows whether the job has arrived"),
        (["cancel", "xor"], "interrupted: `gradgrid status` shows whether the job still runs"),
        (["status", "xor"], "interrupted"),
        (["logs", "xor"], "interrupted"),
    ],
)
def test_ctrl_c_while_a_cluster_is_asked_is_reported_in_the_words_of_the_command(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "check_jobs", _interrupt)
    result = run_command(*arguments)
    assert (result.exit_code, result.stderr) == (130, f"gradgrid: {message}\n")
