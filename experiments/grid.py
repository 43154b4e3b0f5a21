"""The grid: from a spec's axes to populations. A population is the trials that one program trains."""

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
from experiments.data.datasets import Dataset, accuracy_threshold
from experiments.data.targets import CLASSIFICATION
from experiments.errors import SpecError
from experiments.hyperparameters import HYPERPARAMETERS, MAX_WEIGHTS, OF_LAYERS, layer_of
from experiments.layers import check_layers, layer_gains, layers_with
from experiments.spec import ResolvedSpec

_Value = TypeVar("_Value")

_STRUCTURE = tuple(name for name, row in HYPERPARAMETERS.items() if row.structural)
_ALWAYS = ("initializer", "init_scale", "learning_rate", "seed")
_IF_GIVEN = ("init_shift", "init_bias", "batch_seed")
_STATIC = ("hidden", "activation", "output", "loss", "optimizer", "schedule")
_IF_UNUSUAL = frozenset({"bias", "gain", "batch_sampling"})
_OF_TRAINING = ("steps", "batch_size", "dtype", "kernel")
_REPLACEMENT = "replacement"
_FROM_LOGITS = "cross_entropy"
_BUILT_IN = Parts()

MAX_PER_WEIGHT_GRADIENTS = 200
"""Largest number of weights whose gradients are recorded one by one: MLflow's pages are slow with more metrics."""


@dataclass(frozen=True)
class Architecture:
    """The structural hyperparameters: they determine a program and how it runs.

    hidden: widths of the hidden layers.
    activation: of the hidden layers, or one for each; None if there are none.
    output: activation of the last layer.
    loss, optimizer, schedule: their names.
    options: those of `engine.UPDATE_OPTIONS` that apply.
    config: steps, batch size, dtype, kernel and recorded points.
    parts: the custom functions.
    neuron: whether it is a single neuron whose `output` the user wrote as `activation`.
    bias: whether the units have biases.
    gain: the factor of a layer's sum as in the sweep file, for all layers or for each.
    own_rates: the layers that have a learning rate of their own.
    written: the hyperparameters of _IF_UNUSUAL that the sweep file has, and `named gains` if some of its gains are no
        numbers.
    """

    hidden: tuple[int, ...]
    activation: str | tuple[str, ...] | None
    output: str
    loss: str
    optimizer: str
    schedule: str
    options: tuple[str, ...]
    config: TrainConfig
    parts: Parts
    neuron: bool = False
    bias: bool = True
    gain: Any = 1.0
    own_rates: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()

    @cached_property
    def hyperparameters(self) -> Mapping[str, Any]:
        """The structural hyperparameters that apply, by the names in a trial's identity.

        Those that older versions did not have are there only if they are not the default, so that identities last.
        """
        values = {name: getattr(self, name) for name in _STATIC}
        values |= {name: getattr(self.config, name) for name in _OF_TRAINING}
        values |= {name: value for name, value in self._unusual.items() if value != HYPERPARAMETERS[name].default}
        return {name: value for name, value in values.items() if value is not None}

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """`hyperparameters` by the names in the sweep file, with the defaults that the file has."""
        written = {name: value for name, value in self._unusual.items() if name in self.written}
        if "named gains" in self.written and isinstance(self.gain, float):
            written["gain"] = str(self.gain)  # a column of the trials' table has one type
        values = {**self.hyperparameters, **written}
        return as_written(values) if self.neuron else values

    @property
    def _unusual(self) -> dict[str, Any]:
        sampling = _REPLACEMENT if self.config.replacement else "shuffle"
        return {"bias": self.bias, "gain": self.gain, "batch_sampling": sampling}

    @property
    def rule(self) -> UpdateRule:
        """The optimiser, the schedule and the options of an update."""
        schedule = SCHEDULES[self.schedule]
        return UpdateRule(OPTIMIZERS[self.optimizer], schedule, frozenset(self.options), self.own_rates)

    @property
    def layers(self) -> int:
        """Number of layers, the output's included."""
        return len(self.hidden) + 1

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each layer, the output's last."""
        name = self.activation or "identity"
        return (*(name if isinstance(name, tuple) else [name] * len(self.hidden)), self.output)

    def gains(self, widths: Sequence[int]) -> list[float]:
        """Return the gain of each layer of a network with these widths."""
        return layer_gains(self.gain, widths)

    def widths(self, dataset: Dataset) -> tuple[int, ...]:
        """Return the layer widths, inputs first."""
        return (dataset.feature_count, *self.hidden, dataset.output_count)

    def model(self, widths: Sequence[int]) -> MLP:
        """Return the network with all weights zero."""
        *hidden, output = map(self.parts.activation, self.activations)
        return MLP(widths, hidden, output, bias=self.bias, gain=self.gains(widths), initializer="zeros")

    def trace(self, dataset: Dataset) -> Program:
        """Return the program of one training step on this data set."""
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

    architecture: their structural hyperparameters.
    columns: other hyperparameter -> (trials,) values.
    first: number of the first trial in the sweep.
    """

    architecture: Architecture
    columns: Mapping[str, Array]
    first: int

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(next(iter(self.columns.values())))

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return every hyperparameter that applies to one trial, by the names in its identity.

        trial: its index in the population.
        """
        return {**self.architecture.hyperparameters, **self._values(trial)}

    def params(self, trial: int) -> dict[str, Any]:
        """Return `configuration(trial)` by the names in the sweep file."""
        return {**self.architecture.params, **self._values(trial)}

    def _values(self, trial: int) -> dict[str, Any]:
        return {name: column[trial].item() for name, column in self.columns.items()}


