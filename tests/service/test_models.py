"""Trained networks: their predictions, and as registered models of MLflow."""

import json
import math
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from engine import LOSSES
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import load_dataset
from experiments.errors import DataWarning, NotFoundError, UserError
from service import RecordedSweep, load_sweep, sweep
from service.execution.recorded_plan import recorded_plan, recorded_spec
from service.inspection.best import best_of
from service.inspection.models import _load, load_model, promote
from service.recording.store import Store
from tests.service.conftest import TINY, Recorded, run_command, run_for_json
from tests.service.promoted import loaded
from tests.service.tracking import TrackingServer

_PARTS = "from engine.operations import sin\nfrom engine.parts import activation\n\n\n@activation\ndef snake(x):\n"
_IRIS: dict[str, Any] = {
    "name": "flowers",
    "parts": "own.py",
    "dataset": {"name": "iris"},
    "model": {"hidden": [4], "activation": "snake"},
    "steps": 60,
    "learning_rate": 0.5,
    "record": {"weights": "none"},
}


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> RecordedSweep:
    """A sweep with classes by name, a custom activation, and no weights in the store."""
    folder = tmp_path_factory.mktemp("flowers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("own.py").write_text(_PARTS + "    return x + sin(x) ** 2\n", encoding="utf-8")
        return sweep(_IRIS, tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", inline=True)


def test_a_models_predictions_have_the_recorded_figures(recorded: Recorded) -> None:
    found = load_sweep("small", tracking_uri=recorded.uri)
    data = load_dataset(recorded.resolved.spec.dataset, Path())
    given = data.test_features * data.scale + data.center
    for _, row in found.trials[found.trials["outcome"] != "diverged"].iterrows():
        model = found.model(row["run_id"])
        outputs = model.outputs(given)[:, 0]
        losses = [LOSSES["mean_squared_error"]([y], [t]) for y, t in zip(outputs, data.test_targets, strict=True)]
        assert np.mean(losses) == pytest.approx(row["metrics.test_loss"], rel=1e-12)
        named = model.predict(pd.DataFrame(given, columns=model.features)[["x2", "x1"]])
        right = named["prediction"] == np.array(data.classes)[data.test_targets.astype(int)]
        assert right.mean() == row["metrics.test_accuracy"]
        assert named["output"].tolist() == outputs.tolist()


def test_classes_have_their_names_and_an_output_each(flowers: RecordedSweep) -> None:
    row = flowers.trials.iloc[0]
    model = flowers.model(row["run_id"][:12])
    data = load_dataset(DatasetSpec(name="iris"), Path())
    named = model.predict(data.training_features * data.scale + data.center)
    assert list(named.columns) == ["prediction", "output_setosa", "output_versicolor", "output_virginica"]
    right = named["prediction"] == np.array(data.classes)[data.training_targets.astype(int)]
    assert right.mean() == row["metrics.accuracy"]
    with pytest.raises(NotFoundError):
        flowers.model("nothing")


@pytest.mark.slow
def test_a_registered_model_predicts_the_same_bits_in_another_process(flowers: RecordedSweep) -> None:
    """It brings its engine along, and the activation that the user has written."""
    store, run_id = flowers._store, str(flowers.trials.iloc[0]["run_id"])
    registered = promote(store, store.find_trial(run_id), "flowers")
    assert (registered.version, registered.uri) == (1, "models:/flowers/1")
    assert promote(store, store.find_trial(run_id), "flowers").version == 2
    model = flowers.model(run_id)
    given = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]], columns=model.features)
    answer = loaded(store.uri, registered.uri, given)
    assert answer["predicted"] == model.predict(given).to_dict("list")
    assert "/artifacts/code/engine/" in answer["engine"]


