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

from engine.kernels.codegen.fuse import fuse
from engine.kernels.codegen.layout import Layout, OutputFunction
from engine.kernels.codegen.loop_program import LoopProgram
from engine.kernels.codegen.module import ModuleBuilder, emit_outputs, emit_reductions
from engine.kernels.codegen.options import Options
from engine.kernels.codegen.reroll import reroll
from engine.kernels.codegen.rolled.lower import RolledStages, lower_rolled
from engine.kernels.codegen.target import JitModule, Target, host_target
from engine.kernels.codegen.tile import TiledProgram, tile
from engine.kernels.codegen.train_loop import emit_train_loop
from engine.program import Program
from engine.rolled import RolledProgram

__all__ = ["CompiledProgram", "Options", "Stages", "compile_program", "host_target", "lower"]


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

    stages: Stages | RolledStages
    code: JitModule


def compile_program(program: Program, target: Target, options: Options) -> CompiledProgram:
    """Return the machine code of a program. Its function `run` trains a block of trials: see `train_loop.py`."""
    if isinstance(program, RolledProgram):
        stages: Stages | RolledStages = lower_rolled(program, target, options)
    else:
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
            exact = options.has_exact_inverses(function.name)
            emit_outputs(module, layout, function, tiled.get(function.name, ()), exact)
        else:
            shared, samples = tiled.get(function.shared, ()), tiled.get(function.samples, ())
            emit_reductions(module, layout, function, shared, samples, options.widths)
    emit_train_loop(module, layout, options.scores)
    return module
