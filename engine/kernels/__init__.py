"""Kernels: the ways to run a Program over a population of trials and the samples of a data set."""

from __future__ import annotations

from typing import Literal

AUTO = "auto"
KERNELS = ("compiled", "reference")

LARGEST_COMPILED = 5_000
"""Largest number of weights of a program that `auto` compiles."""


def resolve_kernel(kernel: str, weights: int) -> Literal["compiled", "reference"]:
    """Return the kernel that a name stands for, given the program's number of weights.

    `auto` is `compiled`, or `reference` if there are more than LARGEST_COMPILED weights. Raises ValueError for an
    unknown name.
    """
    if kernel == AUTO:
        return "compiled" if weights <= LARGEST_COMPILED else "reference"
    if kernel not in KERNELS:
        raise ValueError(f"no kernel is called {kernel!r}; known are {AUTO}, {', '.join(KERNELS)}")
    return "compiled" if kernel == "compiled" else "reference"


def target_description() -> str:
    """Return the processor that programs are compiled for on this machine, in words."""
    from engine.kernels.codegen.target import host_target

    target = host_target()
    return f"LLVM for {target.cpu}, {target.lanes} trials in a vector"
