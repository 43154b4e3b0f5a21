"""The contents of MLflow's store after a sweep, read through MLflow's own client."""

import json
import math
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.entities import Run

from engine import MLP, Parameter
from engine.losses import mean_squared_error
from experiments.data.datasets import load_dataset
from service.recording.pages import sweep_pages
from service.run import run_sweep
from tests.pictures import is_colour, is_colourful, read_png
from tests.service.conftest import SPEC, Recorded


def _runs(recorded: Recorded) -> list[Run]:
    return list(recorded.client.search_runs([recorded.result.experiment_id], max_results=100))


def _artifact(recorded: Recorded, run_id: str, name: str, folder: Path) -> Path:
    return Path(recorded.client.download_artifacts(run_id, name, str(folder)))


def test_an_experiment_for_sweeps_and_one_for_the_trials_of_each(recorded: Recorded) -> None:
    sweeps = recorded.client.get_experiment_by_name("small")
    trials = recorded.client.get_experiment_by_name(f"small/{recorded.result.sweep}")
    assert sweeps is not None
    assert trials is not None
    assert trials.experiment_id == recorded.result.experiment_id
    for experiment in (sweeps, trials):
        assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert len(recorded.client.search_runs([sweeps.experiment_id])) == 1
    assert len(_runs(recorded)) == 12


def test_a_trials_run_has_its_tags_params_and_status(recorded: Recorded) -> None:
    for run in _runs(recorded):
        tags = run.data.tags
        diverged = run.data.params["learning_rate"] == "1e+30"
        assert run.info.status == ("FAILED" if diverged else "FINISHED")
        assert (tags["gradgrid.outcome"] == "diverged") == diverged
        assert 0 <= int(tags["gradgrid.outcome_step"]) <= 20
        assert tags["gradgrid.sweep"] == recorded.result.sweep
        assert tags["gradgrid.sweep_run"] == recorded.result.sweep_run_id
        assert tags["gradgrid.kernel"] == "compiled 1"
        assert "mlflow.parentRunId" not in tags
        assert run.info.end_time >= run.info.start_time > 1.6e12
        assert set(run.data.params) == {
            "hidden", "activation", "output", "loss", "optimizer", "schedule", "steps", "dtype", "kernel",
            "initializer", "init_scale", "learning_rate", "seed",
        }  # fmt: skip
        assert run.data.params["hidden"] == "[3]"
    assert len({run.data.tags["gradgrid.trial"] for run in _runs(recorded)}) == 12
    assert "tanh, 0.1, 2" in {run.info.run_name for run in _runs(recorded)}


def test_curves_have_their_points_at_the_recorded_steps(recorded: Recorded) -> None:
    for run in _runs(recorded):
        last = int(run.data.tags["gradgrid.last_step"])
        expected = [step for step in (0, 4, 8, 12, 16, 20) if step < last] + [last]
        assert set(run.data.metrics) == {
            "loss", "test_loss", "accuracy", "test_accuracy", "grad_norm", "grad_norm.layer1.weight",
            "grad_norm.layer1.bias", "grad_norm.layer2.weight", "grad_norm.layer2.bias", "dead_units", "update_ratio",
        }  # fmt: skip
        for name, value in run.data.metrics.items():
            history = sorted(recorded.client.get_metric_history(run.info.run_id, name), key=lambda m: m.step)
            assert [m.step for m in history] == expected
            assert history[-1].value == value or (math.isnan(value) and name == "update_ratio")
            assert all(run.info.start_time <= m.timestamp <= run.info.end_time for m in history)
            assert last == 20 or run.info.status == "FAILED"


def test_the_last_point_is_that_of_the_final_weights(recorded: Recorded, tmp_path: Path) -> None:
    """It is computed again on Parameters, from final_weights.json alone."""
    data = load_dataset(recorded.resolved.spec.dataset, Path())
    samples = data.training("mean_squared_error", "identity")
    finished = [run for run in _runs(recorded) if run.info.status == "FINISHED"]
    assert len(finished) == 6
    for run in finished:
        text = _artifact(recorded, run.info.run_id, "final_weights.json", tmp_path).read_text(encoding="utf-8")
        tensors = json.loads(text)["tensors"]
        assert [(t["name"], t["shape"]) for t in tensors] == [
            ("layer1.weight", [3, 2]), ("layer1.bias", [3]), ("layer2.weight", [1, 3]), ("layer2.bias", [1]),
        ]  # fmt: skip
        weights = [Parameter(value) for tensor in tensors for value in tensor["values"]]
        model = MLP([2, 3, 1], run.data.params["activation"], weights=weights)
        losses = []
        for x, t in zip(samples.features.tolist(), samples.targets.tolist(), strict=True):
            loss = mean_squared_error(model(x), t)
            loss.backward()
            losses.append(loss.value)
        norm = math.sqrt(sum((w.grad / len(losses)) ** 2 for w in weights))
        assert run.data.metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-12)
        assert run.data.metrics["grad_norm"] == pytest.approx(norm, rel=1e-12)


