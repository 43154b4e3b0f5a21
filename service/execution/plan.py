"""From a spec to the work: populations are cut into shards, each a program and some of the trials that share it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from engine import Program, TrainConfig
from engine.arrays import Array, Integers
from engine.kernels.cost import compilation_seconds, training_seconds
from experiments.data.datasets import Dataset, load_dataset
from experiments.data.targets import CLASSIFICATION
from experiments.errors import DataError
from experiments.grid import Architecture, Population, make_grid, population_of, trial_id
from experiments.part_notes import part_notes
from experiments.spec import RecordSpec, Sweepable
from service.results.curves import kept_curves

_SHARDS_PER_WORKER = 6  # so that the last shards to end leave no worker idle for long
_SHORTEST, _LONGEST = 0.4, 8.0  # seconds a shard: a task costs milliseconds, and progress should be seen
_MAX_TRIALS = 2_000  # a shard: what the driver holds of its curves while it records them


@dataclass(frozen=True)
class Shard:
    """The slice of a population that one task trains. `numbers`: (trials,) the trials' numbers in the sweep."""

    program: Program
    architecture: Architecture
    columns: Mapping[str, Array]
    numbers: Integers

    @property
    def trials(self) -> int:
        return len(self.numbers)

    def configuration(self, trial: int) -> dict[str, Any]:
        """Every hyperparameter of the shard's trial at this position, as its identity has them."""
        return Population(self.architecture, self.columns, 0).configuration(trial)

    def params(self, trial: int) -> dict[str, Any]:
        """The same by the names that the user gave them."""
        return Population(self.architecture, self.columns, 0).params(trial)


@dataclass(frozen=True)
class Plan:
    """Everything that is to be trained, decided before anything runs."""

    sweepable: Sweepable
    dataset: Dataset
    populations: tuple[Population, ...]
    programs: tuple[Program, ...]

    @property
    def name(self) -> str:
        return self.sweepable.spec.name

    @property
    def record(self) -> RecordSpec:
        """How much of each trial is recorded."""
        return self.sweepable.spec.record

    @property
    def swept(self) -> tuple[str, ...]:
        """The swept hyperparameters, in the order of the axes."""
        return tuple(self.sweepable.axes)

    @property
    def trials(self) -> int:
        return sum(population.trials for population in self.populations)

    @property
    def seconds(self) -> float:
        """About how long one core trains, by the kernel's rough cost."""
        pairs = zip(self.populations, self.programs, strict=True)
        training = sum(_cost(population.trials, population, program, self.dataset) for population, program in pairs)
        return training + sum(compilation_seconds(program) for program in dict.fromkeys(self.programs))

    @property
    def note(self) -> str:
        """What the user should know of how it will be trained, if anything."""
        slow = {
            p.architecture.widths(self.dataset) for p in self.populations if p.architecture.config.kernel == "reference"
        }
        asked = {*self.sweepable.axes.get("kernel", ()), self.sweepable.fixed.get("kernel")}
        if not slow or "reference" in asked:
            return ""
        shown = ", ".join("-".join(map(str, widths)) for widths in sorted(slow)[:3])
        return f"{shown}: too many weights to be compiled, the reference kernel trains them"

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences that the user should read first: on the data, and where custom functions are not finite."""
        return *self.dataset.notes, *part_notes([p.architecture for p in self.populations], self.dataset)

    @property
    def objective(self) -> str:
        """The metric that trials are ranked by: the loss on the test part where there is one.

        Values of different losses can't be compared; where the loss is swept, classifiers go by accuracy.
        """
        by = "loss"
        if "loss" in self.sweepable.axes and self.dataset.task == CLASSIFICATION:
            by = "accuracy"
        return f"test_{by}" if len(self.dataset.test_targets) else by

    @property
    def runs(self) -> int:
        """How many trials will have a run in MLflow."""
        runs = self.record.runs
        if isinstance(runs, str):
            return self.trials if runs == "all" else 0
        return min(runs.top, self.trials)

    @property
    def metric_rows(self) -> int:
        """About how many metric points MLflow will hold, if none diverges; exactly where every trial has a run."""
        rows = sum(
            population.trials * len(population.architecture.config.recorded_steps) * self._curve_count(program)
            for population, program in zip(self.populations, self.programs, strict=True)
        )
        return rows * self.runs // self.trials

    def _curve_count(self, program: Program) -> int:
        record = self.record
        kept = kept_curves(program.curves, record)
        tested = sum(name in ("loss", "accuracy") for name in kept) if len(self.dataset.test_targets) else 0
        return len(kept) + tested + (program.weight_count if record.gradients == "each" else 0)

    @cached_property
    def trial_ids(self) -> list[str]:
        """The identity of every trial, by number."""
        return [
            trial_id(population.configuration(trial), self.dataset.fingerprint, self.sweepable.parts)
            for population in self.populations
            for trial in range(population.trials)
        ]

    def population(self, number: int) -> Population:
        """The population that the trial of this number is in."""
        return population_of(self.populations, number)

    def shards(self, workers: int, done: frozenset[int] = frozenset(), size: int | None = None) -> list[Shard]:
        """The work, without the trials whose numbers are `done`; `size` fixes the trials a shard."""
        shards: list[Shard] = []
        target = min(max(self.seconds / (workers * _SHARDS_PER_WORKER), _SHORTEST), _LONGEST)
        for population, program in zip(self.populations, self.programs, strict=True):
            numbers = np.arange(population.first, population.first + population.trials)
            if done:
                numbers = numbers[[number not in done for number in numbers]]
            if not len(numbers):
                continue
            seconds = _cost(len(numbers), population, program, self.dataset)
            count = max(math.ceil(seconds / target), math.ceil(len(numbers) / _MAX_TRIALS))
            count = math.ceil(len(numbers) / size) if size else min(count, len(numbers))
            shards.extend(self._shard(population, program, part) for part in np.array_split(numbers, count))
        return shards

    def _shard(self, population: Population, program: Program, numbers: Integers) -> Shard:
        columns = {name: column[numbers - population.first] for name, column in population.columns.items()}
        return Shard(program, population.architecture, columns, numbers)


def make_plan(sweepable: Sweepable) -> Plan:
    """Load the data, make the grid and trace its programs. Raises SpecError and DataError."""
    spec, frame = sweepable.spec, sweepable.source.frame
    try:
        dataset = load_dataset(spec.dataset, sweepable.source.folder, frame() if frame else None)
    except DataError as error:
        place = sweepable.source.place(("dataset", "name" if spec.dataset.path is None else "path"))
        raise DataError(f"{place}: dataset: {error}") from None
    populations = tuple(make_grid(sweepable, dataset))
    traced: dict[Architecture, Program] = {}
    programs = []
    for population in populations:
        key = replace(population.architecture, config=TrainConfig(steps=1))  # a program does not depend on the config
        if key not in traced:
            traced[key] = population.architecture.trace(dataset)
        programs.append(traced[key])
    return Plan(sweepable, dataset, populations, tuple(programs))


def _cost(trials: int, population: Population, program: Program, dataset: Dataset) -> float:
    """Return about how many seconds one core trains so many trials of a population."""
    config, samples = population.architecture.config, len(dataset.training_targets)
    seen = config.steps * min(config.batch_size or samples, samples)
    return training_seconds(program, config.kernel, trials=trials, samples=seen)
