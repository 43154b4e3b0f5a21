"""Trained networks out of the store: to predict with, and to be registered."""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine import replay
from engine.neuron import Floats
from experiments.datasets import accuracy_threshold
from service.gradgrid_model import GradgridModel
from service.plan import Plan
from service.recording.infos import TrialInfo
from service.recording.registry import Registered, register
from service.recording.sweeps import Store
from service.resume import recorded_plan
from service.worker import planned_trial

_EXAMPLES = 5


def load_model(store: Store, trial: TrialInfo, plan: Plan | None = None) -> GradgridModel:
    """The network that a trial has trained; `plan` is its sweep's, where it is at hand.

    Raises SpecError where data or engine are not those that it was trained with.
    """
    if plan is None:
        plan = recorded_plan(store, store.find_sweep(trial.tags["gradgrid.sweep"]), "made a model of")
    number, data = int(trial.tags["gradgrid.number"]), plan.dataset
    architecture = plan.population(number).architecture
    return GradgridModel(
        {
            "widths": architecture.widths(data),
            "activation": architecture.activation or "identity",
            "output": architecture.output,
            "loss": architecture.loss,
            "weights": _weights(store, trial, plan).tolist(),
            "dtype": architecture.dtype,
            "kernel": architecture.kernel,
            "features": list(data.feature_names),
            "center": data.center.tolist(),
            "scale": data.scale.tolist(),
            "classes": list(data.classes),
            "threshold": accuracy_threshold(architecture.loss, architecture.output),
            "parts": architecture.parts.text,
        }
    )


def _weights(store: Store, trial: TrialInfo, plan: Plan) -> Floats:
    """The final weights; where they were not recorded, trained again, to the same bits."""
    tensors = store.final_weights(trial.run_id)
    if tensors is not None:
        return np.array([value for tensor in tensors for value in tensor["values"]])
    trained = planned_trial(plan, int(trial.tags["gradgrid.number"]))
    return replay(trained, int(trial.tags["gradgrid.last_step"])).weights


def promote(store: Store, trial: TrialInfo, name: str) -> Registered:
    """Register a trial's network in MLflow's model registry, as a new version of the model `name`."""
    plan = recorded_plan(store, store.find_sweep(trial.tags["gradgrid.sweep"]), "made a model of")
    model, data = load_model(store, trial, plan), plan.dataset
    given = data.training_features[:_EXAMPLES] * data.scale + data.center
    return register(store.uri, trial, name, model, pd.DataFrame(given, columns=model.features))
