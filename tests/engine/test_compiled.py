"""The compiled kernel: the same bits whatever it is compiled for, for any program; and tests that notice a fault."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import (
    LOSSES,
    MLP,
    OPERATIONS,
    OPTIMIZERS,
    SCHEDULES,
    History,
    Parameter,
    Samples,
    Tensor,
    Trial,
    UpdateRule,
    initial_weights,
    recorded_steps,
    replay,
    trace_step,
    train,
)
from engine.batches import Batches
from engine.kernels import compiled, functions, loops, reference
from engine.kernels.machine import Machine, host
from engine.kernels.vectors import fma
from engine.training import Training

# Processors that this machine can stand in for, by LLVM's names: the plain x86-64 has no fma, v3 has AVX2, v4 AVX-512.
# Lanes and registers are part of what must not matter.
_MACHINES = {
    "x86-64": Machine("x86-64", "", 2, 16, "x86_regcallcc"),
    "x86-64, long vectors": Machine("x86-64", "", 8, 16, "fastcc"),
    "x86-64-v3": Machine("x86-64-v3", "", 4, 16, "x86_regcallcc"),
    "x86-64-v4": Machine("x86-64-v4", "-prefer-256-bit", 8, 32, "x86_regcallcc"),
    "x86-64-v4, short vectors": Machine("x86-64-v4", "", 4, 32, "fastcc"),
}
_NEEDS = {"x86-64-v3": ("avx2", "fma"), "x86-64-v4": ("avx512f", "avx512dq")}


def same(a: History, b: History) -> bool:
    """To the last bit, NaN included."""
    arrays = [(a.weights, b.weights), (a.last_step, b.last_step), (a.diverged, b.diverged)]
    arrays += [(a.curves[name], b.curves[name]) for name in a.curves]
    if a.gradients is not None and b.gradients is not None:
        arrays.append((a.gradients, b.gradients))
    return all(x.tobytes() == y.tobytes() for x, y in arrays)


def training(
    widths: tuple[int, ...] = (2, 4, 1),
    activation: str = "tanh",
    loss: str = "mean_squared_error",
    optimizer: str = "adam",
    dtype: str = "float64",
    batch_size: int | None = None,
    trials: int = 19,
) -> Training:
    """Some trials of every kind, from tame to diverging, on samples that fill no vector."""
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
    columns = {name: np.full(trials, value) for name, value in OPTIMIZERS[optimizer].hyperparameters.items()}
    columns |= {"eta_min": np.zeros(trials), "clip_norm": np.full(trials, 5.0)}
    columns["learning_rate"] = np.geomspace(0.01, 1e200, trials)
    return Training(
        program,
        np.stack([initial_weights(widths, "he_normal", seed) for seed in range(trials)]),
        columns,
        Samples(points, targets),
        Samples(points[:11].copy(), targets[:11].copy()),
        recorded_steps(30, 7),
        Batches(batch_size, np.arange(trials, dtype=np.uint64)) if batch_size else None,
        gradients=True,
        dtype=dtype,
    )


TRAININGS: dict[str, Callable[[], Training]] = {
    "relu": lambda: training(activation="relu", optimizer="sgd"),
    "gelu, two layers": lambda: training((3, 8, 8, 1), "gelu", "cross_entropy"),
    "sin, minibatches": lambda: training(activation="sin", loss="huber", optimizer="rmsprop", batch_size=8),
    "gelu_exact, float32": lambda: training(activation="gelu_exact", loss="hinge", dtype="float32"),
    "mish, float32, minibatches": lambda: training(activation="mish", dtype="float32", batch_size=5),
}


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("machine", _MACHINES)
def test_histories_are_the_same_bits_whatever_they_are_compiled_for(machine: str, name: str) -> None:
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    missing = [f for f in _NEEDS.get(machine.partition(",")[0], ()) if not features.get(f)]
    if missing:
        pytest.skip(f"this processor has no {', '.join(missing)}")
    work = TRAININGS[name]()
    assert same(compiled.train(work), compiled.train(work, _MACHINES[machine]))


def test_some_of_those_trials_diverge_and_some_do_not() -> None:
    diverged = compiled.train(TRAININGS["relu"]()).diverged
    assert 0 < diverged.sum() < len(diverged)


@pytest.mark.parametrize(
    ("module", "constant", "values"),
    [
        ("assembly", "_SAMPLES_AT_ONCE", (1, 2, 3, 5, 29)),
        ("loops", "_WRITTEN_OUT", (0, 4, 10_000)),
        ("loops", "_SHORT_DOT", (0, 2, 10_000)),
        ("compiled", "_CHUNK_TRIALS", (1, 5)),
        ("compiled", "_ORDER_BYTES", (1, 4_000)),
    ],
)
def test_how_loops_are_cut_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, module: str, constant: str, values: tuple[int, ...]
) -> None:
    works = [training((3, 12, 5, 1), "silu", "cross_entropy"), training(batch_size=6)]
    expected = [compiled.train(work) for work in works]
    for value in values:
        compiled._compile.cache_clear()
        monkeypatch.setattr(f"engine.kernels.{module}.{constant}", value)
        for work, history in zip(works, expected, strict=True):
            assert same(compiled.train(work), history), (constant, value)
    compiled._compile.cache_clear()


@pytest.mark.parametrize("name", TRAININGS)
def test_what_memory_held_before_is_never_seen(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    expected, clean = compiled.train(TRAININGS[name]()), compiled._aligned

    def littered(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        memory = clean(shape, dtype)
        memory.view(np.uint32)[...] = 0x7FA00001  # a NaN of either width that raises a flag when it is used
        return memory

    monkeypatch.setattr(compiled, "_aligned", littered)
    assert same(compiled.train(TRAININGS[name]()), expected)


@pytest.mark.parametrize("widths", [(1, 1), (5, 3, 2, 1), (2, 17, 1), (2, 7, 9, 1), (40, 1), (2, 3, 3, 3, 3, 1)])
def test_any_widths_train_as_by_the_reference_kernel(widths: tuple[int, ...]) -> None:
    work = training(widths, "silu", "cross_entropy")
    work = replace(work, columns={**work.columns, "learning_rate": np.geomspace(0.001, 0.1, 19)})
    ours, theirs = compiled.train(work), reference.train(work)
    for name, curve in ours.curves.items():
        np.testing.assert_allclose(curve, theirs.curves[name], rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-9, atol=1e-12)


def test_a_large_models_code_does_not_grow_with_its_width() -> None:
    """A layer becomes loops, so that LLVM compiles any width in the same time."""
    from engine.kernels.assembly import Assembly
    from engine.kernels.block import define_run

    lines = {}
    for width in (16, 64):
        program = training((16, width, 1)).program
        assembly = Assembly(program, host(), "float64", (16, 1), (64,))
        define_run(assembly, tested=True, batches=False, gradients=False)
        lines[width] = assembly.text().count("\n")
    assert lines[64] < 1.1 * lines[16]


# ------------------------------------------------------------------------------------------------- any program at all

_TAME = ("add", "sub", "mul", "neg", "maximum", "minimum", "tanh", "sin", "cos", "erf", "sigmoid", "relu", "softplus")
_Step = tuple[str, tuple[int, ...]]


class Expression:
    """A model of any operations on its weights and inputs, which shares what it likes."""

    def __init__(self, weights: int, steps: list[_Step]) -> None:
        self.weights = [Parameter(0.0) for _ in range(weights)]
        self.tensors = (Tensor("w", (weights,), units=True),)
        self.steps = steps

    def parameters(self) -> list[Parameter]:
        return self.weights

    def __call__(self, inputs: Any) -> list[Any]:
        values: list[Any] = [*self.weights, *inputs]
        for name, operands in self.steps:
            values.append(OPERATIONS[name](*(values[o] for o in operands)))
        total = values[0]
        for value in values[1:]:
            total = total + value
        return [OPERATIONS["tanh"](total) + self.weights[-1]]


@st.composite
def expressions(draw: st.DrawFn) -> Expression:
    weights = draw(st.integers(1, 6))
    steps: list[_Step] = []
    for number in range(draw(st.integers(0, 25))):
        name = draw(st.sampled_from(_TAME))
        operands = tuple(draw(st.integers(0, weights + 1 + number)) for _ in range(OPERATIONS[name].arity or 2))
        steps.append((name, operands))
    return Expression(weights, steps)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expressions(), st.sampled_from(["float64", "float32"]), st.integers(1, 20))
def test_any_expression_is_computed_to_the_last_bit(model: Expression, dtype: str, samples: int) -> None:
    """As by hand, in the kernel's arithmetic, one number after another."""
    rng = np.random.default_rng(0)
    data = Samples(rng.normal(size=(samples, 2)), rng.normal(size=(samples, 1)))
    start = rng.normal(size=(3, len(model.weights)))
    loss, rule = LOSSES["mean_squared_error"], OPTIMIZERS["sgd"]
    program = trace_step(model, loss, rule, features=2, targets=1)
    columns = {"learning_rate": np.full(3, 0.1)}
    history = train(program, start, columns, data, steps=2, points=3, gradients=True, dtype=dtype, kernel="compiled")
    trial = Trial(model, loss, rule, {"learning_rate": 0.1}, start[1], data, 2, dtype=dtype, kernel="compiled")
    assert history.gradients is not None
    for step in range(min(2, int(history.last_step[1])) + 1):
        by_hand = replay(trial, step)
        column = step if step < history.last_step[1] else -1
        assert by_hand.loss == history.curves["loss"][1, column]
        assert by_hand.gradient.tobytes() == history.gradients[1, column].tobytes()


