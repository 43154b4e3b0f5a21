"""Register trained networks in MLflow's model registry, for `mlflow models serve` and `load_model`."""

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
_EXISTS = "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    name: the model's.
    version: counted from 1.
    uri: the address for MLflow's commands and `load_model`.
    run_id: of the trial.
    """

    name: str
    version: int
    uri: str
    run_id: str


def register(
    client: MlflowClient, trial: TrialInfo, name: str, network: GradgridModel, example: pd.DataFrame
) -> Registered:
    """Log the network as a pyfunc model of the trial's run, and register it.

    example: a few rows of features, as in the user's table, for the signature and the input example.
    The model contains the engine's code. Raises UserError for a name that MLflow does not take.
    """
    if not name.strip() or any(sign in name for sign in "/:."):
        raise UserError(f"a model can't be called {name!r}: give it a name without / : and .")
    with tempfile.TemporaryDirectory() as folder:
        model = client.create_logged_model(
            trial.experiment_id, name="network", source_run_id=trial.run_id, params=dict(trial.params)
        )
        path = Path(folder) / "model"
        _save(network, example, path, Model(run_id=trial.run_id, model_id=model.model_id))
        client.log_model_artifacts(model.model_id, str(path))
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(trial.run_id, [LoggedModelOutput(model.model_id, step=0)])
        number = _register(client, name, model)
    return Registered(name, number, f"models:/{name}/{number}", trial.run_id)


def _save(network: GradgridModel, example: pd.DataFrame, path: Path, metadata: Model) -> None:
    file = path.with_name("model.json")
    file.write_text(json.dumps(network.config, indent=1), encoding="utf-8")
    # MLflow prints each of its steps, and warns about its own choices
    with redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
        mlflow.pyfunc.save_model(
            str(path),
            mlflow_model=metadata,
            loader_module=gradgrid_model.__name__.rpartition(".")[2],
            data_path=str(file),
            code_paths=[str(Path(engine.__file__).parent), str(gradgrid_model.__file__)],
            signature=_signature(network, example),
            input_example=example,
            pip_requirements=[f"{package}=={version(package)}" for package in _NEEDS],
        )


def _signature(network: GradgridModel, example: pd.DataFrame) -> ModelSignature:
    """Return a signature with columns by name, of any type.

    MLflow refuses whole numbers for a column of type double. The model checks the cells itself.
    """
    outputs = infer_signature(example, network.predict(example)).outputs
    number_or_word = AnyType()  # type: ignore[no-untyped-call]
    return ModelSignature(Schema([ColSpec(number_or_word, name) for name in network.features]), outputs)


def _register(client: MlflowClient, name: str, model: LoggedModel) -> int:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != _EXISTS:
            raise
    with redirect_stderr(io.StringIO()):
        source, run_id = str(model.artifact_location), model.source_run_id
        return int(client.create_model_version(name, source, run_id, model_id=model.model_id).version)
