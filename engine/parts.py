"""Custom parts: activations, losses and initialisers that a user writes in a Python file.

The file marks its functions with `@activation`, `@loss` and `@initializer`. Activations and losses are written in the
engine's operations, so every kernel can run them and their derivatives are computed automatically. All functions are
tried before anything trains. Workers get the file's text and run it, so nothing needs to be installed there.

>>> parts = Parts('''
... from engine.operations import sin
... from engine.parts import activation
...
... @activation
... def snake(x):
...     return x + sin(x) ** 2
... ''')
>>> parts.names("activation")[-2:]
['sin', 'snake']
>>> parts.activation("snake")(0.0)
0.0
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from engine.initializers import INITIALIZERS, Initializer
from engine.losses import LOSSES, Loss
from engine.nn import Activation
from engine.operations import ACTIVATIONS
from engine.parameter import Parameter
from engine.probes import ADVICE, Probe, loss_samples, probe_activation, probe_loss
from engine.tracing import Symbol, Trace, TraceError

_Part = TypeVar("_Part", bound=Callable[..., Any])
_KIND = "_gradgrid_part"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SHAPE = (3, 2)

BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    "activation": ACTIVATIONS,
    "loss": LOSSES,
    "initializer": INITIALIZERS,
}
"""Kind of part -> name -> part."""


class PartError(ValueError):
    """A file of custom parts can't be used. The message names the line and the reason."""


def activation(function: _Part) -> _Part:
    """Mark a function as an activation: it takes a scalar and is written in operations."""
    return _marked(function, "activation")


def loss(function: _Part) -> _Part:
    """Mark a function as a loss of one sample: it takes predictions and targets, two lists of scalars."""
    return _marked(function, "loss")


def initializer(function: _Part) -> _Part:
    """Mark a function as an initialiser: it takes a NumPy Generator and a shape (units, inputs) and returns weights."""
    return _marked(function, "initializer")


def _marked(function: _Part, kind: str) -> _Part:
    setattr(function, _KIND, kind)
    return function


