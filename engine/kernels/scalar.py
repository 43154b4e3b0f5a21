"""A kernel's arithmetic on single numbers, with the same bits as in its vectors. `replay` computes with these numbers.

>>> number = scalar_factory("compiled", "float64")
>>> a, b = number(0.1), number(10.0)
>>> (a * b - 1.0).value  # rounded once, as in the kernel's fused multiply-add
np.float64(5.551115123125783e-17)
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, TypeAlias

import numpy as np

from engine.fused_scalar import FusedScalar
from engine.kernels.codegen.emitter import Emitter
from engine.kernels.codegen.target import JitModule, host_target
from engine.kernels.codegen.vectors import IRText, fma
from engine.kernels.vector_math.functions import FUNCTIONS
from engine.kernels.vector_math.library import library
from engine.operations import PRIMITIVES, Operation, Scalar

Compute: TypeAlias = Callable[..., Any]
"""Operands, as plain numbers -> the result of a primitive."""
LookUp: TypeAlias = Callable[[str], Compute | None]
"""Primitive -> the kernel's function for it, or None to use the default."""


class KernelScalar(FusedScalar):
    """A number that remembers how it was computed, so that a product in a sum is fused as in a Program.

    value: the number.
    look_up: gives the kernel's function for a primitive.
    producer: the primitive and operands whose result the number is; None for an input.
    """

    __slots__ = ("_producer", "look_up", "value")
    trace_level: ClassVar[int] = 1

    def __init__(
        self, value: np.floating[Any], look_up: LookUp, producer: tuple[str, tuple[Scalar, ...]] | None = None
    ) -> None:
        self.value = value
        self.look_up = look_up
        self._producer = producer

    def producer(self) -> tuple[str, tuple[Scalar, ...]] | None:
        return self._producer

    def evaluate(self, operation: Operation, operands: tuple[Scalar, ...]) -> KernelScalar:
        kind = type(self.value)
        plain = [o.value if isinstance(o, KernelScalar) else kind(o) for o in operands]
        forward = self.look_up(operation.name) or operation.forward
        with np.errstate(all="ignore"):
            return KernelScalar(kind(forward(*plain)), self.look_up, (operation.name, operands))


def scalar_factory(kernel: str, dtype: str) -> Callable[[float], KernelScalar]:
    """Return a function that turns a float into a number of a kernel's arithmetic.

    kernel: `compiled` or `reference`. dtype: `float64` or `float32`.
    """
    kind: type[np.floating[Any]] = np.dtype(dtype).type

    def look_up(name: str) -> Compute | None:
        return compiled_function(name, dtype) if kernel == "compiled" and name in _COMPILED else None

    return lambda value: KernelScalar(kind(value), look_up)


_COMPILED = frozenset({*FUNCTIONS, "fma"})


@cache
def compiled_function(name: str, dtype: str) -> Compute:
    """Return one of the compiled kernel's FUNCTIONS, or fma, as a function of single numbers."""
    code, lanes = _compile_function(name, dtype)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address("apply"))
    kind = np.dtype(dtype)
    arity = PRIMITIVES[name].arity or 1
    memory = np.zeros((arity + 1, lanes), dtype=kind)
    address = memory.ctypes.data

    def compute(*operands: float, code: JitModule = code) -> Any:  # the default keeps the code in memory
        memory[:arity] = np.array(operands, dtype=kind)[:, None]
        call(address)
        return memory[arity, 0]

    return compute


def _compile_function(name: str, dtype: str) -> tuple[JitModule, int]:
    """Return (code with the function `apply(memory)`, its lanes).

    The memory has a vector for each operand and then one for the result.
    """
    target = host_target()
    ir = IRText(target.lanes * (2 if dtype == "float32" else 1), dtype)
    declarations = IRText(ir.lanes, dtype)
    declarations.declare_intrinsics()
    emitter = Emitter(ir, target.calling_convention)
    ir.line("define void @apply(ptr %memory) {")
    emitter.start("entry")
    arity = PRIMITIVES[name].arity or 1
    size = emitter.vector_bytes
    operands = [
        emitter.vectors(ir.value(f"load {ir.real}, ptr {emitter.offset('%memory', k * size)}, align 8"))
        for k in range(arity)
    ]
    result = fma(*operands) if name == "fma" else emitter.call(name, operands)
    ir.line(f"store {ir.real} {result.names[0]}, ptr {emitter.offset('%memory', arity * size)}, align 8")
    ir.line("ret void")
    ir.line("}")
    functions = library(emitter.called, target.lanes, target.calling_convention, dtype)
    return JitModule("\n".join([*declarations.lines, *functions, *ir.lines]), target), ir.lanes
