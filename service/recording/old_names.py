"""Read the records of older versions with the names of the sweep file.

Older versions recorded the activation of a single neuron as `output`, even if the sweep file calls it `activation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from service.recording.infos import SweepInfo, TrialInfo, trial_info
from service.results.metrics import PARAMS

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run

    from service.recording.sqlite_reader import StoredRun

_NO_LAYERS = "[]"


def trial_as_written(run: Run | StoredRun, sweep: SweepInfo) -> TrialInfo:
    """Return the trial of this run, with the names of the sweep file."""
    trial = trial_info(run)
    return replace(trial, params=params_as_written(trial.params, sweep))


def params_as_written(params: Mapping[str, str], sweep: SweepInfo) -> Mapping[str, str]:
    """Return a trial's hyperparameters with the names of the sweep file."""
    if "activation" in params or "output" not in params:
        return params
    from experiments.architecture import as_written, is_neuron

    hidden = params.get("hidden", "").removeprefix(_NO_LAYERS)
    is_old = "activation" not in params and is_neuron(hidden, params.get("loss"), sweep.given)
    return as_written(params) if is_old else params


def table_as_written(table: pd.DataFrame, sweep: SweepInfo) -> pd.DataFrame:
    """Return a sweep's table of trials with the names of the sweep file."""
    hidden, loss, activation, output = (PARAMS + name for name in ("hidden", "loss", "activation", "output"))
    if not {hidden, loss, output} <= set(table.columns):
        return table
    import numpy as np
    import pandas as pd

    from experiments.architecture import is_neuron

    if not is_neuron("", None, sweep.given):
        return table
    activations = (
        table[activation] if activation in table else pd.Series(None, index=table.index, dtype=table[output].dtype)
    )
    neurons = [
        is_neuron(layers.removeprefix(_NO_LAYERS), name, sweep.given)
        for layers, name in zip(table[hidden], table[loss], strict=True)
    ]
    is_old = activations.isna() & np.array(neurons, dtype=bool)
    if not is_old.any():
        return table
    moved = {activation: activations.where(~is_old, table[output]), output: table[output].mask(is_old)}
    renamed = table.assign(**moved)
    return renamed.drop(columns=output) if renamed[output].isna().all() else renamed
