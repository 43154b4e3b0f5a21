"""Predictions of a trained model, in the arithmetic of its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from engine.arrays import Floats
from engine.operations import Scalar
from engine.parameter import value_of
from engine.program import Program
from engine.samples import Samples
from engine.tracing import Model, Trace
from engine.train import train

Transform: TypeAlias = Callable[[Sequence[Scalar]], Sequence[Any]]
"""The outputs of one sample -> scalars."""

_NUMBERS_AT_ONCE = 4_000_000  # weights in memory: each sample of each trial has a copy


def predict(model: Model, weights: Floats, features: Floats, *, dtype: str = "float64", kernel: str = "auto") -> Floats:
    """Return the model's outputs, (samples, outputs).

    model: any model that can be traced. Its weights are not used.
    weights: (weights,), flat in the order of the model's tensors.
    features: (samples, features).
    dtype, kernel: as in `TrainConfig`.

    The outputs are equal to the last bit to those that the kernel computes in training. Raises ValueError if a shape
    does not fit the model, and TraceError if the model can't be traced.
    """
    if weights.shape != (len(model.parameters()),):
        raise ValueError(f"the model has {len(model.parameters())} weights, not {weights.shape}")
    if features.ndim != 2:
        raise ValueError(f"features are (samples, features), not {features.shape}")
    return np.asarray(predict_trials(model, weights[None], features, dtype=dtype, kernel=kernel)[0])


def predict_trials(
    model: Model,
    weights: Floats,
    features: Floats,
    *,
    transform: Transform | None = None,
    dtype: str = "float64",
    kernel: str = "auto",
) -> Floats:
    """Return the outputs of many trials of a model, (trials, samples, outputs), as `predict` does for one.

    weights: (trials, weights).
    transform: is applied to the outputs of a sample, in the same arithmetic; None for no transformation.
    """
    program = _trace_outputs(model, features.shape[1], transform)
    names = program.curves[1:]
    trials, samples = len(weights), len(features)
    unused = Samples(np.zeros((1, 1)), np.zeros((1, 1)))
    outputs = np.empty((trials, samples, len(names)))
    at_once = max(1, _NUMBERS_AT_ONCE // max(1, samples * weights.shape[1]))
    for first in range(0, trials if samples else 0, at_once):
        part = weights[first : first + at_once]
        columns = {f"x{j}": np.tile(column, len(part)) for j, column in enumerate(features.T)}
        initial = np.repeat(part, samples, axis=0)
        history = train(program, initial, columns, unused, steps=1, points=2, dtype=dtype, kernel=kernel)
        for k, name in enumerate(names):
            outputs[first : first + at_once, :, k] = history.final(name).reshape(len(part), samples)
    return outputs


def _trace_outputs(model: Model, features: int, transform: Transform | None) -> Program:
    """Return a program whose curves are the model's outputs. Each trial is a sample, and no weight changes."""
    trace = Trace()
    with trace.run_model(model, features, lambda j: trace.column(f"x{j}")) as (parameters, outputs):
        shown = outputs if transform is None else transform(outputs)
        curves = {f"output.{k}": [value_of(output)] for k, output in enumerate(shown)}
        weights = [parameter.value for parameter in parameters]
    return trace.build(
        {"loss": [0.0], **curves, "gradient": [0.0] * len(weights), "weights": weights, "state": []}, model.tensors
    )
