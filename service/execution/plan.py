"""Plan a sweep: its data, its populations of trials, and the shards that they are cut into."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from engine import Program, TrainConfig
from engine.arrays import Array, Integers
from engine.kernels.cost import compilation_seconds, training_seconds
from experiments.architecture import Architecture
from experiments.data.datasets import Dataset
from experiments.data.targets import CLASSIFICATION
from experiments.data.variants import Datasets, load_datasets
from experiments.errors import DataError, SpecError
from experiments.measures import MEASURES
from experiments.part_notes import part_notes
from experiments.population import Population
from experiments.sections import RecordSpec
from experiments.spec import ResolvedSpec
from experiments.trials import Grid, TrialIds, make_grid
from service.results.curves import kept_curves

_SHARDS_PER_WORKER = 6  # enough that no worker idles for long at the end
_SHORTEST, _LONGEST = 0.4, 8.0  # seconds a shard: a task costs milliseconds, and progress should be visible
_MAX_TRIALS = 2_000  # a shard: a worker and a recorder hold its curves in memory


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
    """

    program: Program
    architecture: Architecture
    columns: Mapping[str, Array]
    numbers: Integers
    dataset: int
    fingerprint: str
    data_params: Mapping[str, Any]

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(self.numbers)

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return the hyperparameters that the id of the trial at this position is made of."""
        return {**self.architecture.hyperparameters, **self._values(trial)}

    def params(self, trial: int) -> dict[str, Any]:
        """Return the hyperparameters of the trial at this position by the user's names."""
        return {**self.architecture.params, **self.data_params, **self._values(trial)}

    def _values(self, trial: int) -> dict[str, Any]:
        return {name: column[trial].item() for name, column in self.columns.items()}


