"""Weights of classes and of samples in the loss: `dataset.class_weight` and `dataset.sample_weight`."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from engine import History
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, load_dataset
from experiments.errors import DataError, SpecError
from experiments.source import read_yaml
from experiments.spec import check_spec, load_spec
from service.execution.plan import Plan, make_plan
from service.execution.worker import train_shard
from service.inspection.explain import explain
from service.recording.store import Store
from service.run import run_sweep

_KINDS = ["a"] * 9 + ["b"] * 4 + ["c"] * 3


def _frame() -> pd.DataFrame:
    """Return 16 rows of three classes, with weights from 0 to 3."""
    rng = np.random.default_rng(5)
    weights = [0, 1, 2, 3] * 4
    return pd.DataFrame({"x": rng.normal(size=16), "y": rng.normal(size=16), "kind": _KINDS, "w": weights})


def _load(folder: Path, frame: pd.DataFrame, **spec: Any) -> Dataset:
    frame.to_csv(folder / "rows.csv", index=False)
    return load_dataset(DatasetSpec(**{"path": "rows.csv", "target": "kind", "test_fraction": 0, **spec}), folder)


def _plan(folder: Path, frame: pd.DataFrame, dataset: dict[str, Any], **spec: Any) -> Plan:
    frame.to_csv(folder / "rows.csv", index=False)
    section = {"path": str(folder / "rows.csv"), "target": "kind", "test_fraction": 0, "standardize": False, **dataset}
    common = {"name": "w", "steps": 30, "model": {"hidden": [3]}, "grid": {"seed": {"range": 3}}}
    return make_plan(load_spec({**common, "dataset": section, **spec}))


def _train(plan: Plan) -> History:
    (shard,) = plan.shards(1)
    return train_shard(shard, plan.datasets).history


def test_balanced_weights_are_scikit_learns(tmp_path: Path) -> None:
    data = _load(tmp_path, _frame()[["x", "y", "kind"]], class_weight="balanced")
    expected = compute_sample_weight("balanced", data.training_targets)
    assert data.training_weights == pytest.approx(expected, rel=1e-15)


def test_weights_by_name_and_of_a_column_are_multiplied_and_have_the_mean_one(tmp_path: Path) -> None:
    data = _load(tmp_path, _frame(), class_weight={"b": 4, "c": 0.5}, sample_weight="w")
    product = np.array([{"a": 1, "b": 4, "c": 0.5}[kind] for kind in _KINDS]) * _frame()["w"].to_numpy()
    product = product[product > 0]
    assert data.training_weights == pytest.approx(product / product.mean(), rel=1e-15)
    assert math.isclose(data.training_weights.mean(), 1, rel_tol=1e-15)
    assert data.feature_names == ("x", "y")


@pytest.mark.parametrize(
    ("loss", "hidden", "output", "data"),
    [
        ("mean_squared_error", [3], "tanh", {}),
        ("cross_entropy", [3], None, {}),
        ("hinge", [40, 12], None, {}),
        ("cross_entropy", [40, 12], None, {"classes": ["b", "a"]}),
        ("huber", [40, 12], None, {"target": "x", "features": ["y"], "task": "regression"}),
    ],
)
def test_a_weight_is_as_many_copies_of_the_row(
    tmp_path: Path, loss: str, hidden: list[int], output: str | None, data: dict[str, Any]
) -> None:
    """In full batches, a row with weight k counts as k rows. Wide networks are traced layer by layer."""
    frame = _frame()
    copies = frame.loc[frame.index.repeat(frame["w"])].drop(columns="w")
    model = {"hidden": hidden, **({"output": output} if output else {})}

    def train(rows: pd.DataFrame, **section: Any) -> History:
        return _train(_plan(tmp_path, rows, {**data, **section}, loss=loss, model=model))

    weighted, repeated = train(frame, sample_weight="w"), train(copies)
    assert np.allclose(weighted.weights, repeated.weights, rtol=1e-9, atol=1e-12)
    for curve in ("loss", "grad_norm"):
        assert np.allclose(weighted.curves[curve], repeated.curves[curve], rtol=1e-9)
    assert not np.allclose(weighted.weights, train(frame.drop(columns="w")).weights)


@pytest.mark.parametrize("kernel", ["compiled", "reference"])
def test_accuracy_and_other_parts_are_measured_without_weights(tmp_path: Path, kernel: str) -> None:
    settings = {"test_fraction": 0.25, "validation_fraction": 0.25, "sample_weight": "w"}
    plan = _plan(tmp_path, _frame(), settings, kernel=kernel, loss="cross_entropy")
    (shard,) = plan.shards(1)
    trained = train_shard(shard, plan.datasets)
    (data,) = plan.datasets
    assert np.ptp(data.training_weights) > 0
    for trial, weights in enumerate(trained.history.weights):
        model = shard.architecture.model(shard.architecture.widths(data))
        for parameter, value in zip(model.parameters(), weights, strict=True):
            parameter.value = float(value)
        for part, losses, accuracies in (
            ("training", None, trained.history.final("accuracy")),
            ("validation", trained.history.final("validation_loss"), trained.history.final("validation_accuracy")),
            ("test", trained.measures["test_loss"], trained.measures["test_accuracy"]),
        ):
            targets = getattr(data, f"{part}_targets").astype(int)
            logits = np.array(
                [[float(o.value) for o in model(row)] for row in getattr(data, f"{part}_features").tolist()]
            )
            assert accuracies[trial] == pytest.approx((logits.argmax(axis=1) == targets).mean())
            each = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(targets)), targets]
            mean = (each * data.training_weights).mean() if losses is None else each.mean()
            assert (trained.history.final("loss") if losses is None else losses)[trial] == pytest.approx(mean)


def test_a_trials_loss_can_be_replayed(tmp_path: Path, uri: str) -> None:
    frame = _frame()
    spec = load_spec(
        {
            "name": "w",
            "steps": 30,
            "dataset": {"class_weight": "balanced", "sample_weight": "w"},
            "grid": {"seed": [3]},
        },
        frame=frame,
        target="kind",
    )
    result = run_sweep(spec, tracking_uri=uri, inline=True)
    store = Store(uri)
    trial = store.find_trial(result.table["run_id"][0])
    for step, loss in store.curve(trial.run_id, "loss")[::5]:
        assert explain(store, trial, step).replay.loss == loss


def test_class_weight_is_an_axis_and_changes_the_trials_identity() -> None:
    spec = {"name": "w", "steps": 5, "dataset": {"name": "breast_cancer"}, "model": {"hidden": [2]}}
    grid = {"dataset.class_weight": [None, "balanced"], "seed": {"range": 2}}
    plan = make_plan(load_spec({**spec, "grid": grid}))
    assert [data.is_weighted for data in plan.datasets] == [False, True]
    assert len(set(plan.trial_ids)) == plan.trials == 4
    without = make_plan(load_spec({**spec, "grid": {"seed": {"range": 2}}}))
    assert list(without.trial_ids) == list(plan.trial_ids)[:2]
    losses = [train_shard(shard, plan.datasets).history.final("loss") for shard in plan.shards(1)]
    assert len(np.unique(np.concatenate(losses))) == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("class_weight: balance", "class_weight: should be balanced, or a mapping of classes to weights"),
        ("class_weight: {a: -1}", "class_weight: the weight of a should be a number from 0, not -1"),
        ("class_weight: {d: 2}", "dataset.class_weight: rows has no class 'd'"),
        ("class_weight: {a: 0, b: 0, c: 0}", "the sum of the training samples' weights is 0; write other weights"),
        ("class_weight: balanced, task: regression, target: x", "has a regression target: it has no classes"),
        ("sample_weight: v", "a.yaml:2: dataset.sample_weight: rows.csv has no column 'v'"),
        ("sample_weight: kind", "the column 'kind' has weights and is the target; name another"),
        ("sample_weight: x, features: [x, y]", "the column 'x' has weights and is a feature; name another"),
        ("sample_weight: bad", "rows.csv, line 4: column 'bad' holds -2 (1 such cell); a weight is a number from 0"),
        ("sample_weight: word", "rows.csv, line 6: column 'word' holds 'many', which is no number"),
        ("sample_weight: gap", "rows.csv, line 3: column 'gap' is empty (2 such cells); a weight is a number from 0"),
        ("sample_weight: w, class_weight: {a: 1e308}", "the sum of the training samples' weights is too large"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(tmp_path: Path, keys: str, message: str) -> None:
    frame = _frame().assign(
        bad=[1, 1, -2, *[1] * 13], word=[*["1"] * 4, "many", *["2"] * 11], gap=[1, None, *[2] * 13, None]
    )
    used = "" if "features" in keys else ", features: [y]"
    target = "" if "target" in keys else ", target: kind"
    frame.to_csv(tmp_path / "rows.csv", index=False)
    text = (
        f"name: a\ndataset: {{path: rows.csv, test_fraction: 0, {keys}{target}{used}}}\nsteps: 3\ngrid: {{seed: [1]}}\n"
    )
    with pytest.raises((SpecError, DataError)) as caught:
        make_plan(check_spec(read_yaml(text, "a.yaml", tmp_path)))
    assert message in str(caught.value)


def test_a_built_in_data_set_has_no_column_of_weights() -> None:
    with pytest.raises(SpecError, match="sample_weight applies only to files"):
        load_spec({"name": "a", "dataset": {"name": "moons", "sample_weight": "w"}, "grid": {"seed": [1]}})


def test_weights_go_with_their_rows(tmp_path: Path) -> None:
    """Rows that are dropped, and classes that are left out, take their weights along."""
    frame = _frame().assign(x=[math.nan, *_frame()["x"][1:]])
    data = _load(tmp_path, frame, sample_weight="w", missing="drop", classes=["c", "a"])
    left = [weight for weight in frame["w"][1:9].tolist() + frame["w"][13:].tolist() if weight]
    assert data.training_weights == pytest.approx(np.array(left) / np.mean(left))
    frame.iloc[:10].to_csv(tmp_path / "test.csv", index=False)
    more = _load(tmp_path, frame.dropna(), sample_weight="w", test="test.csv", test_fraction=None, missing="drop")
    weights = frame["w"][frame["w"] > 0]
    assert len(more.training_weights) == len(more.training_targets) == len(weights) == 12
    assert more.training_weights == pytest.approx(weights / weights.mean())


def test_a_row_of_weight_zero_is_not_trained_on(tmp_path: Path) -> None:
    """It does not take part in the preparation either: its cells may be anything."""
    frame = _frame().assign(x=lambda f: f["x"].where(f["w"] > 0, 1e200))
    data = _load(tmp_path, frame, sample_weight="w")
    without = _load(tmp_path, frame[frame["w"] > 0].drop(columns="w"))
    assert np.array_equal(data.training_features, without.training_features)


def test_a_mistake_of_an_axis_is_named_with_its_line() -> None:
    text = (
        "name: a\ndataset: {name: diabetes}\nsteps: 3\ngrid:\n  seed: [1]\n  dataset.class_weight: [null, balanced]\n"
    )
    with pytest.raises(DataError) as caught:
        make_plan(check_spec(read_yaml(text, "a.yaml", Path())))
    assert str(caught.value).startswith("a.yaml:6: grid.dataset.class_weight: diabetes has a regression target")
