"""Fifth pass: write the functions of a step in LLVM's language, and the vector functions that they call.

Every function takes the arrays of a block (see `layout.py`) and one or two more arguments.

>>> from engine.kernels.codegen.target import Target
>>> module = ModuleBuilder(Target("x86-64", "", lanes=2, registers=16, calling_convention="fastcc"), "float64")
>>> with module.function("copy", ["ptr %a", "ptr %b"]) as emitter:
...     emitter.store(emitter.load("%a"), "%b")
>>> print(module.text().partition("define")[2])
 internal fastcc void @copy(ptr %a, ptr %b) nounwind noinline {
entry:
%v1 = load <2 x double>, ptr %a, align 16
store <2 x double> %v1, ptr %b, align 16
ret void
}
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from engine.kernels.codegen.emitter import Emitter, Memory
from engine.kernels.codegen.gather import write_gather
from engine.kernels.codegen.layout import Layout, OutputFunction, ReduceFunction
from engine.kernels.codegen.loop_program import LoopProgram
from engine.kernels.codegen.loops import write_loops
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
        emitter.ir.line(f"define {linkage}void @{name}({', '.join(arguments)}) nounwind noinline {{")
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
        memory, scratch = _memory(emitter, layout), _Scratch(emitter)
        shared_at = scratch.reserve(sum(len(tiled.loops.outputs) for tiled in shared) * size)
        for tiled in shared:
            _compute(emitter, tiled, memory, scratch, shared_at)
        memory["shared"] = Memory(shared_at, size)
        if not samples:
            return
        at_once = samples[0].samples
        with emitter.for_range(reductions) as loop:
            emitter.store(splat(emitter.ir, 0.0), emitter.advance("%sums", loop.index, size))
        writer = _SampleLoop(emitter, widths, memory, scratch, function.gathered)
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
        memory, scratch = _memory(emitter, layout), _Scratch(emitter)
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
    emitter: Emitter, tiled: TiledProgram, memory: Mapping[str | int, Memory], scratch: _Scratch, target: str
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


class _Scratch:
    """Memory for intermediate values, assigned from its beginning."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self.size = 0

    def reserve(self, count: int) -> str:
        """Reserve some bytes, and return their address."""
        pointer = self._emitter.offset("%scratch", self.size)
        self.size += count
        return pointer

    def arrays(
        self, program: LoopProgram, samples: int, elsewhere: Collection[str | int] = ()
    ) -> dict[str | int, Memory]:
        """Reserve memory for the stored arrays of loops, except for those that are elsewhere, and return it."""
        size = self._emitter.vector_bytes
        memory: dict[str | int, Memory] = {}
        for array, loop in program.stored.items():
            if array in elsewhere:
                continue
            count = samples if loop.per_sample else 1
            memory[array] = Memory(self.reserve(loop.members * count * size), count * size, size if count > 1 else 0)
        return memory


class _SampleLoop:
    """Writes loops over samples, several at once."""

    def __init__(
        self,
        emitter: Emitter,
        widths: tuple[int, int],
        memory: Mapping[str | int, Memory],
        scratch: _Scratch,
        gathered: bool,
    ) -> None:
        self._emitter, self._memory = emitter, memory
        self._widths = {"feature": widths[0], "target": widths[1]}
        self._scratch, self._gathered = scratch, gathered

    def write(self, begin: str, count: str, tiled: TiledProgram) -> None:
        """Write the loop over `count` samples from `begin` on. The count is a multiple of `tiled.samples`."""
        emitter, at_once = self._emitter, tiled.samples
        stored = self._scratch.arrays(tiled.loops, at_once)
        with emitter.for_range(count, at_once) as loop:
            first = loop.index if begin == "0" else emitter.ir.value(f"add i64 {loop.index}, {begin}")
            samples: dict[str | int, Memory] = {
                kind: self._gather(kind, width, first, at_once) if self._gathered else self._rows(kind, width, first)
                for kind, width in self._widths.items()
            }
            write_loops(emitter, tiled, {**self._memory, **stored, **samples})

    def _rows(self, kind: str, width: int, first: str) -> Memory:
        """Return the location of the samples' rows, which all trials share."""
        size = self._emitter.scalar_bytes
        return Memory(self._emitter.advance(f"%{kind}s", first, width * size), size, width * size, scalar=True)

    def _gather(self, kind: str, width: int, first: str, at_once: int) -> Memory:
        """Write code that copies each trial's samples into scratch memory, and return their location."""
        emitter, vector = self._emitter, self._emitter.vector_bytes
        target = self._scratch.reserve(width * at_once * vector)
        order = emitter.advance("%order", first, emitter.ir.lanes * 4)
        write_gather(emitter, kind, width, order, at_once, target)
        return Memory(target, at_once * vector, vector)
