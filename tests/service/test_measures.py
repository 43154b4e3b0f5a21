"""Measures of a sweep's networks: recorded for each trial, ranked by, verified, and equal to those of the model."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import load_dataset
from experiments.errors import SpecError
from experiments.spec import load_spec
from service.api import load_sweep
from service.execution.plan import make_plan
from service.execution.shard_tables import TableSettings, train_tables
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json

_CLASSES = ["balanced_accuracy", "f1_macro", "roc_auc"]


def _spec(measures: list[str], **changes: Any) -> dict[str, Any]:
    return {
        "name": "measured",
        "dataset": {"name": "iris"},
        "steps": 12,
        "grid": {"hidden": [[], [3]], "learning_rate": [0.1, 1e300], "seed": [0, 1]},
        "record": {"points": 3, "measures": measures},
        **changes,
    }


@pytest.mark.parametrize("runs", ["all", "summary"])
def test_they_are_recorded_ranked_by_and_verified(uri: str, runs: str) -> None:
    spec = _spec(_CLASSES)
    spec["record"]["runs"] = runs
    sweep = load_sweep(run_sweep(load_spec(spec), tracking_uri=uri, inline=True).sweep, tracking_uri=uri)
    columns = [f"metrics.{part}{name}" for name in _CLASSES for part in ("", "test_")]
    assert sweep.trials[columns].notna().to_numpy()[(sweep.trials["outcome"] != "diverged").to_numpy()].all()
    at = ("--tracking-uri", uri)
    top = run_for_json("top", sweep.id, *at, "--by", "test_f1_macro", "--trials", "-n", "3")["top"]
    values = [trial["metrics"]["test_f1_macro"] for trial in top]
    finished = sweep.trials[sweep.trials["outcome"] != "diverged"]
    assert values == sorted(finished["metrics.test_f1_macro"], reverse=True)[:3]
    assert run_command("verify", sweep.id, *at).exit_code == 0
    if runs == "all":
        assert sweep._store.curve(top[0]["run_id"], "test_f1_macro") == [(12, values[0])]


def test_they_are_those_of_the_predictions_of_the_model(uri: str) -> None:
    spec = _spec(_CLASSES, grid={"hidden": [[], [3]], "seed": [0]})
    sweep = load_sweep(run_sweep(load_spec(spec), tracking_uri=uri, inline=True).sweep, tracking_uri=uri)
    data = load_dataset(DatasetSpec(name="iris", standardize=False), Path())
    frame = pd.DataFrame(data.test_features, columns=list(data.feature_names))
    names = np.array(data.classes)[data.test_targets.astype(int)]
    for _, row in sweep.trials.iterrows():
        shown = sweep.model(row["run_id"]).predict(frame)
        logits = shown.drop(columns="prediction").to_numpy()
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert row["metrics.test_balanced_accuracy"] == pytest.approx(
            metrics.balanced_accuracy_score(names, shown["prediction"])
        )
        assert row["metrics.test_f1_macro"] == pytest.approx(
            metrics.f1_score(names, shown["prediction"], average="macro")
        )
        assert row["metrics.test_roc_auc"] == pytest.approx(
            metrics.roc_auc_score(data.test_targets, scores, multi_class="ovr")
        )


def test_the_mean_absolute_error_is_the_loss_of_that_name(uri: str) -> None:
    spec = _spec(
        ["r2", "mean_absolute_error"], dataset={"name": "diabetes"}, loss="mean_absolute_error",
        grid={"seed": [0, 1], "hidden": [[2]]},
    )  # fmt: skip
    table = run_sweep(load_spec(spec), tracking_uri=uri, inline=True).table
    np.testing.assert_allclose(table["metrics.test_mean_absolute_error"], table["metrics.test_loss"], rtol=1e-12)
    assert (table["metrics.r2"] < 1).all()


def test_a_measure_does_not_depend_on_the_shard() -> None:
    plan = make_plan(load_spec(_spec(_CLASSES, grid={"seed": {"range": 9}, "hidden": [[4]]})))
    together, alone = (
        [train_tables_of(plan, shard) for shard in plan.shards(1, size=size)] for size in (None, 1)
    )  # fmt: skip
    for name in _CLASSES:
        values = [value for rows in alone for value in rows[f"metrics.test_{name}"]]
        assert together[0][f"metrics.test_{name}"].tolist() == values


def train_tables_of(plan: Any, shard: Any) -> pd.DataFrame:
    settings = TableSettings("s", "r", "n", plan.swept, plan.objective, plan.record, runs=False)
    summary, _ = train_tables(shard, plan.datasets, settings)
    return summary.rows.to_pandas()


def test_the_dry_run_counts_their_points() -> None:
    with_measures, without = (
        make_plan(load_spec(_spec(measures, grid={"seed": [0, 1]}))).metric_rows for measures in (_CLASSES, [])
    )
    assert with_measures - without == 2 * 2 * 3


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        (["f1_makro"], "record.measures: no measure is called 'f1_makro'; did you mean 'f1_macro'?"),
        (["r2"], "record.measures: r2 is for regression, and iris has a classification target; leave it out"),
    ],
)
def test_a_wrong_measure_is_named(measures: list[str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_plan(load_spec(_spec(measures)))
    assert message in str(caught.value)
