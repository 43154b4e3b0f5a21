"""MLflow's model registry: a trained network as a model that `mlflow models serve` and `load_model` know."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pandas as pd
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.types.schema import AnyType, ColSpec, Schema

import engine
from experiments.errors import UserError
from service.recording import gradgrid_model
from service.recording.gradgrid_model import GradgridModel
from service.recording.infos import TrialInfo

if TYPE_CHECKING:
    from mlflow import MlflowClient

_NEEDS = ("mlflow", "numpy", "pandas", "llvmlite", "scipy")
_KNOWN = "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True)
class Registered:
    """A version of a registered model. `uri` is what MLflow's commands and `load_model` take."""

    name: str
    version: int
    uri: str
    run_id: str


def register(
    client: MlflowClient, trial: TrialInfo, name: str, network: GradgridModel, example: pd.DataFrame
) -> Registered:
    """Log the network as a pyfunc model of the trial's run, and register it. Raises UserError for an impossible name.

    The model brings the engine's code with it; its signature and input example are of features as they were given.
    """
    if not name.strip() or any(sign in name for sign in "/:."):
        raise UserError(f"a model can't be called {name!r}: give it a name without / : and .")
    with tempfile.TemporaryDirectory() as folder:
        made = client.create_logged_model(
            trial.experiment_id, name="network", source_run_id=trial.run_id, params=dict(trial.params)
        )
        saved = Path(folder) / "model"
        _save(network, example, saved, Model(run_id=trial.run_id, model_id=made.model_id))
        client.log_model_artifacts(made.model_id, str(saved))
        client.finalize_logged_model(made.model_id, "READY")
        client.log_outputs(trial.run_id, [LoggedModelOutput(made.model_id, step=0)])
        number = _register(client, name, made)
    return Registered(name, number, f"models:/{name}/{number}", trial.run_id)


def _save(network: GradgridModel, example: pd.DataFrame, path: Path, about: Model) -> None:
    file = path.with_name("model.json")
    file.write_text(json.dumps(network.config, indent=1), encoding="utf-8")
    # MLflow tells of each of its steps, and warns of what it does itself
    with redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
        mlflow.pyfunc.save_model(
            str(path),
            mlflow_model=about,
            loader_module=gradgrid_model.__name__.rpartition(".")[2],
            data_path=str(file),
            code_paths=[str(Path(engine.__file__).parent), str(gradgrid_model.__file__)],
            signature=_signature(network, example),
            input_example=example,
            pip_requirements=[f"{package}=={version(package)}" for package in _NEEDS],
        )


def _signature(network: GradgridModel, example: pd.DataFrame) -> ModelSignature:
    """Columns by name, of any type: MLflow takes no whole numbers where a signature says double.

    The model checks the cells itself.
    """
    outputs = infer_signature(example, network.predict(example)).outputs
    number_or_word = AnyType()  # type: ignore[no-untyped-call]
    return ModelSignature(Schema([ColSpec(number_or_word, name) for name in network.features]), outputs)


def _register(client: MlflowClient, name: str, made: LoggedModel) -> int:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != _KNOWN:
            raise
    with redirect_stderr(io.StringIO()):
        source, run_id = str(made.artifact_location), made.source_run_id
        return int(client.create_model_version(name, source, run_id, model_id=made.model_id).version)
