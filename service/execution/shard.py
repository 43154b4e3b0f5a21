"""A shard: the trials of one population that one task trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine import Program, TrainConfig
from engine.arrays import Array, Integers
from experiments.architecture import Architecture


@dataclass(frozen=True)
class Shard:
    """The trials of one population that one task trains.

    program: the training step that the trials share.
    architecture: the network and the settings that they share.
    columns: hyperparameter -> its value for each trial, (trials,).
    numbers: the trials' positions in the grid, (trials,).
    dataset: the index of the data set among those of the sweep.
    fingerprint: of the data set.
    data_params: `dataset.noise` and the like, if the grid has them.
    steps: the number of steps, if the trials are stopped before the last.
    """

    program: Program
    architecture: Architecture
    columns: Mapping[str, Array]
    numbers: Integers
    dataset: int
    fingerprint: str
    data_params: Mapping[str, Any]
    steps: int | None = None

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(self.numbers)

    @property
    def config(self) -> TrainConfig:
        """The settings of training, to the step at which the trials are stopped."""
        return stopped_at(self.architecture.config, self.steps)

    @property
    def shared_params(self) -> dict[str, Any]:
        """The hyperparameters that all trials share, by the user's names."""
        return {**self.architecture.params, **self.data_params}


def stopped_at(config: TrainConfig, steps: int | None) -> TrainConfig:
    """Return the settings of training that is stopped after some steps; the same if that is None.

    Its curves have as many points for a step as those of the whole training, but two at least.
    """
    if steps is None:
        return config
    points = max(2, round((config.points - 1) * steps / config.steps) + 1)
    return replace(config, steps=steps, points=points, schedule_steps=config.steps)
