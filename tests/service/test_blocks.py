"""A sweep of several blocks: trained, interrupted and resumed, read back, and shown."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.errors import SweepInterruptedError
from experiments.spec import load_spec
from service.api import load_sweep
from service.execution.plan import make_plan
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials

_SPEC: dict[str, Any] = {
    "name": "blocks",
    "dataset": {"name": "moons", "samples": 40},
    "model": {"hidden": [3]},
    "steps": 12,
    "grid": [
        {"optimizer": ["sgd", "momentum"], "clip_norm": [None, 0.5], "seed": {"range": 3}, "only": ["seed!=1"]},
        {"zip": {"optimizer": ["adam", "sgd"], "learning_rate": [0.1, 0.01]}, "seed": {"range": 2}},
        {"learning_rate": {"logspace": [0.1, 1], "points": 2, "with": [None]}, "batch_size": [None, 8]},
    ],
    "record": {"points": 3},
}


@pytest.mark.parametrize("runs", ["all", "summary"])
def test_it_is_resumed_and_verified_and_shown(uri: str, tmp_path: Path, runs: str) -> None:
    spec = load_spec({**_SPEC, "record": {"points": 3, "runs": runs}})
    plan = make_plan(spec)
    assert [counts.trials for counts in plan.grid.blocks] == [8, 3, 5]
    with pytest.raises(SweepInterruptedError):
        run_sweep(spec, tracking_uri=uri, inline=True, shard_size=1, observer=Interrupting(5))
    resumed = run_sweep(spec, tracking_uri=uri, inline=True, resume=load_sweep("blocks", tracking_uri=uri).id)
    whole = run_sweep(spec, tracking_uri=uri, inline=True)
    assert resumed.trials == 16
    assert resumed.table["trial"].tolist() == list(plan.trial_ids)
    assert_same_trials(resumed.table, whole.table)
    at = ("--tracking-uri", uri)
    assert run_command("verify", whole.sweep, *at).exit_code == 0
    best = run_for_json("top", whole.sweep, *at, "--where", "clip_norm=null or seed=2", "-n", "50")["entries"]
    assert {entry["params"]["clip_norm"] for entry in best} == {None, 0.5}
    page = tmp_path / "page.html"
    assert run_command("report", whole.sweep, *at, "-o", str(page)).exit_code == 0
    assert page.stat().st_size > 10_000


def test_the_sweeps_run_names_every_axis_and_null(uri: str) -> None:
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True)
    sweep = load_sweep(result.sweep, tracking_uri=uri)
    assert sweep.info.swept == ["optimizer", "clip_norm", "seed", "learning_rate", "batch_size"]
    assert sweep.info.params["grid.clip_norm"] == "null, 0.5"
    assert sweep.info.params["grid.learning_rate"] == "0.1, 0.01, null, 1.0"
    assert isinstance(sweep.leaderboard(), pd.DataFrame)
