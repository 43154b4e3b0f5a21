"""An architecture: the hyperparameters that determine a program and how it runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from engine import (
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
from engine.losses import Loss, weighted
from engine.sharpness import MOST_WEIGHTS, trace_lanczos
from engine.step import ALL_LAYERS
from engine.tensors import layer_tensors
from experiments.blocks import Block
from experiments.data.datasets import Dataset, accuracy_threshold
from experiments.data.targets import CLASSIFICATION
from experiments.errors import SpecError
from experiments.hyperparameters import HYPERPARAMETERS, MAX_WEIGHTS
from experiments.layers import check_layers, layer_gains, layers_with
from experiments.spec import ResolvedSpec

_Value = TypeVar("_Value")

STRUCTURE = tuple(name for name, row in HYPERPARAMETERS.items() if row.structural)
"""The hyperparameters of an architecture."""

_STATIC = ("hidden", "activation", "output", "loss", "optimizer", "schedule")
_IF_UNUSUAL = frozenset({"bias", "gain", "batch_sampling"})
_REPLACEMENT = "replacement"
_OF_TRAINING = ("steps", "batch_size", "dtype", "kernel")
_FROM_LOGITS = "cross_entropy"

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
    config: steps, batch size, dtype, kernel, and what is recorded.
    parts: the custom functions.
    neuron: whether it is a single neuron whose `output` the user wrote as `activation`.
    bias: whether the units have biases.
    gain: the factor of a layer's sum as in the sweep file, for all layers or for each.
    own_rates: the layers that have a learning rate of their own.
    drifts: the layers that have a drift of their own, and ALL_LAYERS if there is one for all.
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
    drifts: tuple[str, ...] = ()
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
        return UpdateRule(OPTIMIZERS[self.optimizer], schedule, frozenset(self.options), self.own_rates, self.drifts)

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

    def loss_of(self, dataset: Dataset) -> Loss:
        """Return the loss of a sample of this data set."""
        loss = self.parts.loss(self.loss)
        return weighted(loss) if dataset.is_weighted else loss

    def trace(self, dataset: Dataset) -> Program:
        """Return the program of one training step on this data set."""
        threshold = accuracy_threshold(self.loss, self.output) if dataset.task == CLASSIFICATION else None
        return trace_step(
            self.model(self.widths(dataset)),
            self.loss_of(dataset),
            self.rule,
            features=dataset.feature_count,
            targets=dataset.output_count + dataset.is_weighted,
            threshold=threshold,
        )

    def trace_lanczos(self, dataset: Dataset) -> Program:
        """Return the program of one step of the method that computes the sharpness on this data set."""
        return trace_lanczos(
            self.model(self.widths(dataset)),
            self.loss_of(dataset),
            features=dataset.feature_count,
            targets=dataset.output_count + dataset.is_weighted,
        )


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


def make_architecture(
    structure: Mapping[str, Any],
    given: Collection[str],
    block: Block,
    resolved: ResolvedSpec,
    dataset: Dataset,
    used: set[str],
) -> Architecture:
    """Return the architecture of some trials, with defaults filled in.

    structure: the structural hyperparameters; None for one that is left out.
    given: the names of all hyperparameters that are not left out.
    block: the block of the trials, for messages.
    used: receives the structural hyperparameters that apply.
    Raises SpecError for hyperparameters that do not fit together.
    """
    hidden, activation, output = structure["hidden"], structure["activation"], structure["output"]
    loss = structure["loss"] or (_FROM_LOGITS if dataset.task == CLASSIFICATION else "mean_squared_error")
    used.update(("hidden", "loss", "optimizer", "schedule", "steps", "batch_size", "dtype", "kernel"))
    if dataset.task != CLASSIFICATION and loss in (_FROM_LOGITS, "hinge"):
        raise block.error_at("loss", f"{loss} needs classes, but {dataset.name} has a regression target")
    if loss == _FROM_LOGITS and output not in (None, "identity"):
        raise block.error_at("output", f"cross_entropy takes logits, so the output is linear; leave out {output}")
    if output is not None:
        used.add("output")
    if hidden or (output is None and loss != _FROM_LOGITS):
        used.add("activation")
    activation, output = _activations(hidden, activation, output, loss)
    check_layers(structure, activation or output, block)
    used.update(("bias", "gain"))
    if structure["batch_size"] is not None:
        used.add("batch_sampling")
    widths = (dataset.feature_count, *hidden, dataset.output_count)
    _check_size(widths, structure["bias"], block, resolved)
    return Architecture(
        hidden=hidden,
        activation=activation,
        output=output,
        loss=loss,
        options=_options(structure, given),
        config=_config(structure, resolve_kernel(structure["kernel"]), resolved),
        parts=resolved.parts,
        neuron=is_neuron(hidden, loss, resolved.given),
        bias=structure["bias"],
        gain=structure["gain"],
        own_rates=layers_with("learning_rate", len(hidden) + 1, given),
        drifts=layers_with("drift", len(hidden) + 1, given) + ((ALL_LAYERS,) if "drift" in given else ()),
        written=_written(resolved),
        **{name: structure[name] for name in ("optimizer", "schedule")},
    )


def _activations(hidden: Any, activation: Any, output: str | None, loss: str) -> tuple[Any, str]:
    """Return the activation of the hidden layers, None if there are none, and that of the last layer."""
    if hidden:
        return activation or "tanh", output or "identity"
    if output is None and loss != _FROM_LOGITS:
        return None, activation or "identity"  # a single neuron's activation is its output
    return None, output or "identity"


def _written(resolved: ResolvedSpec) -> frozenset[str]:
    gains = resolved.axes.get("gain", ())
    named = {"named gains"} if any(not isinstance(gain, float) for gain in gains) else set()
    return frozenset((_IF_UNUSUAL & resolved.given) | named)


def _config(structure: Mapping[str, Any], kernel: str, resolved: ResolvedSpec) -> TrainConfig:
    record = resolved.spec.record
    return TrainConfig(
        **{name: structure[name] for name in ("steps", "batch_size", "dtype")},
        kernel=kernel,
        points=record.points,
        gradients=record.gradients == "each",
        scores=record.scores,
        snapshots=record.sharpness,
        replacement=structure["batch_size"] is not None and structure["batch_sampling"] == _REPLACEMENT,
    )


def _options(structure: Mapping[str, Any], given: Collection[str]) -> tuple[str, ...]:
    """Return the given update options that the optimiser and the schedule do not have themselves."""
    own = {
        *OPTIMIZERS[structure["optimizer"]].hyperparameters,
        *SCHEDULES[structure["schedule"]].hyperparameters,
    }
    return tuple(name for name in UPDATE_OPTIONS if name in given and name not in own)


def _check_size(widths: tuple[int, ...], bias: bool, block: Block, resolved: ResolvedSpec) -> None:
    """Raise SpecError if a network has too many weights."""
    weights = sum(tensor.size for tensor in layer_tensors(widths, bias=bias))
    if weights > MAX_WEIGHTS:
        shown = "-".join(map(str, widths))
        raise block.error_at("hidden", f"{shown} has {weights:,} weights; gradgrid trains up to {MAX_WEIGHTS:,}")
    if resolved.spec.record.sharpness and weights > MOST_WEIGHTS:
        raise SpecError(
            f"{resolved.source.location(('record', 'sharpness'))}: record.sharpness: {weights:,} weights are too many "
            f"(at most {MOST_WEIGHTS:,}); leave it out"
        )
    if resolved.spec.record.gradients == "each" and weights > MAX_PER_WEIGHT_GRADIENTS:
        raise SpecError(
            f"{resolved.source.location(('record', 'gradients'))}: record.gradients: {weights:,} weights are too many "
            f"to record the gradient of each (at most {MAX_PER_WEIGHT_GRADIENTS}); write tensor"
        )
