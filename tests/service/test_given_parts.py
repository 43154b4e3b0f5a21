"""A sweep whose data say which row is which: trained, ranked, resumed, verified, extended, promoted, submitted."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from experiments.data.frames import given_frame
from experiments.errors import SpecError, SweepInterruptedError
from experiments.spec import load_spec
from service.api import RecordedSweep, load_sweep
from service.execution.jobs import Jobs
from service.execution.plan import make_plan
from service.inspection.verify import verify
from service.recording.store import Store
from service.report.contents import gather
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json, write_spec
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials

_SPEC: dict[str, Any] = {
    "name": "flowers",
    "steps": 10,
    "grid": {"learning_rate": [0.1, 0.5], "seed": [0, 1]},
    "record": {"points": 3, "measures": ["f1_macro"]},
}
_FILES = {"path": "train/rows.csv", "validation": "validation/rows.csv", "test": "test/rows.parquet"}


def _flowers() -> pd.DataFrame:
    """Return irises. Those of the test part are not scattered: they are the first ten of each species."""
    x, y = load_iris(return_X_y=True)
    part = np.where(np.arange(150) % 50 < 10, "test", np.where(np.arange(150) % 7 == 0, "validation", "train"))
    kinds = np.array(["setosa", "versicolor", "virginica"])[y]
    return pd.DataFrame(x, columns=["a", "b", "c", "d"]).assign(kind=kinds, part=part)


def _file_spec(folder: Path) -> str:
    """Write a file for each part, of one name in three folders, and a sweep file that names them."""
    for path in _FILES.values():
        file = folder / path
        file.parent.mkdir()
        frame = _flowers()
        rows = frame[frame["part"] == file.parent.name].drop(columns="part")
        if file.suffix == ".csv":
            rows.to_csv(file, index=False)
        else:
            rows.to_parquet(file, index=False)
    return write_spec(folder, {**_SPEC, "dataset": {"target": "kind", **_FILES}})


def _column_spec(folder: Path) -> str:
    _flowers().to_csv(folder / "all.csv", index=False)
    return write_spec(folder, {**_SPEC, "dataset": {"target": "kind", "path": "all.csv", "split": "part"}})


def _run(spec: Any, uri: str) -> RecordedSweep:
    return load_sweep(run_sweep(load_spec(spec), tracking_uri=uri, inline=True).sweep, tracking_uri=uri)


def test_a_dry_run_shows_the_three_counts(tmp_path: Path) -> None:
    spec = _file_spec(tmp_path)
    sizes = [int((_flowers()["part"] == part).sum()) for part in ("train", "test", "validation")]
    shown = f"{sizes[0]} samples, {sizes[1]} to test on, {sizes[2]} to validate on, 4 inputs"
    assert shown in run_command("sweep", spec, "--dry-run").stdout
    data = run_for_json("sweep", spec, "--dry-run")["data"]
    assert [data["samples"], data["test_samples"], data["validation_samples"]] == sizes


@pytest.mark.parametrize("write", [_file_spec, _column_spec])
def test_its_trials_are_ranked_by_the_validation_part(write: Callable[[Path], str], tmp_path: Path, uri: str) -> None:
    """The recorded figures are those of the models' own predictions on the rows of each part."""
    sweep = _run(write(tmp_path), uri)
    assert sweep.objective == "validation_loss"
    frame = _flowers()
    for _, row in sweep.trials.iterrows():
        for part in ("validation", "test"):
            rows = frame[frame["part"] == part]
            predicted = sweep.model(row["run_id"]).predict(rows)["prediction"]
            accuracy = float((predicted.to_numpy() == rows["kind"].to_numpy()).mean())
            assert row[f"metrics.{part}_accuracy"] == pytest.approx(accuracy)
    entries = run_for_json("top", sweep.id, "--tracking-uri", uri)["entries"]
    assert [entry["mean"] for entry in entries] == sorted(entry["mean"] for entry in entries)
    assert all(entry["test"] is not None for entry in entries)
    notes = " ".join(gather(sweep._store, sweep.info).notes)
    assert "chosen on the test part" not in notes


