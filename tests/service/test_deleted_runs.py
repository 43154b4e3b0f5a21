"""Runs that were deleted in MLflow: messages about them, and `resume`, which brings back each once."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from experiments.spec import load_spec
from service.execution.result import SweepResult
from service.recording.recorded_table import lost_runs_note, read_table
from service.recording.store import Store
from service.recording.tags import Tag
from service.run import run_sweep
from tests.service.conftest import TINY, run_command, run_for_json, write_spec

_SIX = {**TINY, "grid": {"seed": {"range": 6}}}


def _sweep(uri: str, **changes: Any) -> SweepResult:
    return run_sweep(load_spec({**_SIX, **changes}), tracking_uri=uri, inline=True)


def _active(client: MlflowClient, result: SweepResult) -> list[str]:
    return sorted(run.info.run_id for run in client.search_runs([result.experiment_id]))


def _remove_for_good(client: MlflowClient, run: str) -> None:
    """Remove a run as `mlflow gc` does."""
    client.delete_run(run)
    client._tracking_client.store._hard_delete_run(run)


def test_commands_report_deleted_runs_and_link_to_none(uri: str, tmp_path: Path) -> None:
    result = _sweep(uri)
    client, option = MlflowClient(uri), ("--tracking-uri", uri)
    ranked = result.table.sort_values("metrics.loss")["run_id"].tolist()
    client.delete_run(ranked[0])
    _remove_for_good(client, ranked[1])
    note = f"2 of the 6 runs of {result.sweep} were deleted in MLflow; `gradgrid resume {result.sweep} --tracking-uri"
    for command in ("top", "show"):
        shown = run_command(command, "tiny", *option)
        assert note in shown.stderr
        assert ranked[0][:8] not in shown.stdout
    table = run_for_json("top", "tiny", "--trials", *option)
    assert [entry["run_id"] for entry in table["entries"]][:3] == [None, None, ranked[2]]
    page = tmp_path / "page.html"
    assert run_command("report", "tiny", "-o", str(page), *option).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "2 of the 6 runs" in text
    assert not any(run in text for run in ranked[:2])
    assert run_command("export", "tiny", "-o", str(tmp_path / "t.csv"), *option).exit_code == 0
    exported = pd.read_csv(tmp_path / "t.csv")
    assert exported["run_id"].isna().sum() == 2
    pd.testing.assert_series_equal(exported["metrics.loss"], result.table["metrics.loss"])


def test_resume_brings_back_each_once_and_says_so(uri: str, tmp_path: Path) -> None:
    result = _sweep(uri)
    client, option = MlflowClient(uri), ("--tracking-uri", uri)
    before, runs = _active(client, result), result.table["run_id"].tolist()
    for run in runs[:3]:
        client.delete_run(run)
    _remove_for_good(client, runs[3])
    for attempt in range(2):
        resumed = run_command("resume", "tiny", "--inline", *option)
        assert resumed.exit_code == 0
        assert ("3 deleted runs are restored" in resumed.stderr) == (attempt == 0)
        assert f"{'5' if attempt == 0 else '6'} of them recorded already" in resumed.stderr
        assert _active(client, result) == before
    table = Store(uri).table(Store(uri).find_sweep("tiny"))
    pd.testing.assert_frame_equal(table, result.table, check_exact=True)
    assert run_for_json("verify", "tiny", *option)["differences"] == []
    assert "deleted" not in run_command("top", "tiny", *option).stderr


def test_resume_brings_back_runs_of_a_sweep_that_was_cut_off(uri: str, tmp_path: Path) -> None:
    result = _sweep(uri)
    client = MlflowClient(uri)
    client.update_run(result.sweep_run_id, status="RUNNING")  # as SIGKILL leaves it
    for tag in (Tag.DRIVER, Tag.HEARTBEAT):
        client.delete_tag(result.sweep_run_id, tag)  # this process lives
    for run in result.table["run_id"][:2]:
        client.delete_run(run)
    assert len(read_table(Store(uri), Store(uri).find_sweep("tiny"))) == 4
    again = run_sweep(load_spec(_SIX), tracking_uri=uri, inline=True, resume="tiny")
    assert len(_active(client, result)) == 6
    pd.testing.assert_frame_equal(again.table, result.table, check_exact=True)


@pytest.mark.parametrize(("runs", "expected"), [({"top": 2}, 2), ("summary", 0)])
def test_resume_brings_back_the_best_if_only_those_have_runs(uri: str, runs: Any, expected: int) -> None:
    result = _sweep(uri, record={"runs": runs})
    client, store = MlflowClient(uri), Store(uri)
    had = result.table["run_id"].dropna().tolist()
    assert len(had) == expected
    for run in had[:1]:
        client.delete_run(run)
    sweep = store.find_sweep("tiny")
    note = lost_runs_note(store, sweep, read_table(store, sweep))
    assert note.startswith(f"1 of the 2 runs of {sweep.sweep} was deleted") if expected else note == ""
    spec = load_spec({**_SIX, "record": {"runs": runs}})
    again = run_sweep(spec, tracking_uri=uri, inline=True, resume="tiny")
    assert _active(client, result) == sorted(had)
    pd.testing.assert_frame_equal(again.table, result.table, check_exact=True)


def test_a_run_that_the_user_opened_again_is_not_lost(uri: str, tmp_path: Path) -> None:
    """Reopened to add something, and left so: it looks unfinished, and a resumed sweep discards it."""
    spec = write_spec(tmp_path, _SIX)
    assert run_command("sweep", spec, "--inline", "--tracking-uri", uri).exit_code == 0
    client, store = MlflowClient(uri), Store(uri)
    sweep = store.find_sweep("tiny")
    run = store.table(sweep)["run_id"].iloc[0]
    client.update_run(run, status="RUNNING")
    for _ in range(2):
        assert run_command("resume", "tiny", "--inline", "--tracking-uri", uri).exit_code == 0
        assert len(list(store.trials(sweep))) == 6
        assert client.get_run(run).info.status == "FINISHED"
