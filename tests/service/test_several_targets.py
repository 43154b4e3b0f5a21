"""A sweep with two targets: recorded, verified, resumed, extended, promoted; its figures are scikit-learn's."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.preprocessing import StandardScaler

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import load_dataset
from experiments.errors import SweepInterruptedError
from experiments.spec import load_spec
from service import RecordedSweep, load_sweep, sweep
from service.execution.plan import make_plan
from service.execution.worker import train_shard
from service.inspection.explain import explain
from service.inspection.models import promote
from service.inspection.verify import verify
from service.recording.gradgrid_model import GradgridModel
from service.recording.store import Store
from service.report.contents import gather
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json, write_spec
from tests.service.observers import Interrupting
from tests.service.promoted import loaded
from tests.service.tables import assert_same_trials

_TARGETS = ["height, in cm", "yield"]
_SPEC: dict[str, Any] = {
    "name": "plants",
    "steps": 40,
    "model": {"hidden": [3]},
    "grid": {"activation": ["tanh", "relu"], "learning_rate": [0.05, 0.2], "seed": [0, 1]},
    "record": {"points": 5, "measures": ["r2", "mean_absolute_error"]},
}


def _plants() -> pd.DataFrame:
    """Return 40 rows. The second target is some thousand times as large as the first."""
    rng = np.random.default_rng(8)
    light, water = rng.uniform(2, 9, 40), rng.uniform(10, 50, 40)
    height = 9 + 3 * light + np.sin(water / 8) + rng.normal(size=40) / 4
    harvest = 9000 + 800 * np.cos(light) + 90 * water + 200 * rng.normal(size=40)
    part = np.array(["train", "test", "train", "validation"])[np.arange(40) % 4]
    return pd.DataFrame({"light": light, "water": water, _TARGETS[0]: height, _TARGETS[1]: harvest, "part": part})


def _file_spec(folder: Path) -> str:
    _plants().to_csv(folder / "plants.csv", index=False)
    return write_spec(folder, {**_SPEC, "dataset": {"path": "plants.csv", "target": _TARGETS, "split": "part"}})


def _run(spec: Any, uri: str) -> RecordedSweep:
    return load_sweep(run_sweep(load_spec(spec), tracking_uri=uri, inline=True).sweep, tracking_uri=uri)


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> RecordedSweep:
    """The sweep of a data frame."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('plants') / 'mlflow.db'}"
    spec = {**_SPEC, "dataset": {"split": "part"}}
    return sweep(spec, data=_plants(), target=_TARGETS, tracking_uri=uri, inline=True)


def test_the_recorded_figures_are_scikit_learns(plants: RecordedSweep) -> None:
    """They are those of the model's predictions, in the units of the table; the losses those of scaled targets."""
    frame = _plants()
    scaler = StandardScaler().fit(frame.loc[frame["part"] == "train", _TARGETS].to_numpy())
    assert len(plants.trials) == 8
    for _, row in plants.trials.iterrows():
        model = plants.model(row["run_id"])
        for prefix, part in (("", "train"), ("test_", "test"), ("validation_", "validation")):
            rows = frame[frame["part"] == part]
            predicted, actual = model.predict(rows), rows[_TARGETS].to_numpy()
            assert list(predicted.columns) == _TARGETS
            expected = {
                "r2": metrics.r2_score(actual, predicted),
                "mean_absolute_error": metrics.mean_absolute_error(actual, predicted),
                "loss": metrics.mean_squared_error(scaler.transform(actual), scaler.transform(predicted.to_numpy())),
            }
            for name, value in expected.items():
                assert row[f"metrics.{prefix}{name}"] == pytest.approx(value, rel=1e-9), (prefix, name)


def test_they_are_learned(plants: RecordedSweep) -> None:
    """Both are: neither has the loss to itself."""
    frame = _plants()
    rows = frame[frame["part"] == "train"]
    predicted = plants.model(str(plants.best("loss")["run_id"])).predict(rows)
    for name in _TARGETS:
        assert metrics.r2_score(rows[name], predicted[name]) > 0.5


def test_a_file_and_a_frame_give_the_same_trials(plants: RecordedSweep, tmp_path: Path, uri: str) -> None:
    of_file = _run(_file_spec(tmp_path), uri)
    assert of_file.info.tags["gradgrid.fingerprint"] == plants.info.tags["gradgrid.fingerprint"]
    assert_same_trials(of_file.trials, plants.trials)


def test_it_is_verified_replayed_and_extended_from_the_store_alone(plants: RecordedSweep, uri: str) -> None:
    again = sweep(
        {**_SPEC, "dataset": {"split": "part"}}, data=_plants(), target=_TARGETS, tracking_uri=uri, inline=True
    )
    store = Store(uri)
    verdict = verify(store, store.find_sweep(again.id))
    assert (verdict.trials, verdict.differences) == (8, ())
    trial = store.find_trial(str(again.trials["run_id"].iloc[5]))
    curve = store.curve(trial.run_id, "loss")
    assert len(curve) == 5
    for step, loss in curve:
        assert explain(store, trial, step).replay.loss == loss
    shown = run_command("explain", trial.run_id, "--tracking-uri", uri)
    assert (shown.exit_code, "layer2.weight" in shown.stdout) == (0, True)
    extended = again.extend("grid.seed=[7]", inline=True)
    assert len(extended.trials) == 12
    assert_same_trials(extended.trials.head(8), plants.trials)


