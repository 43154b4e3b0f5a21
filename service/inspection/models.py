"""Trained networks from the store, to predict with and to register."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine import replay
from engine.arrays import Floats
from experiments.architecture import Architecture
from experiments.data.datasets import Dataset, accuracy_threshold
from experiments.data.variants import Datasets
from experiments.trials import make_grid
from service.execution.recorded_plan import planned_trial, recorded_plan, recorded_spec
from service.recording.gradgrid_model import GradgridModel
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.registry import Registered
from service.recording.store import Store


def load_model(store: Store, trial: TrialInfo) -> GradgridModel:
    """Return the network that a trial trained. The data set itself is not needed if the weights were recorded.

    If they were not, the trial is trained again; then raises SpecError if the data or the engine have changed since.
    """
    sweep = store.sweep_of(trial)
    return _load(store, trial, sweep, store.data(sweep))


def _load(store: Store, trial: TrialInfo, sweep: SweepInfo, facts: Mapping[str, Any]) -> GradgridModel:
    datasets = Datasets.from_facts(facts)
    population = make_grid(recorded_spec(store, sweep), datasets).population(trial.number)
    return network(store, trial, datasets.every[population.dataset], population.architecture)


def network(store: Store, trial: TrialInfo, data: Dataset, architecture: Architecture) -> GradgridModel:
    """Return a trial's network, given its data and architecture."""
    return GradgridModel(
        {
            "widths": architecture.widths(data),
            "activation": list(architecture.activations[:-1]),
            "bias": architecture.bias,
            "gain": architecture.gains(architecture.widths(data)),
            "output": architecture.output,
            "loss": architecture.loss,
            "weights": _weights(store, trial).tolist(),
            "dtype": architecture.config.dtype,
            "kernel": architecture.config.kernel,
            "inputs": [column.facts for column in data.columns],
            "center": data.center.tolist(),
            "scale": data.scale.tolist(),
            "classes": list(data.classes),
            "targets": list(data.target_names),
            "target_scale": None if data.target_scale is None else data.target_scale.facts,
            "threshold": accuracy_threshold(architecture.loss, architecture.output),
            "parts": architecture.parts.text,
        }
    )


def _weights(store: Store, trial: TrialInfo) -> Floats:
    """Return the final weights. If they were not recorded, train the trial again, to the same bits."""
    tensors = store.final_weights(trial.run_id)
    if tensors is not None:
        return np.array([value for tensor in tensors for value in tensor["values"]])
    plan = recorded_plan(store, store.sweep_of(trial), "made a model of")
    return replay(planned_trial(plan, trial), trial.last_step).weights


def promote(store: Store, trial: TrialInfo, name: str) -> Registered:
    """Register a trial's network in MLflow's model registry, as a new version of the model `name`.

    Raises SpecError if the weights were not recorded and the data or the engine have changed; StoreError.
    """
    sweep = store.sweep_of(trial)
    facts = store.data(sweep)
    model = _load(store, trial, sweep, facts)
    return store.register(trial, name, model, pd.DataFrame(facts["examples"], columns=model.features))
