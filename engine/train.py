"""Training of a population: trials that share a program, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypedDict, Unpack

import numpy as np

from engine.arrays import Columns, Floats, Integers, Words
from engine.batches import Batches
from engine.history import History
from engine.kernels import resolve_kernel
from engine.program import LOSS_AND_ACCURACY, Program
from engine.samples import Samples
from engine.scores import Score

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of training, the same for all trials of a population.

    steps: number of updates, at least 1.
    points: recorded points of each curve, at least 2. There are fewer if there are fewer steps.
    gradients: whether to record the gradient of each weight.
    batch_size: samples of one update; all samples if None.
    replacement: whether the samples of a batch are drawn with replacement, instead of in the order of an epoch.
    dtype: type of all numbers, `float64` or `float32`.
    kernel: `compiled`, `reference` or `auto`, which is `compiled`.
    schedule_steps: number of steps for which the learning rate schedule is laid out; `steps` if None.
    scores: numbers that sum up the loss of all steps.
    snapshots: whether to keep the weights at each recorded step.

    Raises ValueError for values that are out of range or unknown.
    """

    steps: int
    points: int = 25
    gradients: bool = False
    batch_size: int | None = None
    dtype: str = "float64"
    kernel: str = "auto"
    schedule_steps: int | None = None
    replacement: bool = False
    scores: tuple[Score, ...] = ()
    snapshots: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.points < 2:
            raise ValueError(f"steps must be at least 1 and points at least 2, not {self.steps} and {self.points}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is {' or '.join(DTYPES)}, not {self.dtype!r}")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")
        resolve_kernel(self.kernel)
        names = [score.name for score in self.scores]
        if len(set(names)) < len(names):
            raise ValueError(f"scores must have different names, not {', '.join(names)}")

    @cached_property
    def recorded_steps(self) -> Integers:
        """The recorded steps, (points,). The first is 0, the last is `steps`."""
        return recorded_steps(self.steps, self.points)


class TrainSettings(TypedDict, total=False):
    """The fields of `TrainConfig` as keyword arguments of `train`."""

    steps: int
    points: int
    gradients: bool
    batch_size: int | None
    dtype: str
    kernel: str
    schedule_steps: int | None
    replacement: bool
    scores: tuple[Score, ...]
    snapshots: bool


def make_config(config: TrainConfig | None, settings: TrainSettings) -> TrainConfig:
    """Return the config, or one with these fields if it is None. Raises ValueError if both are given."""
    if config is not None and settings:
        raise ValueError(f"give a config or {', '.join(settings)}, not both")
    return TrainConfig(**settings) if config is None else config


