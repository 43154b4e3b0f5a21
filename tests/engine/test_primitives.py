"""Operations on vectors that are written with other instructions than their own: the bits must be the same."""

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import LOSSES, MLP, OPTIMIZERS, Samples, UpdateRule, trace_step, train
from engine.arrays import Floats
from engine.kernels import compiled
from engine.kernels.codegen import loops
from engine.kernels.codegen.emitter import Emitter
from engine.kernels.codegen.pipeline import Options, lower
from engine.kernels.codegen.primitives import OPERATIONS, all_moderate, divide_root
from engine.kernels.codegen.target import JitModule, host_target
from engine.kernels.codegen.vectors import IRText, Vectors
from engine.operations import sqrt, total
from tests.engine.populations import make_job, same

_LANES = 4


def _apply(write: Callable[[Emitter, Vectors, Vectors], Vectors], a: Floats, b: Floats) -> Floats:
    """Compile an operation on vectors, and return its results."""
    ir = IRText(_LANES)
    ir.declare_intrinsics()
    emitter = Emitter(ir, "fastcc")
    ir.line("define void @run(ptr %a, ptr %b, ptr %out, i64 %count) {")
    emitter.start("entry")
    with emitter.for_range("%count") as loop:
        operands = [emitter.vectors(emitter.load(emitter.advance(p, loop.index, 8 * _LANES))) for p in ("%a", "%b")]
        emitter.store(write(emitter, *operands).names[0], emitter.advance("%out", loop.index, 8 * _LANES))
    ir.line("ret void")
    ir.line("}")
    code = JitModule(str(ir), host_target())
    size = len(a) * 8
    memory = np.empty(3 * size + 64, dtype=np.uint8)
    begin = -memory.ctypes.data % 64
    arrays = [memory[begin + k * size : begin + (k + 1) * size].view(np.float64) for k in range(3)]
    arrays[0][:], arrays[1][:] = a, b
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)(code.address("run"))
    run(*(array.ctypes.data for array in arrays), len(a) // _LANES)
    return arrays[2].copy()


def _divide(emitter: Emitter, root: Vectors, divisor: Vectors) -> Vectors:
    return divide_root(root, divisor, divisor.like(1.0) / divisor)


def _near_midpoints(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Return numbers whose quotients are next to a midpoint of two doubles."""
    divisors = rng.integers(1 << 52, 1 << 53, count).tolist()
    quotients = rng.integers(1 << 52, 1 << 53, count).tolist()
    exact = [((2 * q + 1) * d) >> 54 for q, d in zip(quotients, divisors, strict=True)]
    return np.array([float(n) for n in exact]), np.array(divisors) * 2.0**-52


def test_a_root_is_divided_without_division_to_the_last_bit() -> None:
    rng, count = np.random.default_rng(0), 200_000
    top = 2.0 - rng.integers(1, 1 << 20, count) * 2.0**-52
    pairs = [
        (np.sqrt(np.exp(rng.uniform(-700, 700, count))), np.exp(rng.uniform(-270, 270, count))),
        (rng.uniform(1, 2, count), top),
        (rng.uniform(1, 2, count), np.full(count, 2.0 - 2.0**-52)),
        (rng.uniform(1, 2, count), 1.0 + rng.integers(0, 1 << 12, count) * 2.0**-52),
        _near_midpoints(rng, 20_000),
    ]
    ends = np.array([0.0, -0.0, math.inf, math.nan, 2.0**-537, 2.0**512, 1.0, 3.0])
    pairs += [(ends, np.full(8, divisor)) for divisor in (2.0**-400, 2.0**400, 1.0, 0.1, 2.0 - 2.0**-52, 1e-8)]
    for roots, divisors in pairs:
        assert _apply(_divide, roots, divisors).tobytes() == (roots / divisors).tobytes()


def test_one_correction_of_the_quotient_would_not_do_without_the_remainder() -> None:
    """The product with the inverse alone is wrong for many numbers, so the test above can fail."""
    rng = np.random.default_rng(0)
    roots, divisors = rng.uniform(1, 2, 4_000), rng.uniform(1, 2, 4_000)
    product = _apply(lambda _, root, divisor: root * (divisor.like(1.0) / divisor), roots, divisors)
    assert (product != roots / divisors).mean() > 0.1


@pytest.mark.parametrize("number", [0.0, math.inf, math.nan, 2.0**401, 2.0**-401])
def test_only_moderate_numbers_divide_roots_in_this_way(number: float) -> None:
    def write(emitter: Emitter, a: Vectors, _: Vectors) -> Vectors:
        flag = emitter.ir.value(f"uitofp i1 {all_moderate(a)} to double")
        return emitter.vectors(emitter.broadcast(flag))

    good = np.array([1.0, -2.0, 2.0**400, 2.0**-400])
    assert _apply(write, good, good).all()
    assert not _apply(write, np.array([1.0, number, 1.0, 1.0]), good).any()


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("widths", [(2, 4, 1), (7, 6, 1)])
def test_adam_has_the_same_bits_with_and_without_divisions(
    monkeypatch: pytest.MonkeyPatch, uncached: None, optimizer: str, widths: tuple[int, ...]
) -> None:
    job = make_job(widths, "relu", optimizer=optimizer)
    decays = np.array([0.999, 0.9, 1.0, 0.0, 0.5, -3.0, 1.5])[np.arange(job.trials) % 7]  # in some blocks roots of < 0
    for beta2 in (decays, np.full(job.trials, 0.999)):
        some = replace(job, columns={**job.columns, "beta2": beta2})
        monkeypatch.undo()
        monkeypatch.setattr(compiled, "_compile", compiled._CompiledProgram)
        fast = compiled.train(some)
        text = lower(job.program, host_target(), compiled._options(some)).module.text()
        monkeypatch.setattr(loops, "divides_slowly", lambda _: False)
        slow = lower(job.program, host_target(), compiled._options(some)).module.text()
        assert host_target().lanes < 4 or text != slow
        assert same(fast, compiled.train(some))


def test_a_ratio_of_single_roots_stays_a_division() -> None:
    """Its loop is unrolled: the next ones use its values. The update ratio of a layer with a drift is such a ratio."""
    rule = UpdateRule(OPTIMIZERS["sgd"], drifts=("layer2",))
    program = trace_step(MLP((2, 3, 1)), LOSSES["mean_squared_error"], rule, features=2, targets=1)
    stages = lower(program, host_target(), Options("float64", (2, 1), (60,)))
    loops_of_ratios = [tiled for version in stages.tiled["ratios"] for tiled in version.tiled]
    assert any(tiled.loop.root_division is not None for tiled in loops_of_ratios if tiled.unrolled)
    JitModule(stages.module.text(), host_target()).address("run")


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@pytest.mark.parametrize("bound", [0.0, -0.0, 30.0, -math.inf])
def test_limits_have_the_bits_of_comparisons(name: str, bound: float) -> None:
    values = np.array([0.0, -0.0, 30.0, -31.0, 31.0, math.inf, -math.inf, math.nan])
    by_constant = _apply(lambda _, a, b: OPERATIONS[name](a, a.like(bound)), values, values)
    by_vector = _apply(lambda _, a, b: OPERATIONS[name](a, b), values, np.full(8, bound))
    assert by_constant.tobytes() == by_vector.tobytes()
    np.testing.assert_array_equal(by_constant, getattr(np, name)(values, bound))


@pytest.mark.parametrize("number", [math.nan, -math.nan])
def test_a_limit_that_is_nan_gives_nan(number: float) -> None:
    result = _apply(lambda _, a, b: OPERATIONS["maximum"](a, a.like(number)), np.ones(4), np.ones(4))
    assert np.isnan(result).all()


@pytest.mark.parametrize("divisor", ["target", "prediction", "both"])
def test_roots_of_each_sample_are_divided_by_the_numbers_of_that_sample(divisor: str) -> None:
    """The loss of each output is a root divided by a number that all outputs of a sample share."""
    rng = np.random.default_rng(0)
    samples = Samples(rng.standard_normal((20, 2)), 2 + rng.random((20, 3)))

    def loss(outputs: Sequence[Any], targets: Sequence[Any]) -> Any:
        shared = {"target": targets[0], "prediction": 2 + outputs[0] * outputs[0], "both": targets[0] + outputs[0]}
        return total([sqrt(1 + (p - t) ** 2) / shared[divisor] for p, t in zip(outputs, targets, strict=True)])

    program = trace_step(MLP((2, 3)), loss, OPTIMIZERS["sgd"], features=2, targets=3)
    weights = rng.uniform(-0.3, 0.3, (11, 9))
    rates = {"learning_rate": np.full(11, 0.01)}
    found, expected = (
        train(program, weights, rates, samples, steps=5, points=6, kernel=kernel)
        for kernel in ("compiled", "reference")
    )
    np.testing.assert_allclose(found.curves["loss"], expected.curves["loss"], rtol=1e-12)
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-12)


@pytest.mark.parametrize("widths", [(1, 3, 1), (1, 4, 1), (1, 2, 2, 1), (3, 1), (2, 9, 1)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_programs_with_rates_and_drifts_of_layers_compile(widths: tuple[int, ...], bias: bool, optimizer: str) -> None:
    """LLVM ends the process if a value does not dominate its uses."""
    layers = [f"layer{k}" for k in range(1, len(widths))]
    model, loss = MLP(widths, "relu", bias=bias), LOSSES["mean_squared_error"]
    for own, drifts in ((tuple(layers), ()), ((), tuple(layers)), ((layers[-1],), (layers[0],))):
        rule = UpdateRule(OPTIMIZERS[optimizer], own_rates=own, drifts=drifts)
        program = trace_step(model, loss, rule, features=widths[0], targets=1)
        for dtype in ("float64", "float32"):
            stages = lower(program, host_target(), Options(dtype, (widths[0], 1), (60,)))
            JitModule(stages.module.text(), host_target()).address("run")
