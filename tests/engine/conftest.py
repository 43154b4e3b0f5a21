"""A small population for the engine's tests."""

from collections.abc import Callable, Iterable

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
from engine.neuron import Floats

Tracer = Callable[..., Program]


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    """Each kernel in turn: what a test says holds for all of them."""
    return str(request.param)


@pytest.fixture(scope="session")
def trace() -> Tracer:
    """Trace an MLP of these widths."""

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
def starts() -> Callable[..., Floats]:
    """Initial weights of the first trials of a population."""

    def make(trials: int, widths: tuple[int, ...] = (2, 4, 1)) -> Floats:
        return np.stack([initial_weights(widths, "xavier_uniform", seed) for seed in range(trials)])

    return make
