"""gradgrid's engine: reverse-mode automatic differentiation, written by hand, in which a scalar can be many trials."""

import warnings

from engine.derivatives import derivatives, hessian, trace_hessian
from engine.history import History
from engine.initializers import INITIALIZERS, initial_weights
from engine.kernels import KERNELS, resolve_kernel, target_description
from engine.losses import LOSSES
from engine.nn import MLP, Layer, Neuron
from engine.operations import ACTIVATIONS, OPERATIONS
from engine.optimizers import OPTIMIZERS, Optimizer, sgd
from engine.outcomes import DIVERGED, OUTCOMES
from engine.parameter import Parameter
from engine.parts import PartError, Parts
from engine.prediction import predict, predict_trials
from engine.program import Program, ProgramError
from engine.replay import Replay, Trial, replay
from engine.samples import Samples
from engine.schedules import SCHEDULES, Schedule
from engine.scores import Score
from engine.sharpness import sharpness
from engine.step import UPDATE_OPTIONS, UpdateRule, trace_step
from engine.tensors import Tensor
from engine.tracing import TraceError
from engine.train import DTYPES, TrainConfig, recorded_steps, train

ENGINE_VERSION = "2"
"""Part of every trial's identity. It changes when the same configuration gives other numbers than before."""

FLOAT32_VERSION = "2"
"""Part of the identity of trials that are compiled in float32. It changes when only their numbers do."""

_RENAMED = {"OPTIONS": "UPDATE_OPTIONS", "compiled_for": "target_description"}

__all__ = [
    "ACTIVATIONS",
    "DIVERGED",
    "DTYPES",
    "ENGINE_VERSION",
    "FLOAT32_VERSION",
    "INITIALIZERS",
    "KERNELS",
    "LOSSES",
    "MLP",
    "OPERATIONS",
    "OPTIMIZERS",
    "OUTCOMES",
    "SCHEDULES",
    "UPDATE_OPTIONS",
    "History",
    "Layer",
    "Neuron",
    "Optimizer",
    "Parameter",
    "PartError",
    "Parts",
    "Program",
    "ProgramError",
    "Replay",
    "Samples",
    "Schedule",
    "Score",
    "Tensor",
    "TraceError",
    "TrainConfig",
    "Trial",
    "UpdateRule",
    "derivatives",
    "hessian",
    "initial_weights",
    "predict",
    "predict_trials",
    "recorded_steps",
    "replay",
    "resolve_kernel",
    "sgd",
    "sharpness",
    "target_description",
    "trace_hessian",
    "trace_step",
    "train",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Return an object by its former name, with a DeprecationWarning."""
    if name not in _RENAMED:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    warnings.warn(f"engine.{name} is called engine.{_RENAMED[name]} now", DeprecationWarning, stacklevel=2)
    return globals()[_RENAMED[name]]