def test_it_is_verified_extended_reported_and_explained(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    spec = _file_spec(tmp_path)
    monkeypatch.chdir(tmp_path / "elsewhere")
    sweep = _run(spec, uri)
    at = ("--tracking-uri", uri)
    assert run_command("verify", sweep.id, *at).exit_code == 0
    assert run_command("explain", str(sweep.trials["run_id"].iloc[0]), *at).exit_code == 0
    assert run_command("report", sweep.id, *at, "-o", str(tmp_path / "page.html")).exit_code == 0
    before = sweep.trials
    extended = sweep.extend("grid.seed=[5]", inline=True)
    assert len(extended.trials) == 6
    assert_same_trials(extended.trials.head(4), before)


@pytest.mark.parametrize("key", ["validation", "test"])
def test_a_changed_file_is_noticed(key: str, tmp_path: Path, uri: str) -> None:
    sweep = _run(_file_spec(tmp_path), uri)
    file = tmp_path / _FILES[key]
    rows = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    rows = rows.assign(a=rows["a"] + 0.5)
    _ = rows.to_csv(file, index=False) if file.suffix == ".csv" else rows.to_parquet(file, index=False)
    for command in ("verify", "resume"):
        refused = run_command(command, sweep.id, "--tracking-uri", uri)
        assert (refused.exit_code, "its data changed" in refused.stderr or "data changed" in refused.stderr) == (
            2,
            True,
        )


def test_an_interrupted_sweep_is_resumed(tmp_path: Path, uri: str) -> None:
    spec = _file_spec(tmp_path)
    whole = _run(spec, uri)
    with pytest.raises(SweepInterruptedError, match="2 of 4 trials"):
        run_sweep(load_spec(spec), tracking_uri=uri, inline=True, observer=Interrupting(2), shard_size=1)
    assert run_command("resume", "flowers", "--inline", "--tracking-uri", uri).exit_code == 0
    assert_same_trials(load_sweep("flowers", tracking_uri=uri).trials, whole.trials)


def test_a_frame_with_the_column_gives_the_sweep_of_the_files(tmp_path: Path, uri: str) -> None:
    """Afterwards it needs the store alone."""
    of_files = _run(_file_spec(tmp_path), uri)
    frame, target = given_frame(_flowers(), "kind")
    resolved = load_spec({**_SPEC, "dataset": {"split": "part"}}, frame=frame, target=target)
    name = run_sweep(resolved, tracking_uri=uri, inline=True).sweep
    of_frame = load_sweep(name, tracking_uri=uri)
    assert_same_trials(of_frame.trials, of_files.trials)
    store = Store(uri)
    verdict = verify(store, store.find_sweep(name))
    assert (verdict.trials, verdict.differences) == (4, ())


class _Cluster:
    """The Jobs API of a cluster that keeps the plan's fingerprint of each job: of the files that came with it."""

    def __init__(self) -> None:
        self.fingerprints: dict[str, str] = {}

    def list_jobs(self) -> list[Any]:
        return [
            SimpleNamespace(
                submission_id=job, status=SimpleNamespace(value="RUNNING"), message="",
                metadata={"gradgrid.spec": "flowers"}, start_time=1, end_time=0,
            )
            for job in self.fingerprints
        ]  # fmt: skip

    def submit_job(self, *, submission_id: str, runtime_env: Any, **_: Any) -> None:
        plan = make_plan(load_spec(Path(runtime_env["working_dir"]) / "flowers.yaml"))
        self.fingerprints[submission_id] = plan.dataset.fingerprint


def test_a_job_takes_its_files_along(tmp_path: Path) -> None:
    """They have one name in three folders. A changed file makes another job."""
    spec, cluster = _file_spec(tmp_path), _Cluster()
    jobs = Jobs(cluster)  # type: ignore[arg-type]
    for number in range(2):
        plan = make_plan(load_spec(spec))
        job, is_new = jobs.submit(load_spec(spec))
        assert (is_new, cluster.fingerprints[job.id]) == (True, plan.dataset.fingerprint)
        assert jobs.submit(load_spec(spec)) == (job, False)
        file = tmp_path / _FILES["test"]
        rows = pd.read_parquet(file)
        rows.assign(a=rows["a"] + number + 1).to_parquet(file, index=False)
    assert len(set(cluster.fingerprints.values())) == 2


def test_files_too_large_for_ray_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec(_file_spec(tmp_path))
    sizes = [(tmp_path / path).stat().st_size for path in _FILES.values()]
    monkeypatch.setattr("service.execution.jobs._MAX_BYTES", sum(sizes) - 1)
    with pytest.raises(SpecError, match=r"dataset\.test: test/rows\.parquet and the files above are larger than 0 MiB"):
        Jobs(_Cluster()).submit(spec)  # type: ignore[arg-type]


def test_a_refusal_names_the_line_of_the_key(tmp_path: Path) -> None:
    lines = "name: a\ndataset:\n  path: train.csv\n  target: y\n  test: test.csv\n"
    (tmp_path / "own.yaml").write_text(lines, encoding="utf-8")
    (tmp_path / "train.csv").write_text("a,y\n1,0.5\n2,1.5\n4,0.1\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("b,y\n1,0.5\n", encoding="utf-8")
    refused = run_command("sweep", str(tmp_path / "own.yaml"), "--dry-run")
    assert refused.exit_code == 2
    assert "own.yaml:5: dataset.test: test.csv has no column 'a', which train.csv has" in refused.stderr
