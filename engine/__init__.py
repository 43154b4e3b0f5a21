"""gradgrid's engine: reverse-mode autograd by hand, in which every scalar can stand for many trials."""

from engine.derivatives import derivatives, hessian, trace_hessian
from engine.history import History
from engine.kernels import KERNELS, compiled_for, resolve_kernel
from engine.losses import LOSSES
from engine.neuron import INITIALIZERS, MLP, Layer, Neuron, Tensor, initial_weights
from engine.operations import ACTIVATIONS, OPERATIONS
from engine.optimizers import OPTIMIZERS, Optimizer, sgd
from engine.outcomes import DIVERGED, OUTCOMES
from engine.parameter import Parameter
from engine.parts import PartError, Parts
from engine.population import recorded_steps, train
from engine.prediction import predict
from engine.program import Program, ProgramError
from engine.replay import Replay, Trial, replay
from engine.samples import Samples
from engine.schedules import SCHEDULES, Schedule
from engine.step import OPTIONS, UpdateRule, trace_step
from engine.tracing import TraceError
from engine.training import DTYPES

ENGINE_VERSION = "2"
"""Part of every trial's identity: it changes when the same configuration would give other numbers."""

__all__ = [
    "ACTIVATIONS", "DIVERGED", "DTYPES", "ENGINE_VERSION", "INITIALIZERS", "KERNELS", "LOSSES", "MLP", "OPERATIONS",
    "OPTIMIZERS", "OPTIONS", "OUTCOMES", "SCHEDULES", "History", "Layer", "Neuron", "Optimizer", "Parameter",
    "PartError", "Parts", "Program", "ProgramError", "Replay", "Samples", "Schedule", "Tensor",
    "TraceError", "Trial", "UpdateRule",
    "compiled_for", "derivatives", "hessian", "initial_weights", "predict", "recorded_steps", "replay",
    "resolve_kernel", "sgd", "trace_hessian", "trace_step", "train",
]  # fmt: skip