@dataclass(frozen=True)
class Plan:
    """Everything that a sweep will train, decided before anything runs.

    resolved: the spec with its axes.
    variants: the training and test data; several if the grid has axes of the data.
    grid: the trials, as populations that share an architecture and a data set.
    programs: the training step of each population.
    """

    resolved: ResolvedSpec
    variants: Datasets
    grid: Grid
    programs: tuple[Program, ...]

    @property
    def populations(self) -> tuple[Population, ...]:
        """The trials that share an architecture and a data set, and their hyperparameters."""
        return self.grid.populations

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The data sets. A population has the index of its own."""
        return self.variants.every

    @property
    def dataset(self) -> Dataset:
        """The first data set. The task and the classes of all are the same."""
        return self.datasets[0]

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.resolved.spec.name

    @property
    def record(self) -> RecordSpec:
        """The spec's section `record`: how much of each trial to record."""
        return self.resolved.spec.record

    @property
    def swept(self) -> tuple[str, ...]:
        """The swept hyperparameters, in the order of the axes."""
        return tuple(self.resolved.axes)

    @property
    def trials(self) -> int:
        """The number of trials."""
        return self.grid.trials

    @property
    def is_refined(self) -> bool:
        """Whether only a part of the trials will be trained, as `refine` in the sweep file says."""
        return self.resolved.spec.refine is not None

    @cached_property
    def seconds(self) -> float:
        """The estimated training time on one core, in seconds."""
        pairs = zip(self.populations, self.programs, strict=True)
        training = sum(self._cost(population.trials, population, program) for population, program in pairs)
        return training + sum(compilation_seconds(program) for program in dict.fromkeys(self.programs))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Messages on the data, and on custom functions that are not finite somewhere."""
        return *self.dataset.notes, *part_notes([p.architecture for p in self.populations], self.dataset)

    @property
    def objective(self) -> str:
        """The metric that trials are ranked by: the loss on the validation data, else on the test or the training data.

        Values of different losses can't be compared, so classifiers are ranked by accuracy if the loss is swept.
        """
        by = "loss"
        if "loss" in self.resolved.axes and self.dataset.task == CLASSIFICATION:
            by = "accuracy"
        parts = {dataset.ranked_by for dataset in self.datasets}
        return f"{parts.pop() if len(parts) == 1 else ''}{by}"

    @property
    def runs(self) -> int:
        """The number of trials that will have a run in MLflow."""
        runs = self.record.runs
        if isinstance(runs, str):
            return self.trials if runs == "all" else 0
        return min(runs.top, self.trials)

    @property
    def metric_rows(self) -> int:
        """The metric points that MLflow will hold if no trial diverges; an estimate if only the best have runs."""
        rows = sum(
            population.trials
            * (
                len(population.architecture.config.recorded_steps) * self._curve_count(population, program)
                + self._measure_count(self.datasets[population.dataset], program)
            )
            for population, program in zip(self.populations, self.programs, strict=True)
        )
        return rows * self.runs // self.trials

    def _curve_count(self, population: Population, program: Program) -> int:
        record = self.record
        curves = kept_curves(program.curves, record)
        tested = (
            sum(name in ("loss", "accuracy") for name in curves) if self.datasets[population.dataset].ranked_by else 0
        )
        return len(curves) + tested + (program.weight_count if record.gradients == "each" else 0)

    def _measure_count(self, dataset: Dataset, program: Program) -> int:
        """Return the number of a trial's metrics that have a last point alone."""
        others = [len(targets) > 0 for targets in (dataset.test_targets, dataset.validation_targets)]
        tested = sum(name in program.curves for name in ("loss", "accuracy")) if all(others) else 0
        return len(self.record.measures) * (1 + sum(others)) + tested + len(self.record.scores)

    @cached_property
    def trial_ids(self) -> TrialIds:
        """The id of each trial, by its number."""
        return TrialIds(self.grid, [dataset.fingerprint for dataset in self.datasets], self.resolved.parts)

    def population(self, number: int) -> Population:
        """Return the population of the trial with this number."""
        return self.grid.population(number)

    @property
    def newest(self) -> Plan:
        """The plan of the trials that the spec's last extension adds; the whole plan if there is none."""
        last = len(self.resolved.stages) - 1
        blocks = tuple(counts for counts in self.grid.blocks if counts.block.extension == last)
        first = self.trials - sum(counts.trials for counts in blocks)
        kept = [(p, program) for p, program in zip(self.populations, self.programs, strict=True) if p.first >= first]
        grid = Grid(tuple(population for population, _ in kept), blocks)
        return replace(self, grid=grid, programs=tuple(program for _, program in kept))

    def shards(
        self, workers: int, done: frozenset[int] | Integers = frozenset(), size: int | None = None
    ) -> Iterator[Shard]:
        """Yield the shards to train. Each is made when it is asked for. Those of a search follow its sequence.

        workers: how many tasks run at once.
        done: numbers of trials to leave out.
        size: trials a shard; by default, enough to train for seconds.
        """
        left_out = np.sort(np.asarray(list(done) if isinstance(done, frozenset) else done, np.int64))

        def of(population: Population, program: Program) -> Iterator[Shard]:
            missing = _missing(population, left_out)
            count = self._shard_count(population, program, len(missing), workers, size)
            return (self._shard(population, program, missing, part, count) for part in range(count))

        pairs = list(zip(self.populations, self.programs, strict=True))
        for _, group in itertools.groupby(pairs, key=lambda pair: pair[0].first):
            yield from heapq.merge(*itertools.starmap(of, group), key=lambda shard: int(shard.numbers[0]))

    def shard_count(self, workers: int) -> int:
        """Return the number of shards of the whole sweep. workers: how many tasks run at once."""
        pairs = zip(self.populations, self.programs, strict=True)
        return sum(self._shard_count(*pair, pair[0].trials, workers, None) for pair in pairs)

    def _shard_count(
        self, population: Population, program: Program, trials: int, workers: int, size: int | None
    ) -> int:
        if size is not None:
            return math.ceil(trials / size)
        target = min(max(self.seconds / (workers * _SHARDS_PER_WORKER), _SHORTEST), _LONGEST)
        seconds = self._cost(trials, population, program)
        return min(max(math.ceil(seconds / target), math.ceil(trials / _MAX_TRIALS)), trials)

    def _shard(
        self, population: Population, program: Program, missing: range | Integers, part: int, count: int
    ) -> Shard:
        """Return one of `count` shards of a population. missing: the indices of the trials to train."""
        length, longer = divmod(len(missing), count)  # the first shards have one more, as numpy.array_split's parts
        start = part * length + min(part, longer)
        indices = np.asarray(missing[start : start + length + (part < longer)], dtype=np.int64)
        return Shard(
            program=program,
            architecture=population.architecture,
            columns=population.at(indices),
            numbers=population.numbers_at(indices),
            dataset=population.dataset,
            fingerprint=self.datasets[population.dataset].fingerprint,
            data_params=population.data_params,
        )

    def _cost(self, trials: int, population: Population, program: Program) -> float:
        """Return about how many seconds one core trains so many trials of a population."""
        config, samples = population.architecture.config, len(self.datasets[population.dataset].training_targets)
        samples_read = config.steps * min(config.batch_size or samples, samples)
        return training_seconds(program, config.kernel, trials=trials, samples=samples_read)


