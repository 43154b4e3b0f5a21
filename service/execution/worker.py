"""Train a shard: the work of one task, as a plain function without Ray."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine import History, initial_weights, train
from engine.arrays import Array, Floats
from experiments.architecture import Architecture
from experiments.data.datasets import Dataset
from service.execution.plan import Shard

_NOT_COLUMNS = ("seed", "initializer", "init_scale")


@dataclass(frozen=True)
class TrainedShard:
    """A shard after training.

    history: its curves, final weights and outcomes.
    start_time, end_time: of the training, in milliseconds since 1970.
    host: the machine that trained it.
    """

    shard: Shard
    history: History
    start_time: int
    end_time: int
    host: str


def train_shard(shard: Shard, datasets: Sequence[Dataset]) -> TrainedShard:
    """Train every trial of the shard; return the histories. datasets: of the sweep."""
    start = time.time_ns() // 1_000_000
    architecture, dataset = shard.architecture, datasets[shard.dataset]
    history = train(
        shard.program,
        initial(shard.columns, architecture, dataset),
        program_columns(shard.columns),
        dataset.training(architecture.loss, architecture.output),
        dataset.test(architecture.loss, architecture.output),
        architecture.config,
        seeds=shard.columns["seed"],
    )
    return TrainedShard(shard, history, start, time.time_ns() // 1_000_000, socket.gethostname())


def program_columns(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Return the columns that the program reads. The others determine the initial weights."""
    return {name: column for name, column in columns.items() if name not in _NOT_COLUMNS}


def initial(columns: Mapping[str, Array], architecture: Architecture, dataset: Dataset) -> Floats:
    """Return the initial weights, (trials, weights). Trials with the same initializer, seed and scale share a draw."""
    widths = architecture.widths(dataset)
    draws: dict[tuple[str, int, float], Floats] = {}
    rows = []
    for name, seed, scale in zip(columns["initializer"], columns["seed"], columns["init_scale"], strict=True):
        key = (str(name), int(seed), float(scale))
        if key not in draws:
            draws[key] = initial_weights(widths, architecture.parts.initializer(key[0]), *key[1:])
        rows.append(draws[key])
    return np.stack(rows)
