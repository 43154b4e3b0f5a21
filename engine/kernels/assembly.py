"""A Program as a module of LLVM's language: the functions of a step, and the library's functions that they call.

A block is as many trials as a vector has lanes. Its memory holds vectors, a number for each trial: `parameters` are the
weights and the optimiser's state, `columns` the hyperparameters and the clock, `sums` the reductions over samples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import gcd

from engine.kernels import functions
from engine.kernels.emitter import Emitter, Memory
from engine.kernels.layout import Layout
from engine.kernels.loops import write_loops
from engine.kernels.machine import Machine
from engine.kernels.rolling import Place, Rolled, roll
from engine.kernels.vectors import Code, splat
from engine.program import Program

_SAMPLES_AT_ONCE = 8

ARRAYS = ("parameters", "columns", "sums", "scratch", "features", "targets")
"""What a step's functions are given, besides a count of samples or a place for results."""


class Assembly:
    """The module of a program, for a machine and a type of number.

    `widths`: how many features and targets a sample has. `counts`: how many samples there are in the training part, in
    the test part and in batches, so that loops which go over several at once know whether any are left over.
    """

    def __init__(
        self, program: Program, machine: Machine, dtype: str, widths: tuple[int, int], counts: Sequence[int]
    ) -> None:
        self.layout = Layout(program)
        self.scratch_bytes = 0
        self._widths = dict(zip(("feature", "target"), widths, strict=True))
        self._machine = machine
        self._dtype = dtype
        self._lanes = machine.lanes * (2 if dtype == "float32" else 1)
        self._at_once = min(_SAMPLES_AT_ONCE, *counts)
        self._left_over = gcd(*(count % self._at_once for count in counts))
        self._text: list[str] = []
        self._called: set[tuple[str, int]] = set()

    @property
    def lanes(self) -> int:
        return self._lanes

    def text(self) -> str:
        """All that was defined, with the library's functions."""
        code = Code(self._lanes, self._dtype)
        for name, operands in functions.INTRINSICS.items():
            code.line(f"declare {code.real} @llvm.{name}.{code.suffix}({', '.join([code.real] * operands)})")
        code.line(f"declare i1 @llvm.vector.reduce.or.v{self._lanes}i1(<{self._lanes} x i1>)")
        return "\n".join([*code.lines, *functions.library(self._called, self._machine, self._dtype), *self._text])

    @contextmanager
    def function(self, name: str, arguments: Sequence[str], *, exported: bool = False) -> Iterator[Emitter]:
        """Define a function of these arguments, each an LLVM type and a name."""
        emitter = Emitter(Code(self._lanes, self._dtype), self._machine.convention)
        linkage = "" if exported else "internal fastcc "
        emitter.code.line(f"define {linkage}void @{name}({', '.join(arguments)}) nounwind noinline {{")
        emitter.start("entry")
        yield emitter
        emitter.code.line("ret void")
        emitter.code.line("}")
        self._text += emitter.code.lines
        self._called |= emitter.called

    def define_sums(self, name: str, reductions: Sequence[int], *, gathered: bool = False) -> None:
        """`name(arrays, order, count)`: reduce samples into sums, and behind them note their count.

        `gathered`: each trial has samples of its own, by their numbers in `order`.
        """
        with self.function(name, _arguments("ptr noalias %order", "i64 %count")) as emitter:
            layout, size = self.layout, emitter.vector_bytes
            shared = layout.before_samples(reductions)
            sources = layout.inputs | {value: ("shared", k) for k, value in enumerate(shared)}
            memory, scratch = self._memory(emitter), _Scratch(emitter)
            shared_at = scratch.reserve(len(shared) * size)
            self._compute(emitter, shared, memory, scratch, shared_at)
            memory["shared"] = Memory(shared_at, size)
            if not reductions:
                return
            with emitter.repeat(len(reductions)) as loop:
                emitter.store(splat(emitter.code, 0.0), emitter.advance("%sums", loop.at, size))
            sums: dict[int, Place] = {value: ("sums", k) for k, value in enumerate(reductions)}
            rolled = roll(layout.program, reductions, sources, sums)
            writer = _SampleLoop(emitter, self._widths, rolled, memory, scratch, gathered, self._machine.registers)
            left = emitter.code.value(f"urem i64 %count, {self._at_once}")
            even = emitter.code.value(f"sub i64 %count, {left}")
            some = emitter.code.value(f"icmp ne i64 {even}, 0")
            with emitter.when(some):
                writer.write("0", even, self._at_once)
            if self._left_over:
                some = emitter.code.value(f"icmp ne i64 {left}, 0")
                with emitter.when(some):
                    writer.write(even, left, self._left_over)
            count = emitter.spread(emitter.code.value(f"uitofp i64 %count to {emitter.code.scalar}"))
            emitter.store(count, emitter.offset("%sums", len(reductions) * size))
            self.scratch_bytes = max(self.scratch_bytes, scratch.size)

    def define_outputs(self, name: str, outputs: Sequence[str], reductions: Sequence[int]) -> None:
        """`name(arrays, out)`: compute these outputs from parameters, columns and sums, into successive vectors."""
        with self.function(name, _arguments("ptr noalias %out")) as emitter:
            memory, scratch = self._memory(emitter), _Scratch(emitter)
            count = emitter.load(emitter.offset("%sums", len(reductions) * emitter.vector_bytes))
            memory["mean"] = Memory("%sums", emitter.vector_bytes, count=count)
            memory["any"] = Memory("%sums", emitter.vector_bytes, found=True)
            sums = {v: ("mean" if self.layout.is_mean(v) else "any", k) for k, v in enumerate(reductions)}
            self._compute(emitter, self.layout.values(outputs), memory, scratch, "%out", self.layout.inputs | sums)
            self.scratch_bytes = max(self.scratch_bytes, scratch.size)

    def _compute(
        self,
        emitter: Emitter,
        values: Sequence[int],
        memory: dict[str | int, Memory],
        scratch: _Scratch,
        to: str,
        sources: Mapping[int, Place] | None = None,
    ) -> None:
        """Values that do not differ by sample."""
        if not values:
            return
        rolled = roll(self.layout.program, values, sources or self.layout.inputs)
        there = _destinations(rolled, emitter, to)
        own = memory | scratch.arrays(rolled, 1, there) | there
        write_loops(emitter, rolled, own, samples=1, registers=self._machine.registers)
        left = [None if isinstance(place, tuple) and place[0] in there else place for place in rolled.places]
        emitter.copy(left, own, to)

    def _memory(self, emitter: Emitter) -> dict[str | int, Memory]:
        size, weights = emitter.vector_bytes, self.layout.program.weight_count
        return {
            "weight": Memory("%parameters", size),
            "state": Memory(emitter.offset("%parameters", weights * size), size),
            "column": Memory("%columns", size),
            "sums": Memory("%sums", size),
        }


