"""Each outcome from the curves that define it, and from networks to which it happens."""

import numpy as np
import pytest

from engine import LOSSES, MLP, OPTIMIZERS, OUTCOMES, Samples, Tensor, initial_weights, trace_step, train
from engine.arrays import Floats
from engine.outcomes import classify, layer_gradients
from engine.tensors import layer_tensors

_STEPS = np.arange(0, 101, 10)
_NETWORK = (Tensor("a.weight", (2, 2)), Tensor("a.bias", (2,), units=True), Tensor("b.weight", (1, 2)))
_LINEAR = (Tensor("a.weight", (1, 2)), Tensor("a.bias", (1,)))
_FALLING = np.linspace(1.0, 0.3, 11)
_FLAT = np.array([1.0, 0.8, 0.7, *[0.6] * 8])


def _classify(
    loss: Floats,
    grad_norm: Floats | None = None,
    *,
    first: float = 1.0,
    dead: Floats | None = None,
    tensors: tuple[Tensor, ...] = _NETWORK,
    last_step: int | None = None,
) -> tuple[str, int]:
    gradient = np.linspace(1.0, 0.5, 11) if grad_norm is None else grad_norm
    curves = {
        "loss": loss,
        "grad_norm": gradient,
        "grad_norm.a.weight": first * gradient,
        "grad_norm.b.weight": gradient,
        "dead_units.a": np.zeros(11) if dead is None else dead,
    }
    outcomes = classify(
        _STEPS,
        {name: curve[None, :] for name, curve in curves.items()},
        np.array([100 if last_step is None else last_step]),
        np.array([last_step is not None]),
        tensors,
    )
    return outcomes.name(0), int(outcomes.onset_step[0])


def test_improving_from_where_the_loss_only_falls() -> None:
    assert _classify(_FALLING) == ("improving", 0)
    assert _classify(np.array([1.0, 0.7, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])) == ("improving", 20)


def test_stalled_from_where_the_loss_stays() -> None:
    assert _classify(_FLAT) == ("stalled", 30)


def test_converged_where_the_loss_is_nearly_zero() -> None:
    assert _classify(np.geomspace(1.0, 1e-4, 11)) == ("converged", 50)


def test_converged_where_the_gradient_is_nearly_zero_and_the_loss_has_halved() -> None:
    gradient = np.geomspace(1.0, 1e-5, 11)
    flat = np.array([1.0, 0.8, 0.6, *[0.4] * 8])
    assert _classify(flat, gradient) == ("converged", 60)
    assert _classify(_FLAT, gradient) == ("vanishing", 60)
    assert _classify(_FLAT, gradient, tensors=_LINEAR) == ("converged", 60)  # it has one minimum


def test_vanishing_where_the_gradient_fades_towards_the_first_layer() -> None:
    assert _classify(_FLAT, first=0.02 * np.sqrt(2.0) * 0.49) == ("vanishing", 0)
    assert _classify(_FLAT, first=0.02 * np.sqrt(2.0) * 0.51) == ("stalled", 30)
    assert _classify(_FALLING, first=1e-9)[0] == "improving"


@pytest.mark.parametrize(
    ("widths", "ratio", "fades"),
    [
        ((64, 8, 1), 0.07, True),
        ((64, 8, 1), 0.09, False),
        ((1, 1, 32, 1), 0.0017, True),
        ((1, 1, 32, 1), 0.0019, False),
    ],
)
def test_a_gradient_fades_by_its_norm_per_weight(widths: tuple[int, ...], ratio: float, fades: bool) -> None:
    """A hundredth per weight is 0.08 of the norm in 512 weights before 8, and 0.0018 in 1 weight before 32."""
    tensors = layer_tensors(widths, [True, True, False][-len(widths) + 1 :])
    names = [tensor.name for tensor in tensors if tensor.name.endswith("weight")]
    found = layer_gradients({name: np.array(ratio if name == names[0] else 1.0) for name in names}, tensors)
    assert found is not None
    assert (found.first.name, found.last.name) == (names[0], names[-1])
    assert bool(found.has_faded) == fades


def test_nothing_fades_in_a_single_layer_or_a_linear_network() -> None:
    norms = {tensor.name: np.array(1.0) for tensor in _NETWORK}
    assert layer_gradients(norms, _NETWORK) is not None
    assert layer_gradients(norms, _LINEAR) is None
    assert layer_gradients(norms, [Tensor(t.name, t.shape) for t in _NETWORK]) is None


