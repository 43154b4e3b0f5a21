"""Notes on activations and losses of one's own that are not finite everywhere, for the user to read before training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from engine.arrays import Floats
from engine.probes import ADVICE, NUMBERS, probe_activation, probe_loss
from experiments.data.datasets import Dataset
from experiments.grid import Architecture

_TARGETS = 20
"""Training samples at most whose targets a loss is tried with."""


def part_notes(architectures: Iterable[Architecture], dataset: Dataset) -> tuple[str, ...]:
    """A note for each activation and loss of one's own that fails on an ordinary number, each note once."""
    return tuple(dict.fromkeys(note for architecture in architectures for note in _notes(architecture, dataset)))


def _notes(architecture: Architecture, dataset: Dataset) -> Iterator[str]:
    parts = architecture.parts
    for name in (architecture.activation, architecture.output):
        if name is not None and parts.is_custom(name):
            probe = probe_activation(parts.activation(name))
            if probe.failed:
                yield f"activation {name}: {probe}: trials that meet such a number diverge; {ADVICE}"
    if parts.is_custom(architecture.loss):
        predictions, targets = _samples(architecture, dataset)
        probe = probe_loss(parts.loss(architecture.loss), predictions, targets)
        if probe.failed:
            yield f"loss {architecture.loss}: {probe}: trials that meet such numbers diverge; {ADVICE}"


def _samples(architecture: Architecture, dataset: Dataset) -> tuple[Floats, Floats]:
    """What the output makes of ordinary numbers, with targets of the data set; each (samples, outputs)."""
    outputs = np.broadcast_to(architecture.parts.activation(architecture.output)(NUMBERS), NUMBERS.shape)
    outputs = outputs[np.isfinite(outputs)]
    columns = np.stack([np.roll(outputs, shift) for shift in range(dataset.output_count)], axis=1)
    targets = np.unique(dataset.training(architecture.loss, architecture.output).targets, axis=0)
    chosen = targets[np.linspace(0, len(targets) - 1, min(len(targets), _TARGETS)).astype(int)]
    return np.repeat(columns, len(chosen), axis=0), np.tile(chosen, (len(columns), 1))