def _destinations(rolled: Rolled, emitter: Emitter, to: str) -> dict[str | int, Memory]:
    """Arrays all of whose members are wanted, and go evenly to where they are wanted: they are computed there."""
    size = emitter.vector_bytes
    targets: dict[int, dict[int, int]] = defaultdict(dict)
    for target, place in enumerate(rolled.places):
        if isinstance(place, tuple) and isinstance(place[0], int):
            targets[place[0]].setdefault(place[1], target)
    there: dict[str | int, Memory] = {}
    for array, by_member in targets.items():
        wanted = [by_member.get(member) for member in range(rolled.sizes[array])]
        first, second = wanted[0], wanted[1] if len(wanted) > 1 else None
        if first is None or len(by_member) < sum(isinstance(p, tuple) and p[0] == array for p in rolled.places):
            continue
        step = 1 if second is None else second - first
        if wanted == [first + step * member for member in range(len(wanted))]:
            there[array] = Memory(emitter.offset(to, first * size), step * size)
    return there


class _Scratch:
    """Memory for values on their way, handed out from its beginning."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self.size = 0

    def reserve(self, count: int) -> str:
        """A pointer to so many bytes."""
        pointer = self._emitter.offset("%scratch", self.size)
        self.size += count
        return pointer

    def arrays(self, rolled: Rolled, samples: int, elsewhere: Collection[str | int] = ()) -> dict[str | int, Memory]:
        """Places for the arrays that are stored, but for those that have one elsewhere."""
        size = self._emitter.vector_bytes
        places: dict[str | int, Memory] = {}
        for array, members in rolled.sizes.items():
            if array in elsewhere:
                continue
            count = samples if rolled.per_sample[array] else 1
            places[array] = Memory(self.reserve(members * count * size), count * size, size if count > 1 else 0)
        return places


class _SampleLoop:
    """A loop over samples, some at once."""

    def __init__(
        self,
        emitter: Emitter,
        widths: Mapping[str, int],
        rolled: Rolled,
        memory: Mapping[str | int, Memory],
        scratch: _Scratch,
        gathered: bool,
        registers: int,
    ) -> None:
        self._emitter, self._widths, self._rolled, self._memory = emitter, widths, rolled, memory
        self._scratch, self._gathered, self._registers = scratch, gathered, registers

    def write(self, begin: str, count: str, at_once: int) -> None:
        """Write the loop over samples begin .. begin + count, a multiple of `at_once`."""
        emitter = self._emitter
        stored = self._scratch.arrays(self._rolled, at_once)
        with emitter.repeat(count, at_once) as loop:
            first = loop.at if begin == "0" else emitter.code.value(f"add i64 {loop.at}, {begin}")
            parts: dict[str | int, Memory] = {
                kind: self._gather(kind, width, first, at_once) if self._gathered else self._rows(kind, width, first)
                for kind, width in self._widths.items()
            }
            memory = {**self._memory, **stored, **parts}
            write_loops(emitter, self._rolled, memory, samples=at_once, registers=self._registers)

    def _rows(self, kind: str, width: int, first: str) -> Memory:
        """The samples' rows as they lie, the same for every trial."""
        size = self._emitter.vector_bytes // self._emitter.code.lanes
        return Memory(self._emitter.advance(f"%{kind}s", first, width * size), size, width * size, scalar=True)

    def _gather(self, kind: str, width: int, first: str, at_once: int) -> Memory:
        """Each trial's own samples, gathered into scratch."""
        emitter, code = self._emitter, self._emitter.code
        vector = emitter.vector_bytes
        size = vector // code.lanes
        to = self._scratch.reserve(width * at_once * vector)
        order = emitter.advance("%order", first, code.lanes * 4)
        rows = []
        for place in range(at_once * code.lanes):
            number = code.value(f"load i32, ptr {emitter.offset(order, place * 4)}, align 4")
            row = code.value(f"mul i64 {code.value(f'zext i32 {number} to i64')}, {width * size}")
            rows.append(code.value(f"getelementptr i8, ptr %{kind}s, i64 {row}"))
        with emitter.repeat(width) as loop:
            column = emitter.advance(to, loop.at, at_once * vector)
            for sample in range(at_once):
                name = "poison"
                for lane, row in enumerate(rows[sample * code.lanes : (sample + 1) * code.lanes]):
                    number = emitter.load_scalar(emitter.advance(row, loop.at, size))
                    name = code.value(f"insertelement {code.real} {name}, {code.scalar} {number}, i64 {lane}")
                emitter.store(name, emitter.offset(column, sample * vector))
        return Memory(to, at_once * vector, vector)


def _arguments(*more: str) -> list[str]:
    return [*(f"ptr noalias %{name}" for name in ARRAYS), *more]
