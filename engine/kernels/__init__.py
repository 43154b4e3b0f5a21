"""Kernels: the ways to run a Program over a population of trials and the samples of a data set."""

from __future__ import annotations

from collections.abc import Callable

from engine.history import History
from engine.program import Program
from engine.training import Training

AUTO = "auto"
KERNELS = ("compiled", "reference")

LARGEST_COMPILED = 5_000
"""Weights of a program up to which `auto` compiles it."""


def resolve_kernel(kernel: str, weights: int) -> str:
    """The kernel that a name stands for: `auto` is `compiled`, but `reference` for a program of very many weights.

    Raises ValueError for an unknown name.
    """
    if kernel == AUTO:
        return "compiled" if weights <= LARGEST_COMPILED else "reference"
    if kernel not in KERNELS:
        raise ValueError(f"no kernel is called {kernel!r}; known are {AUTO}, {', '.join(KERNELS)}")
    return kernel


def compiled_for() -> str:
    """The processor that programs are compiled for here, in words."""
    from engine.kernels.machine import host

    return f"LLVM for {host().cpu}, {host().lanes} trials in a vector"


def choose_kernel(kernel: str, program: Program) -> Callable[[Training], History]:
    """What trains a program by this kernel; LLVM is imported only where it is used."""
    if resolve_kernel(kernel, program.weight_count) == "reference":
        from engine.kernels import reference

        return reference.train
    from engine.kernels import compiled

    return compiled.train