def test_an_interrupted_sweep_is_resumed(plants: RecordedSweep, uri: str) -> None:
    spec = load_spec({**_SPEC, "dataset": {"split": "part"}}, frame=_plants(), target=_TARGETS)
    with pytest.raises(SweepInterruptedError, match="3 of 8 trials"):
        run_sweep(spec, tracking_uri=uri, inline=True, observer=Interrupting(3), shard_size=1)
    assert run_command("resume", "plants", "--inline", "--tracking-uri", uri).exit_code == 0
    assert_same_trials(load_sweep("plants", tracking_uri=uri).trials, plants.trials)


@pytest.mark.parametrize("change", [lambda f: f.assign(**{"yield": f["yield"] * 2}), lambda f: f.drop(index=0)])
def test_changed_targets_are_noticed(change: Any, tmp_path: Path, uri: str) -> None:
    """Targets in another unit have other predictions, even if they are equal when standardised."""
    found = _run(_file_spec(tmp_path), uri)
    change(_plants()).to_csv(tmp_path / "plants.csv", index=False)
    for command in ("verify", "resume"):
        refused = run_command(command, found.id, "--tracking-uri", uri)
        assert (refused.exit_code, "data changed" in refused.stderr) == (2, True)


def test_a_dry_run_names_the_targets(tmp_path: Path) -> None:
    spec = _file_spec(tmp_path)
    assert "\ntargets   'height, in cm', 'yield', standardised\n" in run_command("sweep", spec, "--dry-run").stdout
    as_they_are = run_command("sweep", spec, "--dry-run", "--set", "dataset.standardize_target=false").stdout
    assert "\ntargets   'height, in cm', 'yield'\n" in as_they_are
    single = run_command("sweep", spec, "--dry-run", "--set", "dataset.target=yield").stdout
    assert "target" not in single
    data = run_for_json("sweep", spec, "--dry-run", "--set", "dataset.target=[yield]")["data"]
    assert (data["targets"], data["targets_standardized"]) == (["yield"], False)
    data = run_for_json("sweep", spec, "--dry-run")["data"]
    assert (data["targets"], data["targets_standardized"]) == (_TARGETS, True)


def test_the_report_tells_the_units_of_the_losses(plants: RecordedSweep) -> None:
    store = plants._store
    note = (
        "Losses are those of the standardised targets 'height, in cm', 'yield'; the measures r2 and "
        "mean_absolute_error are those of the numbers as they are in the data."
    )
    assert note in gather(store, store.find_sweep(plants.id)).notes


def test_a_report_has_a_curve_for_each_target(uri: str, tmp_path: Path) -> None:
    """Over a single feature. Data and curve are in the units of the target."""
    section = {"split": "part", "features": ["light"]}
    found = sweep({**_SPEC, "dataset": section}, data=_plants(), target=_TARGETS, tracking_uri=uri, inline=True)
    surfaces = gather(found._store, found.info).surfaces
    assert [surface.target for surface in surfaces] == _TARGETS * 2
    assert {surface.title.partition(", ")[0] for surface in surfaces} == {"tanh", "relu"}
    frame = _plants()
    training = frame[frame["part"] == "train"]
    for surface in surfaces:
        assert surface.targets.tolist() == training[surface.target].tolist()
        drawn = found.model(surface.run_id).predict(pd.DataFrame({"light": surface.x}))
        assert surface.values.tolist() == drawn[surface.target].tolist()
    shown = run_command("report", found.id, "--tracking-uri", uri, "-o", str(tmp_path / "page.html"))
    assert (shown.exit_code, (tmp_path / "page-surfaces.png").exists()) == (0, True)


def test_a_registered_model_has_a_column_for_each_target(plants: RecordedSweep) -> None:
    """Loaded by MLflow in another process, it predicts the same bits."""
    store, run_id = plants._store, str(plants.best()["run_id"])
    registered = promote(store, store.find_trial(run_id), "plants")
    given = _plants()[["light", "water"]].head(7)
    answer = loaded(store.uri, registered.uri, given)
    assert (answer["inputs"], answer["outputs"]) == (["light", "water"], _TARGETS)
    assert answer["predicted"] == plants.model(run_id).predict(given).to_dict("list")


