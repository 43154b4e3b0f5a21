"""Derivatives as graphs of their own, which can be differentiated again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.arrays import Floats
from engine.gates import Gates
from engine.losses import Loss
from engine.operations import Scalar
from engine.parameter import Parameter, topological_order
from engine.program import Program
from engine.samples import Samples
from engine.tracing import Model, Trace, lent


def derivatives(output: Parameter, inputs: Sequence[Parameter]) -> list[Any]:
    """d output / d input for each input, as nodes of a graph; the number 0 where there is no influence.

    Nothing is added to any node's `grad`. Rules of derivation are written in the table's operations, so what comes out
    can be passed to `derivatives` again.
    """
    order = topological_order(output)
    depends = set(inputs)
    for node in order:
        if any(parent in depends for parent in node.parents):
            depends.add(node)
    gates = Gates(order)
    passing: dict[Parameter, Scalar] = {output: 1.0}
    for node in reversed(order):
        if node not in depends or node not in passing or node.operation is None:
            continue
        shares = gates.shares(node, passing[node], node, node.parents)
        for parent, share in zip(node.parents, shares, strict=True):
            if share is not None and parent in depends:
                passing[parent] = passing[parent] + share if parent in passing else share
    return [passing.get(node, 0.0) for node in inputs]


def trace_hessian(model: Model, loss: Loss, *, features: int, targets: int) -> Program:
    """The mean loss over the samples, its gradient and its Hessian, row by row, as one Program."""
    trace = Trace()
    weights = [trace.input("weight", index) for index in range(len(model.parameters()))]
    with lent(model, weights) as parameters:
        outputs = model([trace.input("feature", j) for j in range(features)])
        error = loss(outputs, [trace.input("target", k) for k in range(targets)])
        gradient = derivatives(error, parameters)
        rows = [derivatives(g, parameters) if isinstance(g, Parameter) else [0.0] * len(parameters) for g in gradient]

    def mean(scalar: Scalar) -> Scalar:
        return trace.sample_mean(scalar.value if isinstance(scalar, Parameter) else scalar)

    return trace.finish(
        {
            "loss": [mean(error)],
            "gradient": [mean(g) for g in gradient],
            "hessian": [mean(entry) for row in rows for entry in row],
        },
        model.tensors,
    )


def hessian(model: Model, loss: Loss, weights: Floats, samples: Samples) -> Floats:
    """The second derivatives of the mean loss, (weights, weights), at these weights, (weights,)."""
    from engine.kernels.reference import Interpreter as Evaluator

    program = trace_hessian(model, loss, features=samples.features.shape[1], targets=samples.targets.shape[1])
    with np.errstate(all="ignore"):
        outputs = Evaluator(program)(weights[:, None], np.zeros((0, 1)), {}, samples)
    return outputs["hessian"][:, 0].reshape(len(weights), len(weights))
