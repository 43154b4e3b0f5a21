"""gradgrid's engine: reverse-mode autograd by hand, in which every scalar can stand for many trials."""

from engine.history import DIVERGED, FINISHED, History
from engine.losses import LOSSES
from engine.neuron import INITIALIZERS, MLP, Layer, Neuron, Tensor, initial_weights
from engine.operations import ACTIVATIONS, OPERATIONS
from engine.optimizers import OPTIMIZERS, Optimizer, sgd
from engine.parameter import Parameter
from engine.population import recorded_steps, train
from engine.program import Program, ProgramError
from engine.samples import Samples
from engine.tracing import TraceError, trace_step

ENGINE_VERSION = "1"
"""Part of every trial's identity: it changes when the same configuration would give other numbers."""

__all__ = [
    "ACTIVATIONS", "DIVERGED", "ENGINE_VERSION", "FINISHED", "INITIALIZERS", "LOSSES", "MLP", "OPERATIONS",
    "OPTIMIZERS", "History", "Layer", "Neuron", "Optimizer", "Parameter", "Program", "ProgramError", "Samples",
    "Tensor", "TraceError", "initial_weights", "recorded_steps", "sgd", "trace_step", "train",
]  # fmt: skip
