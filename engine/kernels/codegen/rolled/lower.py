"""The passes for rolled programs: layout, schedule, and the functions in LLVM's language.

>>> from engine import LOSSES, MLP, OPTIMIZERS, UpdateRule
>>> from engine.kernels.codegen.pipeline import Options, host_target
>>> from engine.rolled_tracing import trace_rolled
>>> rule = UpdateRule(OPTIMIZERS["sgd"])
>>> program = trace_rolled(MLP([20, 30, 1]), LOSSES["mean_squared_error"], rule, targets=1)
>>> stages = lower_rolled(program, host_target(), Options("float64", widths=(20, 1), sample_counts=(40,)))
>>> print(str(stages).splitlines()[-1])
%13[l1] %17[l1]: elementwise, stores %13 %17
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.kernels.codegen.layout import OutputFunction
from engine.kernels.codegen.module import ModuleBuilder
from engine.kernels.codegen.options import Options, tile_sizes
from engine.kernels.codegen.rolled.functions import emit_rolled_outputs, emit_rolled_reductions
from engine.kernels.codegen.rolled.layout import RolledLayout
from engine.kernels.codegen.rolled.schedule import Schedule
from engine.kernels.codegen.target import Target
from engine.kernels.codegen.train_loop import emit_train_loop
from engine.rolled import RolledProgram

_SAMPLES_AT_ONCE = 4


@dataclass(frozen=True)
class RolledStages:
    """A rolled program after each pass.

    layout: the location of values in memory, and the functions that compute them.
    schedule: the loops over the training samples.
    module: the functions in LLVM's language, with the train loop.
    """

    layout: RolledLayout
    schedule: Schedule
    module: ModuleBuilder

    def __str__(self) -> str:
        """The layout, then the schedule."""
        return f"{self.layout}\n\n{self.schedule}"


def lower_rolled(program: RolledProgram, target: Target, options: Options) -> RolledStages:
    """Return a rolled program after each pass."""
    layout = RolledLayout(program, options.tested, options.batches, options.gradients)
    module = ModuleBuilder(target, options.dtype)
    for function in layout.functions:
        if isinstance(function, OutputFunction):
            emit_rolled_outputs(module, layout, function, options.has_exact_inverses(function.name))
        else:
            emit_rolled_reductions(
                module, layout, function, tile_sizes(_SAMPLES_AT_ONCE, options.sample_counts), options.widths
            )
    emit_train_loop(module, layout, options.scores)
    return RolledStages(layout, Schedule.of(program, layout.reductions), module)
