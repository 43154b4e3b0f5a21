"""Fifth pass: write the functions of a step in LLVM's language, and the vector functions that they call.

Every function takes the arrays of a block (see `layout.py`) and one or two more arguments.

>>> from engine.kernels.codegen.target import Target
>>> module = ModuleBuilder(Target("x86-64", "", lanes=2, registers=16, calling_convention="fastcc"), "float64")
>>> with module.function("copy", ["ptr %a", "ptr %b"]) as emitter:
...     emitter.store(emitter.load("%a"), "%b")
>>> print(module.text().partition("define")[2])
 internal fastcc void @copy(ptr %a, ptr %b) nounwind noinline alignstack(16) {
entry:
%v1 = load <2 x double>, ptr %a, align 16
store <2 x double> %v1, ptr %b, align 16
ret void
}
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby

from engine.kernels.codegen.emitter import Emitter, Memory
from engine.kernels.codegen.layout import Layout, OutputFunction, ReduceFunction
from engine.kernels.codegen.loop_program import LoopProgram
from engine.kernels.codegen.loops import write_loops
from engine.kernels.codegen.sample_loop import SampleLoop, Scratch
from engine.kernels.codegen.target import Target
from engine.kernels.codegen.tile import TiledProgram
from engine.kernels.codegen.vectors import IRText, splat
from engine.kernels.vector_math.library import library

ARRAYS = ("parameters", "columns", "sums", "scratch", "features", "targets")
"""The first arguments of the functions of a step: arrays."""


class ModuleBuilder:
    """Collects the functions of a module.

    target: the processor.
    dtype: type of the program's numbers.

    `scratch_bytes` is the size of the memory that the functions need for intermediate values.
    """

    def __init__(self, target: Target, dtype: str) -> None:
        self.target = target
        self.dtype = dtype
        self.lanes = target.lanes * (2 if dtype == "float32" else 1)
        self.scratch_bytes = 0
        self._lines: list[str] = []
        self._called: set[tuple[str, int]] = set()

    def text(self) -> str:
        """Return the text of the module, with the vector functions that it calls."""
        declarations = IRText(self.lanes, self.dtype)
        declarations.declare_intrinsics()
        functions = library(self._called, self.target.lanes, self.target.calling_convention, self.dtype)
        return "\n".join([*declarations.lines, *functions, *self._lines])

    @contextmanager
    def function(self, name: str, arguments: Sequence[str], *, exported: bool = False) -> Iterator[Emitter]:
        """Add a function, in a `with` block that writes its body, and yield the body's emitter.

        name: the function's name.
        arguments: LLVM type and name of each argument.
        exported: whether code outside the module calls it.
        """
        emitter = Emitter(IRText(self.lanes, self.dtype), self.target.calling_convention)
        linkage = "" if exported else "internal fastcc "
        attributes = f"nounwind noinline alignstack({emitter.vector_bytes})"
        emitter.ir.line(f"define {linkage}void @{name}({', '.join(arguments)}) {attributes} {{")
        emitter.start("entry")
        yield emitter
        emitter.ir.line("ret void")
        emitter.ir.line("}")
        self._lines += emitter.ir.lines
        self._called |= emitter.called


def emit_reductions(
    module: ModuleBuilder,
    layout: Layout,
    function: ReduceFunction,
    shared: Sequence[TiledProgram],
    samples: Sequence[TiledProgram],
    widths: tuple[int, int],
) -> None:
    """Write a function `name(arrays, order, count)`: it reduces `count` samples into sums, then stores `count`.

    module: the module to add it to.
    layout, function: the location of values, and the function.
    shared: the loops that compute the values that samples share, if there are any.
    samples: the loops for several samples at once, then those for a remainder, if there can be one.
    widths: numbers of features and of targets of a sample.

    A gathered function reads each trial's samples at their positions in `order`.
    """
    with module.function(function.name, step_arguments("ptr noalias %order", "i64 %count")) as emitter:
        size, reductions = emitter.vector_bytes, len(function.reductions)
        memory, scratch = _memory(emitter, layout), Scratch(emitter)
        shared_at = scratch.reserve(sum(len(tiled.loops.outputs) for tiled in shared) * size)
        for tiled in shared:
            _compute(emitter, tiled, memory, scratch, shared_at)
        memory["shared"] = Memory(shared_at, size)
        if not samples:
            return
        at_once = samples[0].samples
        waiting = _waiting_sums(samples[0])
        _write_zeros(emitter, [k for k in range(reductions) if k not in waiting])
        writer = SampleLoop(emitter, widths, memory, scratch, function.gathered)
        left = emitter.ir.value(f"urem i64 %count, {at_once}")
        evenly = emitter.ir.value(f"sub i64 %count, {left}")
        has_even = emitter.ir.value(f"icmp ne i64 {evenly}, 0")
        with emitter.if_then(has_even):
            writer.write("0", evenly, samples[0])
        for remainder in samples[1:]:
            has_remainder = emitter.ir.value(f"icmp ne i64 {left}, 0")
            with emitter.if_then(has_remainder):
                writer.write(evenly, left, remainder)
        count = emitter.broadcast(emitter.ir.value(f"uitofp i64 %count to {emitter.ir.scalar}"))
        emitter.store(count, emitter.offset("%sums", reductions * size))
        module.scratch_bytes = max(module.scratch_bytes, scratch.size)


def _waiting_sums(tiled: TiledProgram) -> set[int]:
    """Return the sums that are first written at the end of the first block of samples."""
    return {element for loop in tiled.each_block for s in loop.loop.statements for element in s.result.elements}


def _write_zeros(emitter: Emitter, numbers: Sequence[int]) -> None:
    """Write code that sets some sums to 0."""
    size, zero = emitter.vector_bytes, splat(emitter.ir, 0.0)
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        first = emitter.offset("%sums", members[0] * size)
        with emitter.for_range(len(members)) as loop:
            emitter.store(zero, emitter.advance(first, loop.index, size))


def emit_outputs(
    module: ModuleBuilder,
    layout: Layout,
    function: OutputFunction,
    tiled: Sequence[TiledProgram],
    has_exact_inverses: bool = False,
) -> None:
    """Write a function `name(arrays, out)`: it computes outputs from parameters, columns and sums into `out`.

    module, layout, function: as for `emit_reductions`.
    tiled: the loops, if there are any.
    has_exact_inverses: whether each number of samples is a power of two.
    """
    with module.function(function.name, step_arguments("ptr noalias %out")) as emitter:
        memory, scratch = _memory(emitter, layout), Scratch(emitter)
        count = emitter.load(emitter.offset("%sums", len(function.reductions) * emitter.vector_bytes))
        divisor, factor = emitter.mean_scale(count, has_exact_inverses)
        memory["mean"] = Memory("%sums", emitter.vector_bytes, divisor=divisor, factor=factor)
        memory["any"] = Memory("%sums", emitter.vector_bytes, as_flag=True)
        for loops in tiled:
            _compute(emitter, loops, memory, scratch, "%out")
        module.scratch_bytes = max(module.scratch_bytes, scratch.size)


def step_arguments(*more: str) -> list[str]:
    """Return the arguments of a function of a step, with these as the last ones."""
    return [*(f"ptr noalias %{name}" for name in ARRAYS), *more]


def _memory(emitter: Emitter, layout: Layout) -> dict[str | int, Memory]:
    """Return the locations of the arrays from outside."""
    size, weights = emitter.vector_bytes, layout.program.weight_count
    return {
        "weight": Memory("%parameters", size),
        "state": Memory(emitter.offset("%parameters", weights * size), size),
        "column": Memory("%columns", size),
        "sums": Memory("%sums", size),
    }


def _compute(
    emitter: Emitter, tiled: TiledProgram, memory: Mapping[str | int, Memory], scratch: Scratch, target: str
) -> None:
    """Write loops that do not run for each sample. Their outputs become successive vectors from `target` on."""
    direct = _direct_destinations(tiled.loops, emitter, target)
    arrays = {**memory, **scratch.arrays(tiled.loops, 1, direct), **direct}
    write_loops(emitter, tiled, arrays)
    outputs = tiled.loops.outputs
    rest = [None if isinstance(output, tuple) and output[0] in direct else output for output in outputs]
    emitter.copy(rest, arrays, target)


def _direct_destinations(program: LoopProgram, emitter: Emitter, target: str) -> dict[str | int, Memory]:
    """Return the arrays that can be computed in `target` directly, without a copy.

    Each of their elements is an output exactly once, and their positions among the outputs are evenly spaced.
    """
    size = emitter.vector_bytes
    positions: dict[int, dict[int, int]] = defaultdict(dict)
    for position, output in enumerate(program.outputs):
        if isinstance(output, tuple) and isinstance(output[0], int):
            positions[output[0]].setdefault(output[1], position)
    direct: dict[str | int, Memory] = {}
    for array, position_of in positions.items():
        elements = [position_of.get(element) for element in range(program.stored[array].members)]
        first, second = elements[0], elements[1] if len(elements) > 1 else None
        uses = sum(isinstance(output, tuple) and output[0] == array for output in program.outputs)
        if first is None or len(position_of) < uses:
            continue
        step = 1 if second is None else second - first
        if elements == [first + step * element for element in range(len(elements))]:
            direct[array] = Memory(emitter.offset(target, first * size), step * size)
    return direct
