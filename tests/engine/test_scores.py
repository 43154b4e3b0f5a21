"""Scores are sums, means, extremes and first steps of the losses of all steps, to the bit, in every kernel."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import LOSSES, MLP, OPTIMIZERS, History, Samples, TrainConfig, trace_step, train
from engine.arrays import Floats
from engine.kernels import compiled, reference
from engine.kernels.codegen.pipeline import lower
from engine.kernels.codegen.target import host_target
from engine.scores import LOSS, LOSS_RATIO, SIGNS, Score
from engine.train import TrainingJob
from tests.engine.populations import SCORES, make_columns, make_job, make_wide_job, with_scores

_STEPS = 30
_FULL: dict[str, Callable[[], TrainingJob]] = {
    "tanh": make_job,
    "relu": lambda: make_job(activation="relu", optimizer="sgd"),
    "float32": lambda: make_job(activation="silu", dtype="float32"),
    "wide": lambda: make_wide_job("tanh", "mean_squared_error"),
    "wide, float32": lambda: make_wide_job("relu", "huber", "float32"),
    "several blocks": lambda: make_job(trials=67),
    "one trial": lambda: make_job(trials=1),
}


def _run(kernel: str, job: TrainingJob) -> History:
    return compiled.train(job) if kernel == "compiled" else reference.train(job)


def _by_hand(score: Score, losses: Floats, steps: int) -> float:
    """Return a score of one trial. losses: of its steps before it diverged; those after count as infinite."""
    kind = losses.dtype.type
    cap = math.inf if score.cap is None else score.cap
    values: list[Any] = []
    for loss in losses:
        value = loss if score.quantity == LOSS else loss / losses[0]
        value = min(value, kind(cap))
        values.append(kind(1.0) / value if score.quantity.startswith("1/") else value)
    lost = 1.0 / cap if score.quantity.startswith("1/") else cap
    if score.condition:
        sign, bound = score.condition
        every = [*values, *[lost] * (steps - len(values))]
        return next((float(n) for n, value in enumerate(every) if SIGNS[sign](value, kind(bound))), math.nan)
    begin = max(steps - (score.last or steps), 0)
    there, missing = values[begin:], steps - max(begin, len(values))
    if score.kind in ("min", "max"):
        return float((min if score.kind == "min" else max)([*there, *[lost] * missing]))
    total = kind(0.0)
    for value in there:
        total = kind(total + value)
    whole = float(total) + (missing * lost if missing else 0.0)
    return whole / (steps - begin) if score.kind == "mean" else whole


def _losses(history: History, trial: int, dtype: str) -> Floats:
    """Return the recorded losses of the steps of a trial before it diverged; every step was recorded."""
    curve = history.curves["loss"][trial].astype(dtype)
    if not history.diverged[trial]:
        return np.asarray(curve[:-1])
    losses = [*curve[: history.last_step[trial]], curve[-1]]  # the last point belongs to the last step
    return np.array(losses if np.isfinite(losses).all() else [], dtype=dtype)


@pytest.mark.parametrize("name", _FULL)
def test_scores_are_those_of_the_recorded_losses_to_the_bit(kernel: str, name: str) -> None:
    job = with_scores(_FULL[name]())
    job = replace(job, config=replace(job.config, points=_STEPS + 1, gradients=False))
    history = _run(kernel, job)
    if name != "one trial":
        assert 0 < history.diverged.sum() < job.trials
    with np.errstate(all="ignore"):
        for score in SCORES:
            expected = [_by_hand(score, _losses(history, t, job.config.dtype), _STEPS) for t in range(job.trials)]
            assert history.scores[score.name].tobytes() == np.array(expected).tobytes(), score


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_scores_of_minibatches_are_those_of_each_batchs_loss(kernel: str, dtype: str, wide: bool) -> None:
    """The loss of one step alone is the score of a training that ends after it."""
    make = make_wide_job("tanh", "mean_squared_error", dtype, 8) if wide else make_job(dtype=dtype, batch_size=8)
    steps = 11  # of three epochs with a shorter batch at the end
    job = replace(make, columns={**make.columns, "learning_rate": np.geomspace(0.001, 0.1, 19)})

    def of(end: int, *scores: Score) -> History:
        config = replace(job.config, steps=end, points=2, gradients=False, scores=scores, schedule_steps=steps)
        return _run(kernel, replace(job, config=config))

    losses = np.array([of(end, Score("one", "max", last=1)).scores["one"] for end in range(1, steps + 1)]).astype(dtype)
    history = of(steps, *SCORES)
    assert not history.diverged.any()
    assert not np.array_equal(losses[1:4], losses[:3])
    for score in SCORES:
        expected = [_by_hand(score, losses[:, trial], steps) for trial in range(job.trials)]
        assert history.scores[score.name].tobytes() == np.array(expected).tobytes(), score


def _neuron(starts: Floats, rates: Floats, steps: int, scores: tuple[Score, ...], kernel: str) -> History:
    """Train w x -> y on x = 1, y = 0: the weight w becomes w - 2 rate w."""
    program = trace_step(
        MLP((1, 1), bias=False), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=1, targets=1
    )
    data = Samples(np.array([[1.0]]), np.array([[0.0]]))
    columns = make_columns(len(starts)) | {"learning_rate": rates}
    return train(program, starts[:, None], columns, data, steps=steps, scores=scores, kernel=kernel)


def test_kernels_agree_to_the_bit_where_their_losses_do() -> None:
    """Rates are powers of two, so their products are exact, and a fused multiply-add rounds as the reference does."""
    starts, rates = np.random.default_rng(2).normal(size=21), 2.0 ** np.array([*range(-8, 12), 200])
    ours, theirs = (_neuron(starts, rates, 60, SCORES, kernel) for kernel in ("compiled", "reference"))
    assert 0 < ours.diverged.sum() < 21
    for name, values in ours.scores.items():
        assert values.tobytes() == theirs.scores[name].tobytes(), name


def test_a_diverged_trial_counts_as_infinite_from_then_on(kernel: str) -> None:
    scores = (
        Score("sum", "sum", LOSS_RATIO),
        Score("capped", "sum", LOSS_RATIO, cap=2.0),
        Score("late", "mean", LOSS_RATIO, last=2, cap=100.0),
        Score("max", "max"),
        Score("min", "min"),
        Score("inverse", "sum", "1/loss_ratio"),
        Score("above", "first", condition=(">", 1e307)),
        Score("below", "first", condition=("<", 1e-9)),
    )
    starts = np.array([1.0, 1.0, 0.0, 1e200])  # tame, diverging, solved at once, infinite at once
    found = _neuron(starts, np.array([0.25, 1e100, 0.25, 0.25]), 5, scores, kernel).scores
    ratio = (1.0 - 2e100) ** 2
    inf, nan = math.inf, math.nan
    assert found["sum"].tolist()[:2] == [1.0 + 0.25 + 0.0625 + 0.25**3 + 0.25**4, inf]
    assert found["capped"].tolist()[:2] == [1.33203125, 1.0 + 2.0 * 4]
    assert found["late"].tolist()[1] == 100.0
    assert found["max"].tolist() == [1.0, inf, 0.0, inf]
    assert found["min"].tolist() == [0.25**4, 1.0, 0.0, inf]
    assert found["inverse"][1] == pytest.approx(1.0 + 1.0 / ratio)
    np.testing.assert_array_equal(found["above"], [nan, 2.0, nan, 0.0])
    np.testing.assert_array_equal(found["below"], [nan, nan, 0.0, nan])
    for name in ("sum", "capped", "late", "inverse"):
        assert np.isnan(found[name][2]), name  # no ratio to a first loss of 0
    assert found["sum"][3] == inf
    assert found["capped"][3] == 10.0
    assert found["inverse"][3] == 0.0


def test_without_scores_the_code_is_as_short_as_ever() -> None:
    """Scores are in the train loop alone."""
    job = make_job()
    plain, scored = (
        lower(job.program, host_target(), compiled._options(of)).module.text() for of in (job, with_scores(job))
    )
    functions, loop = plain.split("define void @run")
    other_functions, other_loop = scored.split("define void @run")
    assert functions == other_functions
    assert 30 < other_loop.count("\n") - loop.count("\n") < 200
    assert compiled.train(job).scores == {}


def test_two_scores_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="different names, not peak, peak"):
        TrainConfig(5, scores=(Score("peak", "max"), Score("peak", "max", LOSS_RATIO)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "median"}, "a score is sum, mean, min, max, first of loss, loss_ratio, 1/loss_ratio, not median of"),
        ({"kind": "first"}, "a score has a condition if it is first, and only then"),
        ({"condition": ("<", 1.0)}, "a score has a condition if it is first, and only then"),
        ({"kind": "first", "condition": ("=", 1.0)}, "first has a condition with one of < <= > >="),
        ({"kind": "first", "condition": ("<", 1.0), "last": 3}, "neither last nor cap"),
        ({"last": 0}, "last is at least 1 and cap above 0, not 0 and None"),
        ({"cap": 0.0}, "last is at least 1 and cap above 0, not None and 0.0"),
    ],
)
def test_a_wrong_score_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Score(**{"name": "x", "kind": "sum", **changes})