# ------------------------------------------------------------------------------------------------------ planted faults


def check_against_parameters(kernel: str, activation: str, loss: str) -> None:
    """Loss and gradient of one step, as by Parameters, sample by sample; raises AssertionError where they differ."""
    rng = np.random.default_rng(1)
    data = Samples(rng.normal(size=(13, 2)), (rng.random((13, 1)) > 0.5).astype(float))
    start = initial_weights((2, 9, 1), "normal", 3)
    program = trace_step(MLP((2, 9, 1), activation), LOSSES[loss], OPTIMIZERS["sgd"], features=2, targets=1)
    columns = {"learning_rate": np.array([0.1])}
    history = train(program, start[None], columns, data, steps=1, points=2, gradients=True, kernel=kernel)
    model = MLP((2, 9, 1), activation, weights=start)
    total = 0.0
    for features, targets in zip(data.features, data.targets, strict=True):
        error = LOSSES[loss](model(features.tolist()), targets.tolist())
        error.backward()
        total += error.value / len(data.features)
    gradient = np.array([p.grad for p in model.parameters()]) / len(data.features)
    assert history.gradients is not None
    np.testing.assert_allclose(history.curves["loss"][0, 0], total, rtol=1e-12)
    np.testing.assert_allclose(history.gradients[0, 0], gradient, rtol=1e-12, atol=1e-15)


