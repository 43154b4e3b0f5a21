"""Where compiled code runs: the processor, how many lanes its vectors have, and LLVM's compiler for it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm


@dataclass(frozen=True)
class Machine:
    """A processor by LLVM's names. All of it decides on speed, and nothing on a bit of the results.

    lanes: doubles in a vector. registers: for vectors. convention: how functions are called that take and return many.
    """

    cpu: str
    features: str
    lanes: int
    registers: int
    convention: str


@cache
def host() -> Machine:
    """The processor that this process runs on."""
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features()
    if platform.machine() not in ("x86_64", "AMD64"):
        return Machine(cpu, features.flatten(), lanes=2, registers=32, convention="fastcc")
    if features.get("avx512f") and features.get("avx512dq"):
        # LLVM halves the vectors of some processors, whose clock long ones once slowed down
        return Machine(cpu, f"{features.flatten()},-prefer-256-bit", 8, 32, "x86_regcallcc")
    wide = features.get("avx2") and features.get("fma")
    return Machine(cpu, features.flatten(), 4 if wide else 2, 16, "x86_regcallcc")


class Compiled:
    """Machine code in this process; it stays as long as this object does."""

    def __init__(self, text: str, machine: Machine) -> None:
        self._engine = _compile(text, machine)

    def address(self, name: str) -> int:
        """Where a function begins."""
        address: int = self._engine.get_function_address(name)
        return address


@cache
def _ready() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def target_machine(machine: Machine) -> Any:
    """LLVM's own view of the machine."""
    _ready()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=machine.cpu, features=machine.features, opt=1, jit=True)


def _compile(text: str, machine: Machine) -> Any:
    """No passes over the text: it is straight already, and they take as long as all the rest."""
    module = llvm.parse_assembly(text)
    engine = llvm.create_mcjit_compiler(module, target_machine(machine))
    engine.finalize_object()
    return engine
