"""Plan a sweep: its data, its populations of trials, and the shards that they are cut into."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from engine import Program, TrainConfig
from engine.arrays import Integers, Words
from engine.kernels.cost import compilation_seconds, training_seconds
from engine.sharpness import LANCZOS_STEPS
from experiments.architecture import Architecture
from experiments.asking import with_points
from experiments.compared_metrics import check_metric_and_rungs, with_compared_measure
from experiments.data.datasets import Dataset
from experiments.data.targets import CLASSIFICATION
from experiments.data.variants import Datasets, load_datasets
from experiments.errors import DataError
from experiments.part_notes import part_notes
from experiments.population import Population, configurations
from experiments.rungs import Ladder
from experiments.sections import RecordSpec
from experiments.spec import ResolvedSpec
from experiments.stopping import UNDECIDED
from experiments.trial_ids import TrialIds
from experiments.trials import Grid, make_grid
from service.execution.plan_checks import (
    check_batches,
    check_measures,
    located,
    part_note,
    search_notes,
    training_notes,
)
from service.execution.shard import Shard, stopped_at
from service.results.curves import kept_curves

_SHARDS_PER_WORKER = 6  # enough that no worker idles for long at the end
_SHORTEST, _LONGEST = 0.4, 8.0  # seconds a shard: a task costs milliseconds, and progress should be visible
_TRAINING_STEPS_A_LANCZOS_STEP, _LANCZOS_SECONDS_A_WEIGHT = 4, 1e-3  # to run and to compile it
_MAX_TRIALS = 2_000  # a shard: a worker and a recorder hold its curves in memory


@dataclass(frozen=True)
class Plan:
    """Everything that a sweep will train, decided before anything runs.

    resolved: the spec with its axes.
    variants: the training and test data; several if the grid has axes of the data.
    grid: the trials, as populations that share an architecture and a data set.
    programs: the training step of each population.
    steps: (trials,) the number of steps of each trial, if some are stopped before the last; UNDECIDED if that is not
        known yet.
    """

    resolved: ResolvedSpec
    variants: Datasets
    grid: Grid
    programs: tuple[Program, ...]
    steps: Integers | None = None

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

    @cached_property
    def record(self) -> RecordSpec:
        """The spec's section `record`: how much of each trial to record. It has the measure that the search goes by."""
        return with_compared_measure(self.resolved.spec.record, self.resolved.spec.search)

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
        """The estimated time of training and compilation on one core, in seconds."""
        pairs = zip(self.populations, self.programs, strict=True)
        training = sum(self._cost(population.trials, population, program) for population, program in pairs)
        if self.steps is not None:
            training *= self._share_of_steps(self.steps)
        elif self.ladder:
            training *= self.ladder.share
        return training + self.compilation_seconds

    @cached_property
    def compilation_seconds(self) -> float:
        """The estimated time of compiling each program once, in seconds."""
        programs = dict.fromkeys(self.programs)
        weights = sum(program.weight_count for program in programs) if self.record.sharpness else 0
        return sum(map(compilation_seconds, programs)) + weights * _LANCZOS_SECONDS_A_WEIGHT

    def seconds_in_threads(self, threads: int) -> float:
        """Return the estimated time in threads of this process, in seconds. Programs are compiled one at a time."""
        training = self.seconds - self.compilation_seconds
        return self.compilation_seconds + training / min(threads, max(self.trials, 1))

    def _share_of_steps(self, steps: Integers) -> float:
        """Return the steps that trials are trained for, as a share of those of the sweep file."""
        numbers = [(p.numbers_at(np.arange(p.trials)), p.architecture.config.steps) for p in self.populations]
        trained = [np.where(steps[of] == UNDECIDED, every, steps[of]).sum() for of, every in numbers]
        return float(sum(trained) / sum(len(of) * every for of, every in numbers))

    @cached_property
    def configurations(self) -> Integers:
        """The configuration of each trial, (trials,): trials that differ only in the seed or the fold share one."""
        return configurations(self.populations)

    @cached_property
    def ladder(self) -> Ladder | None:
        """The rungs at which the worse configurations leave; None for a sweep without any."""
        search = self.resolved.spec.search
        if not search.has_rungs:
            return None
        return Ladder.of(search, self.populations[0].architecture.config.steps, int(self.configurations.max()) + 1)

    @property
    def stopping_metric(self) -> str:
        """The metric by which halving or early stopping compares trials."""
        rule = self.resolved.spec.early_stopping
        return (rule.metric if rule else None) or self.objective

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Messages on the data, and on custom functions that are not finite somewhere."""
        of_parts = part_notes([p.architecture for p in self.populations], self.dataset)
        of_search = *search_notes(self.resolved), *part_note(self.resolved, self.dataset)
        of_training = training_notes(self.resolved, self.populations, self.datasets)
        return *self.dataset.notes, *of_search, *of_training, *of_parts

    @property
    def objective(self) -> str:
        """The metric that trials are ranked by: the search's, or the loss of the validation, test or training data.

        Values of different losses can't be compared, so classifiers are ranked by accuracy if the loss is swept.
        """
        if self.resolved.spec.search.metric:
            return self.resolved.spec.search.metric
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
        return len(curves) + tested + record.sharpness + (program.weight_count if record.gradients == "each" else 0)

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
        to_train = 1.0 - len(left_out) / self.trials

        def of(population: Population, program: Program) -> Iterator[Iterator[Shard]]:
            for steps, missing in self._by_steps(population, _missing(population, left_out)):
                count = self._shard_count(population, program, len(missing), workers, size, to_train, steps)
                yield self._shards_of(population, program, missing, count, steps)

        pairs = list(zip(self.populations, self.programs, strict=True))
        for _, group in itertools.groupby(pairs, key=lambda pair: pair[0].first):
            parts = itertools.chain.from_iterable(itertools.starmap(of, group))
            yield from heapq.merge(*parts, key=lambda shard: int(shard.numbers[0]))

    def _by_steps(
        self, population: Population, missing: range | Integers
    ) -> Iterator[tuple[int | None, range | Integers]]:
        """Yield the indices of a population's trials that are trained for the same number of steps, with that number.

        It is None for those that are not stopped.
        """
        if self.steps is None:
            yield None, missing
            return
        indices = np.asarray(missing)
        steps = self.steps[population.numbers_at(indices)]
        for value in np.unique(steps).tolist():
            stopped = value not in (UNDECIDED, population.architecture.config.steps)
            yield value if stopped else None, indices[steps == value]

    def config_of(self, number: int) -> TrainConfig:
        """Return the settings of training of the trial with this number."""
        config = self.population(number).architecture.config
        steps = UNDECIDED if self.steps is None else int(self.steps[number])
        return stopped_at(config, None if steps in (UNDECIDED, config.steps) else steps)

    def shard_count(self, workers: int) -> int:
        """Return the number of shards of the whole sweep. workers: how many tasks run at once."""
        pairs = zip(self.populations, self.programs, strict=True)
        return sum(self._shard_count(*pair, pair[0].trials, workers, None) for pair in pairs)

    def _shard_count(
        self,
        population: Population,
        program: Program,
        trials: int,
        workers: int,
        size: int | None,
        to_train: float = 1.0,
        steps: int | None = None,
    ) -> int:
        """Return into how many shards trials of a population are cut.

        to_train: the share of the sweep that is left.
        steps: at which the trials are stopped; None if they are not.
        """
        if size is not None:
            return math.ceil(trials / size)
        target = min(max(to_train * self.seconds / (workers * _SHARDS_PER_WORKER), _SHORTEST), _LONGEST)
        seconds = self._cost(trials, population, program)
        if steps is not None:
            seconds *= steps / population.architecture.config.steps
        return min(max(math.ceil(seconds / target), math.ceil(trials / _MAX_TRIALS)), trials)

    def _shards_of(
        self, population: Population, program: Program, missing: range | Integers, count: int, steps: int | None
    ) -> Iterator[Shard]:
        """Yield `count` shards of a population.

        missing: the indices of the trials to train.
        steps: at which they are stopped; None if they are not.
        """
        length, longer = divmod(len(missing), max(count, 1))  # as numpy.array_split's parts: the first have one more
        for part in range(count):
            start = part * length + min(part, longer)
            indices = np.asarray(missing[start : start + length + (part < longer)], dtype=np.int64)
            yield Shard(
                program=program,
                architecture=population.architecture,
                columns=population.at(indices),
                numbers=population.numbers_at(indices),
                dataset=population.dataset,
                fingerprint=self.datasets[population.dataset].fingerprint,
                data_params=population.data_params,
                steps=steps,
            )

    def _cost(self, trials: int, population: Population, program: Program) -> float:
        """Return about how many seconds one core trains so many trials of a population."""
        config, samples = population.architecture.config, len(self.datasets[population.dataset].training_targets)
        samples_read = config.steps * min(config.batch_size or samples, samples)
        if config.snapshots:
            steps = min(LANCZOS_STEPS, program.weight_count) * len(config.recorded_steps)
            samples_read += _TRAINING_STEPS_A_LANCZOS_STEP * steps * samples
        return training_seconds(program, config.kernel, trials=trials, samples=samples_read)


def _missing(population: Population, left_out: Integers) -> range | Integers:
    """Return the indices of a population's trials without those whose numbers are left out."""
    indices = range(population.trials)
    if not len(left_out):
        return indices
    kept = np.arange(population.trials)
    return kept[~np.isin(population.numbers_at(kept), left_out)]


