"""The table of hyperparameters: section of the sweep file, type and default of each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticKnownError

from engine import DTYPES, KERNELS, OPTIMIZERS, SCHEDULES, Parts
from experiments.errors import did_you_mean
from experiments.peer_names import own_value

AUTO = "auto"
MAX_STEPS = 10_000_000
MAX_WEIGHTS = 120_000
"""Largest number of weights of a network: gradgrid trains small ones."""

_BUILT_IN = Parts()


def _one_of(kind: str, names: Iterable[str]) -> Any:
    """Return the type of a name from a fixed list."""
    return Annotated[str, AfterValidator(lambda value: _known(kind, value, names))]


def _part(kind: str) -> Any:
    """Return the type of a name of an activation, loss or initialiser, built in or custom."""

    def check(value: str, info: ValidationInfo) -> str:
        parts = info.context["parts"] if info.context else _BUILT_IN
        return _known(kind, value, parts.names(kind))

    return Annotated[str, AfterValidator(check)]


def _parts_of_layers(kind: str) -> Any:
    """Return the type of a part's name, or of a list with a name for each layer."""

    def check(value: Any, info: ValidationInfo) -> Any:
        parts = info.context["parts"] if info.context else _BUILT_IN
        names = list(value) if isinstance(value, (list, tuple)) and value else [value]
        if not all(isinstance(name, str) for name in names):
            raise PydanticKnownError("string_type")
        for name in names:
            _known(kind, name, parts.names(kind))
        return value if isinstance(value, str) else tuple(names)

    return Annotated[Any, PlainValidator(check)]


def _known(kind: str, value: str, names: Iterable[str]) -> str:
    if value not in (allowed := list(names)):
        own = own_value(kind, value, allowed)
        hint = f"; write {own}" if own in allowed else did_you_mean(value, allowed)
        raise ValueError(f"no {kind} is called {value!r}{hint}")
    return value


def _widths(value: Any) -> Any:
    layers = value if isinstance(value, (list, tuple)) else None
    if layers is None or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in layers):
        raise ValueError(
            "must be a list of layer widths such as [8, 8] ([] is a single neuron; an axis is a list of such lists), "
            f"not {value!r}"
        )
    return tuple(layers)


def _gain(value: Any) -> Any:
    factors = list(value) if isinstance(value, (list, tuple)) and value else [value]
    for factor in factors:
        is_number = isinstance(factor, (int, float)) and not isinstance(factor, bool) and math.isfinite(factor)
        is_name = isinstance(factor, str) and factor in GAINS
        if not is_name and not (is_number and factor != 0):
            raise ValueError(
                f"should be a number other than 0, {' or '.join(GAINS)}, or a list of these with one for each layer, "
                f"not {value!r}"
            )
    checked = tuple(factor if factor in GAINS else float(factor) for factor in factors)
    return checked if isinstance(value, (list, tuple)) else checked[0]


GAINS: Mapping[str, Callable[[int], float]] = {
    "1/sqrt(fan_in)": lambda inputs: 1.0 / math.sqrt(inputs),
    "sqrt(2/fan_in)": lambda inputs: math.sqrt(2.0 / inputs),
    "1/fan_in": lambda inputs: 1.0 / inputs,
}
"""Name -> the gain of a layer with this many inputs."""

_Widths = Annotated[tuple[int, ...], BeforeValidator(_widths)]
_Finite = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_Seed = Annotated[int, Field(ge=0, lt=2**63)]
_Decay = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Hyperparameter:
    """A row of the table.

    name: its key in the sweep file.
    section: the section of the sweep file: `model`, or empty for the top of the file.
    type: a pydantic type; the validation context has `parts`, the custom functions.
    description: for the reference page.
    default: None if another hyperparameter or the task decides.
    structural: whether it changes the program or its number of steps; else it is a column of a population.
    part: the kind of function that it names, if users may write their own: activation, loss or initializer.
    """

    name: str
    section: str
    type: Any
    description: str
    default: Any = None
    structural: bool = False
    part: str = ""

    def checked(self, value: Any, parts: Parts) -> Any:
        """Return the value in the type that the sweep uses. Raises pydantic.ValidationError."""
        return self._adapter.validate_python(value, context={"parts": parts})

    @cached_property
    def number_type(self) -> type[int] | type[float] | None:
        """The type of its values: int or float; None if they are no numbers."""
        for kind, value in ((float, 0.5), (int, 1)):
            try:
                self._adapter.validate_python(value)
            except ValidationError:
                continue
            return kind
        return None

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.type, config=ConfigDict(strict=True))


