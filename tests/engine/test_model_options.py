"""Networks without biases, gains, activations and learning rates of single layers, and batches with replacement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import LOSSES, MLP, OPTIMIZERS, SCHEDULES, Samples, Trial, UpdateRule, initial_weights, replay, trace_step
from engine.arrays import Floats
from engine.batches import Batches
from engine.parameter import topological_order
from engine.rolled import RolledProgram
from engine.step import ALL_LAYERS
from engine.train import train
from tests.engine.populations import loss_and_gradient

_WIDTHS = (2, 5, 3, 1)
_GAINS = [0.7, 1.0, 1 / 3]
_STEPS = 20


def _model() -> MLP:
    return MLP(_WIDTHS, ["tanh", "relu"], bias=False, gain=_GAINS)


def _rule() -> UpdateRule:
    return UpdateRule(OPTIMIZERS["sgd"], SCHEDULES["constant"], own_rates=("layer1", "layer3"))


def _start() -> Floats:
    return initial_weights(_WIDTHS, "normal", 3, bias=False)


def _trial(data: Samples, kernel: str, dtype: str = "float64") -> Trial:
    rates = {"learning_rate": 0.05, "learning_rate.layer1": 0.2, "learning_rate.layer3": 0.01}
    options: dict[str, Any] = {"batch_size": 7, "replacement": True, "kernel": kernel, "dtype": dtype}
    return Trial(
        _model(), LOSSES["mean_squared_error"], _rule(), rates, _start(), data, steps=_STEPS, seed=5, **options
    )


def _by_hand(
    data: Samples, rates: list[float], steps: int, drifts: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> tuple[list[float], Floats]:
    """Return the losses and the final weights of full-batch gradient descent, written with matrices."""
    parts = np.split(_start(), [10, 25])
    first, second, third = parts[0].reshape(5, 2), parts[1].reshape(3, 5), parts[2].reshape(1, 3)
    x, y = data.features, data.targets
    losses = []
    for _ in range(steps + 1):
        h1 = np.tanh(_GAINS[0] * x @ first.T)
        z2 = _GAINS[1] * h1 @ second.T
        h2 = np.maximum(z2, 0.0)
        error = _GAINS[2] * h2 @ third.T - y
        losses.append(float((error**2).mean()))
        d3 = 2.0 * error / len(x) * _GAINS[2]
        d2 = d3 @ third * (z2 > 0) * _GAINS[1]
        d1 = d2 @ second * (1.0 - h1**2) * _GAINS[0]
        weights = np.concatenate([m.ravel() for m in (first, second, third)])
        first, second, third = first - rates[0] * d1.T @ x, second - rates[1] * d2.T @ h1, third - rates[2] * d3.T @ h2
        first, second, third = (m + drift for m, drift in zip((first, second, third), drifts, strict=True))
    return losses, weights


def test_a_network_without_biases_trains_as_by_hand(kernel: str, circle: Samples) -> None:
    program = trace_step(_model(), LOSSES["mean_squared_error"], _rule(), features=2, targets=1)
    rates = np.array([[0.2, 0.05, 0.01], [0.02, 0.5, 0.3]])
    names = ("learning_rate.layer1", "learning_rate", "learning_rate.layer3")
    columns = dict(zip(names, rates.T, strict=True))
    start = np.stack([_start()] * 2)
    history = train(program, start, columns, circle, steps=_STEPS, points=_STEPS + 1, kernel=kernel)
    for trial in range(2):
        losses, weights = _by_hand(circle, rates[trial].tolist(), _STEPS)
        np.testing.assert_allclose(history.curves["loss"][trial], losses, rtol=1e-11)
        np.testing.assert_allclose(history.weights[trial], weights, rtol=1e-11, atol=1e-14)


def test_weights_drift_after_every_update(kernel: str, circle: Samples) -> None:
    rule = replace(_rule(), drifts=("layer1", ALL_LAYERS))
    assert rule.hyperparameters["drift.layer1"] == rule.hyperparameters["drift"] == 0.0
    program = trace_step(_model(), LOSSES["mean_squared_error"], rule, features=2, targets=1)
    drifts = np.array([[0.02, -0.01], [0.0, 0.003]])
    rates = {"learning_rate.layer1": 0.2, "learning_rate": 0.05, "learning_rate.layer3": 0.01}
    columns = {name: np.full(2, rate) for name, rate in rates.items()}
    columns |= dict(zip(("drift.layer1", "drift"), drifts.T, strict=True))
    start = np.stack([_start()] * 2)
    history = train(program, start, columns, circle, steps=_STEPS, points=_STEPS + 1, kernel=kernel)
    for trial, (own, other) in enumerate(drifts.tolist()):
        losses, weights = _by_hand(circle, [0.2, 0.05, 0.01], _STEPS, (own, other, other))
        np.testing.assert_allclose(history.curves["loss"][trial], losses, rtol=1e-11)
        np.testing.assert_allclose(history.weights[trial], weights, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("widths", [(2, 3, 1), (2, 200, 1)])
def test_without_a_learning_rate_drift_is_all_and_biases_have_none(
    kernel: str, circle: Samples, widths: tuple[int, ...]
) -> None:
    """Every kernel adds it to the same bits, also in a rolled program."""
    rule = UpdateRule(OPTIMIZERS["sgd"], drifts=("layer2",))
    program = trace_step(MLP(widths, "tanh"), LOSSES["mean_squared_error"], rule, features=2, targets=1)
    assert isinstance(program, RolledProgram) == (widths[1] > 100)
    start = initial_weights(widths, "normal", 1, bias_deviation=1.0)
    columns = {"learning_rate": np.zeros(1), "drift.layer2": np.array([0.1])}
    history = train(program, start[None], columns, circle, steps=7, kernel=kernel)
    expected = start.copy()
    for _ in range(7):
        expected[-1 - widths[1] : -1] += 0.1
    assert history.weights[0].tobytes() == expected.tobytes()


def test_its_gradient_is_that_of_its_graph(circle: Samples) -> None:
    model = MLP(_WIDTHS, ["tanh", "relu"], bias=False, gain=_GAINS, weights=_start())
    mean, gradient = loss_and_gradient(model, LOSSES["mean_squared_error"], circle)
    again = replay(_trial(circle, "reference"), 0)
    assert len(gradient) == sum(tensor.size for tensor in model.tensors) == 28
    assert len(again.samples) == 7
    full = Trial(
        _model(), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], {"learning_rate": 0.1}, _start(), circle, steps=1
    )
    assert replay(full, 0).loss == pytest.approx(mean, rel=1e-13)
    np.testing.assert_allclose(replay(full, 0).gradient, gradient, rtol=1e-12, atol=1e-15)
    model.zero_grad()
    assert all(p.grad == 0.0 for p in [*model.parameters(), *model.constants])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_replay_has_its_bits_and_its_drawn_batches(kernel: str, circle: Samples, dtype: str) -> None:
    trial = _trial(circle, kernel, dtype)
    program = trace_step(trial.model, trial.loss, trial.rule, features=2, targets=1)
    columns = {name: np.array([0.3 * value, value]) for name, value in trial.hyperparameters.items()}
    start, config = np.stack([trial.initial] * 2), trial.config
    history = train(program, start, columns, circle, config=config, seeds=np.array([8, 5]))
    for step in (1, 9, _STEPS):
        again = replay(trial, step)
        assert len(again.samples) == 7
    assert again.weights.tobytes() == history.weights[1].tobytes()
    before, after = replay(trial, 12), replay(trial, 13)
    rates = np.repeat([0.2, 0.05, 0.01], [10, 15, 3])
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(after.weights, before.weights - rates * before.gradient, rtol=tolerance, atol=1e-6)


def test_the_schedule_applies_to_a_layers_own_rate(kernel: str, circle: Samples) -> None:
    """With all rates equal, layers of their own and a common one give the same numbers."""
    histories = []
    for own in ((), ("layer1", "layer2"), ("layer1", "layer2", "layer3")):
        rule = UpdateRule(OPTIMIZERS["adam"], SCHEDULES["cosine"], own_rates=own)
        program = trace_step(_model(), LOSSES["huber"], rule, features=2, targets=1)
        assert ("learning_rate" in program.columns) == (len(own) < 3)
        columns = {name: np.array([value]) for name, value in {**rule.hyperparameters, "eta_min": 1e-4}.items()}
        histories.append(train(program, _start()[None], columns, circle, steps=_STEPS, kernel=kernel))
    assert histories[0].weights.tobytes() == histories[1].weights.tobytes() == histories[2].weights.tobytes()


def test_units_without_biases_die(kernel: str) -> None:
    """Two of three relu units see only negative sums, so two thirds are dead from the start."""
    weights = np.array([1.0, -1.0, -2.0, 0.5, 0.5, 0.5])
    data = Samples(np.array([[1.0], [2.0]]), np.array([[3.0], [6.0]]))
    model = MLP((1, 3, 1), "relu", bias=False)
    assert [tensor.units for tensor in model.tensors] == [True, False]
    program = trace_step(model, LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=1, targets=1)
    history = train(program, weights[None], {"learning_rate": np.array([0.01])}, data, steps=3, kernel=kernel)
    assert history.curves["dead_units"][0].tolist() == [2 / 3] * 4
    assert history.curves["dead_units.layer1"][0].tolist() == [2 / 3] * 4
    trial = Trial(
        model, LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], {"learning_rate": 0.01}, weights, data, steps=3
    )
    grads = {node.name: node.grad for node in topological_order(replay(trial, 0).graph(0)) if not node.parents}
    assert (grads["layer1.unit[1]"], grads["layer1.unit[2]"]) == (0.0, 0.0)
    assert grads["layer1.unit[0]"] != 0.0


def test_initial_weights_can_be_shifted_and_biases_drawn() -> None:
    plain = initial_weights((2, 3, 1), "normal", 7)
    shifted = initial_weights((2, 3, 1), "normal", 7, [2.0, 1.0], shift=[0.5, 0.0], bias_deviation=0.1)
    assert shifted[:6].tolist() == (2.0 * plain[:6] + 0.5).tolist()
    assert shifted[9:12].tolist() == plain[9:12].tolist()
    assert (shifted[[6, 7, 8, 12]] != 0).all()
    many = initial_weights((1, 4000), "zeros", 7, bias_deviation=0.1)[4000:]
    assert many.std() == pytest.approx(0.1, rel=0.05)
    assert initial_weights((2, 3, 1), "normal", 7, bias=False).tolist() == plain[[*range(6), *range(9, 12)]].tolist()
    with pytest.raises(ValueError, match="2 layers, but 3 numbers"):
        initial_weights((2, 3, 1), "normal", 7, [1.0, 1.0, 1.0])


def test_draws_with_replacement_are_fair_and_the_same_for_equal_seeds() -> None:
    batches = Batches(8, np.array([3, 4, 3], dtype=np.uint64), replacement=True)
    assert batches.per_epoch(30) == 3
    order = batches.order(slice(None), range(4000), 30)
    assert (order[:, 0] == order[:, 2]).all()
    assert (order[:, 0] != order[:, 1]).mean() > 0.9
    counts = np.bincount(order[:, 0].ravel(), minlength=30)
    assert len(counts) == 30
    assert ((counts - 4000) ** 2 / 4000).sum() < 70  # chi squared of 29 degrees of freedom: above 70 once in 30,000
    assert 0.35 < np.mean([len(set(row)) / 30 for row in order[:200, 0].tolist()]) < 0.7  # 1 - 1/e of them on average


def test_a_batch_with_replacement_is_not_larger_than_the_data(circle: Samples) -> None:
    program = trace_step(_model(), LOSSES["huber"], OPTIMIZERS["sgd"], features=2, targets=1)
    columns = {"learning_rate": np.array([0.1])}
    with pytest.raises(ValueError, match="at most as many samples as the data, 60, not 61"):
        train(program, _start()[None], columns, circle, steps=2, batch_size=61, replacement=True, seeds=np.array([0]))


def test_a_wrong_number_of_activations_or_gains_is_refused() -> None:
    for wrong in ({"activation": ["tanh"]}, {"gain": [1.0, 1.0]}):
        with pytest.raises(ValueError, match="3 layers needs 2 activations of hidden layers and 3 gains"):
            MLP(_WIDTHS, **wrong)