def test_a_model_of_an_older_version_predicts(uri: str) -> None:
    """Its description has no targets."""
    found = sweep({**_SPEC, "dataset": {"name": "sine"}}, tracking_uri=uri, inline=True)
    model = found.model(str(found.best()["run_id"]))
    older = GradgridModel({key: value for key, value in model.config.items() if not key.startswith("target")})
    given = np.linspace(-1, 1, 5)[:, None]
    assert older.columns == ["prediction"]
    assert older.predict(given).equals(model.predict(given))


def test_a_single_target_may_be_standardised(uri: str) -> None:
    """Built-in data take the key too. The model predicts in the units of the data."""
    spec = {**_SPEC, "dataset": {"name": "diabetes", "standardize_target": True}, "grid": {"learning_rate": [0.1]}}
    found = _run(spec, uri)
    (_, row), *_ = found.trials.iterrows()
    data = load_dataset(DatasetSpec(name="diabetes", standardize=False), Path())
    predicted = found.model(row["run_id"]).predict(data.test_features)
    assert list(predicted.columns) == ["prediction"]
    error = metrics.mean_absolute_error(data.test_targets, predicted["prediction"])
    assert row["metrics.test_mean_absolute_error"] == pytest.approx(error)
    assert 30 < error < 70
    scale = data.training_targets.std()
    loss = metrics.mean_squared_error(data.test_targets, predicted["prediction"]) / scale**2
    assert row["metrics.test_loss"] == pytest.approx(loss)


def test_each_fold_has_its_own_scale(uri: str) -> None:
    spec = {**_SPEC, "dataset": {"folds": 4}, "grid": {"dataset.fold": {"range": 4}}}
    frame = _plants().drop(columns="part")
    found = sweep(spec, data=frame, target=_TARGETS, tracking_uri=uri, inline=True)
    models = [found.model(run_id) for run_id in found.trials["run_id"]]
    assert len({tuple(model.config["target_scale"]["center"]) for model in models}) == 4
    for (_, row), model in zip(found.trials.iterrows(), models, strict=True):
        section = {"target": _TARGETS, "folds": 4, "fold": row["params.dataset.fold"], "standardize": False}
        data = load_dataset(DatasetSpec.model_validate(section, context={"given": True}), Path(), frame)
        expected = metrics.r2_score(data.test_targets, model.predict(data.test_features))
        assert row["metrics.test_r2"] == pytest.approx(expected)


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
@pytest.mark.parametrize("hidden", [[3], [40, 12]])
def test_a_weight_is_as_many_copies_of_the_row(loss: str, hidden: list[int]) -> None:
    """In full batches, a row with weight k counts as k rows, for every target alike."""
    frame = _plants().drop(columns="part").assign(w=[1, 2, 3, 1] * 10)
    copies = frame.loc[frame.index.repeat(frame["w"])].drop(columns="w").reset_index(drop=True)
    copies[_TARGETS] = StandardScaler().fit_transform(copies[_TARGETS])
    frame[_TARGETS] = StandardScaler().fit(frame.loc[frame.index.repeat(frame["w"]), _TARGETS]).transform(
        frame[_TARGETS]
    )  # fmt: skip

    def train(rows: pd.DataFrame, **section: Any) -> Any:
        keys = {"test_fraction": 0, "standardize": False, "standardize_target": False, **section}
        spec = {"name": "w", "steps": 20, "dataset": keys, "model": {"hidden": hidden}, "loss": loss}
        rates = {"learning_rate": [1e-4], "seed": [0, 1]}
        plan = make_plan(load_spec({**spec, "grid": rates}, frame=rows, target=_TARGETS))
        (shard,) = plan.shards(1)
        return train_shard(shard, plan.datasets).history

    weighted, repeated = train(frame, sample_weight="w"), train(copies)
    assert np.allclose(weighted.weights, repeated.weights, rtol=1e-8, atol=1e-12)
    assert np.allclose(weighted.curves["loss"], repeated.curves["loss"], rtol=1e-9)
    assert not np.allclose(weighted.weights, train(frame.drop(columns="w")).weights, rtol=1e-8)


@pytest.mark.parametrize("hidden", [[], [3], [40, 12]])
def test_both_kernels_train_the_same(hidden: list[int]) -> None:
    spec = {"name": "k", "steps": 15, "dataset": {"split": "part"}, "model": {"hidden": hidden}}
    ends = []
    for kernel in ("compiled", "reference"):
        more = {"grid": {"learning_rate": [0.05], "seed": [0, 1]}, "kernel": kernel}
        plan = make_plan(load_spec({**spec, **more}, frame=_plants(), target=_TARGETS))
        (shard,) = plan.shards(1)
        ends.append(train_shard(shard, plan.datasets).history)
    assert np.allclose(ends[0].weights, ends[1].weights, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_it_travels_through_ray(plants: RecordedSweep, uri: str) -> None:
    """The results are the bits of a sweep in this process."""
    spec = {**_SPEC, "dataset": {"split": "part"}}
    found = sweep(spec, data=_plants(), target=_TARGETS, tracking_uri=uri, workers=1)
    assert_same_trials(found.trials, plants.trials)
