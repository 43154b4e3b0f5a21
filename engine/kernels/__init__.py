"""Kernels: implementations that run a Program for the trials of a population and the samples of a data set."""

from __future__ import annotations

from typing import Literal

AUTO = "auto"
KERNELS = ("compiled", "reference")


def resolve_kernel(kernel: str, weights: int = 0) -> Literal["compiled", "reference"]:
    """Return the kernel for a name. `auto` is `compiled`, which is faster for networks of any size.

    weights: number of weights. It decides nothing any more; it stays for callers of earlier versions.

    Raises ValueError for an unknown name.
    """
    if kernel != AUTO and kernel not in KERNELS:
        raise ValueError(f"no kernel is called {kernel!r}; known are {AUTO}, {', '.join(KERNELS)}")
    return "reference" if kernel == "reference" else "compiled"


def target_description() -> str:
    """Return a description of the processor for which programs are compiled on this machine."""
    from engine.kernels.codegen.target import host_target

    target = host_target()
    return f"LLVM for {target.cpu}, {target.lanes} trials in a vector"
