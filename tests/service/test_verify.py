"""`gradgrid verify` compares recorded figures with those of a new training run."""

import json
import math
import re
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments.errors import SpecError
from experiments.spec import load_spec
from service.inspection.verify import Difference, Verdict, verify
from service.recording.infos import TrialInfo
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import SPEC, TINY, Recorded, run_command, run_for_json, write_spec


def test_verify_finds_every_figure_equal(recorded: Recorded) -> None:
    result = run_command("verify", "small", "--tracking-uri", recorded.uri)
    assert result.exit_code == 0
    figures = re.search(
        r"^12 trials trained again, ([\d,]+) figures compared: \1 equal to the last bit$", result.stdout
    )
    assert figures is not None, result.stdout
    points = sum(len(recorded.store.curve(t.run_id, name)) for t in _trials(recorded) for name in t.metrics)
    assert int(figures[1].replace(",", "")) == points + 12 * 13
    sampled = run_for_json("verify", "small", "--sample", "4", "--tracking-uri", recorded.uri)
    assert (sampled["trials"], sampled["differences"]) == (4, [])
    run = _trials(recorded)[0].run_id
    assert run_for_json("verify", run, "--tracking-uri", recorded.uri)["trials"] == 1
    assert run_command("verify", run, "--tracking-uri", recorded.uri).stdout.startswith("1 trial trained again")


def _trials(recorded: Recorded) -> list[TrialInfo]:
    return list(recorded.store.trials(recorded.store.find_sweep("small")))


@pytest.mark.parametrize(("kernel", "code"), [("compiled", 1), ("reference", 0)])
def test_verify_wants_the_same_bits_of_the_compiled_kernel_alone(
    tmp_path: Path, uri: str, kernel: str, code: int
) -> None:
    sweep = run_for_json("sweep", write_spec(tmp_path, {**TINY, "kernel": kernel}), "--inline", "--tracking-uri", uri)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        change = "update metrics set value = value * (1 + 1e-15) where run_uuid = ? and key = 'loss' and step = 2"
        connection.execute(change, [sweep["best"]["run_id"]])
    connection.close()
    result = run_command("verify", "tiny", "--tracking-uri", uri)
    assert result.exit_code == code
    assert ("1 DIFFERENT" if code else "1 within 1e-9") in result.stdout


@pytest.mark.parametrize("what", ["a point", "a weight", "a missing point"])
def test_verify_finds_changes(tmp_path: Path, uri: str, what: str) -> None:
    sweep = run_for_json("sweep", write_spec(tmp_path, TINY), "--inline", "--tracking-uri", uri)
    run = sweep["best"]["run_id"]
    if what == "a weight":
        (file,) = Path.cwd().rglob(f"{run}/artifacts/final_weights.json")
        content = json.loads(file.read_text(encoding="utf-8"))
        content["tensors"][0]["values"][1] += 1e-6
        file.write_text(json.dumps(content), encoding="utf-8")
    else:
        change = "delete from metrics" if what == "a missing point" else "update metrics set value = value * (1 + 1e-8)"
        with sqlite3.connect(tmp_path / "mlflow.db") as connection:
            connection.execute(f"{change} where run_uuid = ? and key = 'loss' and step = 2", [run])
        connection.close()
    result = run_command("verify", "tiny", "--tracking-uri", uri)
    assert result.exit_code == 1
    assert "1 DIFFERENT" in result.stdout
    assert ("layer1.weight[1]" if what == "a weight" else "loss at step 2") in result.stdout


@pytest.mark.parametrize("recorded", [0.0, 1.0, math.nan, math.inf])
@pytest.mark.parametrize("computed", [math.nan, math.inf])
def test_a_figure_that_is_not_finite_has_no_relative_difference(recorded: float, computed: float) -> None:
    for pair in ((recorded, computed), (computed, recorded)):
        difference = Difference("run", "loss at step 2", *pair, allowed=1e-9)
        assert math.isnan(difference.relative)
        assert Verdict(1, 1, (difference,)).significant == (difference,)


@pytest.mark.parametrize(("dtype", "refused"), [("float32", True), ("float64", False)])
def test_a_sweep_of_an_older_arithmetic_of_float32_is_refused(uri: str, dtype: str, refused: bool) -> None:
    """Its trials have other bits and other identities now: to resume it would train each again."""
    resolved = load_spec({**SPEC, "dtype": dtype})
    result = run_sweep(resolved, tracking_uri=uri, inline=True)
    MlflowClient(uri).delete_tag(result.sweep_run_id, "gradgrid.float32")
    store = Store(uri)
    sweep = store.find_sweep(result.sweep)
    if not refused:
        assert verify(store, sweep).trials == result.trials
        assert run_sweep(resolved, tracking_uri=uri, inline=True, resume=sweep.sweep).recorded == 0
        return
    with pytest.raises(SpecError, match=r"verified: the engine's arithmetic of float32 changed since it began"):
        verify(store, sweep)
    with pytest.raises(SpecError, match=r"resumed: the engine's arithmetic of float32 changed since it began"):
        run_sweep(resolved, tracking_uri=uri, inline=True, resume=sweep.sweep)
