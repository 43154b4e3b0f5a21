"""Parts of one's own: activations, losses and initialisers that a user writes in a Python file.

The file marks its functions with `@activation`, `@loss` and `@initializer`. The first two are written in the engine's
operations, so every kernel runs them and their derivatives come by themselves. All are tried out before anything
trains. The parts travel as the file's text: whoever receives them runs it again, so nothing has to be installed there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from engine.initializers import INITIALIZERS
from engine.initializers import Initializer as Draw
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
"""Kind -> name -> part."""


class PartError(ValueError):
    """A file of parts that can't be used: which part, and why."""


def activation(function: _Part) -> _Part:
    """Mark a function of one scalar, written in operations, as an activation."""
    return _marked(function, "activation")


def loss(function: _Part) -> _Part:
    """Mark a function of predictions and targets, lists of scalars, as the loss of one sample."""
    return _marked(function, "loss")


def initializer(function: _Part) -> _Part:
    """Mark a function of a NumPy Generator and a shape (units, inputs) that returns such a matrix of weights."""
    return _marked(function, "initializer")


def _marked(function: _Part, kind: str) -> _Part:
    setattr(function, _KIND, kind)
    return function


class Parts:
    """The parts of a file, beside those that are built in.

    text: the file's. origin: its name, for messages. Raises PartError where it can't be run, or a part can't be used.
    """

    def __init__(self, text: str = "", origin: str = "parts.py") -> None:
        self.text = text
        self.origin = origin
        self._own = dict(_checked(text, origin)) if text else {}

    def names(self, kind: str) -> list[str]:
        """What `kind` (activation, loss, initializer) may be called, one's own last."""
        return [*BUILT_IN[kind], *(name for name, part in self._own.items() if getattr(part, _KIND) == kind)]

    def is_own(self, name: object) -> bool:
        """Whether a part of this name is in the file."""
        return name in self._own

    def activation(self, name: str) -> Activation:
        part: Activation = self._find("activation", name)
        return part

    def loss(self, name: str) -> Loss:
        part: Loss = self._find("loss", name)
        return part

    def initializer(self, name: str) -> Draw:
        part: Draw = self._find("initializer", name)
        return part

    def _find(self, kind: str, name: str) -> Any:
        part = self._own.get(name)
        return part if part is not None and getattr(part, _KIND) == kind else BUILT_IN[kind][name]

    @cached_property
    def digest(self) -> str:
        """What a trial that uses one of them is told apart by; empty where there are none."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:32] if self.text else ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parts) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[type[Parts], tuple[str, str]]:
        return Parts, (self.text, self.origin)


def _checked(text: str, origin: str) -> Iterator[tuple[str, Any]]:
    """Run a file and try each of its parts."""
    namespace: dict[str, Any] = {"__name__": "gradgrid_parts", "__file__": origin}
    try:
        exec(compile(text, origin, "exec"), namespace)
    except SyntaxError as error:
        raise PartError(f"{origin}:{error.lineno}: this is no Python: {error.msg}") from None
    except Exception as error:
        raise PartError(f"{_place(error, origin)}: the file can't be run: {_told(error)}") from error
    found = [part for part in namespace.values() if callable(part) and hasattr(part, _KIND)]
    if not found:
        raise PartError(f"{origin}: no function is marked with @activation, @loss or @initializer of engine.parts")
    for part in found:
        kind, name = getattr(part, _KIND), part.__name__
        subject = f"{origin}:{part.__code__.co_firstlineno}: {kind} {name}"
        if not _NAME.fullmatch(name):
            raise PartError(f"{subject}: names are small letters, digits and _, a letter first")
        if any(name in known for known in BUILT_IN.values()):
            raise PartError(f"{subject}: that is built in; call yours otherwise")
        try:
            _TRIALS[kind](part)
        except PartError as error:
            raise PartError(f"{subject}: {error}") from None
        except Exception as error:
            place = _place(error, origin)
            raise PartError(f"{subject}: it can't be {_TRIED[kind]} ({place}): {_told(error)}{_HINTS[kind]}") from error
        yield name, part


def _try_activation(part: Callable[..., Any]) -> None:
    trace = Trace()
    x = Parameter(trace.input("weight", 0))
    _differentiated(trace, part(x), [x], "its input")
    _refuse_hopeless([probe_activation(part)])


def _try_loss(part: Callable[..., Any]) -> None:
    probes = []
    for outputs in (1, 3):
        trace = Trace()
        predictions = [Parameter(trace.input("weight", k)) for k in range(outputs)]
        error = part(predictions, [trace.input("target", k) for k in range(outputs)])
        _differentiated(trace, error, predictions[:1], "the predictions")
        probes.append(probe_loss(part, *loss_samples(outputs)))
    _refuse_hopeless(probes)


def _refuse_hopeless(probes: Sequence[Probe]) -> None:
    if all(probe.failed == probe.tried for probe in probes):
        raise PartError(f"{probes[0]}; {ADVICE}")


def _differentiated(trace: Trace, result: Any, inputs: list[Parameter], what: str) -> None:
    if not isinstance(result, Parameter):
        raise PartError(f"it returned {result!r}, which does not depend on {what}")
    result.backward()
    trace.index_of(result.value)
    for given in inputs:
        if not isinstance(given.grad, Symbol):
            trace.index_of(given.grad)  # a constant slope is one too


def _try_initializer(part: Callable[..., Any]) -> None:
    first, second = (np.asarray(part(np.random.Generator(np.random.PCG64(0)), _SHAPE)) for _ in range(2))
    if first.shape != _SHAPE or first.dtype.kind not in "fiu" or not np.isfinite(first).all():
        raise PartError(f"for the shape {_SHAPE} it returned {first!r}, not finite numbers of that shape")
    if not np.array_equal(first, second):
        raise PartError("it drew other numbers from the same generator; all chance must come from the one it is given")


_TRIALS: dict[str, Callable[[Callable[..., Any]], None]] = {
    "activation": _try_activation,
    "loss": _try_loss,
    "initializer": _try_initializer,
}
_TRIED = {"activation": "traced", "loss": "traced", "initializer": "called"}
_OPERATIONS = "; write it in the operations of engine.operations (exp, log, sqrt, tanh, sin, maximum, select, ...)"
_HINTS = {"activation": _OPERATIONS, "loss": _OPERATIONS, "initializer": ""}


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, TraceError) else f"{type(error).__name__}: {error}"


def _place(error: BaseException, origin: str) -> str:
    """The last line of the file that an error came through."""
    place, step = origin, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == origin:
            place = f"{origin}:{step.tb_lineno}"
        step = step.tb_next
    return place