def make_plan(resolved: ResolvedSpec) -> Plan:
    """Load the data, make the grid, trace its programs and return the plan. Raises SpecError and DataError."""
    spec, frame = resolved.spec, resolved.source.frame
    try:
        datasets = load_datasets(spec.dataset, resolved.source.folder, frame() if frame else None)
        grid = make_grid(resolved, datasets)
    except DataError as error:
        raise located(error, resolved) from None
    return _planned(resolved, datasets, grid)


def plan_with_points(plan: Plan, coordinates: Words) -> Plan:
    """Return the plan of the points that a search has asked for so far. coordinates: (points, dimensions)."""
    resolved = with_points(plan.resolved, coordinates)
    return _planned(resolved, plan.variants, make_grid(resolved, plan.variants))


def _planned(resolved: ResolvedSpec, datasets: Datasets, grid: Grid) -> Plan:
    check_measures(resolved, datasets.every[0])
    check_metric_and_rungs(resolved, grid.populations, datasets.every[0])
    traced: dict[tuple[Architecture, int, int, bool], Program] = {}
    programs = []
    for population in grid.populations:
        dataset = datasets.every[population.dataset]
        check_batches(resolved, population.architecture.config, len(dataset.training_targets))
        architecture = replace(
            population.architecture, config=TrainConfig(steps=1)
        )  # the program does not depend on it
        key = (architecture, dataset.feature_count, dataset.output_count, dataset.is_weighted)
        if key not in traced:
            traced[key] = population.architecture.trace(dataset)
        programs.append(traced[key])
    return Plan(resolved, datasets, grid, tuple(programs))
