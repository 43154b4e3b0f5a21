"""From a spec's axes to the table of trials: populations, each the trials that one program trains."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from engine import (
    ENGINE_VERSION,
    MLP,
    OPTIMIZERS,
    SCHEDULES,
    UPDATE_OPTIONS,
    Parts,
    Program,
    TrainConfig,
    UpdateRule,
    resolve_kernel,
    trace_step,
)
from engine.arrays import Array
from engine.tensors import layer_tensors
from experiments.datasets import Dataset, accuracy_threshold
from experiments.errors import SpecError
from experiments.hyperparameters import HYPERPARAMETERS, MAX_WEIGHTS
from experiments.spec import Sweepable
from experiments.targets import CLASSIFICATION

_Value = TypeVar("_Value")

_STRUCTURE = tuple(name for name, row in HYPERPARAMETERS.items() if row.structural)
_ALWAYS = ("initializer", "init_scale", "learning_rate", "seed")
_STATIC = ("hidden", "activation", "output", "loss", "optimizer", "schedule")
_OF_TRAINING = ("steps", "batch_size", "dtype", "kernel")
_FROM_LOGITS = "cross_entropy"
_BUILT_IN = Parts()

_MAX_EACH = 200
"""Weights of a network at most whose gradients are recorded one by one: MLflow's pages choke on more metrics."""


@dataclass(frozen=True)
class Architecture:
    """What a program is made from, and how it is run.

    activation: of the hidden layers; None where there are none. output: of the last layer.
    options: the `engine.UPDATE_OPTIONS` that take part.
    config: how its trials are trained.
    parts: where activations, losses and initialisers are found.
    neuron: whether it is a single neuron whose `output` the user gave as `activation`.
    """

    hidden: tuple[int, ...]
    activation: str | None
    output: str
    loss: str
    optimizer: str
    schedule: str
    options: tuple[str, ...]
    config: TrainConfig
    parts: Parts
    neuron: bool = False

    @cached_property
    def hyperparameters(self) -> Mapping[str, Any]:
        """Those that are used, by the names that a trial's identity has for them."""
        values = {name: getattr(self, name) for name in _STATIC}
        values |= {name: getattr(self.config, name) for name in _OF_TRAINING}
        return {name: value for name, value in values.items() if value is not None}

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """The same by the names that the user gave them."""
        return as_written(self.hyperparameters) if self.neuron else self.hyperparameters

    @property
    def rule(self) -> UpdateRule:
        """How weights are updated."""
        return UpdateRule(OPTIMIZERS[self.optimizer], SCHEDULES[self.schedule], frozenset(self.options))

    def widths(self, dataset: Dataset) -> tuple[int, ...]:
        """Layer widths, inputs first."""
        return (dataset.feature_count, *self.hidden, dataset.output_count)

    def model(self, widths: Sequence[int]) -> MLP:
        """The network, all its weights zero."""
        hidden, output = (self.parts.activation(name or "identity") for name in (self.activation, self.output))
        return MLP(widths, hidden, output, initializer="zeros")

    def trace(self, dataset: Dataset) -> Program:
        """The program of one training step on this data set."""
        threshold = accuracy_threshold(self.loss, self.output) if dataset.task == CLASSIFICATION else None
        return trace_step(
            self.model(self.widths(dataset)),
            self.parts.loss(self.loss),
            self.rule,
            features=dataset.feature_count,
            targets=dataset.output_count,
            threshold=threshold,
        )


@dataclass(frozen=True)
class Population:
    """Trials that share an architecture.

    `columns`: hyperparameter -> one value a trial. `first`: the number of the first trial in the sweep.
    """

    architecture: Architecture
    columns: Mapping[str, Array]
    first: int

    @property
    def trials(self) -> int:
        return len(next(iter(self.columns.values())))

    def configuration(self, trial: int) -> dict[str, Any]:
        """Every hyperparameter of one trial that has a part in it, swept or fixed, as its identity has them."""
        return {**self.architecture.hyperparameters, **self._values(trial)}

    def params(self, trial: int) -> dict[str, Any]:
        """The same by the names that the user gave them."""
        return {**self.architecture.params, **self._values(trial)}

    def _values(self, trial: int) -> dict[str, Any]:
        return {name: column[trial].item() for name, column in self.columns.items()}


