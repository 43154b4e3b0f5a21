"""The former module of `engine.nn`, `engine.tensors` and `engine.initializers`; import from `engine` instead."""

import warnings

from engine.arrays import Floats
from engine.initializers import INITIALIZERS, initial_weights
from engine.initializers import Initializer as Draw
from engine.nn import MLP, Activation, Layer, Neuron
from engine.tensors import Tensor, layer_tensors

__all__ = [
    "INITIALIZERS", "MLP", "Activation", "Draw", "Floats", "Layer", "Neuron", "Tensor", "initial_weights",
    "layer_tensors",
]  # fmt: skip

warnings.warn(
    "engine.neuron has moved: import networks from engine.nn, Tensor from engine.tensors, initial_weights from "
    "engine.initializers, or all of them from engine",
    DeprecationWarning,
    stacklevel=2,
)
