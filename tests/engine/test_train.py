"""The contract of every kernel: gradients, determinism, divergence, recorded points."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from engine import ACTIVATIONS, LOSSES, MLP, OPTIMIZERS, Samples, TrainConfig, recorded_steps, resolve_kernel, train
from engine.batches import Batches
from engine.train import TrainSettings
from tests.engine.populations import Starts, Tracer, loss_and_gradient, make_columns, same, select

_WIDTHS = (2, 4, 1)
_MAY_OVERFLOW = ("grad_norm", "update_ratio")


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_gradients_and_losses_are_those_of_parameters(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts, activation: str, loss: str
) -> None:
    """One trial, sample by sample, on Parameters: to 1e-12 relative."""
    start = starts(1)
    program = trace(activation=activation, loss=loss)
    columns = make_columns(1)
    history = train(program, start, columns, circle, steps=1, points=2, gradients=True, kernel=kernel)
    mean, gradient = loss_and_gradient(MLP(_WIDTHS, activation, weights=start[0]), LOSSES[loss], circle)
    assert history.gradients is not None
    np.testing.assert_allclose(history.gradients[0, 0], gradient, rtol=1e-12, atol=1e-15)
    assert history.curves["loss"][0, 0] == pytest.approx(mean, rel=1e-12)
    assert history.curves["grad_norm"][0, 0] == pytest.approx(math.sqrt((gradient**2).sum()), rel=1e-12)
    assert history.curves["grad_norm.layer1.weight"][0, 0] == pytest.approx(math.sqrt((gradient[:8] ** 2).sum()))
    np.testing.assert_allclose(history.weights[0], start[0] - 0.1 * gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("samples", [1, 2, 7, 60])
def test_a_trial_does_not_depend_on_its_neighbours(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts, optimizer: str, samples: int
) -> None:
    """Nor on their number: any slice of a population, down to one trial, gives the same bits."""
    few = Samples(circle.features[:samples], circle.targets[:samples])
    rule = OPTIMIZERS[optimizer].hyperparameters
    rates = np.geomspace(0.01, 1e4, 23)  # the last ones diverge
    columns = {**make_columns(23, **rule), "learning_rate": rates}
    program = trace(optimizer=optimizer, activation="gelu")
    together = train(program, starts(23), columns, few, circle, steps=12, points=5, kernel=kernel)
    for part in (slice(0, 1), slice(1, 2), slice(3, 12), slice(22, 23), slice(7, 23)):
        alone = train(
            program,
            starts(23)[part],
            {k: v[part] for k, v in columns.items()},
            few,
            circle,
            steps=12,
            points=5,
            kernel=kernel,
        )
        assert same(alone, select(together, part))


def test_a_population_larger_than_a_block_is_joined_in_order(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, columns = trace(), make_columns(10)
    whole = train(program, starts(10), columns, circle, steps=3, points=2, gradients=True, kernel=kernel)
    monkeypatch.setattr("engine.kernels.reference._BLOCK_ELEMENTS", 3 * 60)
    monkeypatch.setattr("engine.kernels.compiled._CHUNK_TRIALS", 3)
    blocks = train(program, starts(10), columns, circle, steps=3, points=2, gradients=True, kernel=kernel)
    assert same(whole, blocks)


def test_a_diverging_trial_is_frozen_and_the_others_go_on(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts
) -> None:
    columns = {"learning_rate": np.array([0.1, 1e30, 0.1, 1e9])}
    program = trace(activation="relu")
    history = train(program, starts(4), columns, circle, circle, steps=50, points=6, kernel=kernel)
    assert [history.outcome(trial) for trial in range(4)] == ["improving", "diverged", "improving", "diverged"]
    assert np.isfinite(history.weights).all()
    assert np.isfinite(history.final("loss")).all()
    assert (history.last_step[[0, 2]] == 50).all()
    assert (history.last_step[[1, 3]] < 50).all()
    alone = train(
        program, starts(4)[[0]], {"learning_rate": np.array([0.1])}, circle, circle, steps=50, points=6, kernel=kernel
    )
    assert same(alone, select(history, slice(0, 1)))


def test_a_diverged_trial_was_finite_at_its_last_step_and_not_at_the_next(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts
) -> None:
    columns = {"learning_rate": np.array([1e9])}
    program = trace(activation="relu")
    history = train(program, starts(1), columns, circle, steps=60, points=2, kernel=kernel)
    last = int(history.last_step[0])
    assert 1 <= last < 60
    shorter = train(program, starts(1), columns, circle, steps=last, points=2, kernel=kernel)
    assert shorter.outcome(0) != "diverged"
    assert shorter.weights.tobytes() == history.weights.tobytes()
    assert shorter.final("loss") == history.final("loss")
    assert train(program, starts(1), columns, circle, steps=last + 1, points=2, kernel=kernel).outcome(0) == "diverged"


def test_the_points_of_a_diverged_trial_end_at_its_last_step(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts
) -> None:
    program = trace(activation="relu")
    history = train(
        program, starts(1), {"learning_rate": np.array([1e9])}, circle, circle, steps=60, points=61, kernel=kernel
    )
    last = int(history.last_step[0])
    assert [step for _, step in history.points(0)] == list(range(last + 1))
    for name, curve in history.curves.items():
        assert np.isfinite(curve[0, [k for k, _ in history.points(0)]]).all() or name.startswith(_MAY_OVERFLOW)
        assert np.isnan(curve[0, last:-1]).all()


def test_a_start_outside_the_numbers_has_diverged_at_once(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts
) -> None:
    start = starts(2)
    start[1] = 1e200
    history = train(trace(activation="relu"), start, make_columns(2), circle, steps=5, points=3, kernel=kernel)
    assert [history.outcome(trial) for trial in range(2)] == ["improving", "diverged"]
    assert history.last_step.tolist() == [5, 0]
    assert (history.weights[1] == 1e200).all()
    assert history.points(1) == [(2, 0)]
    assert history.final("loss")[1] == math.inf


def test_points_belong_to_the_weights_before_their_step(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts
) -> None:
    """The point at step s of a long training is the last point of a training of s steps."""
    program, columns = trace(), make_columns(3)
    long = train(program, starts(3), columns, circle, circle, steps=10, points=11, kernel=kernel)
    for step in (1, 4, 9):
        short = train(program, starts(3), columns, circle, circle, steps=step, points=2, kernel=kernel)
        for name in long.curves:
            assert (long.curves[name][:, step] == short.final(name)).all(), name
    assert set(long.curves) >= {"loss", "test_loss", "accuracy", "test_accuracy", "grad_norm"}


@pytest.mark.parametrize(
    ("steps", "points", "expected"),
    [(10, 3, [0, 5, 10]), (1, 25, [0, 1]), (3, 25, [0, 1, 2, 3]), (300, 4, [0, 100, 200, 300])],
)
def test_recorded_steps_are_spread_with_both_ends(steps: int, points: int, expected: list[int]) -> None:
    assert recorded_steps(steps, points).tolist() == expected


def test_final_weights_come_by_tensor(kernel: str, trace: Tracer, circle: Samples, starts: Starts) -> None:
    history = train(trace(), starts(2), make_columns(2), circle, steps=1, points=2, kernel=kernel)
    named = dict(history.tensor_values(1))
    assert {name: values.shape for name, values in named.items()} == {
        "layer1.weight": (4, 2), "layer1.bias": (4,), "layer2.weight": (1, 4), "layer2.bias": (1,),
    }  # fmt: skip
    assert np.concatenate([v.ravel() for v in named.values()]).tolist() == history.weights[1].tolist()


def test_accuracy_counts_right_predictions(kernel: str, trace: Tracer, starts: Starts) -> None:
    samples = Samples(np.array([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), np.array([[1.0], [0], [0], [1]]))
    start = np.array([[0.25, 0.0, 0.5]])  # predicts 0.75, 0.25, 1.0, 1.25: the third is wrong
    program = trace(widths=(2, 1))
    history = train(program, start, make_columns(1), samples, steps=1, points=2, kernel=kernel)
    assert history.curves["accuracy"][0, 0] == 0.75


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"points": 1}, "points at least 2"),
        ({"initial": np.zeros((2, 3))}, r"initial weights are \(trials, 17\)"),
        ({"columns": {}}, "needs a column 'learning_rate'"),
        ({"columns": {"learning_rate": np.ones(3)}}, "of 2 values"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    trace: Tracer, circle: Samples, starts: Starts, change: dict[str, Any], complaint: str
) -> None:
    arguments = {"initial": starts(2), "columns": make_columns(2), "steps": 1, "points": 2, **change}
    with pytest.raises(ValueError, match=complaint):
        train(trace(), training=circle, **arguments)


def test_samples_must_fit_together() -> None:
    with pytest.raises(ValueError, match="not"):
        Samples(np.zeros((3, 2)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="no samples"):
        Samples(np.zeros((0, 2)), np.zeros((0, 1)))


@pytest.mark.parametrize("trials", [1, 7, 8, 9])
@pytest.mark.parametrize("samples", [1, 3, 8, 9, 60])
def test_any_number_of_samples_and_trials(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts, trials: int, samples: int
) -> None:
    """All trials together give the numbers of each alone, with any remainder of vectors and of samples."""
    few = Samples(circle.features[:samples], circle.targets[:samples])
    program, rates = trace(activation="silu"), np.geomspace(0.01, 1.0, trials)
    together = train(program, starts(trials), {"learning_rate": rates}, few, circle, steps=4, points=5, kernel=kernel)
    for n in range(trials):
        one, start = {"learning_rate": rates[[n]]}, starts(trials)[[n]]
        alone = train(program, start, one, few, circle, steps=4, points=5, kernel=kernel)
        assert same(alone, select(together, slice(n, n + 1)))


@pytest.mark.parametrize("batch_size", [1, 7, 30, 59])
def test_minibatches_are_a_trials_own(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts, batch_size: int
) -> None:
    """A trial's batches depend on its seed alone, not on the other trials. Equal seeds give equal numbers."""
    program, seeds = trace(optimizer="momentum"), np.array([3, 2**40, 3, 4, 5, 6, 7, 8, 9, 3])
    start = np.repeat(starts(1), 10, axis=0)
    config = TrainConfig(30, points=4, batch_size=batch_size, kernel=kernel)
    together = train(program, start, make_columns(10, momentum=0.5), circle, circle, config, seeds=seeds)
    assert same(select(together, slice(0, 1)), select(together, slice(9, 10)))
    assert (together.weights[0] != together.weights[1]).any()
    alone = train(program, start[:1], make_columns(1, momentum=0.5), circle, circle, config, seeds=seeds[1:2])
    assert same(alone, select(together, slice(1, 2)))


