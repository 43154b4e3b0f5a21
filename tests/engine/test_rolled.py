"""Rolled programs: wide networks, traced and compiled layer by layer, to the same bits as scalar by scalar."""

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import (
    LOSSES,
    MLP,
    OPTIMIZERS,
    SCHEDULES,
    Program,
    Samples,
    TrainConfig,
    Trial,
    UpdateRule,
    initial_weights,
    replay,
    step,
    trace_step,
    train,
)
from engine.kernels import compiled, reference
from engine.kernels.codegen.pipeline import Options, host_target
from engine.kernels.codegen.rolled import loops
from engine.kernels.codegen.rolled.lower import lower_rolled
from engine.kernels.codegen.vectors import fma
from engine.operations import exp
from engine.rolled import RolledProgram
from engine.rolled_tracing import trace_rolled
from tests.engine.populations import JOBS, check_against_parameters, make_columns, make_job, make_wide_job, same

Traced = tuple[Program, RolledProgram]


@pytest.fixture
def always_rolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roll the program of every MLP, however small."""
    monkeypatch.setattr(step, "MOST_WRITTEN_OUT", 0)


def _traced(
    widths: Sequence[int],
    activation: str,
    loss: str,
    optimizer: str,
    options: Sequence[str] = (),
    drifts: tuple[str, ...] = (),
) -> Traced:
    """Return a step as Parameters trace it, scalar by scalar, and the rolled one."""
    rule = UpdateRule(OPTIMIZERS[optimizer], SCHEDULES["cosine"], frozenset(options), drifts=drifts)
    model = MLP(widths, activation, activation if len(widths) == 2 else "identity")
    scalars = trace_step(model, LOSSES[loss], rule, features=widths[0], targets=widths[-1], threshold=0.5)
    rolled = trace_rolled(model, LOSSES[loss], rule, targets=widths[-1], threshold=0.5)
    assert rolled is not None
    return scalars, rolled


def _without_input_numbers(program: Program) -> Any:
    """Return everything that a program says, with names instead of numbers for inputs and constants."""
    names = dict(enumerate([*map(str, program.inputs), *map(repr, program.constants)]))
    first = program.first_instruction

    def named(values: Sequence[int]) -> list[str]:
        return [names.get(value, f"%{value - first}") for value in values]

    instructions = [
        (operation, sorted(named(operands)) if operation == "mul" else named(operands))
        for operation, operands in program.instructions
    ]
    outputs = [(name, named(values)) for name, values in program.outputs]
    return sorted(map(str, program.inputs)), instructions, outputs, program.tensors, program.initial_state


@pytest.mark.parametrize("widths", [(2, 3, 1), (3, 4, 3), (4, 1, 3, 2), (5, 1), (1, 1), (1, 3, 3, 2)])
@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "gelu_exact"])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_rolled_program_written_out_is_the_one_that_parameters_give(
    widths: tuple[int, ...], activation: str, loss: str
) -> None:
    for optimizer, options, drifts in (
        ("sgd", (), ("layer1", step.ALL_LAYERS)),
        ("adam", ("clip_norm", "clip_value"), ()),
        ("nesterov", ("weight_decay",), (step.ALL_LAYERS,)),
    ):
        scalars, rolled = _traced(widths, activation, loss, optimizer, options, drifts)
        assert _without_input_numbers(rolled.scalars) == _without_input_numbers(scalars)
        assert (rolled.columns, rolled.curves, rolled.update_ratios) == (
            scalars.columns,
            scalars.curves,
            scalars.update_ratios,
        )
        for name in ("loss", "gradient", "weights"):
            assert rolled.are_means(name) == scalars.are_means(name)
        for kind in ("weight", "state", "feature", "target"):
            assert rolled.input_count(kind) == scalars.input_count(kind)


@pytest.mark.parametrize("name", JOBS)
def test_rolled_and_written_out_programs_train_to_the_same_bits(
    name: str, monkeypatch: pytest.MonkeyPatch, always_rolled: None
) -> None:
    rolled = JOBS[name]()
    monkeypatch.setattr(step, "MOST_WRITTEN_OUT", 10**9)
    scalars = JOBS[name]()
    assert isinstance(rolled.program, RolledProgram)
    assert not isinstance(scalars.program, RolledProgram)
    assert same(compiled.train(rolled), compiled.train(scalars))


def _several_outputs(widths: tuple[int, ...], loss: str, optimizer: str) -> Any:
    job = make_job((widths[0], 1), "tanh", optimizer=optimizer)
    rng = np.random.default_rng(0)
    classes = np.eye(widths[-1])[rng.integers(0, widths[-1], len(job.samples.features))]
    program = trace_step(
        MLP(widths, "silu"),
        LOSSES[loss],
        UpdateRule(OPTIMIZERS[optimizer], SCHEDULES["cosine"], frozenset({"clip_norm"})),
        features=widths[0],
        targets=widths[-1],
        threshold=0.5,
    )
    starts = np.stack([initial_weights(widths, "he_normal", seed) for seed in range(job.trials)])
    samples = Samples(job.samples.features, classes)
    return replace(job, program=program, initial=starts, samples=samples, test=samples)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("widths", [(3, 5, 4), (9, 1, 6, 3), (4, 7)])
def test_several_outputs_train_to_the_same_bits(
    widths: tuple[int, ...], loss: str, monkeypatch: pytest.MonkeyPatch, always_rolled: None
) -> None:
    rolled = _several_outputs(widths, loss, "adam")
    monkeypatch.setattr(step, "MOST_WRITTEN_OUT", 10**9)
    assert same(compiled.train(rolled), compiled.train(_several_outputs(widths, loss, "adam")))


def test_tracing_and_code_do_not_grow_with_the_widths() -> None:
    nodes, lines = {}, {}
    for scale in (1, 8):
        widths = (40 * scale, 64 * scale, 10)
        program = _wide_program(widths)
        nodes[scale] = len(program.nodes)
        lines[scale] = str(
            lower_rolled(program, host_target(), Options("float64", (widths[0], 10), (64,))).module.text()
        )
    assert nodes[1] == nodes[8]
    assert lines[8].count("\n") < 1.2 * lines[1].count("\n")


def _wide_program(widths: tuple[int, ...], loss: str = "mean_squared_error") -> RolledProgram:
    """Return the rolled step of a network."""
    program = trace_step(
        MLP(widths, initializer="zeros"), LOSSES[loss], OPTIMIZERS["sgd"], features=widths[0], targets=widths[-1]
    )
    assert isinstance(program, RolledProgram)
    return program


def test_equal_rolled_programs_are_equal_and_survive_pickling() -> None:
    program, same_one, other = (_wide_program((30, units, 10)) for units in (20, 20, 21))
    assert (program == same_one, hash(program) == hash(same_one), program == other) == (True, True, False)
    again = pickle.loads(pickle.dumps(program))
    assert again == program
    assert len(pickle.dumps(program)) < 20_000
    assert str(again) == str(program)


def test_a_printed_rolled_program_has_a_line_for_each_layer() -> None:
    text = str(_wide_program((30, 20, 10)))
    assert "%4[l0] = feature 0" in text
    assert "[l1] = sum over l0 of %0 * %4, from %1 on" in text
    assert "[l1] = sum over l2, last first, of" in text
    assert text.count("\n") < 150


def _last_first(predictions: Sequence[Any], targets: Sequence[Any]) -> Any:
    return LOSSES["mean_squared_error"](predictions[::-1], targets[::-1])


def _only_first(predictions: Sequence[Any], targets: Sequence[Any]) -> Any:
    return (predictions[0] - targets[0]) * (predictions[0] - targets[0])


def _running(predictions: Sequence[Any], targets: Sequence[Any]) -> Any:
    total = exp(predictions[0] * targets[0])
    for p, t in zip(predictions[1:], targets[1:], strict=True):
        total = exp((total + p) * t)
    return total


@pytest.mark.parametrize(
    ("activation", "loss", "is_rolled"),
    [
        ("tanh", LOSSES["mean_squared_error"], True),
        (lambda x: x * x, LOSSES["mean_squared_error"], False),
        ("tanh", _last_first, False),
        ("tanh", _only_first, False),
        ("tanh", _running, True),
    ],
)
def test_networks_that_cannot_be_rolled_are_written_out(
    activation: Any, loss: Callable[..., Any], is_rolled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = (12, 40, 3)
    rng = np.random.default_rng(0)
    samples = Samples(rng.normal(size=(9, 12)), rng.normal(size=(9, 3)))
    start = initial_weights(widths, "lecun_normal", 0)[None]
    histories = []
    for most in (500, 10**9):
        monkeypatch.setattr(step, "MOST_WRITTEN_OUT", most)
        program = trace_step(MLP(widths, activation), loss, OPTIMIZERS["sgd"], features=12, targets=3)
        assert isinstance(program, RolledProgram) == (is_rolled and most == 500)
        histories.append(train(program, start, make_columns(1), samples, steps=3, gradients=True))
    assert same(*histories)


def test_the_reference_kernel_trains_a_rolled_program_too() -> None:
    job = make_wide_job("tanh", "mean_squared_error")
    job = replace(job, columns={**job.columns, "learning_rate": np.geomspace(0.001, 0.1, 19)})
    ours, theirs = compiled.train(job), reference.train(job)
    for name, curve in ours.curves.items():
        np.testing.assert_allclose(curve, theirs.curves[name], rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_replay_of_a_wide_network_has_the_kernels_bits(dtype: str) -> None:
    job = make_wide_job("tanh", "mean_squared_error", dtype)
    samples = Samples(job.samples.features[:3], job.samples.targets[:3])
    rule = OPTIMIZERS["sgd"]
    model = MLP((140, 7, 10, 1))
    trial = Trial(model, LOSSES["mean_squared_error"], rule, {"learning_rate": 0.1}, job.initial[0], samples, steps=2,
                  dtype=dtype)  # fmt: skip
    program = trace_step(model, LOSSES["mean_squared_error"], rule, features=140, targets=1)
    config = TrainConfig(2, points=3, gradients=True, dtype=dtype)
    history = train(program, job.initial[:1], make_columns(1), samples, config=config)
    again = replay(trial, 1)
    assert history.gradients is not None
    assert again.loss == history.curves["loss"][0, 1]
    assert again.gradient.tobytes() == history.gradients[0, 1].tobytes()


def test_a_wrong_fused_addition_is_noticed(
    monkeypatch: pytest.MonkeyPatch, uncached: None, always_rolled: None
) -> None:
    check_against_parameters("compiled", "tanh", "mean_squared_error")
    monkeypatch.setattr(loops, "fma", lambda a, b, c: fma(a, b, c) + 1e-9)
    with pytest.raises(AssertionError):
        check_against_parameters("compiled", "tanh", "mean_squared_error")


_SHAPES = (
    (2, 1), (30, 1), (2, 4, 1), (2, 8, 8, 1), (2, 16, 16, 1), (64, 16, 10), (64, 64, 10), (64, 70, 10), (2, 70, 70, 1),
    (64, 64, 64, 10), (200, 32, 10), (16, 160, 16),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("widths", _SHAPES)
def test_auto_takes_the_faster_kernel(widths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    samples = Samples(rng.normal(size=(64, widths[0])), rng.normal(size=(64, widths[-1])))
    model, loss = MLP(widths, initializer="zeros"), LOSSES["mean_squared_error"]
    program = trace_step(model, loss, OPTIMIZERS["sgd"], features=widths[0], targets=widths[-1])
    start = np.stack([initial_weights(widths, "lecun_normal", seed) for seed in range(64)])
    seconds: dict[str, list[float]] = {"auto": [], "reference": []}
    for _ in range(3):
        for kernel, taken in seconds.items():
            began = time.process_time()
            train(program, start, make_columns(64, learning_rate=0.01), samples, steps=4, points=2, kernel=kernel)
            taken.append(time.process_time() - began)
    assert min(seconds["auto"]) < min(seconds["reference"])
