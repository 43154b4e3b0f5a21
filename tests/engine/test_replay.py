"""A replay computes any step of any trial again, to the kernel's last bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import LOSSES, MLP, OPTIMIZERS, SCHEDULES, Samples, Trial, UpdateRule, initial_weights, replay, train
from engine.batches import Batches
from engine.parameter import Parameter, topological_order
from engine.step import trace_step

_WIDTHS = (2, 4, 1)
_STEPS = 20
_CASES = [
    ("tanh", "mean_squared_error", "sgd"),
    ("gelu", "cross_entropy", "adam"),
    ("mish", "huber", "rmsprop"),
    ("selu", "hinge", "momentum"),
    ("sin", "mean_absolute_error", "nesterov"),
    ("gelu_exact", "cross_entropy", "adamw"),
    ("silu", "mean_squared_error", "adagrad"),
]


def _trial(activation: str, loss: str, optimizer: str, data: Samples, **options: Any) -> Trial:
    rule = UpdateRule(OPTIMIZERS[optimizer], SCHEDULES["cosine"])
    hyperparameters = {**rule.hyperparameters, "learning_rate": 0.05}
    start = initial_weights(_WIDTHS, "xavier_uniform", 3)
    return Trial(MLP(_WIDTHS, activation), LOSSES[loss], rule, hyperparameters, start, data, steps=_STEPS, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("activation", "loss", "optimizer"), _CASES)
def test_a_replayed_step_is_the_kernels_to_the_last_bit(
    kernel: str, circle: Samples, dtype: str, activation: str, loss: str, optimizer: str
) -> None:
    """Also for a trial of a population whose other trials differ."""
    trial = _trial(activation, loss, optimizer, circle, dtype=dtype, kernel=kernel)
    program = trace_step(trial.model, trial.loss, trial.rule, features=2, targets=1)
    columns = {name: np.array([0.7 * value, value, value]) for name, value in trial.hyperparameters.items()}
    history = train(
        program,
        np.stack([trial.initial[::-1], trial.initial, trial.initial]),
        columns,
        circle,
        steps=_STEPS,
        points=_STEPS + 1,
        gradients=True,
        dtype=dtype,
        kernel=kernel,
    )
    assert history.gradients is not None
    for step in (0, 1, 7, _STEPS):
        again = replay(trial, step)
        assert again.loss == history.curves["loss"][1, step]
        assert again.gradient.tobytes() == history.gradients[1, step].tobytes()
    assert again.weights.tobytes() == history.weights[1].tobytes()


def test_a_step_of_minibatches_sees_its_samples(kernel: str, circle: Samples) -> None:
    trial = _trial("tanh", "mean_squared_error", "sgd", circle, batch_size=16, seed=5, kernel=kernel)
    order = Batches(16, np.array([5], dtype=np.uint64)).order(slice(None), range(2), 60)[:, 0]
    again = replay(trial, 5)
    assert again.samples.tolist() == order[1, 16:32].tolist()
    assert len(replay(trial, 3).samples) == 60 - 3 * 16
    # the next weights, by hand: nothing else moved them
    rate = 0.5 * 0.05 * (1.0 + np.cos(np.pi * 5 / _STEPS))
    np.testing.assert_allclose(replay(trial, 6).weights, again.weights - rate * again.gradient, rtol=1e-12)


def test_the_graph_of_a_sample_has_every_value_and_gradient(circle: Samples) -> None:
    trial = _trial("relu", "mean_squared_error", "sgd", circle)
    again = replay(trial, 3)
    graphs = [again.graph(int(sample)) for sample in again.samples]
    assert np.mean([graph.value for graph in graphs]) == pytest.approx(again.loss, rel=1e-14)
    weights = {node.name: node for node in topological_order(graphs[0]) if node.operation is None}
    assert {"layer1.weight[3,1]", "layer1.bias[0]", "layer2.weight[0,2]", "layer2.bias[0]", "x0", "x1", "t0"} <= set(
        weights
    )
    assert weights["layer1.weight[3,1]"].value == again.weights[7]
    assert (weights["x0"].value, weights["t0"].value) == (circle.features[0, 0], circle.targets[0, 0])
    shares = [next(n.grad for n in topological_order(graph) if n.given_name == "layer2.bias[0]") for graph in graphs]
    assert np.mean(shares) == pytest.approx(again.gradient[16], rel=1e-13)
    for node in topological_order(graphs[0]):
        assert isinstance(node, Parameter)
        assert type(node.value) is float
        assert type(node.grad) is float


def test_replaying_leaves_the_model_as_it_was(circle: Samples) -> None:
    trial = _trial("tanh", "mean_squared_error", "sgd", circle)
    before = [p.value for p in trial.model.parameters()]
    replay(trial, 2).graph(0)
    assert [p.value for p in trial.model.parameters()] == before
    assert all(p.grad == 0 for p in trial.model.parameters())


@pytest.mark.parametrize("step", [-1, _STEPS + 1])
def test_a_step_out_of_range_is_refused(circle: Samples, step: int) -> None:
    with pytest.raises(ValueError, match=f"steps 0 to {_STEPS}, not {step}"):
        replay(_trial("tanh", "mean_squared_error", "sgd", circle), step)


def test_a_step_after_a_trial_has_diverged_is_refused(circle: Samples) -> None:
    trial = _trial("relu", "mean_squared_error", "sgd", circle)
    lost = replace(trial, hyperparameters={"learning_rate": 1e9, "eta_min": 0.0})
    with pytest.raises(ValueError, match=r"diverged after step \d+; it has no step 20"):
        replay(lost, _STEPS)


def test_the_number_of_steps_as_a_position_still_works_with_a_warning(circle: Samples) -> None:
    trial = _trial("tanh", "mean_squared_error", "sgd", circle)
    fields = (trial.model, trial.loss, trial.rule, trial.hyperparameters, trial.initial, trial.samples)
    with pytest.warns(DeprecationWarning, match="write steps="):
        assert Trial(*fields, 9).config == Trial(*fields, steps=9).config
