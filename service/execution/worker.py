"""Train a shard: the work of one task, as a plain function without Ray."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine import OUTCOMES, History, Program, initial_weights, train
from engine.arrays import Array, Floats, Integers
from engine.outcomes import WILD
from engine.samples import Samples
from engine.sharpness import sharpness_by
from experiments.architecture import Architecture
from experiments.compared_metrics import plain_metric
from experiments.data.datasets import Dataset
from experiments.measures import MEASURES, measured
from experiments.scores import OutcomeRule, outcomes_by
from experiments.sections import EarlyStoppingSpec
from experiments.stopping import STOPPED, stopping_steps
from service.execution.shard import Shard
from service.results.curves import SHARPNESS
from service.results.metrics import lower_is_better

_TEST = "test_"
_NOT_COLUMNS = ("seed", "initializer", "init_scale", "init_shift", "init_bias", "batch_seed")
_MOST_TRACED = 16
_traced: dict[tuple[Architecture, int, int, bool], Program] = {}
_OF_WEIGHTS = (("init_scale", 1.0), ("init_shift", 0.0), ("drift", 0.0))


@dataclass(frozen=True)
class TrainedShard:
    """A shard after training.

    history: its curves, final weights and outcomes.
    measures: name -> (trials,) values of the measures and scores that the sweep file asks for.
    start_time, end_time: of the training, in milliseconds since 1970.
    host: the machine that trained it.
    """

    shard: Shard
    history: History
    measures: Mapping[str, Floats]
    start_time: int
    end_time: int
    host: str

    def final(self, metric: str) -> Floats:
        """Return a metric or a measure of each trial's final weights, (trials,). Raises KeyError for an unknown one."""
        return self.measures[metric] if metric in self.measures else self.history.final(metric)

    def outcomes(self, rules: Sequence[OutcomeRule]) -> tuple[list[str], Integers]:
        """Return the outcome of each trial, and the step from which it holds, (trials,).

        rules: the sweep file's own, which come first.
        A trial that was stopped is `stopped`, unless it is lost: it has exploded or diverged.
        """
        outcomes, stopped = outcomes_by(rules, self.history), self.shard.steps
        names = np.array(OUTCOMES)[outcomes.codes]
        if stopped is None:
            return names.tolist(), outcomes.onset_step
        lost = np.isin(names, WILD)
        return np.where(lost, names, STOPPED).tolist(), np.where(lost, outcomes.onset_step, stopped)


