"""The bound of the engine's speed on this processor: its multiply-adds and functions, each at their own measured rate.

Nothing else is counted: no loads, no sums of biases, no updates, no ends of loops.
"""

from __future__ import annotations

import ctypes
import time
from functools import cache
from itertools import pairwise

import numpy as np

from engine.kernels.codegen.emitter import Emitter
from engine.kernels.codegen.target import JitModule, host_target
from engine.kernels.codegen.vectors import IRText, fma
from engine.kernels.vector_math.library import library

_AT_ONCE = 8
_CHAINS = 24  # of multiply-adds that do not wait for each other
_ROUNDS = 7
_REPEATS = 200_000


def bound(widths: tuple[int, ...], dtype: str, *, outputs_bend: bool) -> float:
    """Return the least nanoseconds for a sample, a step and a trial: all multiply-adds and all tanh.

    widths: of the layers, inputs first. outputs_bend: whether the outputs have a tanh.
    """
    sizes = [inputs * units for inputs, units in pairwise(widths)]
    multiply_adds = 2 * sum(sizes) + sum(sizes[1:])  # forward and gradient, and backward but for the first layer
    functions = sum(widths[1:] if outputs_bend else widths[1:-1])
    return multiply_adds * nanoseconds("fma", dtype) + functions * nanoseconds("tanh", dtype)


@cache
def nanoseconds(operation: str, dtype: str) -> float:
    """Return the nanoseconds of a fused multiply-add or a vector function, for one number."""
    target = host_target()
    ir = IRText(target.lanes * (2 if dtype == "float32" else 1), dtype)
    declarations = IRText(ir.lanes, dtype)
    declarations.declare_intrinsics()
    emitter = Emitter(ir, target.calling_convention)
    ir.line("define void @repeat(ptr %memory, i64 %count) {")
    emitter.start("entry")
    count = _CHAINS if operation == "fma" else _AT_ONCE
    first = [emitter.load(emitter.offset("%memory", k * emitter.vector_bytes)) for k in range(count)]
    with emitter.for_range("%count", carried=first) as loop:
        values = emitter.vectors(*loop.carried)
        result = fma(values, 0.5, 0.5) if operation == "fma" else emitter.call(operation, [values])
        loop.carry(result.names)
    for k, name in enumerate(loop.carried):
        emitter.store(name, emitter.offset("%memory", k * emitter.vector_bytes))
    ir.line("ret void")
    ir.line("}")
    functions = library(emitter.called, target.lanes, target.calling_convention, dtype)
    code = JitModule("\n".join([*declarations.lines, *functions, *ir.lines]), target)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.address("repeat"))
    memory = np.ones((count + 1) * emitter.vector_bytes, dtype=np.uint8)
    address = memory.ctypes.data + -memory.ctypes.data % emitter.vector_bytes
    taken = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        run(address, _REPEATS)
        taken.append(time.process_time() - began)
    return min(taken) / (_REPEATS * count * ir.lanes) * 1e9