def recorded_steps(steps: int, points: int) -> Integers:
    """Return about `points` steps, (points,), spread evenly from 0 to `steps`; fewer if there are fewer steps."""
    return np.unique(np.linspace(0, steps, points).round().astype(np.int64))


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a kernel needs to train a population. `train` checks that the parts fit.

    program: one training step.
    initial: (trials, weights), the initial weights.
    columns: name -> (trials,).
    samples, test: training data, and test data if there is any.
    config: the settings.
    seeds: (trials,), for the order of samples in minibatches.
    """

    program: Program
    initial: Floats
    columns: Columns
    samples: Samples
    test: Samples | None
    config: TrainConfig
    seeds: Words | None = None

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self.initial)

    @property
    def schedule_steps(self) -> int:
        """Number of steps for which the learning rate schedule is laid out."""
        return self.config.steps if self.config.schedule_steps is None else self.config.schedule_steps

    @property
    def batches(self) -> Batches | None:
        """The minibatches; None if every update uses all samples."""
        size = self.config.batch_size
        if size is None or self.seeds is None:
            return None
        if size >= len(self.samples.features) and not self.config.replacement:
            return None
        return Batches(size, self.seeds, self.config.replacement)

    @property
    def curves(self) -> tuple[str, ...]:
        """Names of the recorded curves: those of the program, then loss and accuracy on the test samples."""
        measured = self.program.curves
        tested = [f"test_{name}" for name in measured if name in LOSS_AND_ACCURACY and self.test is not None]
        return (*measured, *tested)

    def select(self, trials: slice) -> TrainingJob:
        """Return a job with some of the trials."""
        columns = {name: column[trials] for name, column in self.columns.items()}
        seeds = None if self.seeds is None else self.seeds[trials]
        return replace(self, initial=self.initial[trials], columns=columns, seeds=seeds)


def train(
    program: Program,
    initial: Floats,
    columns: Columns,
    training: Samples,
    test: Samples | None = None,
    config: TrainConfig | None = None,
    *,
    seeds: Words | Integers | None = None,
    horizon: int | None = None,
    **settings: Unpack[TrainSettings],
) -> History:
    """Train every trial of a population and return its History.

    program: one training step, from `trace_step`.
    initial: (trials, weights), the initial weights.
    columns: name -> (trials,), each trial's value of every hyperparameter that is an input of the program.
    training: the training data.
    test: test data, if any. Loss and accuracy on it are measured at the recorded steps.
    config: the settings. Instead, its fields can be given as keyword arguments:
    steps: number of updates, at least 1.
    points: recorded points of each curve, at least 2.
    gradients: whether to record the gradient of each weight.
    batch_size: samples of one update; all samples if left out.
    replacement: whether the samples of a batch are drawn with replacement.
    dtype: `float64` or `float32`.
    kernel: `compiled`, `reference` or `auto`, which is `compiled`.
    schedule_steps: number of steps for which the learning rate schedule is laid out; `steps` if left out.
    scores: numbers that sum up the loss of all steps.
    snapshots: whether to keep the weights at each recorded step.
    seeds: (trials,), whole numbers from 0. Minibatches need them: they decide each trial's order of samples.
    horizon: the former name of `schedule_steps`.

    A trial's numbers do not depend on the other trials. A trial whose loss or weights become infinite or NaN is frozen
    and marked as diverged; the others continue.

    Raises ValueError if the arguments do not fit the program or each other.
    """
    if horizon is not None:
        warnings.warn("horizon is called schedule_steps now", DeprecationWarning, stacklevel=2)
        settings["schedule_steps"] = horizon
    config = make_config(config, settings)
    job = TrainingJob(program, initial, columns, training, test, config, _checked_seeds(config, seeds, len(initial)))
    _check(job)
    return _kernel(resolve_kernel(config.kernel))(job)


def _kernel(name: Literal["compiled", "reference"]) -> Callable[[TrainingJob], History]:
    """Return the function that runs a job. LLVM is imported only if it is used."""
    if name == "reference":
        from engine.kernels import reference

        return reference.train
    from engine.kernels import compiled

    return compiled.train


def _checked_seeds(config: TrainConfig, seeds: Words | Integers | None, trials: int) -> Words | None:
    if config.batch_size is None:
        return None
    if seeds is None or len(seeds) != trials:
        raise ValueError(f"minibatches need seeds, one for each of the {trials} trials, to shuffle the samples")
    return np.asarray(seeds).astype(np.uint64)


def _check(job: TrainingJob) -> None:
    program, trials = job.program, job.trials
    size = job.config.batch_size or 0
    if job.config.replacement and size > len(job.samples.features):
        raise ValueError(f"a batch has at most as many samples as the data, {len(job.samples.features)}, not {size}")
    if job.initial.ndim != 2 or job.initial.shape[1] != program.weight_count:
        raise ValueError(f"initial weights are (trials, {program.weight_count}), not {job.initial.shape}")
    for name in program.columns:
        if name not in job.columns or len(job.columns[name]) != trials:
            raise ValueError(f"the program needs a column {name!r} of {trials} values")
    for samples in (job.samples, *([job.test] if job.test else [])):
        for kind, width in (("feature", samples.features.shape[1]), ("target", samples.targets.shape[1])):
            needed = program.input_count(kind)
            if needed > width:
                raise ValueError(f"the program uses {kind} {needed - 1}, but a sample has {width}")
    if job.test is not None and job.test.features.shape[1:] != job.samples.features.shape[1:]:
        raise ValueError(
            f"test samples have {job.test.features.shape[1]} features, not {job.samples.features.shape[1]}"
        )