def is_neuron(hidden: Any, loss: Any, given: Collection[str]) -> bool:
    """Return whether a network is a single neuron whose activation the user wrote as `activation`.

    hidden: widths of the hidden layers; empty if there are none.
    loss: its name.
    given: the hyperparameters in the sweep file.
    """
    return not hidden and loss != _FROM_LOGITS and "activation" in given and "output" not in given


def as_written(params: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return a single neuron's hyperparameters with `output` renamed to `activation`, as in the sweep file."""
    return {"activation" if name == "output" else name: value for name, value in params.items()}


def population_of(populations: Iterable[Population], number: int) -> Population:
    """Return the population of the trial with this number in the sweep."""
    return next(p for p in populations if p.first <= number < p.first + p.trials)


def trial_id(configuration: Mapping[str, Any], fingerprint: str, parts: Parts = _BUILT_IN) -> str:
    """Return a hash, 32 hexadecimal digits, of everything that determines a trial's numbers.

    configuration: its hyperparameters (`Population.configuration`).
    fingerprint: of the data (`Dataset.fingerprint`).
    parts: the custom functions; they count only if the trial uses one.
    """
    identity = {"configuration": configuration, "data": fingerprint, "engine": ENGINE_VERSION}
    named = [configuration.get(name) for name, row in HYPERPARAMETERS.items() if row.part]
    if any(parts.is_custom(name) for value in named for name in (value if isinstance(value, tuple) else [value])):
        identity["parts"] = parts.digest
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def make_grid(resolved: ResolvedSpec, dataset: Dataset) -> list[Population]:
    """Return the trials of the sweep, grouped by architecture, in the order of the axes.

    A trial has only the hyperparameters that apply to it: no momentum under sgd. Trials that are equal without the
    others become one.
    Raises SpecError for hyperparameters that do not fit together, and for one that no trial uses.
    """
    populations: list[Population] = []
    architectures: set[Architecture] = set()
    used: set[str] = set()
    first = 0
    for structure in _structures(resolved):
        architecture = _architecture(structure, resolved, dataset, used)
        if architecture in architectures:
            continue
        architectures.add(architecture)
        population = Population(architecture, _columns(architecture, resolved), first)
        used.update(population.columns)
        populations.append(population)
        first += population.trials
    for name in [*resolved.axes, *resolved.fixed]:
        if name not in used:
            raise resolved.error_at(name, f"no trial of this sweep uses {name}{_why_unused(name)}; leave it out")
    return populations


def _why_unused(name: str) -> str:
    if name.startswith("batch_"):
        return ": it goes with batch_size"
    if name == "init_bias":
        return ": its networks have no biases"
    if layer_of(name):
        return f": no network has the {layer_of(name)}"
    if name in OF_LAYERS:
        return ": each layer has its own"
    if name == "activation":
        return ": a single neuron's activation is its output, and cross_entropy takes logits, so that output is linear"
    owners = [("optimizer", row.name) for row in OPTIMIZERS.values() if name in row.hyperparameters]
    owners += [("schedule", row.name) for row in SCHEDULES.values() if name in row.hyperparameters]
    return f": it belongs to {owners[0][0]} {' and '.join(owner for _, owner in owners)}" if owners else ""


def _structures(resolved: ResolvedSpec) -> Iterator[dict[str, Any]]:
    swept = [name for name in resolved.axes if name in _STRUCTURE]
    fixed = {name: resolved.fixed.get(name, HYPERPARAMETERS[name].default) for name in _STRUCTURE}
    for values in itertools.product(*(resolved.axes[name] for name in swept)):
        yield {**fixed, **dict(zip(swept, values, strict=True))}


def _architecture(
    structure: Mapping[str, Any], resolved: ResolvedSpec, dataset: Dataset, used: set[str]
) -> Architecture:
    """Fill in defaults, add the applicable hyperparameters to `used`, and refuse those that do not fit together."""
    hidden, activation, output = structure["hidden"], structure["activation"], structure["output"]
    loss = structure["loss"] or (_FROM_LOGITS if dataset.task == CLASSIFICATION else "mean_squared_error")
    used.update(("hidden", "loss", "optimizer", "schedule", "steps", "batch_size", "dtype", "kernel"))
    if dataset.task != CLASSIFICATION and loss in (_FROM_LOGITS, "hinge"):
        raise resolved.error_at("loss", f"{loss} needs classes, but {dataset.name} has a regression target")
    if loss == _FROM_LOGITS and output not in (None, "identity"):
        raise resolved.error_at("output", f"cross_entropy takes logits, so the output is linear; leave out {output}")
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
    check_layers(structure, activation, resolved)
    used.update(("bias", "gain"))
    if structure["batch_size"] is not None:
        used.add("batch_sampling")
    widths = (dataset.feature_count, *hidden, dataset.output_count)
    weights = _checked_size(widths, structure["bias"], resolved)
    return Architecture(
        hidden=hidden,
        activation=activation,
        output=output,
        loss=loss,
        options=_options(structure, resolved),
        config=_config(structure, resolve_kernel(structure["kernel"], weights), resolved),
        parts=resolved.parts,
        neuron=is_neuron(hidden, loss, {*resolved.axes, *resolved.fixed}),
        bias=structure["bias"],
        gain=structure["gain"],
        own_rates=layers_with("learning_rate", len(hidden) + 1, resolved),
        written=_written(resolved),
        **{name: structure[name] for name in ("optimizer", "schedule")},
    )


def _written(resolved: ResolvedSpec) -> frozenset[str]:
    named = any(not isinstance(gain, float) for gain in resolved.axes.get("gain", ()))
    return (_IF_UNUSUAL & {*resolved.axes, *resolved.fixed}) | (frozenset({"named gains"}) if named else frozenset())


def _config(structure: Mapping[str, Any], kernel: str, resolved: ResolvedSpec) -> TrainConfig:
    record = resolved.spec.record
    return TrainConfig(
        **{name: structure[name] for name in ("steps", "batch_size", "dtype")},
        kernel=kernel,
        points=record.points,
        gradients=record.gradients == "each",
        replacement=structure["batch_size"] is not None and structure["batch_sampling"] == _REPLACEMENT,
    )


def _options(structure: Mapping[str, Any], resolved: ResolvedSpec) -> tuple[str, ...]:
    """Return the update options in the sweep file that the optimiser and the schedule do not have themselves."""
    own = {
        *OPTIMIZERS[structure["optimizer"]].hyperparameters,
        *SCHEDULES[structure["schedule"]].hyperparameters,
    }
    names = {*resolved.axes, *resolved.fixed}
    return tuple(name for name in UPDATE_OPTIONS if name in names and name not in own)


def _checked_size(widths: tuple[int, ...], bias: bool, resolved: ResolvedSpec) -> int:
    """Return the number of weights of a network. Raises SpecError if there are too many."""
    weights = sum(tensor.size for tensor in layer_tensors(widths, bias=bias))
    if weights > MAX_WEIGHTS:
        shown = "-".join(map(str, widths))
        raise resolved.error_at("hidden", f"{shown} has {weights:,} weights; gradgrid trains up to {MAX_WEIGHTS:,}")
    if resolved.spec.record.gradients == "each" and weights > MAX_PER_WEIGHT_GRADIENTS:
        raise SpecError(
            f"{resolved.source.location(('record', 'gradients'))}: record.gradients: {weights:,} weights are too many "
            f"to record the gradient of each (at most {MAX_PER_WEIGHT_GRADIENTS}); write tensor"
        )
    return weights


def _columns(architecture: Architecture, resolved: ResolvedSpec) -> dict[str, Array]:
    rule = architecture.rule
    relevant = _relevant(architecture, resolved)
    swept = [name for name in resolved.axes if name in relevant]
    defaults = {**{name: HYPERPARAMETERS[name].default for name in _ALWAYS}, **rule.hyperparameters}
    fixed = {name: resolved.fixed.get(name, defaults.get(name)) for name in relevant if name not in swept}
    columns = _product({name: resolved.axes[name] for name in swept})
    trials = len(next(iter(columns.values()))) if columns else 1
    columns.update({name: np.repeat(_array([value]), trials) for name, value in fixed.items()})
    return {name: columns[name] for name in relevant}


def _relevant(architecture: Architecture, resolved: ResolvedSpec) -> list[str]:
    """Return the hyperparameters that are columns of a population.

    One for all layers is not among them if each layer has its own.
    """
    given = {*resolved.axes, *resolved.fixed}
    names = [*_ALWAYS, *(name for name in _IF_GIVEN if name in given and _applies(name, architecture))]
    names += [name for name in architecture.rule.hyperparameters if name not in names]
    for name in OF_LAYERS:
        layers = layers_with(name, architecture.layers, resolved)
        names += [own for layer in layers if (own := f"{name}.{layer}") not in names]
        if len(layers) == architecture.layers and name in names:
            names.remove(name)
    return names


def _applies(name: str, architecture: Architecture) -> bool:
    if name == "init_bias":
        return architecture.bias
    return name != "batch_seed" or architecture.config.batch_size is not None


def _product(axes: Mapping[str, Sequence[Any]]) -> dict[str, Array]:
    """Return the columns of the axes' product; the last axis varies fastest."""
    grids = np.meshgrid(*(_array(values) for values in axes.values()), indexing="ij")
    return {name: grid.ravel() for name, grid in zip(axes, grids, strict=True)}


def _array(values: Sequence[Any]) -> Array:
    """Return integers as int64, numbers as float64, words as text."""
    return np.array(values)
