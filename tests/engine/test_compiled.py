"""The compiled kernel gives the same bits on every target, for any program; and its tests notice a planted fault."""

import re
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
    Parameter,
    Samples,
    Tensor,
    Trial,
    replay,
    trace_step,
    train,
)
from engine.kernels import chunk, compiled, reference
from engine.kernels.codegen import loops, primitives
from engine.kernels.codegen.pipeline import Options, lower
from engine.kernels.codegen.rolled.lower import lower_rolled
from engine.kernels.codegen.target import Target, host_target
from engine.kernels.codegen.vectors import fma
from engine.kernels.vector_math import functions
from engine.rolled import RolledProgram
from tests.engine.populations import JOBS, check_against_parameters, make_job, make_wide_job, same

# Processors whose code runs on this one, by LLVM's names: plain x86-64 has no fma, v3 has AVX2, v4 has AVX-512.
# Numbers of lanes and registers must not matter either.
_TARGETS = {
    "x86-64": Target("x86-64", "", 2, 16, "x86_regcallcc"),
    "x86-64, long vectors": Target("x86-64", "", 8, 16, "fastcc"),
    "x86-64-v3": Target("x86-64-v3", "", 4, 16, "x86_regcallcc"),
    "x86-64-v4": Target("x86-64-v4", "-prefer-256-bit", 8, 32, "x86_regcallcc"),
    "x86-64-v4, short vectors": Target("x86-64-v4", "", 4, 32, "fastcc"),
}
_NEEDS = {"x86-64-v3": ("avx2", "fma"), "x86-64-v4": ("avx512f", "avx512dq")}


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("target", [pytest.param(t, marks=pytest.mark.slow) if "vectors" in t else t for t in _TARGETS])
def test_histories_are_the_same_bits_on_every_target(target: str, name: str) -> None:
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    missing = [f for f in _NEEDS.get(target.partition(",")[0], ()) if not features.get(f)]
    if missing:
        pytest.skip(f"this processor has no {', '.join(missing)}")
    job = JOBS[name]()
    assert same(compiled.train(job), compiled.train(job, _TARGETS[target]))


def test_some_of_those_trials_diverge_and_some_do_not() -> None:
    diverged = compiled.train(JOBS["relu"]()).diverged
    assert 0 < diverged.sum() < len(diverged)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "constant", "values"),
    [
        ("codegen.options", "_SAMPLES_AT_ONCE", (1, 2, 3, 5, 29)),
        ("codegen.tile", "_UNROLL_LIMIT", (0, 4, 10_000)),
        ("codegen.tile", "_TILE_OF_SUMS", (1, 3)),
        ("codegen.tile", "_COLUMNS_OF_SUMS", (1, 5)),
        ("codegen.tile", "_TILE_WITHOUT_SAMPLES", (1, 3)),
        ("codegen.sample_loop", "_BLOCK_TILES", (1, 2, 100)),
        ("codegen.loops", "_UNROLLED_DOT", (0, 2, 10_000)),
        ("codegen.emitter", "_UNROLLED_COPY", (0, 10_000)),
        ("compiled", "_CHUNK_TRIALS", (1, 5)),
        ("compiled", "_CHUNK_BYTES", (1, 100_000)),
        ("orders", "_ORDER_BYTES", (1, 4_000)),
        ("orders", "_KEPT_ORDER_BYTES", (0, 3_000)),
        ("compiled", "_PAUSES", (1, 3, 30)),
        ("codegen.train_loop", "_CHECKED_AT_ONCE", (1, 7)),
        ("codegen.rolled.lower", "_SAMPLES_AT_ONCE", (1, 3, 8)),
        ("codegen.rolled.loops", "_SUMS", ({16: 1, 32: 1}, {16: 4, 32: 4}, {16: 100, 32: 100})),
        ("codegen.rolled.loops", "_ROWS", ({16: 1, 32: 1}, {16: 5, 32: 5})),
        ("codegen.rolled.loops", "_COLUMNS", ({16: 1, 32: 1}, {16: 9, 32: 9})),
        ("codegen.rolled.loops", "_VALUES_AT_ONCE", (1, 30)),
        ("codegen.rolled.loops", "_PIECE", (1, 33, 69)),
        ("codegen.rolled.functions", "_BLOCK_SAMPLES", (1, 8)),
        ("codegen.rolled.functions", "_BLOCK_BYTES", (1,)),
    ],
)
def test_tiles_and_chunks_do_not_change_a_bit(
    monkeypatch: pytest.MonkeyPatch, uncached: None, module: str, constant: str, values: tuple[int, ...]
) -> None:
    jobs = [make_job((3, 12, 5, 1), "silu", "cross_entropy"), make_job(batch_size=6)]
    if ".rolled." in module or module in ("compiled", "orders"):
        jobs = [make_wide_job("silu", "cross_entropy"), make_wide_job("tanh", "huber", batch_size=6)]
    expected = [compiled.train(job) for job in jobs]
    for value in values:
        monkeypatch.setattr(f"engine.kernels.{module}.{constant}", value)
        for job, history in zip(jobs, expected, strict=True):
            assert same(compiled.train(job), history), (constant, value)


