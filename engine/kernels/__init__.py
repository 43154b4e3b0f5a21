"""Kernels: implementations that run a Program for the trials of a population and the samples of a data set."""

from __future__ import annotations

from typing import Literal

AUTO = "auto"
KERNELS = ("compiled", "reference")

LARGEST_COMPILED = 5_000
"""Largest number of weights with which `auto` compiles a program."""


def resolve_kernel(kernel: str, weights: int) -> Literal["compiled", "reference"]:
    """Return the kernel for a name and a program's number of weights.

    `auto` is `compiled` for up to LARGEST_COMPILED weights, and `reference` for more. Raises ValueError for an unknown
    name.
    """
    if kernel == AUTO:
        return "compiled" if weights <= LARGEST_COMPILED else "reference"
    if kernel not in KERNELS:
        raise ValueError(f"no kernel is called {kernel!r}; known are {AUTO}, {', '.join(KERNELS)}")
    return "compiled" if kernel == "compiled" else "reference"


def target_description() -> str:
    """Return a description of the processor for which programs are compiled on this machine."""
    from engine.kernels.codegen.target import host_target

    target = host_target()
    return f"LLVM for {target.cpu}, {target.lanes} trials in a vector"