def train_shard(shard: Shard, datasets: Sequence[Dataset], measures: Sequence[str] = ()) -> TrainedShard:
    """Train every trial of the shard; return the histories.

    datasets: of the sweep.
    measures: the names of those to compute.
    """
    start = time.time_ns() // 1_000_000
    architecture, dataset = shard.architecture, datasets[shard.dataset]
    training, test, validation = (
        part(architecture.loss, architecture.output) for part in (dataset.training, dataset.test, dataset.validation)
    )
    assert training is not None
    history = train(
        shard.program,
        initial(shard.columns, architecture, dataset),
        program_columns(shard.columns),
        training,
        validation or test,
        shard.config,
        seeds=batch_seeds(shard.columns),
    )
    tested: dict[str, Floats] = {}
    if validation is not None:
        tested = {} if test is None else _tested(shard, history.weights, training, test)
        names = {
            name: name.replace(_TEST, "validation_") if name.startswith(_TEST) else name for name in history.curves
        }
        history = replace(history, curves={names[name]: curve for name, curve in history.curves.items()})
    if history.snapshots is not None:
        curve = _sharpness(history, architecture, dataset, training)
        history = replace(history, curves={**history.curves, SHARPNESS: curve}, snapshots=None)
    of_weights = measured(measures, history.weights.astype(np.float64), architecture, dataset)
    values = {**tested, **of_weights, **history.scores}
    return TrainedShard(shard, history, values, start, time.time_ns() // 1_000_000, socket.gethostname())


def screened(shard: Shard, datasets: Sequence[Dataset], metric: str, rule: EarlyStoppingSpec | None) -> Floats:
    """Train a shard to compare its trials; return a number for each, (trials,): the work of one task.

    metric: of a curve, or a measure of the final weights.
    rule: of early stopping. Then the numbers are the steps at which trials stop (see `stopping_steps`). Without one
        they are the metric of the final weights, NaN for a trial that has diverged.
    """
    looks = 2 if rule is None else shard.config.steps // rule.steps_between_looks + 1
    config = replace(shard.config, points=looks, gradients=False, scores=(), snapshots=False)
    shard = replace(shard, steps=None, architecture=replace(shard.architecture, config=config))
    measure = plain_metric(metric)
    trained = train_shard(shard, datasets, [measure] if measure in MEASURES else [])
    history = trained.history
    if metric not in history.curves:
        return np.where(history.diverged, np.nan, trained.measures[metric])
    values = np.array(history.curves[metric], dtype=np.float64)
    diverged, last = history.diverged, values[:, -1].copy()
    values[diverged, -1] = np.nan
    if rule is None:
        return np.asarray(values[:, -1])
    at_its_look = diverged[:, None] & (history.steps == history.last_step[:, None])
    values = np.where(at_its_look, last[:, None], values)  # the last finite value stands at the end of a curve
    sign = 1.0 if lower_is_better(metric) else -1.0
    return stopping_steps(history.steps, sign * values, rule).astype(np.float64)


def _tested(shard: Shard, weights: Floats, training: Samples, test: Samples) -> dict[str, Floats]:
    """Return loss and accuracy of final weights on the test part, (trials,) each.

    The kernel measures them of the weights before a further step.
    """
    config = replace(shard.config, steps=1, points=2, gradients=False, batch_size=None, scores=(), snapshots=False)
    history = train(shard.program, weights, program_columns(shard.columns), training, test, config)
    return {name: curve[:, 0].astype(np.float64) for name, curve in history.curves.items() if name.startswith(_TEST)}


def _sharpness(history: History, architecture: Architecture, dataset: Dataset, training: Samples) -> Floats:
    """Return the sharpness of the training loss at each recorded point, (trials, points); NaN where there is none."""
    assert history.snapshots is not None
    there = np.isfinite(history.snapshots).all(axis=2)
    curve = np.full(there.shape, np.nan)
    curve[there] = sharpness_by(_lanczos(architecture, dataset), history.snapshots[there], training)
    return curve


def _lanczos(architecture: Architecture, dataset: Dataset) -> Program:
    """Return the program that computes the sharpness. Shards share it: to trace it may take a second."""
    key = (architecture, dataset.feature_count, dataset.output_count, dataset.is_weighted)
    if key not in _traced:
        if len(_traced) >= _MOST_TRACED:
            _traced.clear()
        _traced[key] = architecture.trace_lanczos(dataset)
    return _traced[key]


def program_columns(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Return the columns that the program reads. The others determine the initial weights."""
    return {name: column for name, column in columns.items() if name.partition(".")[0] not in _NOT_COLUMNS}


def batch_seeds(columns: Mapping[str, Array]) -> Array:
    """Return the seed of each trial's minibatches, (trials,)."""
    return columns.get("batch_seed", columns["seed"])


def initial(columns: Mapping[str, Array], architecture: Architecture, dataset: Dataset) -> Floats:
    """Return the initial weights, (trials, weights). Trials that share all that determines them share a draw."""
    widths = architecture.widths(dataset)
    scales, shifts, drifts = (_by_layer(columns, name, architecture.layers, neutral) for name, neutral in _OF_WEIGHTS)
    deviations = columns.get("init_bias", np.zeros(len(columns["seed"])))
    draws: dict[tuple[Any, ...], Floats] = {}
    rows = []
    names, seeds = columns["initializer"].tolist(), columns["seed"].tolist()
    for key in zip(names, seeds, scales, shifts, drifts, deviations.tolist(), strict=True):
        if key not in draws:
            name, seed, scale, shift, drift, deviation = key
            draws[key] = initial_weights(
                widths, architecture.parts.initializer(name), seed, scale, bias=architecture.bias,
                shift=[s + d for s, d in zip(shift, drift, strict=True)], bias_deviation=deviation,
            )  # fmt: skip
        rows.append(draws[key])
    return np.stack(rows)


def _by_layer(columns: Mapping[str, Array], name: str, layers: int, neutral: float) -> list[tuple[float, ...]]:
    """Return a hyperparameter's value for each layer of each trial.

    neutral: the value for a layer that has none.
    """
    general = columns.get(name, np.full(len(columns["seed"]), neutral))
    by_layer = [columns.get(f"{name}.layer{layer}", general).tolist() for layer in range(1, layers + 1)]
    return list(zip(*by_layer, strict=True))
