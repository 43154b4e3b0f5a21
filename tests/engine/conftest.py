"""Fixtures of the engine's tests: each kernel in turn, and a small population."""

from collections.abc import Iterable

import numpy as np
import pytest

from engine import (
    KERNELS,
    LOSSES,
    MLP,
    OPTIMIZERS,
    SCHEDULES,
    Program,
    Samples,
    UpdateRule,
    initial_weights,
    trace_step,
)
from engine.arrays import Floats
from engine.kernels import compiled
from tests.engine.populations import Starts, Tracer


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    """Each kernel in turn. The test must hold for all of them."""
    return str(request.param)


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile every program again, because the test changes the compiler."""
    monkeypatch.setattr(compiled, "_compile", compiled._CompiledProgram)


@pytest.fixture(scope="session")
def trace() -> Tracer:
    """A function that traces a training step of an MLP."""

    def make(
        widths: tuple[int, ...] = (2, 4, 1),
        activation: str = "tanh",
        output: str = "identity",
        loss: str = "mean_squared_error",
        optimizer: str = "sgd",
        threshold: float | None = 0.5,
        schedule: str = "constant",
        options: Iterable[str] = (),
    ) -> Program:
        return trace_step(
            MLP(widths, activation, output),
            LOSSES[loss],
            UpdateRule(OPTIMIZERS[optimizer], SCHEDULES[schedule], frozenset(options)),
            features=widths[0],
            targets=widths[-1],
            threshold=threshold,
        )

    return make


@pytest.fixture(scope="session")
def circle() -> Samples:
    """Sixty points of the plane, and whether they are within a circle."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(60, 2))
    return Samples(points, (np.square(points).sum(axis=1, keepdims=True) < 1.2).astype(float))


@pytest.fixture(scope="session")
def starts() -> Starts:
    """A function that draws the initial weights of a population's first trials."""

    def make(trials: int, widths: tuple[int, ...] = (2, 4, 1)) -> Floats:
        return np.stack([initial_weights(widths, "xavier_uniform", seed) for seed in range(trials)])

    return make