def test_a_model_is_loaded_without_its_data(uri: str, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text(
        "a,b,kind\n" + "".join(f"{k * 7 % 13},{k * k % 11},{'even' if k % 2 else 'odd'}\n" for k in range(20))
    )
    spec = {"name": "own", "dataset": {"path": str(file), "target": "kind"}, "steps": 3}
    found = sweep(spec, tracking_uri=uri, inline=True)
    file.unlink()
    registered = promote(found._store, best_of(found._store, found._store.find_sweep("own")).trial, "own")
    answer = loaded(uri, registered.uri, pd.DataFrame({"a": [3.0], "b": [9.0]}))
    assert answer["predicted"]["prediction"][0] in ("even", "odd")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordedSweep, pd.DataFrame, Any]:
    """A sweep of ages with gaps, words, a boolean and whole numbers; its table; and the registered model."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "age": np.where(np.arange(40) % 9 == 4, np.nan, rng.integers(20, 70, 40)),
            "city": [["Oslo", "Rome", "Paris"][k] for k in rng.integers(0, 3, 40)],
            "member": rng.random(40) < 0.5,
            "rooms": rng.integers(1, 6, 40),
            "price": rng.normal(size=40).round(3),
        }
    )
    spec = {"name": "people", "model": {"hidden": [3]}, "steps": 20, "dataset": {"missing": {"age": "median"}}}
    uri = f"sqlite:///{tmp_path_factory.mktemp('people') / 'mlflow.db'}"
    with pytest.warns(DataWarning, match="empty cells of 'age'"):
        found = sweep(spec, "dataset.encode=one_hot", data=frame, target="price", tracking_uri=uri, inline=True)
    registered = promote(found._store, best_of(found._store, found._store.find_sweep("people")).trial, "people")
    mlflow.set_tracking_uri(uri)
    return found, frame, mlflow.pyfunc.load_model(registered.uri)


def test_a_registered_model_prepares_the_tables_columns_itself(people: tuple[RecordedSweep, pd.DataFrame, Any]) -> None:
    """The losses of its predictions are the recorded ones, to the last bit."""
    found, frame, model = people
    data = recorded_plan(found._store, found.info, "tested").dataset
    spec = recorded_spec(found._store, found.info).spec.dataset
    assert (spec.missing, spec.encode) == ({"age": "median"}, "one_hot")
    best = found.best()
    network = found.model(best["run_id"])
    predicted = model.predict(frame)["prediction"].to_numpy()
    given = np.vstack([part * data.scale + data.center for part in (data.training_features, data.test_features)])
    assert given.shape == (40, 6)
    targets = {target: k for k, target in enumerate(frame["price"])}
    tested = [targets[target] for target in data.test_targets]
    losses = [LOSSES["mean_squared_error"]([y], [t]) for y, t in zip(predicted[tested], data.test_targets, strict=True)]
    assert np.mean(losses) == pytest.approx(best["metrics.test_loss"], rel=1e-12)
    assert (network.predict(frame)["prediction"] == predicted).all()
    assert network.features == ["age", "city", "member", "rooms"]
    assert (network.predict(frame[network.features].to_numpy(dtype=object))["prediction"] == predicted).all()
    assert (network.predict(frame[network.features].values.tolist())["prediction"] == predicted).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(rooms=frame["rooms"].astype(float)),
        lambda frame: frame.assign(rooms=frame["rooms"].astype("int8"), member=frame["member"].astype(int)),
        lambda frame: frame.assign(rooms=frame["rooms"].astype("float32"), member=frame["member"].astype("float32")),
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.assign(rooms=frame["rooms"].astype(object), city=frame["city"].astype("category")),
        lambda frame: frame.assign(rooms=[Decimal(int(n)) for n in frame["rooms"]], extra="word"),
        lambda frame: frame[["city", "rooms", "age", "member"]].iloc[::-1],
    ],
)
def test_numbers_of_every_type_are_numbers(people: tuple[RecordedSweep, pd.DataFrame, Any], change: Any) -> None:
    _, frame, model = people
    changed = change(frame)
    rows = changed.index if not changed.index.equals(frame.index) else frame.index
    expected = model.predict(frame)["prediction"].to_numpy()[rows]
    assert (model.predict(changed)["prediction"].to_numpy() == expected).all()


def test_a_model_fills_empty_cells_as_its_data_were_filled(people: tuple[RecordedSweep, pd.DataFrame, Any]) -> None:
    found, frame, model = people
    fill = recorded_plan(found._store, found.info, "tested").dataset.columns[0].fill
    row = frame.iloc[[0]]
    predicted = [float(model.predict(row.assign(age=[age]))["prediction"].iloc[0]) for age in (np.nan, None, fill)]
    assert len(set(predicted)) == 1


def test_a_word_that_is_not_in_the_training_data_is_0_everywhere(
    people: tuple[RecordedSweep, pd.DataFrame, Any],
) -> None:
    found, frame, model = people
    row = frame.iloc[[0]].assign(age=30.0)
    with pytest.warns(UserWarning, match="column 'city': the training data had no 'Bergen'; all inputs"):
        predicted = model.predict(row.assign(city="Bergen"))["prediction"].iloc[0]
    member, rooms = float(row["member"].iloc[0]), float(row["rooms"].iloc[0])
    network = found.model(found.best()["run_id"])
    assert predicted == network.outputs(np.array([[30.0, 0.0, 0.0, 0.0, member, rooms]]))[0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rooms": np.nan}, "column 'rooms' is empty in row 1; the model was trained on rows without gaps"),
        ({"city": None}, "column 'city' is empty in row 1"),
        ({"rooms": "many"}, "column 'rooms' should hold a number in row 1, not 'many'"),
        ({"age": "3"}, "column 'age' should hold a number in row 1, not '3'"),
        ({"city": pd.Timestamp("2026-01-01")}, "column 'city' should hold a word in row 1, not Timestamp"),
        ({"rooms": math.inf}, "column 'rooms' is infinite in row 1"),
    ],
)
def test_cells_that_a_model_can_not_take_are_named(
    people: tuple[RecordedSweep, pd.DataFrame, Any], change: dict[str, Any], message: str
) -> None:
    found, frame, model = people
    row = frame.iloc[[0]].assign(**change)
    for predicts in (model, found.model(found.best()["run_id"])):
        with pytest.raises(ValueError, match=message):
            predicts.predict(row)


def test_columns_that_are_missing_are_named(people: tuple[RecordedSweep, pd.DataFrame, Any]) -> None:
    found, frame, model = people
    network = found.model(found.best()["run_id"])
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"Model is missing inputs \['city', 'rooms'\]"):
        model.predict(frame[["age", "member"]])
    with pytest.raises(
        ValueError, match=r"predicts from the columns age, city, member, rooms; city, rooms not in age, me"
    ):
        network.predict(frame[["age", "member"]])
    with pytest.raises(ValueError, match="the array has the shape 1 x 2"):
        network.predict([[1, 2]])
    with pytest.raises(ValueError, match="the table has the column 'age' twice"):
        network.predict(pd.concat([frame, frame[["age"]]], axis=1))


def test_a_model_takes_whole_numbers_for_numbers(uri: str, tmp_path: Path) -> None:
    """The example of docs/own-data.md, promoted."""
    page = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"^`(heights\.\w+)`:\n\n```\w+\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = sweep(tmp_path / "heights.yaml", "grid.seed=0", "steps=5", tracking_uri=uri, inline=True)
    registered = promote(found._store, best_of(found._store, found._store.find_sweep("heights")).trial, "heights")
    mlflow.set_tracking_uri(uri)
    model = mlflow.pyfunc.load_model(registered.uri)
    table = pd.read_csv(tmp_path / "heights.csv")[["age", "parents"]]
    assert set(table.dtypes) == {np.dtype("int64")}
    expected = model.predict(table.astype(float))
    pd.testing.assert_frame_equal(model.predict(table), expected)
    assert len(expected) == 12
    flags = pd.DataFrame({"age": [True, False], "parents": [1, 0]})
    pd.testing.assert_frame_equal(model.predict(flags), model.predict(flags.astype(float)))


def test_facts_of_an_older_gradgrid_are_understood(recorded: Recorded) -> None:
    """A sweep that was recorded without its columns."""
    store = Store(recorded.uri)
    trial = best_of(store, store.find_sweep("small")).trial
    facts = store.data(store.find_sweep("small"))
    older = {name: value for name, value in facts.items() if name not in ("columns", "notes")}
    older["examples"] = np.array(facts["examples"]).tolist()
    model, same = load_model(store, trial), _load(store, trial, store.find_sweep("small"), older)
    given = pd.DataFrame([[0.5, 0.25], [1.0, -1.0]], columns=["x1", "x2"])
    pd.testing.assert_frame_equal(model.predict(given), same.predict(given))


@pytest.mark.slow
def test_a_servers_registry_takes_it_too(tracking_server: TrackingServer) -> None:
    found = sweep(TINY, tracking_uri=tracking_server.uri, inline=True)
    run_id = str(found.best()["run_id"])
    registered = promote(found._store, found._store.find_trial(run_id), "served")
    given = pd.DataFrame({"x1": [0.0, 1.0], "x2": [1.0, 1.0]})
    answer = loaded(tracking_server.uri, registered.uri, given)
    assert answer["predicted"] == found.model(run_id).predict(given).to_dict("list")


@pytest.mark.slow
def test_the_command_promotes_and_mlflow_predicts(recorded: Recorded, tmp_path: Path) -> None:
    found = load_sweep("small", tracking_uri=recorded.uri)
    run_id = str(found.best()["run_id"])
    made = run_for_json("promote", run_id, "--name", "small", "--tracking-uri", recorded.uri)
    assert made["uri"].startswith("models:/small/")
    version = recorded.client.get_model_version("small", str(made["version"]))
    assert version.run_id == run_id
    everything = recorded.client.search_logged_models([found.info.experiment_id])
    (logged,) = [model for model in everything if model.artifact_location == version.source]
    assert (logged.source_run_id, logged.artifact_location, str(logged.status)) == (run_id, version.source, "READY")
    (tmp_path / "in.json").write_text(json.dumps({"dataframe_split": {"columns": ["x1", "x2"], "data": [[0.5, 0.25]]}}))
    command = ["models", "predict", "-m", made["uri"], "--env-manager", "local", "-i", str(tmp_path / "in.json")]
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", *command],
        env={**os.environ, "MLFLOW_TRACKING_URI": recorded.uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (predicted,) = json.loads(done.stdout.splitlines()[-1])["predictions"]
    assert predicted["output"] == found.model(run_id).outputs(np.array([[0.5, 0.25]]))[0, 0]


def test_a_target_that_can_not_be_promoted_is_reported(recorded: Recorded) -> None:
    store = Store(recorded.uri)
    trial = store.find_trial(str(recorded.result.table["run_id"].iloc[0]))
    with pytest.raises(UserError, match="can't be called 'a/b'"):
        promote(store, trial, "a/b")
    best = recorded.result.best
    assert best is not None
    assert best_of(store, store.find_sweep("small")).trial.run_id == best["run_id"]
    assert run_command("promote", "nothing", "--name", "x", "--tracking-uri", recorded.uri).exit_code == 2
