"""One step of one recorded trial, from inside: every unit's gradient, and the graph with all its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine import DIVERGED, Parameter, Replay, replay
from engine.outcomes import VANISHING, is_stationary, layer_gradients
from engine.parameter import topological_order
from engine.tensors import split
from experiments.errors import NotFoundError, UserError
from experiments.hyperparameters import layer_of
from service.execution.plan import Plan
from service.execution.recorded_plan import planned_trial, recorded_plan
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.recorded_table import read_table
from service.recording.store import Store

_NAMED_UNITS = 8  # dead units that are named in a sentence


@dataclass(frozen=True)
class Unit:
    """A hidden unit at the step, over the step's samples. Its gradient is that of its bias, which may be a constant 0.

    layer: its layer's name.
    number: its index in the layer.
    gradient: the mean over the samples.
    largest: the greatest absolute value for a single sample.
    zero_share: the share of samples for which it is exactly zero; 1 is a dead unit.
    """

    layer: str
    number: int
    gradient: float
    largest: float
    zero_share: float

    @property
    def is_dead(self) -> bool:
        """Whether the gradient is exactly zero for every sample."""
        return self.zero_share == 1


@dataclass(frozen=True)
class Explanation:
    """A trial at a step, with the weights from before the step's update.

    trial: the recorded trial.
    replay: the step, computed again.
    tensors: (name, norm of the weights, norm of the mean gradient) of each tensor.
    units: the hidden units.
    findings: sentences on what is remarkable.
    """

    trial: TrialInfo
    replay: Replay
    tensors: tuple[tuple[str, float, float], ...]
    units: tuple[Unit, ...]
    findings: tuple[str, ...]

    def graph(self, sample: int | None = None) -> Parameter:
        """Return the loss of one sample as a graph. sample: its index; by default the step's first.

        Raises UserError if the step does not use the sample.
        """
        index = int(self.replay.samples[0]) if sample is None else sample
        if index not in self.replay.samples:
            batch = f"{len(self.replay.samples)} samples, such as {int(self.replay.samples[0])}"
            raise UserError(f"sample {index} is not in the batch of step {self.replay.step}, which has {batch}")
        return self.replay.graph(index)


def explain(store: Store, trial: TrialInfo, step: int | None = None) -> Explanation:
    """Train a recorded trial again up to a step, and return every number of that step.

    store: where the trial is recorded.
    trial: the trial.
    step: the step; by default the one at which the trial's outcome began.
    Raises SpecError if the data or the engine have changed since, UserError for a step that the trial did not reach.
    """
    sweep = store.sweep_of(trial)
    plan = recorded_plan(store, sweep, "explained")
    last = trial.last_step
    at = min(trial.outcome_step, last) if step is None else step
    if not 0 <= at <= last:
        raise UserError(f"the trial has steps 0 to {last}, not {at}")
    state = replay(planned_trial(plan, trial), at)
    units = tuple(_units(state))
    tensors = tuple(_tensors(state))
    initial = _initial_norm(store, plan, trial)
    return Explanation(trial, state, tensors, units, tuple(_findings(trial, state, tensors, units, initial)))


def trial_of_number(store: Store, sweep: SweepInfo, number: int) -> TrialInfo:
    """Return the trial at this position in the grid; it may have no run. Raises NotFoundError if there is none."""
    rows = store.table(sweep, numbers=[number]) if sweep.ended else read_table(store, sweep)
    rows = rows[rows["number"] == number] if len(rows) else rows
    if not len(rows):
        trials = len(read_table(store, sweep, lambda names: ["number"]))
        raise NotFoundError(f"{sweep.spec}/{sweep.sweep} has recorded no trial {number}; it has {trials:,} trials")
    return store.trials_of_rows(sweep, rows)[0]


def _initial_norm(store: Store, plan: Plan, trial: TrialInfo) -> float:
    """Return the norm of the gradient at step 0. It is computed if the trial has no run that has it."""
    curve = store.curve(trial.run_id, "grad_norm") if trial.run_id else []
    return min(curve)[1] if curve else float(np.linalg.norm(replay(planned_trial(plan, trial), 0).gradient))


def _tensors(state: Replay) -> Iterator[tuple[str, float, float]]:
    tensors = state.trial.model.tensors
    for (tensor, weights), (_, gradient) in zip(
        split(state.weights, tensors), split(state.gradient, tensors), strict=True
    ):
        yield tensor.name, float(np.linalg.norm(weights)), float(np.linalg.norm(gradient))


def _units(state: Replay) -> Iterator[Unit]:
    """Yield the units of the hidden layers."""
    hidden = [tensor for tensor in state.trial.model.tensors if tensor.units]
    if not hidden:
        return
    by_sample = [
        {node.name: node.grad for node in topological_order(state.graph(int(sample))) if not node.parents}
        for sample in state.samples
    ]
    for tensor in hidden:
        for number, name in enumerate(tensor.unit_names()):
            grads = np.array([sample.get(name, 0.0) for sample in by_sample])
            share = float((grads == 0).mean())
            yield Unit(tensor.layer, number, float(grads.mean()), float(np.abs(grads).max()), share)


def _findings(
    trial: TrialInfo,
    state: Replay,
    tensors: Sequence[tuple[str, float, float]],
    units: Sequence[Unit],
    initial: float,
) -> Iterator[str]:
    """Yield sentences on what is remarkable, whatever the outcome is called. initial: gradient norm at step 0."""
    if trial.outcome == DIVERGED:
        rates = {n: v for n, v in state.trial.hyperparameters.items() if n.partition(".")[0] == "learning_rate"}
        rate = ", ".join(f"{value:g}{f' in {layer_of(name)}' * bool(layer_of(name))}" for name, value in rates.items())
        name, weight, gradient = max(tensors, key=lambda tensor: tensor[2])
        yield (
            f"it left the finite numbers after step {trial.last_step}: the learning rate is {rate}, "
            f"the gradient of {name} has norm {gradient:.3g}, its weights {weight:.3g}"
        )
    dead = [unit for unit in units if unit.is_dead]
    if dead:
        names = ", ".join(f"{unit.layer}[{unit.number}]" for unit in dead[:_NAMED_UNITS])
        more = f" and {len(dead) - _NAMED_UNITS} more" if len(dead) > _NAMED_UNITS else ""
        yield (
            f"{len(dead)} of {len(units)} hidden units have a gradient of exactly 0 for each of the step's "
            f"{len(state.samples)} samples: {names}{more}"
        )
    yield from _vanishing(trial, state, tensors, initial)


def _vanishing(
    trial: TrialInfo, state: Replay, tensors: Sequence[tuple[str, float, float]], initial: float
) -> Iterator[str]:
    """Yield sentences on how the gradient vanishes, by the rules of the outcome `vanishing`."""
    norms = {name: np.array(gradient) for name, _, gradient in tensors}
    layers = layer_gradients(norms, state.trial.model.tensors)
    if layers is None:
        return
    norm = float(np.linalg.norm(state.gradient))
    fades = layers.has_faded and (layers.last_norm > 0 or trial.outcome == VANISHING)
    is_small = is_stationary(np.array(norm), np.array(initial))
    if fades:
        times = f", {layers.last_norm / layers.first_norm:.3g} times less" if layers.first_norm > 0 else ""
        yield (
            f"the gradient fades on its way back: per weight it is {layers.last_norm:.3g} in {layers.last.name} and "
            f"{layers.first_norm:.3g} in {layers.first.name}{times}"
        )
    if is_small:
        yield f"the whole gradient has norm {norm:.3g}; it was {initial:.3g} at step 0"
    is_called_so = trial.outcome == VANISHING and trial.outcome_step <= state.step
    if is_called_so and not fades and not is_small:
        yield f"the gradient vanishes over all samples, but not over the {len(state.samples)} of this step"