class Parts:
    """The built-in parts and the custom parts of a file.

    text: the file's text; empty if there are no custom parts.
    origin: the file's name, for messages.

    Raises PartError if the file can't be run or one of its parts can't be used.
    """

    def __init__(self, text: str = "", origin: str = "parts.py") -> None:
        self.text = text
        self.origin = origin
        self._custom = dict(_checked(text, origin)) if text else {}

    def names(self, kind: str) -> list[str]:
        """Return the names of all parts of a kind (`activation`, `loss` or `initializer`), with custom parts last."""
        return [*BUILT_IN[kind], *(name for name, part in self._custom.items() if getattr(part, _KIND) == kind)]

    def is_custom(self, name: object) -> bool:
        """Return whether this is the name of a custom part."""
        return name in self._custom

    def activation(self, name: str) -> Activation:
        """Return an activation. Raises KeyError for an unknown name."""
        part: Activation = self._find("activation", name)
        return part

    def loss(self, name: str) -> Loss:
        """Return a loss. Raises KeyError for an unknown name."""
        part: Loss = self._find("loss", name)
        return part

    def initializer(self, name: str) -> Initializer:
        """Return an initialiser. Raises KeyError for an unknown name."""
        part: Initializer = self._find("initializer", name)
        return part

    def _find(self, kind: str, name: str) -> Any:
        part = self._custom.get(name)
        return part if part is not None and getattr(part, _KIND) == kind else BUILT_IN[kind][name]

    @cached_property
    def digest(self) -> str:
        """A hash of the text, for the identity of trials that use a custom part; empty without custom parts."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32] if self.text else ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parts) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[type[Parts], tuple[str, str]]:
        return Parts, (self.text, self.origin)


def _checked(text: str, origin: str) -> Iterator[tuple[str, Any]]:
    """Run a file, try each of its parts, and yield their names and functions."""
    namespace: dict[str, Any] = {"__name__": "gradgrid_parts", "__file__": origin}
    try:
        exec(compile(text, origin, "exec"), namespace)
    except SyntaxError as error:
        raise PartError(f"{origin}:{error.lineno}: not valid Python: {error.msg}") from None
    except Exception as error:
        raise PartError(f"{_location(error, origin)}: the file can't be run: {_text(error)}") from error
    marked = [part for part in namespace.values() if callable(part) and hasattr(part, _KIND)]
    if not marked:
        raise PartError(f"{origin}: no function is marked with @activation, @loss or @initializer of engine.parts")
    for part in marked:
        kind, name = getattr(part, _KIND), part.__name__
        subject = f"{origin}:{part.__code__.co_firstlineno}: {kind} {name}"
        if not _NAME.fullmatch(name):
            raise PartError(f"{subject}: names are small letters, digits and _, and begin with a letter")
        if any(name in parts for parts in BUILT_IN.values()):
            raise PartError(f"{subject}: that is built in; choose another name")
        try:
            _CHECKS[kind](part)
        except PartError as error:
            raise PartError(f"{subject}: {error}") from None
        except Exception as error:
            attempt = f"it can't be {_ATTEMPTS[kind]} ({_location(error, origin)})"
            raise PartError(f"{subject}: {attempt}: {_text(error)}{_HINTS[kind]}") from error
        yield name, part


def _check_activation(part: Callable[..., Any]) -> None:
    trace = Trace()
    x = Parameter(trace.input("weight", 0))
    _check_differentiable(trace, part(x), [x], "its input")
    _check_finite([probe_activation(part)])


def _check_loss(part: Callable[..., Any]) -> None:
    probes = []
    for outputs in (1, 3):
        trace = Trace()
        predictions = [Parameter(trace.input("weight", k)) for k in range(outputs)]
        error = part(predictions, [trace.input("target", k) for k in range(outputs)])
        _check_differentiable(trace, error, predictions[:1], "the predictions")
        probes.append(probe_loss(part, *loss_samples(outputs)))
    _check_finite(probes)


def _check_finite(probes: Sequence[Probe]) -> None:
    """Raise PartError if no input has a finite value and derivative."""
    if all(probe.failed == probe.tried for probe in probes):
        raise PartError(f"{probes[0]}; {ADVICE}")


def _check_differentiable(trace: Trace, result: Any, inputs: list[Parameter], source: str) -> None:
    if not isinstance(result, Parameter):
        raise PartError(f"it returned {result!r}, which does not depend on {source}")
    result.backward()
    trace.index_of(result.value)
    for parameter in inputs:
        if not isinstance(parameter.grad, Symbol):
            trace.index_of(parameter.grad)  # a constant slope is allowed too


def _check_initializer(part: Callable[..., Any]) -> None:
    first, second = (np.asarray(part(np.random.Generator(np.random.PCG64(0)), _SHAPE)) for _ in range(2))
    if first.shape != _SHAPE or first.dtype.kind not in "fiu" or not np.isfinite(first).all():
        raise PartError(f"for the shape {_SHAPE} it returned {first!r}, not finite numbers of that shape")
    if not np.array_equal(first, second):
        raise PartError(
            "it drew other numbers from an equal generator; draw all numbers from the generator in its first argument"
        )


_CHECKS: dict[str, Callable[[Callable[..., Any]], None]] = {
    "activation": _check_activation,
    "loss": _check_loss,
    "initializer": _check_initializer,
}
_ATTEMPTS = {"activation": "traced", "loss": "traced", "initializer": "called"}
_OPERATIONS = "; write it in the operations of engine.operations (exp, log, sqrt, tanh, sin, maximum, select, ...)"
_HINTS = {"activation": _OPERATIONS, "loss": _OPERATIONS, "initializer": ""}


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, TraceError) else f"{type(error).__name__}: {error}"


def _location(error: BaseException, origin: str) -> str:
    """Return the line of the file that raised an error, directly or through other code."""
    location, step = origin, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == origin:
            location = f"{origin}:{step.tb_lineno}"
        step = step.tb_next
    return location