_USERS = {  # an activation and a loss whose training uses the instruction
    "add": ("tanh", "mean_squared_error"),
    "sub": ("tanh", "mean_squared_error"),
    "mul": ("tanh", "mean_squared_error"),
    "div": ("sigmoid", "cross_entropy"),
    "neg": ("sigmoid", "cross_entropy"),
    "absolute": ("tanh", "mean_absolute_error"),
    "select": ("relu", "mean_squared_error"),
    "maximum": ("tanh", "hinge"),
    "minimum": ("tanh", "huber"),
    "exp": ("sigmoid", "mean_squared_error"),
    "expm1": ("elu", "mean_squared_error"),
    "log1p": ("softplus", "mean_squared_error"),
    "tanh": ("tanh", "mean_squared_error"),
    "sin": ("sin", "mean_squared_error"),
    "cos": ("sin", "mean_squared_error"),
    "erf": ("gelu_exact", "mean_squared_error"),
}


@pytest.mark.parametrize("instruction", sorted(_USERS))
def test_a_wrong_instruction_is_noticed_in_the_compiled_kernel(
    monkeypatch: pytest.MonkeyPatch, instruction: str
) -> None:
    activation, loss = _USERS[instruction]
    check_against_parameters("compiled", activation, loss)
    table: Any = functions.FUNCTIONS if instruction in functions.FUNCTIONS else loops.OPERATIONS
    right = table[instruction]
    monkeypatch.setitem(table, instruction, lambda *operands: right(*operands) * (1.0 + 1e-9))
    compiled._compile.cache_clear()
    with pytest.raises(AssertionError):
        check_against_parameters("compiled", activation, loss)
    compiled._compile.cache_clear()


@pytest.mark.parametrize("instruction", sorted(_USERS))
def test_a_wrong_instruction_is_noticed_in_the_reference_kernel(
    monkeypatch: pytest.MonkeyPatch, instruction: str
) -> None:
    activation, loss = _USERS[instruction]
    check_against_parameters("reference", activation, loss)
    right = reference._FORWARD[instruction]
    monkeypatch.setitem(reference._FORWARD, instruction, lambda *operands: right(*operands) * (1.0 + 1e-9))
    with pytest.raises(AssertionError):
        check_against_parameters("reference", activation, loss)


def test_a_wrong_fused_addition_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "fma", lambda a, b, c: fma(a, b, c) + 1e-9)
    compiled._compile.cache_clear()
    with pytest.raises(AssertionError):
        check_against_parameters("compiled", "tanh", "mean_squared_error")
    compiled._compile.cache_clear()