def _structural(name: str, section: str, kind: Any, description: str, default: Any = None) -> Hyperparameter:
    return Hyperparameter(name, section, kind, description, default, structural=True)


def _function(
    name: str, section: str, part: str, description: str, default: Any = None, *, structural: bool = True
) -> Hyperparameter:
    """Return the row of a function's name, built in or custom."""
    return Hyperparameter(name, section, _part(part), description, default, structural, part)


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    row.name: row
    for row in (
        _structural("hidden", "model", _Widths, "widths of the hidden layers; [] is a single neuron", ()),
        Hyperparameter(
            "activation",
            "model",
            _parts_of_layers("activation"),
            "of the hidden layers, or a list with one for each; or of a single neuron",
            structural=True,
            part="activation",
        ),
        _function("output", "model", "activation", "activation of the last layer"),
        _function(
            "initializer",
            "model",
            "initializer",
            "distribution of the initial weights",
            "xavier_uniform",
            structural=False,
        ),
        Hyperparameter(
            "init_scale",
            "model",
            Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)],
            "multiplies the initial weights",
            1.0,
        ),
        Hyperparameter("init_shift", "model", _Finite, "added to the initial weights after that; 0 when left out"),
        Hyperparameter(
            "drift",
            "model",
            _Finite,
            "added to the initial weights, and again to the weights at every update; 0 when left out",
        ),
        Hyperparameter(
            "init_bias",
            "model",
            _NotNegative,
            "standard deviation of the initial biases, which are normally distributed; 0 when left out",
        ),
        _structural("bias", "model", bool, "whether the units have biases", True),
        _structural(
            "gain",
            "model",
            Annotated[Any, BeforeValidator(_gain)],
            f"factor of a layer's sum before its activation: a number, {', '.join(f'`{name}`' for name in GAINS)}, or "
            "a list with one for each layer",
            1.0,
        ),
        _function("loss", "", "loss", "the function to minimise; by the task when left out"),
        _structural("optimizer", "", _one_of("optimizer", OPTIMIZERS), "the update rule", "sgd"),
        _structural("steps", "", Annotated[int, Field(ge=1, le=MAX_STEPS)], "updates of the weights", 100),
        _structural("batch_size", "", Annotated[int, Field(ge=1, le=10**9)], "samples of an update; all when left out"),
        _structural(
            "batch_sampling",
            "",
            _one_of("batch_sampling", ("shuffle", "replacement")),
            "how batches are drawn: `shuffle`, in a new order for each epoch, or `replacement`, each sample from all",
            "shuffle",
        ),
        Hyperparameter(
            "batch_seed", "", _Seed, "of the batches, if they should be the same for every seed; else `seed`"
        ),
        _structural("schedule", "", _one_of("schedule", SCHEDULES), "of the learning rate", "constant"),
        _structural("dtype", "", _one_of("dtype", DTYPES), "type of the numbers", "float64"),
        _structural("kernel", "", _one_of("kernel", (AUTO, *KERNELS)), "implementation that runs the program", AUTO),
        Hyperparameter("learning_rate", "", _Positive, "step size; by the optimizer when left out"),
        Hyperparameter("momentum", "", _Decay, "decay of the velocity"),
        Hyperparameter("beta1", "", _Decay, "decay of the first moment"),
        Hyperparameter("beta2", "", _Decay, "decay of the second moment"),
        Hyperparameter("alpha", "", _Decay, "decay of rmsprop's average"),
        Hyperparameter(
            "epsilon",
            "",
            Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)],
            "added to the square root in the divisor",
        ),
        Hyperparameter("learning_rate_decay", "", _NotNegative, "of adagrad's learning rate"),
        Hyperparameter("initial_accumulator_value", "", _NotNegative, "of adagrad's sum of squares"),
        Hyperparameter("weight_decay", "", _NotNegative, "decay of the weights"),
        Hyperparameter("clip_value", "", _Positive, "largest absolute value of an element of the gradient"),
        Hyperparameter("clip_norm", "", _Positive, "largest norm of the gradient"),
        Hyperparameter("warmup_steps", "", _NotNegative, "steps in which the learning rate rises to its full value"),
        Hyperparameter("step_size", "", _Positive, "steps between two decays of schedule step"),
        Hyperparameter("gamma", "", _Positive, "factor of a decay of schedule step or exponential"),
        Hyperparameter("eta_min", "", _NotNegative, "learning rate at the end of schedule cosine"),
        Hyperparameter("seed", "", _Seed, "of the initial weights and the order of minibatches", 0),
        *(
            _structural(f"dataset.{name}", "dataset", kind, description)
            for name, kind, description in (
                ("samples", Annotated[int, Field(ge=2, le=1_000_000)], "samples of a toy data set"),
                ("noise", Annotated[float, Field(ge=0, le=1000)], "standard deviation of a toy data set's noise"),
                ("seed", Annotated[int, Field(ge=0, lt=2**32)], "of a toy data set's samples and of the split"),
                ("test_fraction", Annotated[float, Field(ge=0, lt=1)], "share of the samples for testing"),
                ("fold", Annotated[int, Field(ge=0, lt=1000)], "the fold that is the test part, of dataset.folds"),
                ("class_weight", Literal["balanced"], "weight of each class in the loss; null for equal ones"),
            )
        ),
    )
}