@pytest.mark.parametrize("batch_size", [None, 21])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widths", [(11, 7, 1), (2, 9, 6, 1)])
def test_blocks_of_samples_do_not_change_a_bit(
    monkeypatch: pytest.MonkeyPatch, uncached: None, widths: tuple[int, ...], dtype: str, batch_size: int | None
) -> None:
    """The sums of a matrix wait for a block of samples. 29 samples, or 21 and 8, fill no block and no tile."""
    job = make_job(widths, "relu", dtype=dtype, batch_size=batch_size)
    sizes = []
    for tiles in (8, 1, 2):
        monkeypatch.setattr("engine.kernels.codegen.sample_loop._BLOCK_TILES", tiles)
        stages = lower(job.program, host_target(), compiled._options(job))
        assert any(tiled.each_block for tiled in stages.tiled["sums.samples"])
        sizes.append((stages.module.scratch_bytes, compiled.train(job)))
    (large, history), (small, one), (_, two) = sizes
    assert small < large
    assert same(history, one)
    assert same(history, two)


@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 16, 23])
def test_minibatches_of_any_width_have_the_samples_that_the_reference_has(width: int) -> None:
    job = make_job((width, 3, 1), "tanh", optimizer="sgd", batch_size=6)
    job = replace(job, columns={**job.columns, "learning_rate": np.geomspace(0.001, 0.1, 19)})
    ours, theirs = compiled.train(job), reference.train(job)
    np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-9, atol=1e-12)
    short = compiled.train(job, _TARGETS["x86-64"])
    assert same(ours, short)


