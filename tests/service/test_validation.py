"""A validation part: it is apart from the others, it ranks the trials, and the test part is reported beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, load_dataset
from experiments.errors import DataError, SpecError
from experiments.spec import load_spec
from service.api import RecordedSweep, load_sweep
from service.execution.plan import Plan, make_plan
from service.execution.worker import train_shard
from service.report.contents import gather
from service.results.curves import kept_curves
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json

_SPEC: dict[str, Any] = {
    "name": "validated",
    "dataset": {"name": "iris", "validation_fraction": 0.2},
    "steps": 20,
    "grid": {"learning_rate": [0.01, 0.1, 1.0], "seed": [0, 1]},
    "record": {"points": 4},
}


def _load(**changes: Any) -> Dataset:
    return load_dataset(DatasetSpec(name="iris", standardize=False, **changes), Path())


def test_the_parts_are_apart_in_proportion_and_the_test_part_stays() -> None:
    with_part, without = _load(validation_fraction=0.2), _load()
    np.testing.assert_array_equal(with_part.test_features, without.test_features)
    assert [len(t) for t in (with_part.training_targets, with_part.validation_targets)] == [82, 30]
    assert np.bincount(with_part.validation_targets.astype(int)).tolist() == [10, 10, 10]
    together = np.concatenate([with_part.training_features, with_part.validation_features])
    assert sorted(map(tuple, together)) == sorted(map(tuple, without.training_features))
    assert with_part.fingerprint != without.fingerprint


def test_features_are_scaled_on_the_training_part_alone() -> None:
    data = load_dataset(DatasetSpec(name="iris", validation_fraction=0.3), Path())
    np.testing.assert_allclose(data.training_features.mean(axis=0), 0, atol=1e-12)
    assert abs(data.validation_features.mean(axis=0)).max() > 1e-3


def _run(uri: str, **changes: Any) -> RecordedSweep:
    return load_sweep(run_sweep(load_spec({**_SPEC, **changes}), tracking_uri=uri, inline=True).sweep, tracking_uri=uri)


@pytest.mark.parametrize("runs", ["all", "summary"])
def test_trials_are_ranked_by_it_and_the_test_part_is_beside(uri: str, runs: str) -> None:
    sweep = _run(uri, record={"points": 4, "runs": runs, "measures": ["f1_macro"]})
    assert sweep.objective == "validation_loss"
    metrics = {name.removeprefix("metrics.") for name in sweep.trials if name.startswith("metrics.")}
    parts = {f"{part}{name}" for part in ("", "test_", "validation_") for name in ("loss", "accuracy", "f1_macro")}
    assert parts <= metrics
    entries = run_for_json("top", sweep.id, "--tracking-uri", uri)["entries"]
    means = sweep.trials.groupby("params.learning_rate")[["metrics.validation_loss", "metrics.test_loss"]].mean()
    best = means.sort_values("metrics.validation_loss").iloc[0]
    assert entries[0]["mean"] == pytest.approx(best["metrics.validation_loss"])
    assert entries[0]["test"] == pytest.approx(best["metrics.test_loss"])
    shown = run_command("top", sweep.id, "--tracking-uri", uri, "--format", "csv").stdout.splitlines()[0].split(",")
    assert {"validation_loss", "test_loss"} <= set(shown)
    assert run_command("verify", sweep.id, "--tracking-uri", uri).exit_code == 0
    assert len(sweep.curves("validation_loss")) == 4 * 6


def test_the_test_figures_are_those_of_the_models_predictions(uri: str) -> None:
    data, sweep = _load(validation_fraction=0.2), _run(uri)
    classes = data.test_targets.astype(int)
    frame = pd.DataFrame(data.test_features, columns=list(data.feature_names))
    for _, row in sweep.trials.iterrows():
        outputs = sweep.model(row["run_id"]).predict(frame).drop(columns="prediction").to_numpy()
        assert row["metrics.test_accuracy"] == pytest.approx(np.mean(outputs.argmax(axis=1) == classes))
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(outputs)), classes]
        assert row["metrics.test_loss"] == pytest.approx(losses.mean(), rel=1e-9)


def test_the_report_says_on_which_part_the_choice_was_made(uri: str) -> None:
    validated, tested = _run(uri), _run(uri, dataset={"name": "iris"})
    notes = [" ".join(gather(sweep._store, sweep.info).notes) for sweep in (validated, tested)]
    assert "chosen on the test part" not in notes[0]
    assert "The best trials were chosen on the test part" in notes[1]
    assert "dataset.validation_fraction or dataset.validation makes a part" in notes[1]
    by_test = " ".join(gather(validated._store, validated.info, "test_accuracy").notes)
    assert "were chosen on the test part" in by_test
    assert "validation_accuracy chooses on the validation part" in by_test


def test_hints_lead_to_the_validation_part(uri: str) -> None:
    sweep = _run(uri)
    at = ("--tracking-uri", uri)
    assert "--by validation_accuracy ranks by" in run_command("top", sweep.id, "--by", "test_accuracy", *at).stderr
    assert "chosen on" not in run_command("top", sweep.id, "--by", "accuracy", *at).stderr
    assert "did you mean 'validation_accuracy'?" in run_command("top", sweep.id, "--by", "acuracy", *at).stderr
    assert "did you mean 'test_accuracy'?" in run_command("top", sweep.id, "--by", "test_acuracy", *at).stderr
    with pytest.raises(SpecError, match="did you mean 'validation_accuracy'"):
        _plan(search={"method": "halving", "first": 2, "metric": "acuracy"})


def test_the_part_of_the_choice_is_noted_for_several_sweeps_and_for_a_model(uri: str, tmp_path: Path) -> None:
    first, second, tested = _run(uri), _run(uri, name="second"), _run(uri, name="tested", dataset={"name": "iris"})
    by_test = ("--by", "test_accuracy", "--tracking-uri", uri)
    note = "the best by test_accuracy are chosen on the test part"
    hint = f"{note}; --by validation_accuracy ranks by the validation part"
    assert hint in run_command("top", first.id, second.id, *by_test).stderr
    assert "chosen on" not in run_command("top", first.id, second.id, "--tracking-uri", uri).stderr
    of_some = run_command("top", first.id, tested.id, *by_test).stderr
    assert f"{note}, although 1 of the 2 sweeps have a validation part" in of_some
    assert "chosen on" not in run_command("top", tested.id, *by_test).stderr
    assert hint in run_command("promote", first.id, "--name", "chosen", *by_test).stderr
    page = tmp_path / "page.html"
    for pair, way in (((first, second), "validation_accuracy chooses on"), ((first, tested), "makes a part for")):
        run_command("report", *(sweep.id for sweep in pair), "-o", str(page), *by_test)
        text = page.read_text(encoding="utf-8")
        assert "The best trials were chosen on the test part" in text
        assert way in text


def test_a_search_by_the_test_part_is_noted_where_it_is_ranked(uri: str) -> None:
    sweep = _run(uri, search={"method": "halving", "first": 2, "metric": "test_accuracy"})
    assert sweep.objective == "test_accuracy"
    assert "--by validation_accuracy ranks by" in run_command("top", sweep.id, "--tracking-uri", uri).stderr


@pytest.mark.parametrize(("metric", "part"), [("test_accuracy", "test"), ("loss", "training")])
def test_a_search_by_another_part_is_noted(metric: str, part: str) -> None:
    search = {"method": "halving", "first": 2, "metric": metric}
    of_validation = f"validation_{metric.removeprefix('test_')}"
    (note,) = _plan(search=search).notes
    assert note == f"spec: search.metric: {metric} is of the {part} part; {of_validation} is of the validation part"
    (note,) = _plan(early_stopping={"patience": 3, "metric": "loss"}).notes
    assert note.startswith("spec: early_stopping.metric: loss is of the training part; validation_loss")
    assert _plan(search={**search, "metric": of_validation}).notes == ()
    without = _plan(search=search, dataset={"name": "iris"})
    assert without.notes == ()


def _plan(**changes: Any) -> Plan:
    return make_plan(load_spec({**_SPEC, **changes}))


def test_it_goes_with_folds_and_without_a_test_part(uri: str) -> None:
    folds = _load(folds=3, fold=1, validation_fraction=0.2)
    assert [len(t) for t in (folds.training_targets, folds.validation_targets, folds.test_targets)] == [70, 30, 50]
    sweep = _run(uri, dataset={"name": "iris", "validation_fraction": 0.2, "test_fraction": 0})
    assert sweep.objective == "validation_loss"
    assert "metrics.test_loss" not in sweep.trials
    assert sweep.leaderboard()["mean"].notna().all()


def _points(plan: Plan) -> int:
    """Return how many points a trained plan has: those of curves, and the last ones of other metrics."""
    points = 0
    for shard in plan.shards(1):
        trained = train_shard(shard, plan.datasets, plan.record.measures)
        curves = kept_curves(trained.history.curves, plan.record)
        points += shard.trials * (len(curves) * len(trained.history.steps) + len(trained.measures))
    return points


def test_the_dry_run_counts_its_samples_and_points() -> None:
    plan = make_plan(load_spec({**_SPEC, "record": {"points": 4, "measures": ["roc_auc"]}}))
    assert plan.metric_rows == _points(plan)
    shown = run_command("sweep", "moons", "--dry-run", "--set", "dataset.validation_fraction=0.1").stdout
    assert "130 samples, 50 to test on, 20 to validate on" in shown


def test_a_part_that_can_not_be_made_is_refused() -> None:
    with pytest.raises(DataError, match=r"can't be split with validation_fraction 0.74: each part needs"):
        _load(validation_fraction=0.74)
    with pytest.raises(ValueError, match="leave no samples to train on"):
        DatasetSpec(name="iris", validation_fraction=0.5, test_fraction=0.5)
