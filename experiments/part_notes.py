"""Notes on custom activations and losses that are not finite everywhere. The user reads them before training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from engine.arrays import Floats
from engine.probes import ADVICE, NUMBERS, probe_activation, probe_loss
from experiments.architecture import Architecture
from experiments.data.datasets import Dataset

_TARGETS = 20
"""Largest number of targets to try a loss with."""


def part_notes(architectures: Iterable[Architecture], dataset: Dataset) -> tuple[str, ...]:
    """Return a note for each custom activation and loss that fails on an ordinary number, each note once."""
    return tuple(dict.fromkeys(note for architecture in architectures for note in _notes(architecture, dataset)))


def _notes(architecture: Architecture, dataset: Dataset) -> Iterator[str]:
    parts = architecture.parts
    for name in dict.fromkeys(architecture.activations):
        if parts.is_custom(name):
            probe = probe_activation(parts.activation(name))
            if probe.failed:
                yield f"activation {name}: {probe}: trials that meet such a number diverge; {ADVICE}"
    if parts.is_custom(architecture.loss):
        predictions, targets = _samples(architecture, dataset)
        probe = probe_loss(parts.loss(architecture.loss), predictions, targets)
        if probe.failed:
            yield f"loss {architecture.loss}: {probe}: trials that meet such numbers diverge; {ADVICE}"


def _samples(architecture: Architecture, dataset: Dataset) -> tuple[Floats, Floats]:
    """Return predictions, from the output activation on ordinary numbers, and targets; both (samples, outputs)."""
    outputs = np.broadcast_to(architecture.parts.activation(architecture.output)(NUMBERS), NUMBERS.shape)
    outputs = outputs[np.isfinite(outputs)]
    columns = np.stack([np.roll(outputs, shift) for shift in range(dataset.output_count)], axis=1)
    targets = dataset.training(architecture.loss, architecture.output).targets[:, : dataset.output_count]
    targets = np.unique(targets, axis=0)
    sample = targets[np.linspace(0, len(targets) - 1, min(len(targets), _TARGETS)).astype(int)]
    return np.repeat(columns, len(sample), axis=0), np.tile(sample, (len(columns), 1))
