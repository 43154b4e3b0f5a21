"""Read the records of older versions with the names of the sweep file.

Older versions recorded the activation of a single neuron as `output`, even if the sweep file calls it `activation`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from service.recording.infos import SweepInfo, TrialInfo, trial_info
from service.results.metrics import PARAMS

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run

    from engine.arrays import Flags
    from service.recording.sqlite_reader import StoredRun

_NO_LAYERS = "[]"
_HIDDEN, _LOSS, ACTIVATION, _OUTPUT = (PARAMS + name for name in ("hidden", "loss", "activation", "output"))


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


def columns_to_rename(names: Collection[str], sweep: SweepInfo) -> list[str]:
    """Return the columns that `table_as_written` needs to rename some; empty if it renames none.

    names: the columns of the sweep's table.
    """
    if not {_HIDDEN, _LOSS, _OUTPUT} <= set(names):
        return []
    from experiments.architecture import is_neuron

    may_be_old = is_neuron("", None, sweep.given)
    return [name for name in (_HIDDEN, _LOSS, ACTIVATION, _OUTPUT) if name in names] if may_be_old else []


def table_as_written(table: pd.DataFrame, sweep: SweepInfo) -> pd.DataFrame:
    """Return a sweep's table of trials with the names of the sweep file."""
    if not columns_to_rename(table.columns, sweep):
        return table
    import pandas as pd

    output = table[_OUTPUT]
    activation = table[ACTIVATION] if ACTIVATION in table else pd.Series(None, index=table.index, dtype=output.dtype)
    is_old = activation.isna() & _are_neurons(table, sweep)
    if not is_old.any():
        return table
    renamed = table.assign(**{ACTIVATION: activation.where(~is_old, output), _OUTPUT: output.mask(is_old)})
    return renamed.drop(columns=_OUTPUT) if renamed[_OUTPUT].isna().all() else renamed


def _are_neurons(table: pd.DataFrame, sweep: SweepInfo) -> Flags:
    """Return which trials are single neurons, (trials,)."""
    import numpy as np

    from experiments.architecture import is_neuron

    columns = [_HIDDEN, _LOSS]
    kinds = table[columns].drop_duplicates().itertuples(index=False, name=None)
    flags = np.array([is_neuron(layers.removeprefix(_NO_LAYERS), loss, sweep.given) for layers, loss in kinds])
    return np.asarray(flags[table.groupby(columns, sort=False).ngroup()])