def test_exploding_where_gradient_and_loss_have_risen() -> None:
    gradient = np.geomspace(1.0, 1e5, 11)
    assert _classify(np.linspace(1.0, 2.0, 11), gradient) == ("exploding", 30)
    assert _classify(_FALLING, gradient)[0] == "improving"


def test_dead_where_a_layer_has_no_gradient_or_half_of_one_that_learns_no_more() -> None:
    all_dead, half_dead = np.array([0.0] * 4 + [1.0] * 7), np.array([0.0] * 6 + [0.5] * 5)
    assert _classify(_FALLING, dead=all_dead) == ("dead", 40)
    assert _classify(_FALLING, dead=half_dead)[0] == "improving"
    assert _classify(_FLAT, dead=half_dead) == ("dead", 60)
    assert _classify(np.geomspace(1.0, 1e-4, 11), dead=all_dead)[0] == "converged"


@pytest.mark.parametrize(("loss", "began"), [(1.0, 18), (np.inf, 17)])
def test_diverged_since_the_step_that_was_not_finite(loss: float, began: int) -> None:
    curve = np.array([*[1.0] * 2, *[np.nan] * 8, loss])
    assert _classify(curve, last_step=17) == ("diverged", began)


def _train(kernel: str, activation: str, rate: float, start: Floats, loss: str = "mean_squared_error") -> str:
    """Train a network that classifies points by the side of a line that they are on."""
    widths = (2, 3, 1)
    program = trace_step(MLP(widths, activation), LOSSES[loss], OPTIMIZERS["sgd"], features=2, targets=1)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 2))
    data = Samples(points, (points[:, :1] > 0).astype(float))
    history = train(program, start[None], {"learning_rate": np.array([rate])}, data, steps=1000, kernel=kernel)
    return history.outcome(0)


def test_networks_have_these_outcomes(kernel: str) -> None:
    start = initial_weights((2, 3, 1), "xavier_uniform", 1)
    shut = start.copy()
    shut[6:9] = -100.0  # biases of the hidden layer: no sample opens a unit
    saturated = start.copy()
    saturated[6:9] = 8.0
    ends = {
        "converged": _train(kernel, "tanh", 5.0, start, "cross_entropy"),
        "improving": _train(kernel, "tanh", 0.003, start),
        "dead": _train(kernel, "relu", 0.1, shut),
        "vanishing": _train(kernel, "tanh", 0.1, saturated),
        "diverged": _train(kernel, "relu", 100.0, start),
    }
    assert ends == {name: name for name in ends}
    assert set(ends) < set(OUTCOMES)


def test_dead_units_are_counted_by_layer(kernel: str) -> None:
    start = initial_weights((2, 4, 1), "xavier_uniform", 1)
    start[8:10] = -100.0
    program = trace_step(MLP((2, 4, 1), "relu"), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=2, targets=1)
    data = Samples(np.random.default_rng(0).normal(size=(30, 2)), np.ones((30, 1)))
    history = train(program, start[None], {"learning_rate": np.array([0.01])}, data, steps=3, points=4, kernel=kernel)
    assert history.curves["dead_units"][0].tolist() == [0.5] * 4
    assert history.curves["dead_units.layer1"][0].tolist() == [0.5] * 4


def test_the_update_ratio_is_the_updates_norm_by_the_weights(kernel: str) -> None:
    start = initial_weights((2, 3, 1), "normal", 2)
    program = trace_step(MLP((2, 3, 1)), LOSSES["mean_squared_error"], OPTIMIZERS["adam"], features=2, targets=1)
    columns = {name: np.array([value]) for name, value in OPTIMIZERS["adam"].hyperparameters.items()}
    data = Samples(np.random.default_rng(0).normal(size=(30, 2)), np.ones((30, 1)))
    history = train(program, start[None], columns, data, steps=5, points=6, kernel=kernel)
    after = [train(program, start[None], columns, data, steps=n, points=2, kernel=kernel).weights[0] for n in (1, 2)]
    expected = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in ((start, after[0]), (after[0], after[1]))]
    assert history.curves["update_ratio"][0, :2] == pytest.approx(expected, rel=1e-9)
    layer = np.linalg.norm((after[1] - after[0])[:6]) / np.linalg.norm(after[0][:6])
    assert history.curves["update_ratio.layer1.weight"][0, 1] == pytest.approx(layer, rel=1e-9)
