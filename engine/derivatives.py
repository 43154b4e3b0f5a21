"""Derivatives as graphs, which can be differentiated again.

>>> x = Parameter(2.0)
>>> (slope,) = derivatives(x * x * x, [x])
>>> (curvature,) = derivatives(slope, [x])
>>> slope.value, curvature.value
(12.0, 12.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.arrays import Floats
from engine.gates import Gates
from engine.losses import Loss
from engine.operations import Scalar
from engine.parameter import Parameter, topological_order, value_of
from engine.program import Program
from engine.samples import Samples
from engine.tracing import Model, Trace


def derivatives(output: Parameter, inputs: Sequence[Parameter]) -> list[Any]:
    """Return d output / d input for each input, as nodes of a graph; the number 0 for an input without influence.

    No node's `grad` changes. Derivative rules are written in operations, so the results can be differentiated again.
    """
    order = topological_order(output)
    depends = set(inputs)
    for node in order:
        if any(parent in depends for parent in node.parents):
            depends.add(node)
    gates = Gates(order)
    cotangents: dict[Parameter, Scalar] = {output: 1.0}
    for node in reversed(order):
        if node not in depends or node not in cotangents or node.operation is None:
            continue
        slopes = gates.vjps(node, cotangents[node], node, node.parents)
        for parent, slope in zip(node.parents, slopes, strict=True):
            if slope is not None and parent in depends:
                cotangents[parent] = cotangents[parent] + slope if parent in cotangents else slope
    return [cotangents.get(node, 0.0) for node in inputs]


def trace_hessian(model: Model, loss: Loss, *, features: int, targets: int) -> Program:
    """Trace the mean loss over the samples, its gradient and its Hessian into one Program, and return it.

    model, loss, features, targets: as in `trace_step`.

    Its outputs are `loss`, `gradient` and `hessian`, row by row. Raises TraceError if the model or the loss can't be
    traced.
    """
    trace = Trace()
    with trace.run_model(model, features) as (parameters, outputs):
        error = loss(outputs, [trace.input("target", k) for k in range(targets)])
        gradient = derivatives(error, parameters)
        rows = [derivatives(g, parameters) if isinstance(g, Parameter) else [0.0] * len(parameters) for g in gradient]
    groups = {"loss": [error], "gradient": gradient, "hessian": [entry for row in rows for entry in row]}
    return trace.build(
        {name: [trace.sample_mean(value_of(scalar)) for scalar in scalars] for name, scalars in groups.items()},
        model.tensors,
    )


def hessian(model: Model, loss: Loss, weights: Floats, samples: Samples) -> Floats:
    """Return the second derivatives of the mean loss, (weights, weights).

    model, loss: as in `trace_step`.
    weights: (weights,), the point at which to differentiate.
    samples: the data.

    Raises TraceError if the model or the loss can't be traced.
    """
    from engine.kernels.reference import Interpreter

    program = trace_hessian(model, loss, features=samples.features.shape[1], targets=samples.targets.shape[1])
    with np.errstate(all="ignore"):
        outputs = Interpreter(program)(weights[:, None], np.zeros((0, 1)), {}, samples)
    return outputs["hessian"][:, 0].reshape(len(weights), len(weights))