def test_minibatches_move_the_weights_as_by_hand(kernel: str, trace: Tracer, circle: Samples, starts: Starts) -> None:
    size, steps = 25, 7  # three updates an epoch: 25, 25 and 10 samples
    order = Batches(size, np.array([11], dtype=np.uint64)).order(slice(None), range(3), 60)[:, 0]
    weights = starts(1)
    for step in range(steps):
        rows = order[step // 3, (step % 3) * size : (step % 3 + 1) * size]
        batch = Samples(circle.features[rows], circle.targets[rows])
        weights = train(trace(), weights, make_columns(1), batch, steps=1, points=2, kernel=kernel).weights
    config = TrainConfig(steps, points=2, batch_size=size, kernel=kernel)
    history = train(trace(), starts(1), make_columns(1), circle, config=config, seeds=np.array([11]))
    np.testing.assert_allclose(history.weights, weights, rtol=1e-13)
    whole = train(trace(), history.weights, make_columns(1), circle, steps=1, points=2, kernel=kernel)
    assert history.final("loss")[0] == whole.curves["loss"][0, 0]  # what is recorded is of all samples


def test_a_batch_of_all_samples_trains_as_without_batches(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts
) -> None:
    whole = train(trace(), starts(2), make_columns(2), circle, steps=3, points=2, kernel=kernel)
    config = TrainConfig(3, points=2, batch_size=60, kernel=kernel)
    assert same(whole, train(trace(), starts(2), make_columns(2), circle, config=config, seeds=np.array([1, 2])))


@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu"])
def test_floats_come_near_doubles_and_are_floats(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts, activation: str
) -> None:
    program = trace(activation=activation, loss="cross_entropy")
    doubles, floats = (
        train(program, starts(20), make_columns(20), circle, circle, steps=20, points=4, dtype=dtype, kernel=kernel)
        for dtype in ("float64", "float32")
    )
    np.testing.assert_allclose(floats.curves["loss"], doubles.curves["loss"], rtol=2e-5)
    np.testing.assert_allclose(floats.weights, doubles.weights, rtol=1e-3, atol=1e-5)
    assert (floats.weights == floats.weights.astype(np.float32)).all()
    assert (doubles.weights != doubles.weights.astype(np.float32)).any()


def test_a_schedule_may_reckon_with_more_steps_than_are_trained(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts
) -> None:
    program, columns = trace(schedule="cosine"), make_columns(1, eta_min=0.0)
    long = train(program, starts(1), columns, circle, steps=10, points=11, kernel=kernel)
    short = train(program, starts(1), columns, circle, steps=6, points=2, schedule_steps=10, kernel=kernel)
    assert short.final("loss")[0] == long.curves["loss"][0, 6]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"kernel": "compild"}, "no kernel is called 'compild'; known are auto, compiled, reference"),
        ({"dtype": "float16"}, "dtype is float64 or float32, not 'float16'"),
        ({"batch_size": 0, "seeds": np.array([1, 2])}, "batch_size must be at least 1, not 0"),
        ({"batch_size": 5}, "minibatches need seeds, one for each of the 2 trials"),
        ({"batch_size": 5, "seeds": np.array([1])}, "minibatches need seeds, one for each of the 2 trials"),
    ],
)
def test_wrong_options_are_refused(
    trace: Tracer, circle: Samples, starts: Starts, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        train(trace(), starts(2), make_columns(2), circle, steps=1, points=2, **options)


def test_samples_that_do_not_fit_a_program_are_refused(
    kernel: str, trace: Tracer, circle: Samples, starts: Starts
) -> None:
    narrow = Samples(circle.features[:, :1], circle.targets)
    with pytest.raises(ValueError, match="the program uses feature 1, but a sample has 1"):
        train(trace(), starts(1), make_columns(1), narrow, steps=1, points=2, kernel=kernel)
    huge = Samples(circle.features * 1e300, circle.targets)
    with pytest.raises(ValueError, match="not finite in float32"):
        train(trace(), starts(1), make_columns(1), huge, steps=1, points=2, dtype="float32", kernel=kernel)


def test_a_config_is_the_same_as_its_fields(trace: Tracer, circle: Samples, starts: Starts) -> None:
    config = TrainConfig(5, points=3, gradients=True, batch_size=9, dtype="float32", kernel="reference")
    settings: Any = {name: value for name, value in dataclasses.asdict(config).items() if value is not None}
    program, start, columns, seeds = trace(), starts(2), make_columns(2), np.array([3, 4])
    by_config = train(program, start, columns, circle, None, config, seeds=seeds)
    assert same(by_config, train(program, start, columns, circle, None, seeds=seeds, **settings))
    assert {field.name for field in dataclasses.fields(TrainConfig)} == set(TrainSettings.__annotations__)
    with pytest.raises(ValueError, match="give a config or steps, not both"):
        train(program, start, columns, circle, None, config, steps=5)


def test_horizon_is_the_former_name_of_schedule_steps(trace: Tracer, circle: Samples, starts: Starts) -> None:
    program, columns = trace(schedule="cosine"), make_columns(1, eta_min=0.0)
    expected = train(program, starts(1), columns, circle, steps=4, schedule_steps=9)
    with pytest.warns(DeprecationWarning, match="horizon is called schedule_steps now"):
        assert same(train(program, starts(1), columns, circle, steps=4, horizon=9), expected)


@pytest.mark.parametrize(("dtype", "name"), [("float64", "compiled 1"), ("float32", "compiled 2")])
def test_each_type_has_its_own_version_of_the_kernel(
    trace: Tracer, circle: Samples, starts: Starts, dtype: str, name: str
) -> None:
    history = train(trace(), starts(1), make_columns(1), circle, steps=1, dtype=dtype)
    assert history.kernel == name


def test_networks_of_any_size_are_compiled() -> None:
    assert resolve_kernel("auto") == resolve_kernel("auto", 10**6) == "compiled"
    assert resolve_kernel("reference") == "reference"