def is_neuron(hidden: Any, loss: Any, given: Collection[str]) -> bool:
    """Whether a network is a single neuron whose activation the user gave as `activation`.

    hidden: the hidden layers, empty where there are none. given: the hyperparameters that the sweep file gives.
    """
    return not hidden and loss != _FROM_LOGITS and "activation" in given and "output" not in given


def as_written(params: Mapping[str, _Value]) -> dict[str, _Value]:
    """A single neuron's hyperparameters with its activation under the name that the user gave it."""
    return {"activation" if name == "output" else name: value for name, value in params.items()}


def population_of(populations: Iterable[Population], number: int) -> Population:
    """The population that the trial of this number is in."""
    return next(p for p in populations if p.first <= number < p.first + p.trials)


def trial_id(configuration: Mapping[str, Any], fingerprint: str, parts: Parts = _BUILT_IN) -> str:
    """A hash, 32 hexadecimal digits, of everything that determines a trial's numbers."""
    identity = {"configuration": configuration, "data": fingerprint, "engine": ENGINE_VERSION}
    if any(parts.is_custom(configuration.get(name)) for name, row in HYPERPARAMETERS.items() if row.part):
        identity["parts"] = parts.digest
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def make_grid(sweepable: Sweepable, dataset: Dataset) -> list[Population]:
    """Every trial of the sweep once, grouped by architecture, in the order of the axes.

    Hyperparameters that an architecture has no use for (momentum under sgd) are left out of its trials, and the
    trials that would be the same are one. Raises SpecError for a combination that makes no sense, and for a
    hyperparameter that was given but is used by no trial.
    """
    populations: list[Population] = []
    seen: set[Architecture] = set()
    used: set[str] = set()
    first = 0
    for structure in _structures(sweepable):
        architecture = _architecture(structure, sweepable, dataset, used)
        if architecture in seen:
            continue
        seen.add(architecture)
        population = Population(architecture, _columns(architecture, sweepable), first)
        used.update(population.columns)
        populations.append(population)
        first += population.trials
    for name in [*sweepable.axes, *sweepable.fixed]:
        if name not in used:
            raise sweepable.refuse(name, f"no trial of this sweep uses {name}{_why_unused(name)}; leave it out")
    return populations


def _why_unused(name: str) -> str:
    if name == "activation":
        return ": a single neuron's activation is its output, and cross_entropy takes logits, so that output is linear"
    owners = [("optimizer", row.name) for row in OPTIMIZERS.values() if name in row.hyperparameters]
    owners += [("schedule", row.name) for row in SCHEDULES.values() if name in row.hyperparameters]
    return f": it belongs to {owners[0][0]} {' and '.join(owner for _, owner in owners)}" if owners else ""


def _structures(sweepable: Sweepable) -> Iterator[dict[str, Any]]:
    swept = [name for name in sweepable.axes if name in _STRUCTURE]
    fixed = {name: sweepable.fixed.get(name, HYPERPARAMETERS[name].default) for name in _STRUCTURE}
    for values in itertools.product(*(sweepable.axes[name] for name in swept)):
        yield {**fixed, **dict(zip(swept, values, strict=True))}


