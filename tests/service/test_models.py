"""Trained networks: what they predict, and as registered models of MLflow."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine import LOSSES
from experiments.datasets import load_dataset
from experiments.errors import NotFoundError, UserError
from experiments.spec import DatasetSpec
from service import RecordedSweep, load_sweep, sweep
from service.inspection.models import promote
from service.recording.store import Store
from tests.service.conftest import TINY, Recorded, run_command, run_for_json
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
_LOAD = """
import json, sys, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
data = pd.DataFrame(json.loads(sys.argv[3]))
print(json.dumps({"predicted": model.predict(data).to_dict("list"), "engine": sys.modules["engine"].__file__}))
"""


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> RecordedSweep:
    """Classes by name, an activation of one's own, and no weights in the store."""
    folder = tmp_path_factory.mktemp("flowers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("own.py").write_text(_PARTS + "    return x + sin(x) ** 2\n", encoding="utf-8")
        return sweep(_IRIS, tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", inline=True)


def test_a_model_predicts_what_was_recorded(recorded: Recorded) -> None:
    found = load_sweep("small", tracking_uri=recorded.uri)
    data = load_dataset(recorded.sweepable.spec.dataset, Path())
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


def test_a_registered_model_predicts_the_same_bits_in_another_process(flowers: RecordedSweep) -> None:
    """It brings its engine, and the activation that the user has written, along."""
    store, run_id = flowers._store, str(flowers.trials.iloc[0]["run_id"])
    registered = promote(store, store.find_trial(run_id), "flowers")
    assert (registered.version, registered.uri) == (1, "models:/flowers/1")
    assert promote(store, store.find_trial(run_id), "flowers").version == 2
    model = flowers.model(run_id)
    given = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]], columns=model.features)
    answer = _loaded(store.uri, registered.uri, given)
    assert answer["predicted"] == model.predict(given).to_dict("list")
    assert "/artifacts/code/engine/" in answer["engine"]


def _loaded(uri: str, model: str, given: pd.DataFrame) -> Any:
    asked = [uri, model, json.dumps(given.to_dict("list"))]
    done = subprocess.run([sys.executable, "-c", _LOAD, *asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_data_need_not_be_there(uri: str, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("a,b,kind\n" + "".join(f"{k},{k * k},{'even' if k % 2 else 'odd'}\n" for k in range(20)))
    spec = {"name": "own", "dataset": {"path": str(file), "target": "kind"}, "steps": 3}
    found = sweep(spec, tracking_uri=uri, inline=True)
    file.unlink()
    registered = promote(found._store, found._store.find_trial("own", best=True), "own")
    answer = _loaded(uri, registered.uri, pd.DataFrame({"a": [3.0], "b": [9.0]}))
    assert answer["predicted"]["prediction"][0] in ("even", "odd")


def test_a_servers_registry_takes_it_too(tracking_server: TrackingServer) -> None:
    found = sweep(TINY, tracking_uri=tracking_server.uri, inline=True)
    run_id = str(found.best()["run_id"])
    registered = promote(found._store, found._store.find_trial(run_id), "served")
    given = pd.DataFrame({"x1": [0.0, 1.0], "x2": [1.0, 1.0]})
    answer = _loaded(tracking_server.uri, registered.uri, given)
    assert answer["predicted"] == found.model(run_id).predict(given).to_dict("list")


def test_the_command_promotes_and_mlflow_predicts(recorded: Recorded, tmp_path: Path) -> None:
    found = load_sweep("small", tracking_uri=recorded.uri)
    run_id = str(found.best()["run_id"])
    made = run_for_json("promote", run_id, "--name", "small", "--tracking-uri", recorded.uri)
    assert made["uri"].startswith("models:/small/")
    version = recorded.client.get_model_version("small", str(made["version"]))
    assert version.run_id == run_id
    (logged,) = recorded.client.search_logged_models([found.info.experiment_id])
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


def test_what_can_not_be_promoted_is_told(recorded: Recorded) -> None:
    store = Store(recorded.uri)
    trial = store.find_trial(str(recorded.result.table["run_id"].iloc[0]))
    with pytest.raises(UserError, match="can't be called 'a/b'"):
        promote(store, trial, "a/b")
    best = recorded.result.best
    assert best is not None
    assert store.find_trial("small", best=True).run_id == best["run_id"]
    assert run_command("promote", "nothing", "--name", "x", "--tracking-uri", recorded.uri).exit_code == 2
