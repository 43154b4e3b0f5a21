"""The target processor, and LLVM's compiler for it.

>>> module = JitModule("define i64 @answer() { ret i64 42 }", host_target())
>>> import ctypes
>>> ctypes.CFUNCTYPE(ctypes.c_int64)(module.address("answer"))()
42
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm


@dataclass(frozen=True)
class Target:
    """A processor. It decides the speed of the code, and no bit of its results.

    cpu, features: LLVM's names of the processor and of its features.
    lanes: doubles in a vector.
    registers: number of vector registers.
    calling_convention: LLVM's name of a convention that passes many vectors in registers.
    """

    cpu: str
    features: str
    lanes: int
    registers: int
    calling_convention: str


@cache
def host_target() -> Target:
    """Return the processor of this machine."""
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
    if platform.machine() not in ("x86_64", "AMD64"):
        return Target(cpu, features.flatten(), lanes=2, registers=32, calling_convention="fastcc")
    if features.get("avx512f") and features.get("avx512dq"):
        # LLVM prefers shorter vectors on some processors, because long vectors reduced the clock rate of older ones
        return Target(cpu, f"{features.flatten()},-prefer-256-bit", 8, 32, "x86_regcallcc")
    has_avx2 = features.get("avx2") and features.get("fma")
    return Target(cpu, features.flatten(), 4 if has_avx2 else 2, 16, "x86_regcallcc")


class JitModule:
    """A compiled module in this process. Its functions exist as long as this object.

    text: the module in LLVM's language. target: the processor.

    LLVM's optimisation passes are not run. The text is straight-line code already, and they would double the time.
    """

    def __init__(self, text: str, target: Target) -> None:
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), llvm_target_machine(target))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Return the address of a function."""
        address: int = self._engine.get_function_address(name)
        return address


@cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def llvm_target_machine(target: Target) -> Any:
    """Return LLVM's object for a target."""
    _initialize()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=target.cpu, features=target.features, opt=1, jit=True
    )
