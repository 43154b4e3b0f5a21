r"""Compile a Program to machine code: `lower` is the list of passes. Every stage can be printed.

>>> from engine import LOSSES, MLP, OPTIMIZERS, trace_step
>>> program = trace_step(MLP([2, 1]), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=2, targets=1)
>>> stages = lower(program, host_target(), Options("float64", widths=(2, 1), sample_counts=(40,)))
>>> print(stages.fused["update"])  # each of the three weights minus its gradient times the learning rate
for i in 0 .. 2:
    a0[i] = neg mean[i]
    a1[i] = dot weight[i] + a0[i] * column[0]
return a1[0] a1[1] a1[2]
>>> stages.module.text().count("\n") > 500
True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd

from engine.kernels.codegen.fuse import fuse
from engine.kernels.codegen.layout import Computation, Layout, OutputFunction
from engine.kernels.codegen.loop_program import LoopProgram
from engine.kernels.codegen.module import ModuleBuilder, emit_outputs, emit_reductions
from engine.kernels.codegen.reroll import reroll
from engine.kernels.codegen.target import JitModule, Target, host_target
from engine.kernels.codegen.tile import TiledProgram, tile
from engine.kernels.codegen.train_loop import emit_train_loop
from engine.program import Program

__all__ = ["CompiledProgram", "Options", "Stages", "compile_program", "host_target", "lower"]

_SAMPLES_AT_ONCE = 8


@dataclass(frozen=True)
class Options:
    """The settings of the code, besides the program and the target.

    dtype: type of all numbers, `float64` or `float32`.
    widths: numbers of features and of targets of a sample.
    sample_counts: numbers of training samples, of test samples and of samples in batches. Loops that take several
    samples at once need code for a remainder only if one of these numbers leaves one.
    tested: whether there are test samples.
    batches: whether there are minibatches.
    gradients: whether the gradient of each weight is recorded.
    """

    dtype: str
    widths: tuple[int, int]
    sample_counts: tuple[int, ...]
    tested: bool = False
    batches: bool = False
    gradients: bool = False

    def samples_at_once(self, computation: Computation) -> tuple[int, ...]:
        """Return the number of samples that go through the loops at once, then that of a remainder, if there is one."""
        if not computation.sums:
            return (1,)
        at_once = min(_SAMPLES_AT_ONCE, *self.sample_counts)
        remainder = gcd(*(count % at_once for count in self.sample_counts))
        return (at_once, remainder) if remainder else (at_once,)


@dataclass(frozen=True)
class Stages:
    """A program after each pass.

    layout: the location of values in memory, and the functions that compute them.
    rerolled, fused: computation -> its loops.
    tiled: computation -> its loops, cut into tiles for several samples at once, then for a remainder, if there is one.
    module: the functions in LLVM's language, with the train loop.
    """

    layout: Layout
    rerolled: Mapping[str, LoopProgram]
    fused: Mapping[str, LoopProgram]
    tiled: Mapping[str, tuple[TiledProgram, ...]]
    module: ModuleBuilder

    def __str__(self) -> str:
        """The layout, then the tiled loops of each computation."""
        computations = [f"{name}:\n{tiled}" for name, versions in self.tiled.items() for tiled in versions]
        return "\n\n".join([str(self.layout), *computations])


@dataclass(frozen=True)
class CompiledProgram:
    """The machine code of a program, and the stages before it."""

    stages: Stages
    code: JitModule


def compile_program(program: Program, target: Target, options: Options) -> CompiledProgram:
    """Return the machine code of a program. Its function `run` trains a block of trials: see `train_loop.py`."""
    stages = lower(program, target, options)
    return CompiledProgram(stages, JitModule(stages.module.text(), target))


def lower(program: Program, target: Target, options: Options) -> Stages:
    """Return a program after each pass: layout, reroll, fuse, tile, emit."""
    layout = Layout(program, options.tested, options.batches, options.gradients)
    rerolled = {name: reroll(program, computation) for name, computation in layout.computations.items()}
    fused = {name: fuse(loops) for name, loops in rerolled.items()}
    tiled = {
        name: tuple(
            tile(fused[name], samples=samples, registers=target.registers)
            for samples in options.samples_at_once(computation)
        )
        for name, computation in layout.computations.items()
    }
    module = _emit(layout, tiled, target, options)
    return Stages(layout, rerolled, fused, tiled, module)


def _emit(
    layout: Layout, tiled: Mapping[str, tuple[TiledProgram, ...]], target: Target, options: Options
) -> ModuleBuilder:
    """Write the functions of a step, then the train loop that calls them."""
    module = ModuleBuilder(target, options.dtype)
    for function in layout.functions:
        if isinstance(function, OutputFunction):
            emit_outputs(module, layout, function, tiled.get(function.name, ()))
        else:
            shared, samples = tiled.get(function.shared, ()), tiled.get(function.samples, ())
            emit_reductions(module, layout, function, shared, samples, options.widths)
    emit_train_loop(module, layout)
    return module
