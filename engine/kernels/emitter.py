"""The body of a compiled function: basic blocks, loops, memory, and calls of the library's functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from engine.kernels.functions import result_type
from engine.kernels.rolling import Place
from engine.kernels.vectors import REAL, Code, Lanes, splat, where

_CALLED_TOGETHER = 8
"""Vectors that a function takes at once: as many as come back in registers."""
_WRITTEN_OUT = 4
"""Neighbours that are copied without a loop."""


@dataclass(frozen=True)
class Memory:
    """Where an array begins, and how many bytes lie between its elements, and between an element's samples.

    scalar: an element is one number for all lanes. count: a vector to divide by, where sums are read as means. found:
    where bits were gathered, and are read as 1 for any and 0 for none.
    """

    pointer: str
    element: int
    sample: int = 0
    scalar: bool = False
    count: str | None = None
    found: bool = False


@dataclass
class Repeat:
    """A loop that is being written: its variable, and what it carries from one round to the next."""

    at: str
    carried: list[str]

    def carry(self, names: Sequence[str]) -> None:
        """What the next round begins with, and what stands in `carried` after the last."""
        self.carried = list(names)


class Emitter:
    """Writes into `code`, block after block."""

    def __init__(self, code: Code, convention: str) -> None:
        self.code = code
        self._convention = convention
        self.vector_bytes = code.lanes * (8 if code.dtype == "float64" else 4)
        self.called: set[tuple[str, int]] = set()
        self.block = ""
        self._labels = 0

    def start(self, block: str) -> None:
        """Begin a basic block."""
        self.code.line(f"{block}:")
        self.block = block

    @contextmanager
    def repeat(self, count: str | int, step: int = 1, carried: Sequence[str] = ()) -> Iterator[Repeat]:
        """Write a loop: the body is what is written inside. It runs at least once; `count` is a multiple of `step`."""
        self._labels += 1
        n, before, real = self._labels, self.block, self.code.real
        self.code.line(f"br label %again{n}")
        self.start(f"again{n}")
        phis = len(self.code.lines)
        names = [f"%carried{n}.{k}" for k in range(len(carried))]
        loop = Repeat(f"%at{n}", names)
        yield loop
        self.code.lines[phis:phis] = [
            f"%at{n} = phi i64 [0, %{before}], [%next{n}, %{self.block}]",
            *(
                f"{name} = phi {real} [{first}, %{before}], [{last}, %{self.block}]"
                for name, first, last in zip(names, carried, loop.carried, strict=True)
            ),
        ]
        self.code.line(f"%next{n} = add i64 %at{n}, {step}")
        self.code.line(f"%more{n} = icmp ult i64 %next{n}, {count}")
        self.code.line(f"br i1 %more{n}, label %again{n}, label %end{n}")
        self.start(f"end{n}")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Write what is only done where an i1 is true."""
        self._labels += 1
        n = self._labels
        self.code.line(f"br i1 {condition}, label %then{n}, label %after{n}")
        self.start(f"then{n}")
        yield
        self.code.line(f"br label %after{n}")
        self.start(f"after{n}")

    def offset(self, pointer: str, count: int) -> str:
        """A pointer so many bytes further."""
        return self.code.value(f"getelementptr i8, ptr {pointer}, i64 {count}") if count else pointer

    def advance(self, pointer: str, at: str, stride: int) -> str:
        """A pointer `at` strides of so many bytes further."""
        shift = self.code.value(f"mul i64 {at}, {stride}")
        return self.code.value(f"getelementptr i8, ptr {pointer}, i64 {shift}")

    def load(self, pointer: str) -> str:
        """A vector from memory."""
        return self.code.value(f"load {self.code.real}, ptr {pointer}, align {self.vector_bytes}")

    def store(self, name: str, pointer: str) -> None:
        self.code.line(f"store {self.code.real} {name}, ptr {pointer}, align {self.vector_bytes}")

    def lanes(self, *names: str) -> Lanes:
        return Lanes(self.code, REAL, names)

    def spread(self, scalar: str) -> str:
        """A vector of one number that is known at run time."""
        real, lanes = self.code.real, self.code.lanes
        first = self.code.value(f"insertelement {real} poison, {self.code.scalar} {scalar}, i64 0")
        return self.code.value(f"shufflevector {real} {first}, {real} poison, <{lanes} x i32> zeroinitializer")

    def fetch(self, memory: Memory, pointer: str) -> str:
        """The vector that an element, or one sample of it, stands for."""
        if memory.scalar:
            return self.spread(self.load_scalar(pointer))
        value = self.lanes(self.load(pointer))
        if memory.count is not None:
            value = value / self.lanes(memory.count)
        if memory.found:
            none = value.absolute().equals(0.0)
            value = where(none, value.like(0.0), 1.0)
        return value.names[0]

    def load_scalar(self, pointer: str) -> str:
        """One number from memory."""
        size = self.vector_bytes // self.code.lanes
        return self.code.value(f"load {self.code.scalar}, ptr {pointer}, align {size}")

    def call(self, name: str, operands: Sequence[Lanes]) -> Lanes:
        """Call a function of the library, a few vectors at a time."""
        code, count = self.code, len(operands[0].names)
        names: list[str] = []
        for begin in range(0, count, _CALLED_TOGETHER):
            part = [operand.names[begin : begin + _CALLED_TOGETHER] for operand in operands]
            width = len(part[0])
            arguments = ", ".join(f"{code.real} {argument}" for row in part for argument in row)
            kind = result_type(code.real, width)
            result = code.value(f"call {self._convention} {kind} @{name}.{width}({arguments})")
            names += [code.value(f"extractvalue {kind} {result}, {n}") for n in range(width)] if width > 1 else [result]
            self.called.add((name, width))
        return Lanes(code, REAL, names)

    def copy(self, places: Sequence[Place | float | None], memory: Mapping[str | int, Memory], to: str) -> None:
        """Copy values from wherever they are to successive vectors, but for None; what lies evenly, in loops."""
        for target, place in enumerate(places):
            if isinstance(place, float):
                self.store(splat(self.code, place), self.offset(to, target * self.vector_bytes))
        for run in _runs(places):
            self._copy_run(run, memory[run.array], to)

    def _copy_run(self, run: _Run, memory: Memory, to: str) -> None:
        source = self.offset(memory.pointer, run.element * memory.element)
        target = self.offset(to, run.target * self.vector_bytes)
        steps = run.element_step * memory.element, run.target_step * self.vector_bytes
        if run.length <= _WRITTEN_OUT:
            for k in range(run.length):
                value = self.fetch(memory, self.offset(source, k * steps[0]))
                self.store(value, self.offset(target, k * steps[1]))
            return
        with self.repeat(run.length) as loop:
            value = self.fetch(memory, self.advance(source, loop.at, steps[0]))
            self.store(value, self.advance(target, loop.at, steps[1]))


@dataclass
class _Run:
    """Values of one array that lie evenly in it and go evenly to a target."""

    array: str | int
    target: int
    element: int
    target_step: int = 0
    element_step: int = 0
    length: int = 1

    def takes(self, target: int, element: int) -> bool:
        """Whether a value continues the run; if so it is taken."""
        steps = target - self.target, element - self.element
        if self.length == 1:
            self.target_step, self.element_step = steps
        elif steps != (self.target_step * self.length, self.element_step * self.length):
            return False
        self.length += 1
        return True


def _runs(places: Sequence[Place | float | None]) -> Iterator[_Run]:
    open_runs: dict[str | int, _Run] = {}
    for target, place in enumerate(places):
        if not isinstance(place, tuple):
            continue
        array, element = place
        run = open_runs.get(array)
        if run is None or not run.takes(target, element):
            if run is not None:
                yield run
            open_runs[array] = _Run(array, target, element)
    yield from open_runs.values()
