"""Predictions of a trained model, in the arithmetic of its training."""

from __future__ import annotations

import numpy as np

from engine.arrays import Floats
from engine.parameter import value_of
from engine.program import Program
from engine.samples import Samples
from engine.tracing import Model, Trace
from engine.train import train


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
    program = _trace_outputs(model, features.shape[1])
    names = program.curves[1:]
    if not len(features):
        return np.empty((0, len(names)))
    unused = Samples(np.zeros((1, 1)), np.zeros((1, 1)))
    columns = {f"x{j}": column for j, column in enumerate(features.T)}
    initial = np.broadcast_to(weights, (len(features), len(weights)))
    history = train(program, initial, columns, unused, steps=1, points=2, dtype=dtype, kernel=kernel)
    return np.stack([history.final(name) for name in names], axis=1)


def _trace_outputs(model: Model, features: int) -> Program:
    """Return a program whose curves are the model's outputs. Each trial is a sample, and no weight changes."""
    trace = Trace()
    with trace.run_model(model, features, lambda j: trace.column(f"x{j}")) as (parameters, outputs):
        curves = {f"output.{k}": [value_of(output)] for k, output in enumerate(outputs)}
        weights = [parameter.value for parameter in parameters]
    return trace.build(
        {"loss": [0.0], **curves, "gradient": [0.0] * len(weights), "weights": weights, "state": []}, model.tensors
    )
