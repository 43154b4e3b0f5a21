"""A sweep over data sets: trained on Ray's and the inline pool's data, read back, verified, explained, promoted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import load_dataset
from experiments.spec import load_spec
from service.api import RecordedSweep, load_sweep
from service.execution.plan import make_plan
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json
from tests.service.tables import assert_same_trials

_FOLDS: dict[str, Any] = {
    "name": "folds",
    "dataset": {"name": "iris", "folds": 3},
    "steps": 10,
    "grid": {"learning_rate": [0.1, 0.5], "dataset.fold": {"range": 3}, "seed": [0, 1]},
    "record": {"points": 3},
}
_NOISE = {**_FOLDS, "name": "noise", "dataset": {"name": "moons", "samples": 40}, "model": {"hidden": [3]}}
_NOISE["grid"] = {"dataset.noise": [0.05, 0.4], "dataset.seed": [0, 1], "seed": [0]}


def _run(uri: str, spec: dict[str, Any]) -> RecordedSweep:
    return load_sweep(run_sweep(load_spec(spec), tracking_uri=uri, inline=True).sweep, tracking_uri=uri)


def test_means_are_over_seeds_and_folds(uri: str) -> None:
    sweep = _run(uri, _FOLDS)
    board = sweep.leaderboard()
    assert board["trials"].tolist() == [6, 6]
    assert list(board["learning_rate"]) == [0.5, 0.1]
    assert "dataset.fold" not in board
    by_fold = sweep.trials.groupby("params.dataset.fold")["metrics.test_loss"].mean()
    assert by_fold.nunique() == 3
    best = sweep.trials[sweep.trials["params.learning_rate"] == 0.5]["metrics.test_loss"].mean()
    assert board["mean"][0] == pytest.approx(best)
    entries = run_for_json("top", sweep.id, "--tracking-uri", uri, "--where", "dataset.fold=1")["entries"]
    assert [entry["trials"] for entry in entries] == [2, 2]


@pytest.mark.parametrize("spec", [_FOLDS, _NOISE])
def test_it_is_verified_explained_extended_and_reported(uri: str, spec: dict[str, Any], tmp_path: Any) -> None:
    sweep = _run(uri, spec)
    plan = make_plan(load_spec(spec))
    assert sweep.trials["trial"].tolist() == list(plan.trial_ids)
    at = ("--tracking-uri", uri)
    assert run_command("verify", sweep.id, *at).exit_code == 0
    last = str(sweep.trials["run_id"].iloc[-1])
    assert run_command("explain", last, *at).exit_code == 0
    assert run_command("report", sweep.id, *at, "-o", str(tmp_path / "page.html")).exit_code == 0
    extended = sweep.extend("grid.seed=[5]", inline=True)
    assert len(extended.trials) == len(plan.trial_ids) + len(plan.trial_ids) // len(spec["grid"]["seed"])
    assert_same_trials(extended.trials.head(len(plan.trial_ids)), sweep.trials.head(len(plan.trial_ids)))


def test_a_promoted_network_has_the_scaling_of_its_own_data(uri: str) -> None:
    """The test accuracy of a fold's trial is that of the model on this fold's test part, in the units of the table."""
    sweep = _run(uri, _FOLDS)
    for fold in range(3):
        rows = sweep.trials[(sweep.trials["params.dataset.fold"] == fold) & (sweep.trials["params.seed"] == 1)]
        row = rows.iloc[-1]
        data = load_dataset(DatasetSpec(name="iris", folds=3, fold=fold, standardize=False), Path())
        predicted = sweep.model(row["run_id"]).predict(_frame(data.test_features, data.feature_names))
        names = np.array(data.classes)[data.test_targets.astype(int)]
        assert (np.asarray(predicted["prediction"]) == names).mean() == pytest.approx(row["metrics.test_accuracy"])


def test_the_dry_run_tells_how_many_data_sets_there_are() -> None:
    Path("noise.yaml").write_text(yaml.safe_dump(_NOISE), encoding="utf-8")
    assert "4 data sets; this is the first" in run_command("sweep", "noise.yaml", "--dry-run").stdout
    assert run_for_json("sweep", "noise.yaml", "--dry-run")["data_sets"] == 4


def _frame(features: Any, names: Any) -> Any:
    return pd.DataFrame(features, columns=list(names))