def test_the_sweeps_run_has_the_spec_the_summary_and_every_trial(recorded: Recorded, tmp_path: Path) -> None:
    run = recorded.client.get_run(recorded.result.sweep_run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == recorded.result.sweep
    assert (run.data.metrics["trials"], run.data.metrics["finished"], run.data.metrics["diverged"]) == (12, 6, 6)
    assert run.data.params["grid.learning_rate"] == "0.1, 1e+30"
    spec = _artifact(recorded, run.info.run_id, "spec.yaml", tmp_path).read_text(encoding="utf-8")
    assert yaml.safe_load(spec) == SPEC
    table = pd.read_parquet(_artifact(recorded, run.info.run_id, "trials.parquet", tmp_path))
    assert table["number"].tolist() == list(range(12))
    by_run = {r.info.run_id: r for r in _runs(recorded)}
    for _, row in table.iterrows():
        found = by_run[row["run_id"]]
        assert row["trial"] == found.data.tags["gradgrid.trial"]
        assert row["outcome"] == found.data.tags["gradgrid.outcome"]
        kept = {name: min(row[f"metrics.{name}"], sys.float_info.max) for name in found.data.metrics}
        np.testing.assert_equal(kept, found.data.metrics)  # MLflow keeps an infinity as the greatest number
        assert {name: str(row[f"params.{name}"]) for name in found.data.params} == found.data.params
    assert run.data.metrics["best_test_loss"] == table.loc[table["outcome"] != "diverged", "metrics.test_loss"].min()
    picture = _artifact(recorded, run.info.run_id, "heat_map.png", tmp_path)
    pixels = read_png(picture)
    assert len(np.unique(pixels[is_colourful(pixels)], axis=0)) > 10  # of the medians and their scale
    assert is_colour(pixels, "#dddddd").any()  # the cells of the diverged


def test_the_description_links_to_the_trials_and_lists_the_best(recorded: Recorded) -> None:
    text = recorded.client.get_run(recorded.result.sweep_run_id).data.tags["mlflow.note.content"]
    pages = sweep_pages(recorded.store, recorded.store.find_sweep(recorded.result.sweep))
    finished = f"6 finished ([best first]({pages.trials}), [as charts]({pages.charts})), 6 diverged"
    assert f"[The 12 trials]({pages.all_trials}): {finished}. The best by test_loss:\n" in text
    best = recorded.result.best
    assert best is not None
    run = f"#/experiments/{recorded.result.experiment_id}/runs/{best['run_id']}?workflowType=machine_learning"
    assert f"[{best['metrics']['test_loss']:.6g}]({run})" in text
    assert text.count("\n| ") == 1 + 6  # a heading and the six that finished


def test_a_trial_recorded_already_is_not_recorded_again(recorded: Recorded) -> None:
    from service.execution.plan import make_plan
    from service.execution.shard_tables import TableSettings, train_tables

    plan = make_plan(recorded.resolved)
    sweep = recorded.store.find_sweep(recorded.result.sweep)
    shard = next(plan.shards(1))
    _, tables = train_tables(shard, plan.datasets, TableSettings.of(plan, sweep))
    assert tables.runs is not None
    known = {run.data.tags["gradgrid.trial"]: run.info.run_id for run in _runs(recorded)}
    with closing(recorded.store.recorder(sweep).open()) as recorder:
        again = dict(zip(tables.runs.texts("trial"), recorder.record(tables.runs), strict=True))
    assert again.keys() == {plan.trial_ids[number] for number in shard.numbers}
    assert again.items() <= known.items()
    assert len(_runs(recorded)) == 12


@pytest.mark.parametrize(
    ("gradients", "present", "absent"),
    [
        ("norm", "grad_norm", "grad_norm.layer1.weight"),
        ("each", "gradient.layer1.weight.0.1", "gradient.layer1.weight"),
    ],
)
def test_norms_or_each_element_of_the_gradient_are_recorded(
    uri: str, gradients: str, present: str, absent: str
) -> None:
    from experiments.spec import load_spec
    from service.recording.store import Store

    spec: dict[str, Any] = {
        "name": "g", "dataset": {"name": "xor"}, "steps": 3, "record": {"points": 2, "gradients": gradients},
    }  # fmt: skip
    result = run_sweep(load_spec(spec), tracking_uri=uri, inline=True)
    (trial,) = Store(uri).trials(Store(uri).find_sweep("g"))
    assert present in trial.metrics
    assert absent not in trial.metrics
    assert result.trials == 1
