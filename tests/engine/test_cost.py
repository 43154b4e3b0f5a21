"""The estimated cost of training, by trials, samples, instructions and kernel."""

import pytest

from engine.kernels.cost import compilation_seconds, training_seconds
from tests.engine.populations import Tracer


@pytest.mark.parametrize("kernel", ["compiled", "reference"])
def test_cost_grows_with_trials_samples_and_instructions(trace: Tracer, kernel: str) -> None:
    small, large = trace((2, 4, 1)), trace((2, 16, 1))
    seconds = training_seconds(small, kernel, trials=100, samples=1_000)
    assert training_seconds(small, kernel, trials=200, samples=1_000) == pytest.approx(2 * seconds)
    assert training_seconds(small, kernel, trials=100, samples=3_000) == pytest.approx(3 * seconds)
    assert training_seconds(large, kernel, trials=100, samples=1_000) > 2 * seconds
    assert compilation_seconds(large) > compilation_seconds(small)


def test_vector_functions_cost_more_than_single_instructions(trace: Tracer) -> None:
    relu, sine = (trace((2, 8, 1), activation=name) for name in ("relu", "sin"))
    costs = [training_seconds(program, "compiled", trials=1, samples=1) for program in (relu, sine)]
    assert costs[1] > 1.5 * costs[0]


def test_the_compiled_kernel_is_estimated_to_be_faster(trace: Tracer) -> None:
    program = trace((2, 8, 1))
    compiled, reference = (
        training_seconds(program, kernel, trials=10, samples=100) for kernel in ("compiled", "reference")
    )
    assert compiled < reference
