"""Write the body of a compiled function: loops, branches, loads, stores and calls of the vector functions.

>>> emitter = Emitter(IRText(lanes=4), convention="fastcc")
>>> emitter.start("entry")
>>> with emitter.for_range(10) as loop:
...     emitter.store(emitter.load(emitter.advance("%source", loop.index, 32)), "%target")
>>> print(emitter.ir)
entry:
br label %again1
again1:
%at1 = phi i64 [0, %entry], [%next1, %again1]
%v1 = mul i64 %at1, 32
%v2 = getelementptr i8, ptr %source, i64 %v1
%v3 = load <4 x double>, ptr %v2, align 32
store <4 x double> %v3, ptr %target, align 32
%next1 = add i64 %at1, 1
%more1 = icmp ult i64 %next1, 10
br i1 %more1, label %again1, label %end1
end1:
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from engine.kernels.codegen.layout import Location
from engine.kernels.codegen.vectors import REAL, IRText, Vectors, splat, where
from engine.kernels.vector_math.library import result_type

_VECTORS_OF_A_CALL = 8
"""Largest number of vectors that a call takes. As many can be returned in registers."""
_UNROLLED_COPY = 4
"""Largest number of evenly spaced values that are copied without a loop."""


@dataclass(frozen=True)
class Memory:
    """The location of an array, and the rule for reading its elements.

    pointer: name of the address of its first element.
    element: bytes from one element to the next.
    sample: bytes from one sample of an element to the next; 0 if all samples have the same value.
    tile: bytes from one tile of samples to the next, for arrays that have the samples of several tiles.
    scalar: whether an element is one number for all lanes instead of a vector.
    divisor: vector by which an element is divided when it is read. So sums are read as means.
    factor: vector by which an element is multiplied instead.
    as_flag: whether an element is read as a flag: 1 if it is not 0, else 0.
    """

    pointer: str
    element: int
    sample: int = 0
    tile: int = 0
    scalar: bool = False
    divisor: str | None = None
    factor: str | None = None
    as_flag: bool = False

    def of_tile(self, emitter: Emitter, index: str) -> Memory:
        """Return the location of one tile of samples. index: its number, a value of the text."""
        return replace(self, pointer=emitter.advance(self.pointer, index, self.tile)) if self.tile else self


@dataclass
class LoopState:
    """A loop that is being written: the name of its variable, and of the values that it carries on."""

    index: str
    carried: list[str]

    def carry(self, names: Sequence[str]) -> None:
        """Set the values for the start of the next iteration. After the loop, they are in `carried`."""
        self.carried = list(names)


class Emitter:
    """Writes the basic blocks of one function into an IRText.

    ir: the text.
    convention: LLVM's name of the vector functions' calling convention.

    `called` has the name of each vector function that the code calls, with the number of vectors of a call.
    """

    def __init__(self, ir: IRText, convention: str) -> None:
        self.ir = ir
        self._convention = convention
        self.scalar_bytes = 8 if ir.dtype == "float64" else 4
        self.vector_bytes = ir.lanes * self.scalar_bytes
        self.called: set[tuple[str, int]] = set()
        self.block = ""
        self._labels = 0

    def start(self, block: str) -> None:
        """Start a basic block."""
        self.ir.line(f"{block}:")
        self.block = block

    @contextmanager
    def for_range(self, count: str | int, step: int = 1, carried: Sequence[str] = ()) -> Iterator[LoopState]:
        """Write a loop over 0, step, 2 step, ... below `count`. A `with` block writes the body.

        count: at least 1: the body always runs once.
        step: difference of the variable from iteration to iteration.
        carried: values for the start of the first iteration.
        """
        self._labels += 1
        n, before, real = self._labels, self.block, self.ir.real
        self.ir.line(f"br label %again{n}")
        self.start(f"again{n}")
        phis = len(self.ir.lines)
        names = [f"%carried{n}.{k}" for k in range(len(carried))]
        loop = LoopState(f"%at{n}", names)
        yield loop
        self.ir.lines[phis:phis] = [
            f"%at{n} = phi i64 [0, %{before}], [%next{n}, %{self.block}]",
            *(
                f"{name} = phi {real} [{first}, %{before}], [{last}, %{self.block}]"
                for name, first, last in zip(names, carried, loop.carried, strict=True)
            ),
        ]
        self.ir.line(f"%next{n} = add i64 %at{n}, {step}")
        self.ir.line(f"%more{n} = icmp ult i64 %next{n}, {count}")
        self.ir.line(f"br i1 %more{n}, label %again{n}, label %end{n}")
        self.start(f"end{n}")

    @contextmanager
    def if_then(self, condition: str) -> Iterator[None]:
        """Write code that runs only if an i1 is true. A `with` block writes it."""
        self._labels += 1
        n = self._labels
        self.ir.line(f"br i1 {condition}, label %then{n}, label %after{n}")
        self.start(f"then{n}")
        yield
        self.ir.line(f"br label %after{n}")
        self.start(f"after{n}")

    def offset(self, pointer: str, count: int) -> str:
        """Return a pointer that is `count` bytes further."""
        return self.ir.value(f"getelementptr i8, ptr {pointer}, i64 {count}") if count else pointer

    def advance(self, pointer: str, index: str, stride: int) -> str:
        """Return a pointer that is `index` times `stride` bytes further."""
        shift = self.ir.value(f"mul i64 {index}, {stride}")
        return self.ir.value(f"getelementptr i8, ptr {pointer}, i64 {shift}")

    def load(self, pointer: str) -> str:
        """Load a vector, and return its name."""
        return self.ir.value(f"load {self.ir.real}, ptr {pointer}, align {self.vector_bytes}")

    def store(self, name: str, pointer: str) -> None:
        """Store a vector."""
        self.ir.line(f"store {self.ir.real} {name}, ptr {pointer}, align {self.vector_bytes}")

    def vectors(self, *names: str) -> Vectors:
        """Return the vectors of these names, for arithmetic."""
        return Vectors(self.ir, REAL, names)

    def broadcast(self, scalar: str) -> str:
        """Return a vector with this number, a value of the text, in all lanes."""
        real, lanes = self.ir.real, self.ir.lanes
        first = self.ir.value(f"insertelement {real} poison, {self.ir.scalar} {scalar}, i64 0")
        return self.ir.value(f"shufflevector {real} {first}, {real} poison, <{lanes} x i32> zeroinitializer")

    def load_element(self, memory: Memory, pointer: str) -> str:
        """Load the element of an array at this address, as a vector, and return its name."""
        if memory.scalar:
            return self.broadcast(self.load_scalar(pointer))
        value = self.vectors(self.load(pointer))
        if memory.divisor is not None:
            value = value / self.vectors(memory.divisor)
        if memory.factor is not None:
            value = value * self.vectors(memory.factor)
        if memory.as_flag:
            none = value.absolute().equals(0.0)
            value = where(none, value.like(0.0), 1.0)
        return value.names[0]

    def mean_scale(self, count: str, has_exact_inverse: bool) -> tuple[str | None, str | None]:
        """Return the divisor or the factor that turns a sum into a mean. count: vector of the number of samples."""
        if not has_exact_inverse:
            return count, None
        number = self.vectors(count)
        return None, (number.like(1.0) / number).names[0]

    def load_scalar(self, pointer: str) -> str:
        """Load one number, and return its name."""
        return self.ir.value(f"load {self.ir.scalar}, ptr {pointer}, align {self.scalar_bytes}")

    def call(self, name: str, operands: Sequence[Vectors]) -> Vectors:
        """Call a vector function, with a few vectors at a time, and return the results."""
        ir, count = self.ir, len(operands[0].names)
        names: list[str] = []
        for begin in range(0, count, _VECTORS_OF_A_CALL):
            groups = [operand.names[begin : begin + _VECTORS_OF_A_CALL] for operand in operands]
            width = len(groups[0])
            arguments = ", ".join(f"{ir.real} {argument}" for group in groups for argument in group)
            kind = result_type(ir.real, width)
            result = ir.value(f"call {self._convention} {kind} @{name}.{width}({arguments})")
            names += [ir.value(f"extractvalue {kind} {result}, {n}") for n in range(width)] if width > 1 else [result]
            self.called.add((name, width))
        return Vectors(ir, REAL, names)

    def copy(self, sources: Sequence[Location | float | None], memory: Mapping[str | int, Memory], target: str) -> None:
        """Copy values to successive vectors from `target` on. Evenly spaced values are copied in a loop.

        sources: the location of each value, or a constant. Nothing is copied for None.
        memory: array -> its location.
        target: address of the first vector.
        """
        for position, source in enumerate(sources):
            if isinstance(source, float):
                self.store(splat(self.ir, source), self.offset(target, position * self.vector_bytes))
        for run in _strided_runs(sources):
            self._copy_run(run, memory[run.array], target)

    def _copy_run(self, run: _StridedRun, memory: Memory, target: str) -> None:
        read = self.offset(memory.pointer, run.element * memory.element)
        written = self.offset(target, run.position * self.vector_bytes)
        strides = run.element_step * memory.element, run.position_step * self.vector_bytes
        if run.length <= _UNROLLED_COPY:
            for k in range(run.length):
                value = self.load_element(memory, self.offset(read, k * strides[0]))
                self.store(value, self.offset(written, k * strides[1]))
            return
        with self.for_range(run.length) as loop:
            value = self.load_element(memory, self.advance(read, loop.index, strides[0]))
            self.store(value, self.advance(written, loop.index, strides[1]))


@dataclass
class _StridedRun:
    """Evenly spaced elements of one array that are copied to evenly spaced positions."""

    array: str | int
    position: int
    element: int
    position_step: int = 0
    element_step: int = 0
    length: int = 1

    def try_extend(self, position: int, element: int) -> bool:
        """Add a value to the run if it continues the spacing, and return whether it does."""
        steps = position - self.position, element - self.element
        if self.length == 1:
            self.position_step, self.element_step = steps
        elif steps != (self.position_step * self.length, self.element_step * self.length):
            return False
        self.length += 1
        return True


def _strided_runs(sources: Sequence[Location | float | None]) -> Iterator[_StridedRun]:
    open_runs: dict[str | int, _StridedRun] = {}
    for position, source in enumerate(sources):
        if not isinstance(source, tuple):
            continue
        array, element = source
        run = open_runs.get(array)
        if run is None or not run.try_extend(position, element):
            if run is not None:
                yield run
            open_runs[array] = _StridedRun(array, position, element)
    yield from open_runs.values()