def _missing(population: Population, left_out: Integers) -> range | Integers:
    """Return the indices of a population's trials without those whose numbers are left out."""
    indices = range(population.trials)
    if not len(left_out):
        return indices
    kept = np.arange(population.trials)
    return kept[~np.isin(population.numbers_at(kept), left_out)]


def _check_measures(resolved: ResolvedSpec, dataset: Dataset) -> None:
    """Raise SpecError for a measure that these data do not have."""
    for name in resolved.spec.record.measures:
        if MEASURES[name].task != dataset.task:
            place = resolved.source.location(("record", "measures"))
            raise SpecError(
                f"{place}: record.measures: {name} is for {MEASURES[name].task}, and {dataset.name} has a "
                f"{dataset.task} target; leave it out"
            )


def _located(error: DataError, resolved: ResolvedSpec) -> DataError:
    """Return the error with the line and the key that it is about: of the dataset section, or an axis of the data."""
    key, section, source = error.key, resolved.spec.dataset, resolved.source
    axis = f"dataset.{key}"
    if key and key not in section.model_fields_set:
        for block in resolved.blocks:
            if axis in block.axes:
                return DataError(str(block.error_at(axis, str(error))))
    line = source.location(("dataset", key or ("name" if section.path is None else "path")))
    return DataError(f"{line}: dataset{'.' * bool(key)}{key}: {error}")


def make_plan(resolved: ResolvedSpec) -> Plan:
    """Load the data, make the grid, trace its programs and return the plan. Raises SpecError and DataError."""
    spec, frame = resolved.spec, resolved.source.frame
    try:
        datasets = load_datasets(spec.dataset, resolved.source.folder, frame() if frame else None)
        grid = make_grid(resolved, datasets)
    except DataError as error:
        raise _located(error, resolved) from None
    _check_measures(resolved, datasets.every[0])
    traced: dict[tuple[Architecture, int, int, bool], Program] = {}
    programs = []
    for population in grid.populations:
        dataset = datasets.every[population.dataset]
        _check_batches(resolved, population.architecture.config, len(dataset.training_targets))
        architecture = replace(
            population.architecture, config=TrainConfig(steps=1)
        )  # the program does not depend on it
        key = (architecture, dataset.feature_count, dataset.output_count, dataset.is_weighted)
        if key not in traced:
            traced[key] = population.architecture.trace(dataset)
        programs.append(traced[key])
    return Plan(resolved, datasets, grid, tuple(programs))


def _check_batches(resolved: ResolvedSpec, config: TrainConfig, samples: int) -> None:
    """Raise SpecError for batches that are drawn with replacement and larger than the data."""
    if config.replacement and (config.batch_size or 0) > samples:
        message = f"a batch that is drawn with replacement has at most {samples:,} samples, as many as the data"
        raise resolved.blocks[0].error_at("batch_size", f"{message}, not {config.batch_size:,}")