@pytest.mark.parametrize("name", JOBS)
def test_uninitialized_memory_has_no_influence(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    expected, clean = compiled.train(JOBS[name]()), chunk._aligned

    def filled_with_nan(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        memory = clean(shape, dtype)
        memory.view(np.uint32)[...] = 0x7FA00001  # a signalling NaN, as float32 and as float64
        return memory

    monkeypatch.setattr(chunk, "_aligned", filled_with_nan)
    assert same(compiled.train(JOBS[name]()), expected)


@pytest.mark.parametrize("widths", [(1, 1), (5, 3, 2, 1), (2, 17, 1), (2, 7, 9, 1), (40, 1), (2, 3, 3, 3, 3, 1)])
def test_any_widths_train_as_by_the_reference_kernel(widths: tuple[int, ...]) -> None:
    job = make_job(widths, "silu", "cross_entropy")
    job = replace(job, columns={**job.columns, "learning_rate": np.geomspace(0.001, 0.1, 19)})
    ours, theirs = compiled.train(job), reference.train(job)
    for name, curve in ours.curves.items():
        np.testing.assert_allclose(curve, theirs.curves[name], rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("samples", "batch_size"), [(1, None), (16, None), (16, 4), (24, 8)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widths", [(2, 4, 1), (140, 7, 10, 1)])
def test_to_multiply_by_the_inverse_of_a_power_of_two_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch,
    uncached: None,
    widths: tuple[int, ...],
    dtype: str,
    samples: int,
    batch_size: int | None,
) -> None:
    job = make_job(widths, "relu", "mean_squared_error", "momentum", dtype, batch_size)
    some = Samples(job.samples.features[:samples], job.samples.targets[:samples])
    tiny = np.where(np.arange(19) % 3 == 0, 1e-160 if dtype == "float64" else 1e-22, 1.0)  # their gradients underflow
    job = replace(job, samples=some, initial=job.initial * tiny[:, None])
    assert compiled._options(job).has_exact_inverses("update")
    fast = compiled.train(job)
    monkeypatch.setattr(Options, "has_exact_inverses", lambda *_: False)
    assert same(fast, compiled.train(job))


@pytest.mark.parametrize(
    ("samples", "batch_size", "replacement", "divides"),
    [
        (16, None, False, False),
        (24, None, False, True),
        (24, 8, False, False),
        (20, 8, False, False),
        (21, 8, False, True),
        (21, 8, True, False),
    ],
)
def test_an_update_divides_unless_its_numbers_of_samples_are_powers_of_two(
    samples: int, batch_size: int | None, replacement: bool, divides: bool
) -> None:
    for widths in ((2, 4, 1), (140, 7, 10, 1)):
        job = make_job(widths, "relu", optimizer="sgd", batch_size=batch_size)
        some = Samples(job.samples.features[:samples], job.samples.targets[:samples])
        config = replace(job.config, replacement=replacement)
        options = compiled._options(replace(job, samples=some, config=config))
        assert options.has_exact_inverses("update") == (not divides)
        program = trace_step(MLP(widths), LOSSES["huber"], OPTIMIZERS["sgd"], features=widths[0], targets=1)
        target = host_target()
        module = (
            lower_rolled(program, target, options)
            if isinstance(program, RolledProgram)
            else lower(program, target, options)
        ).module
        update = module.text().split("@update(")[1].split("define")[0]
        assert bool(re.search(r"fdiv <\d+ x double> %", update)) == divides  # else only 1 is divided


def test_a_large_models_code_does_not_grow_with_its_width() -> None:
    """A layer becomes loops, so that LLVM compiles any width in the same time."""
    lines = {}
    for width in (16, 64):
        program = make_job((16, width, 1)).program
        stages = lower(program, host_target(), Options("float64", (16, 1), (64,), tested=True))
        lines[width] = stages.module.text().count("\n")
    assert lines[64] < 1.1 * lines[16]


# ------------------------------------------------------------------------------------------------- any program at all

_TAME = ("add", "sub", "mul", "neg", "maximum", "minimum", "tanh", "sin", "cos", "erf", "sigmoid", "relu", "softplus")
_Step = tuple[str, tuple[int, ...]]


class Expression:
    """A model of random operations on its weights and inputs, which may use a value several times."""

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
    """A replay computes the same with single numbers, in the kernel's arithmetic."""
    rng = np.random.default_rng(0)
    data = Samples(rng.normal(size=(samples, 2)), rng.normal(size=(samples, 1)))
    start = rng.normal(size=(3, len(model.weights)))
    loss, rule = LOSSES["mean_squared_error"], OPTIMIZERS["sgd"]
    program = trace_step(model, loss, rule, features=2, targets=1)
    columns = {"learning_rate": np.full(3, 0.1)}
    history = train(program, start, columns, data, steps=2, points=3, gradients=True, dtype=dtype, kernel="compiled")
    trial = Trial(model, loss, rule, {"learning_rate": 0.1}, start[1], data, steps=2, dtype=dtype, kernel="compiled")
    assert history.gradients is not None
    for step in range(min(2, int(history.last_step[1])) + 1):
        by_hand = replay(trial, step)
        column = step if step < history.last_step[1] else -1
        assert by_hand.loss == history.curves["loss"][1, column]
        assert by_hand.gradient.tobytes() == history.gradients[1, column].tobytes()


# ------------------------------------------------------------------------------------------------------ planted faults


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
    monkeypatch: pytest.MonkeyPatch, uncached: None, instruction: str
) -> None:
    activation, loss = _USERS[instruction]
    check_against_parameters("compiled", activation, loss)
    table: Any = functions.FUNCTIONS if instruction in functions.FUNCTIONS else primitives.OPERATIONS
    right = table[instruction]
    monkeypatch.setitem(table, instruction, lambda *operands: right(*operands) * (1.0 + 1e-9))
    with pytest.raises(AssertionError):
        check_against_parameters("compiled", activation, loss)


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


def test_a_wrong_fused_addition_is_noticed(monkeypatch: pytest.MonkeyPatch, uncached: None) -> None:
    monkeypatch.setattr(loops, "fma", lambda a, b, c: fma(a, b, c) + 1e-9)
    with pytest.raises(AssertionError):
        check_against_parameters("compiled", "tanh", "mean_squared_error")
