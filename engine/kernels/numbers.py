"""A kernel's arithmetic on single numbers: what it does to a lane, done by hand, to the same bits."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import numpy as np

from engine.kernels.emitter import Emitter
from engine.kernels.functions import FUNCTIONS, INTRINSICS, library
from engine.kernels.machine import Compiled, host
from engine.kernels.vectors import Code, fma
from engine.operations import PRIMITIVES, Operation, Scalar
from engine.tracing import Fusing

Compute = Callable[..., Any]
LookUp = Callable[[str], Compute | None]
"""How an arithmetic computes a primitive in its own way, or None where that is everybody's."""


class Number(Fusing):
    """A number that knows what it was made of, so that sums with a product are fused as in a Program."""

    __slots__ = ("look_up", "made", "value")
    precedence: ClassVar[int] = 1

    def __init__(
        self, value: np.floating[Any], look_up: LookUp, made: tuple[str, tuple[Scalar, ...]] | None = None
    ) -> None:
        self.value = value
        self.look_up = look_up
        self.made = made

    def made_by(self) -> tuple[str, tuple[Scalar, ...]] | None:
        return self.made

    def compute(self, operation: Operation, operands: tuple[Scalar, ...]) -> Number:
        kind = type(self.value)
        plain = [o.value if isinstance(o, Number) else kind(o) for o in operands]
        forward = self.look_up(operation.name) or operation.forward
        with np.errstate(all="ignore"):
            return Number(kind(forward(*plain)), self.look_up, (operation.name, operands))


def arithmetic(kernel: str, dtype: str) -> Callable[[float], Number]:
    """What makes Numbers of a kernel's arithmetic out of numbers."""
    kind: type[np.floating[Any]] = np.dtype(dtype).type

    def look_up(name: str) -> Compute | None:
        return compiled_function(name, dtype) if kernel == "compiled" and name in _OWN else None

    return lambda value: Number(kind(value), look_up)


_OWN = frozenset({*FUNCTIONS, "fma"})


@cache
def compiled_function(name: str, dtype: str) -> Compute:
    """One of the compiled kernel's functions, or fma, for single numbers."""
    call, lanes, code = _vector_function(name, dtype)
    kind = np.dtype(dtype)
    arity = PRIMITIVES[name].arity or 1
    memory = np.zeros((arity + 1, lanes), dtype=kind)
    address = memory.ctypes.data

    def compute(*operands: float, kept: Compiled = code) -> Any:
        memory[:arity] = np.array(operands, dtype=kind)[:, None]
        call(address)
        return memory[arity, 0]

    return compute


def _vector_function(name: str, dtype: str) -> tuple[Any, int, Compiled]:
    """`apply(memory)`: a row of operands after another, and then the results."""
    machine = host()
    code = Code(machine.lanes * (2 if dtype == "float32" else 1), dtype)
    declarations = [
        f"declare {code.real} @llvm.{intrinsic}.{code.suffix}({', '.join([code.real] * arity)})"
        for intrinsic, arity in INTRINSICS.items()
    ]
    declarations.append(f"declare i1 @llvm.vector.reduce.or.v{code.lanes}i1(<{code.lanes} x i1>)")
    emitter = Emitter(code, machine.convention)
    code.line("define void @apply(ptr %memory) {")
    emitter.start("entry")
    arity = PRIMITIVES[name].arity or 1
    size = emitter.vector_bytes
    rows = [
        emitter.lanes(code.value(f"load {code.real}, ptr {emitter.offset('%memory', k * size)}, align 8"))
        for k in range(arity)
    ]
    result = fma(*rows) if name == "fma" else emitter.call(name, rows)
    code.line(f"store {code.real} {result.names[0]}, ptr {emitter.offset('%memory', arity * size)}, align 8")
    code.line("ret void")
    code.line("}")
    text = "\n".join([*declarations, *library(emitter.called, machine, dtype), *code.lines])
    compiled = Compiled(text, machine)
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compiled.address("apply")), code.lanes, compiled