REPEATS = ("seed", "dataset.fold")
"""Hyperparameters that repeat a configuration: leaderboards rank means over them."""


OF_LAYERS = ("learning_rate", "init_scale", "init_shift", "drift")
"""The hyperparameters that a layer may have for itself, such as `learning_rate.layer1`."""
_OF_LAYER = re.compile(rf"({'|'.join(OF_LAYERS)})\.(layer[1-9][0-9]?)")


@cache
def find_hyperparameter(name: str) -> Hyperparameter | None:
    """Return the row of a hyperparameter, which may be one layer's; None for an unknown name."""
    found = HYPERPARAMETERS.get(name)
    if found is None and (match := _OF_LAYER.fullmatch(str(name))):
        row = HYPERPARAMETERS[match[1]]
        return replace(row, name=name, description=f"{row.description}, for {match[2]} alone", default=None)
    return found


def known_hyperparameter(name: str) -> Hyperparameter:
    """Return the row of a hyperparameter, which may be one layer's. Raises KeyError for an unknown name."""
    found = find_hyperparameter(name)
    if found is None:
        raise KeyError(name)
    return found


def layer_of(name: str) -> str:
    """Return the layer that a hyperparameter belongs to, such as `layer1`; empty if it is not one layer's."""
    match = _OF_LAYER.fullmatch(name)
    return match[2] if match else ""


def in_order(names: Iterable[str]) -> list[str]:
    """Return hyperparameters in the order of the table; those of layers follow the one for all layers."""
    positions = {name: position for position, name in enumerate(HYPERPARAMETERS)}
    known = [name for name in names if find_hyperparameter(name)]
    return sorted(known, key=lambda name: (positions.get(name, positions.get(name.partition(".")[0])), len(name), name))


def section_fields(section: str) -> dict[str, Any]:
    """Return the optional fields of a section of the sweep file, in the form that `pydantic.create_model` takes."""
    return {name: (row.type | None, None) for name, row in HYPERPARAMETERS.items() if row.section == section}
