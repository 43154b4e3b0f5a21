"""One step of one recorded trial, looked at from inside: every unit's gradient, and the graph with all its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine import Parameter, Replay, replay
from engine.outcomes import VANISHING, is_stationary, layer_gradients
from engine.parameter import topological_order
from engine.tensors import split
from experiments.errors import UserError
from service.execution.recorded_plan import planned_trial, recorded_plan
from service.recording.infos import TrialInfo
from service.recording.store import Store


@dataclass(frozen=True)
class Unit:
    """A unit at the step, over the step's samples.

    gradient: of its bias, the mean. largest: of its bias, the greatest size for a single sample. silent: share of the
    samples for which it is exactly zero; 1 is a dead unit.
    """

    layer: str
    number: int
    gradient: float
    largest: float
    silent: float


@dataclass(frozen=True)
class Explanation:
    """A trial at a step: the weights are those before its update.

    tensors: name, norm of the weights, norm of the mean gradient of each. found: what is wrong, in sentences.
    """

    trial: TrialInfo
    replay: Replay
    tensors: tuple[tuple[str, float, float], ...]
    units: tuple[Unit, ...]
    found: tuple[str, ...]

    def graph(self, sample: int | None = None) -> Parameter:
        """The loss of one sample as a graph; by default the step's first. Raises UserError for one it has not seen."""
        chosen = int(self.replay.samples[0]) if sample is None else sample
        if chosen not in self.replay.samples:
            seen = f"{len(self.replay.samples)} samples, the first {int(self.replay.samples[0])}"
            raise UserError(f"step {self.replay.step} does not see sample {chosen}: it sees {seen}")
        return self.replay.graph(chosen)


def explain(store: Store, trial: TrialInfo, step: int | None = None) -> Explanation:
    """Train a recorded trial again up to a step, by default that at which its outcome began, and look at every number.

    Raises SpecError where data or engine are not those that the trial was trained with, UserError for a step that it
    has not come to.
    """
    sweep = store.sweep_of(trial)
    plan = recorded_plan(store, sweep, "explained")
    last = trial.last_step
    chosen = min(trial.outcome_step, last) if step is None else step
    if not 0 <= chosen <= last:
        raise UserError(f"the trial has steps 0 to {last}, not {chosen}")
    seen = replay(planned_trial(plan, trial.number), chosen)
    units = tuple(_units(seen))
    tensors = tuple(_tensors(seen))
    initial = min(store.curve(trial.run_id, "grad_norm"))[1]
    return Explanation(trial, seen, tensors, units, tuple(_sentences(trial, seen, tensors, units, initial)))


def _tensors(seen: Replay) -> Iterator[tuple[str, float, float]]:
    tensors = seen.trial.model.tensors
    for (tensor, weights), (_, gradient) in zip(
        split(seen.weights, tensors), split(seen.gradient, tensors), strict=True
    ):
        yield tensor.name, float(np.linalg.norm(weights)), float(np.linalg.norm(gradient))


def _units(seen: Replay) -> Iterator[Unit]:
    """Of the hidden layers: a unit's gradient is its bias's."""
    hidden = [tensor for tensor in seen.trial.model.tensors if tensor.units]
    if not hidden:
        return
    gradients = [
        {node.name: node.grad for node in topological_order(seen.graph(int(sample))) if not node.parents}
        for sample in seen.samples
    ]
    for tensor in hidden:
        for number in range(tensor.size):
            own = np.array([sample.get(f"{tensor.name}[{number}]", 0.0) for sample in gradients])
            layer = tensor.name.rpartition(".")[0]
            yield Unit(layer, number, float(own.mean()), float(np.abs(own).max()), float((own == 0).mean()))


def _sentences(
    trial: TrialInfo,
    seen: Replay,
    tensors: Sequence[tuple[str, float, float]],
    units: Sequence[Unit],
    initial: float,
) -> Iterator[str]:
    """What stands out, whatever the outcome is called."""
    if trial.outcome == "diverged":
        rate = seen.trial.hyperparameters.get("learning_rate")
        name, weight, gradient = max(tensors, key=lambda tensor: tensor[2])
        yield (
            f"it left the finite numbers after step {trial.last_step}: the learning rate is {rate:g}, "
            f"the gradient of {name} has norm {gradient:.3g}, its weights {weight:.3g}"
        )
    dead = [unit for unit in units if unit.silent == 1]
    if dead:
        named = ", ".join(f"{unit.layer}[{unit.number}]" for unit in dead[:8])
        more = f" and {len(dead) - 8} more" if len(dead) > 8 else ""
        yield (
            f"{len(dead)} of {len(units)} hidden units have a gradient of exactly 0 for each of the step's "
            f"{len(seen.samples)} samples: {named}{more}"
        )
    yield from _vanishing(trial, seen, tensors, initial)


def _vanishing(
    trial: TrialInfo, seen: Replay, tensors: Sequence[tuple[str, float, float]], initial: float
) -> Iterator[str]:
    """How the gradient vanishes, by the rules of the outcome `vanishing`."""
    norms = {name: np.array(gradient) for name, _, gradient in tensors}
    found = layer_gradients(norms, seen.trial.model.tensors)
    if found is None:
        return
    norm = float(np.linalg.norm(seen.gradient))
    fades = found.has_faded and (found.last_norm > 0 or trial.outcome == VANISHING)
    is_small = is_stationary(np.array(norm), np.array(initial))
    if fades:
        times = f", {found.last_norm / found.first_norm:.3g} times less" if found.first_norm > 0 else ""
        yield (
            f"the gradient fades on its way back: per weight it is {found.last_norm:.3g} in {found.last.name} and "
            f"{found.first_norm:.3g} in {found.first.name}{times}"
        )
    if is_small:
        yield f"the whole gradient has norm {norm:.3g}; it was {initial:.3g} at step 0"
    is_called_so = trial.outcome == VANISHING and trial.outcome_step <= seen.step
    if is_called_so and not fades and not is_small:
        yield f"the gradient vanishes over all samples, but not over the {len(seen.samples)} that this step sees"