def _architecture(structure: Mapping[str, Any], sweepable: Sweepable, dataset: Dataset, used: set[str]) -> Architecture:
    """Fill in what depends on the rest, note what was used, and refuse what does not go together."""
    hidden, activation, output = structure["hidden"], structure["activation"], structure["output"]
    loss = structure["loss"] or (_FROM_LOGITS if dataset.task == CLASSIFICATION else "mean_squared_error")
    used.update(("hidden", "loss", "optimizer", "schedule", "steps", "batch_size", "dtype", "kernel"))
    if dataset.task != CLASSIFICATION and loss in (_FROM_LOGITS, "hinge"):
        raise sweepable.refuse("loss", f"{loss} needs classes, but {dataset.name} has a regression target")
    if loss == _FROM_LOGITS and output not in (None, "identity"):
        raise sweepable.refuse("output", f"cross_entropy takes logits, so the output is linear; leave out {output}")
    if output is not None:
        used.add("output")
    if hidden:
        used.add("activation")
        activation, output = activation or "tanh", output or "identity"
    elif output is None and loss != _FROM_LOGITS:
        used.add("activation")
        activation, output = None, activation or "identity"
    else:
        activation, output = None, output or "identity"
    widths = (dataset.feature_count, *hidden, dataset.output_count)
    weights = _checked_size(widths, sweepable)
    return Architecture(
        hidden=hidden,
        activation=activation,
        output=output,
        loss=loss,
        options=_options(structure, sweepable),
        config=_config(structure, resolve_kernel(structure["kernel"], weights), sweepable),
        parts=sweepable.parts,
        neuron=is_neuron(hidden, loss, {*sweepable.axes, *sweepable.fixed}),
        **{name: structure[name] for name in ("optimizer", "schedule")},
    )


def _config(structure: Mapping[str, Any], kernel: str, sweepable: Sweepable) -> TrainConfig:
    record = sweepable.spec.record
    return TrainConfig(
        **{name: structure[name] for name in ("steps", "batch_size", "dtype")},
        kernel=kernel,
        points=record.points,
        gradients=record.gradients == "each",
    )


def _options(structure: Mapping[str, Any], sweepable: Sweepable) -> tuple[str, ...]:
    """The options that were given and are not the optimiser's or the schedule's own."""
    own = {
        *OPTIMIZERS[structure["optimizer"]].hyperparameters,
        *SCHEDULES[structure["schedule"]].hyperparameters,
    }
    given = {*sweepable.axes, *sweepable.fixed}
    return tuple(name for name in UPDATE_OPTIONS if name in given and name not in own)


def _checked_size(widths: tuple[int, ...], sweepable: Sweepable) -> int:
    """How many weights a network has. Raises SpecError where they are too many."""
    weights = sum(tensor.size for tensor in layer_tensors(widths))
    if weights > MAX_WEIGHTS:
        shown = "-".join(map(str, widths))
        raise sweepable.refuse("hidden", f"{shown} has {weights:,} weights; gradgrid trains up to {MAX_WEIGHTS:,}")
    if sweepable.spec.record.gradients == "each" and weights > _MAX_EACH:
        raise SpecError(
            f"{sweepable.source.place(('record', 'gradients'))}: record.gradients: {weights:,} weights are too many to "
            f"record the gradient of each (at most {_MAX_EACH}); write tensor"
        )
    return weights


def _columns(architecture: Architecture, sweepable: Sweepable) -> dict[str, Array]:
    rule = architecture.rule
    relevant = [*_ALWAYS, *(name for name in rule.hyperparameters if name not in _ALWAYS)]
    swept = [name for name in sweepable.axes if name in relevant]
    defaults = {**{name: HYPERPARAMETERS[name].default for name in _ALWAYS}, **rule.hyperparameters}
    fixed = {name: sweepable.fixed.get(name, defaults[name]) for name in relevant if name not in swept}
    columns = _product({name: sweepable.axes[name] for name in swept})
    trials = len(next(iter(columns.values()))) if columns else 1
    columns.update({name: np.repeat(_array([value]), trials) for name, value in fixed.items()})
    return {name: columns[name] for name in relevant}


def _product(axes: Mapping[str, Sequence[Any]]) -> dict[str, Array]:
    """Columns of the axes' product; the last axis varies fastest."""
    grids = np.meshgrid(*(_array(values) for values in axes.values()), indexing="ij")
    return {name: grid.ravel() for name, grid in zip(axes, grids, strict=True)}


def _array(values: Sequence[Any]) -> Array:
    """Integers as int64, numbers as float64, words as text."""
    return np.array(values)
