"""Small populations that the engine's tests share, and comparisons of their histories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from engine import (
    LOSSES,
    MLP,
    OPTIMIZERS,
    SCHEDULES,
    History,
    Program,
    Samples,
    TrainConfig,
    UpdateRule,
    initial_weights,
    trace_step,
    train,
)
from engine.arrays import Floats
from engine.losses import Loss
from engine.scores import INVERSE_RATIO, LOSS_RATIO, Score
from engine.train import TrainingJob

Tracer = Callable[..., Program]
"""Traces an MLP; see the fixture `trace`."""
Starts = Callable[..., Floats]
"""Draws the initial weights of a population; see the fixture `starts`."""


def same(a: History, b: History) -> bool:
    """Return whether two histories are equal to the last bit, NaN included."""
    arrays = [(a.steps, b.steps), (a.weights, b.weights), (a.last_step, b.last_step), (a.diverged, b.diverged)]
    arrays += [(a.curves[name], b.curves[name]) for name in a.curves.keys() & b.curves.keys()]
    arrays += [(a.scores[name], b.scores[name]) for name in a.scores.keys() & b.scores.keys()]
    if a.gradients is not None and b.gradients is not None:
        arrays.append((a.gradients, b.gradients))
    alike = a.curves.keys() == b.curves.keys() and (a.gradients is None) == (b.gradients is None)
    alike &= a.scores.keys() == b.scores.keys()
    return alike and all(x.tobytes() == y.tobytes() for x, y in arrays)


def select(history: History, trials: slice) -> History:
    """Return the history of some of the trials."""
    return replace(
        history,
        curves={name: curve[trials] for name, curve in history.curves.items()},
        weights=history.weights[trials],
        last_step=history.last_step[trials],
        diverged=history.diverged[trials],
        gradients=None if history.gradients is None else history.gradients[trials],
        scores={name: score[trials] for name, score in history.scores.items()},
    )


def make_columns(trials: int, **values: float) -> dict[str, Floats]:
    """Return columns whose trials are all alike, with a learning rate of 0.1 unless it is given."""
    return {name: np.full(trials, value) for name, value in {"learning_rate": 0.1, **values}.items()}


def loss_and_gradient(model: MLP, loss: Loss, samples: Samples) -> tuple[float, Floats]:
    """Return the mean loss of samples and its gradient, computed with Parameters, sample by sample."""
    total = 0.0
    for features, targets in zip(samples.features, samples.targets, strict=True):
        error = loss(model(features.tolist()), targets.tolist())
        error.backward()
        total += error.value
    count = len(samples.features)
    return total / count, np.array([parameter.grad for parameter in model.parameters()]) / count


def make_job(
    widths: tuple[int, ...] = (2, 4, 1),
    activation: str = "tanh",
    loss: str = "mean_squared_error",
    optimizer: str = "adam",
    dtype: str = "float64",
    batch_size: int | None = None,
    trials: int = 19,
) -> TrainingJob:
    """Return a job of trials of every kind, from tame to diverging, on samples that fill no vector."""
    rng = np.random.default_rng(5)
    points = rng.normal(size=(29, widths[0]))
    targets = (points[:, :1] > 0).astype(float)
    program = trace_step(
        MLP(widths, activation),
        LOSSES[loss],
        UpdateRule(OPTIMIZERS[optimizer], SCHEDULES["cosine"], frozenset({"clip_norm"})),
        features=widths[0],
        targets=1,
        threshold=0.5,
    )
    values = make_columns(trials, **OPTIMIZERS[optimizer].hyperparameters, eta_min=0.0, clip_norm=5.0)
    return TrainingJob(
        program,
        np.stack([initial_weights(widths, "he_normal", seed) for seed in range(trials)]),
        {**values, "learning_rate": np.geomspace(0.01, 1e200, trials)},
        Samples(points, targets),
        Samples(points[:11].copy(), targets[:11].copy()),
        TrainConfig(30, points=7, gradients=True, batch_size=batch_size, dtype=dtype),
        seeds=np.arange(trials, dtype=np.uint64),
    )


def make_wide_job(activation: str, loss: str, dtype: str = "float64", batch_size: int | None = None) -> TrainingJob:
    """Return a job of networks that are wide enough for a rolled program. Their sums are cut into pieces."""
    return make_job((140, 7, 10, 1), activation, loss, "momentum", dtype, batch_size)


SCORES = (
    Score("total", "sum"),
    Score("fit", "sum", LOSS_RATIO, cap=1e6),
    Score("unfit", "sum", INVERSE_RATIO, cap=1e6),
    Score("late", "mean", LOSS_RATIO, last=7, cap=1e6),
    Score("peak", "max"),
    Score("late_peak", "max", LOSS_RATIO, last=1000),
    Score("lowest", "min"),
    Score("late_lowest", "min", INVERSE_RATIO, last=3),
    Score("solved", "first", LOSS_RATIO, condition=("<", 0.9)),
    Score("risen", "first", condition=(">=", 10.0)),
    Score("above", "first", INVERSE_RATIO, condition=("<=", 0.5)),
)
"""Scores of every kind."""


def with_scores(job: TrainingJob) -> TrainingJob:
    """Return the job with SCORES."""
    return replace(job, config=replace(job.config, scores=SCORES))


JOBS: dict[str, Callable[[], TrainingJob]] = {
    "relu": lambda: make_job(activation="relu", optimizer="sgd"),
    "gelu, two layers": lambda: make_job((3, 8, 8, 1), "gelu", "cross_entropy"),
    "sin, minibatches": lambda: make_job(activation="sin", loss="huber", optimizer="rmsprop", batch_size=8),
    "gelu_exact, float32": lambda: make_job(activation="gelu_exact", loss="hinge", dtype="float32"),
    "wide, tanh": lambda: make_wide_job("tanh", "mean_squared_error"),
    "wide, gelu, float32, minibatches": lambda: make_wide_job("gelu", "cross_entropy", "float32", 5),
    "scores": lambda: with_scores(make_job(activation="relu", optimizer="sgd")),
    "scores, float32, minibatches": lambda: with_scores(make_job(dtype="float32", batch_size=8)),
    "mish, float32, minibatches": lambda: make_job(activation="mish", dtype="float32", batch_size=5),
}
"""Jobs that together use every part of a kernel."""


def check_against_parameters(kernel: str, activation: str, loss: str) -> None:
    """Raise AssertionError if the loss and gradient of one step are not those of Parameters, sample by sample."""
    rng = np.random.default_rng(1)
    data = Samples(rng.normal(size=(13, 2)), (rng.random((13, 1)) > 0.5).astype(float))
    start = initial_weights((2, 9, 1), "normal", 3)
    program = trace_step(MLP((2, 9, 1), activation), LOSSES[loss], OPTIMIZERS["sgd"], features=2, targets=1)
    history = train(program, start[None], make_columns(1), data, steps=1, points=2, gradients=True, kernel=kernel)
    mean, gradient = loss_and_gradient(MLP((2, 9, 1), activation, weights=start), LOSSES[loss], data)
    assert history.gradients is not None
    np.testing.assert_allclose(history.curves["loss"][0, 0], mean, rtol=1e-12)
    np.testing.assert_allclose(history.gradients[0, 0], gradient, rtol=1e-12, atol=1e-15)
