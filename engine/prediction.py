"""What a trained model says of samples, in the arithmetic that it was trained in."""

from __future__ import annotations

import numpy as np

from engine.neuron import Floats
from engine.parameter import Parameter
from engine.population import train
from engine.program import Program
from engine.samples import Samples
from engine.tracing import Model, Trace, lent


def predict(model: Model, weights: Floats, features: Floats, *, dtype: str = "float64", kernel: str = "auto") -> Floats:
    """The model's outputs, (samples, outputs), for weights, flat, in the order of its tensors, and (samples, features).

    To the last bit what the kernel computes of each sample in training. Raises ValueError where the shapes do not fit.
    """
    if weights.shape != (len(model.parameters()),):
        raise ValueError(f"the model has {len(model.parameters())} weights, not {weights.shape}")
    if features.ndim != 2:
        raise ValueError(f"features are (samples, features), not {features.shape}")
    program = _trace_outputs(model, features.shape[1])
    names = program.curves[1:]
    if not len(features):
        return np.empty((0, len(names)))
    nothing = Samples(np.zeros((1, 1)), np.zeros((1, 1)))
    columns = {f"x{j}": column for j, column in enumerate(features.T)}
    initial = np.broadcast_to(weights, (len(features), len(weights)))
    history = train(program, initial, columns, nothing, steps=1, points=2, dtype=dtype, kernel=kernel)
    return np.stack([history.final(name) for name in names], axis=1)


def _trace_outputs(model: Model, features: int) -> Program:
    """A program that has the outputs as curves: each sample stands where a trial would, and no weight moves."""
    trace = Trace()
    weights = [trace.input("weight", index) for index in range(len(model.parameters()))]
    with lent(model, weights):
        outputs = model([trace.input("column", f"x{j}") for j in range(features)])
    values = [output.value if isinstance(output, Parameter) else output for output in outputs]
    curves = {f"output.{k}": [value] for k, value in enumerate(values)}
    return trace.finish(
        {"loss": [0.0], **curves, "gradient": [0.0] * len(weights), "weights": weights, "state": []}, model.tensors
    )
