"""Fifth pass, for one computation: write its tiled loops in LLVM's language.

Different numbers may be computed in any order. The terms of one sum may not: the pairs of a dot are added one after
another, and so are the samples of a reduction. Otherwise a trial's last bits would depend on the tiles.

>>> from engine.kernels.codegen.loop_program import Loop, LoopProgram
>>> from engine.kernels.codegen.tile import tile
>>> from engine.kernels.codegen.vectors import IRText
>>> scaled = Statement("mul", (ArrayRef("weight", (0,)), 2.0), result=ArrayRef(0, (0,)))
>>> tiled = tile(LoopProgram((Loop(1, (scaled,), False),), outputs=((0, 0),)), samples=1, registers=32)
>>> emitter = Emitter(IRText(lanes=4), convention="fastcc")
>>> write_loops(emitter, tiled, {"weight": Memory("%weights", 32), 0: Memory("%out", 32)})
>>> print(emitter.ir)
%v1 = load <4 x double>, ptr %weights, align 32
%v2 = fmul <4 x double> %v1, splat (double 0x4000000000000000)
store <4 x double> %v2, ptr %out, align 32
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.kernels.codegen.emitter import Emitter, Memory
from engine.kernels.codegen.layout import Location
from engine.kernels.codegen.loop_program import DOT, ArrayRef, Operand, Statement
from engine.kernels.codegen.primitives import OPERATIONS, all_moderate, combined, divide_root, divides_slowly
from engine.kernels.codegen.tile import TiledLoop, TiledProgram
from engine.kernels.codegen.vectors import REAL, Vectors, fma, splat
from engine.kernels.vector_math.functions import FUNCTIONS

_UNROLLED_DOT = 8
"""Largest number of pairs of a dot that is written without a loop."""


def write_loops(emitter: Emitter, program: TiledProgram, memory: Mapping[str | int, Memory]) -> None:
    """Write the loops, apart from those that wait for the end of a block of samples.

    memory: the location of each array from outside and of each array that is stored.
    """
    available: dict[Location, list[str]] = {}
    previous = -1
    for tiled in program.each_tile:
        if tiled.group != previous:
            available = {}
        previous = tiled.group
        _LoopWriter(emitter, tiled, memory, available).write()


@dataclass(frozen=True)
class Block:
    """A block of samples.

    tiles: number of its tiles, a value of the text.
    goes_on: an i1 that says whether another block has begun the sums. Otherwise they begin at 0.
    """

    tiles: str
    goes_on: str


def write_block_loops(
    emitter: Emitter, program: TiledProgram, memory: Mapping[str | int, Memory], block: Block
) -> None:
    """Write the loops that wait for the end of a block of samples. A tile of sums stays in registers meanwhile.

    memory: as for `write_loops`, at the block's first tile of samples.
    """
    for tiled in program.each_block:
        _LoopWriter(emitter, tiled, memory, {}, block).write()


@dataclass(frozen=True)
class _Tile:
    """The iterations of a tile.

    iterations: (row, column) of each, relative to the variables of the loops around the tile.
    outer, inner: names of these variables; None without such a loop. Then rows or columns are counted from 0.
    """

    iterations: tuple[tuple[int, int], ...]
    outer: str | None = None
    inner: str | None = None


class _LoopWriter:
    """Writes one loop.

    available: location -> registers, one for each sample, of values that this group of unrolled loops has computed.
    block: the samples of a loop that waits for them.
    """

    def __init__(
        self,
        emitter: Emitter,
        tiled: TiledLoop,
        memory: Mapping[str | int, Memory],
        available: dict[Location, list[str]],
        block: Block | None = None,
    ) -> None:
        self._emitter = emitter
        self._tiled = tiled
        self._loop = tiled.loop
        self._memory: Mapping[str | int, Memory] = memory
        self._samples = tiled.samples
        self._available = available
        self._block = block
        self._root_division: tuple[Statement, Vectors, Vectors] | None = None
        self._computed = {statement.result.array for statement in tiled.loop.statements if not statement.is_reduction}
        # state of the tile that is being written
        self._tile = _Tile(())
        self._values: dict[tuple[str | int, int], list[str]] = {}
        self._bases: dict[tuple[str | int, int, int], str] = {}
        self._loaded: dict[object, str] = {}

    def write(self) -> None:
        """Write the loop. If it divides roots by one number, write another one, for when that needs no division."""
        # values of unrolled loops pass on in registers, which a branch would hide
        division = None if self._tiled.unrolled else self._loop.root_division
        if division is None or not divides_slowly(self._emitter.ir):
            self._write_all()
            return
        divisor = self._emitter.vectors(self._load_same(division.operand_arrays[1]))
        moderate = all_moderate(divisor)
        with self._emitter.if_then(moderate):
            self._root_division = division, divisor, divisor.like(1.0) / divisor
            self._write_all()
            self._root_division = None
        with self._emitter.if_then(self._emitter.ir.value(f"xor i1 {moderate}, true")):
            self._write_all()

    def _load_same(self, ref: ArrayRef) -> str:
        """Load an operand that is the same in every iteration, before the loop."""
        memory = self._memory[ref.array]
        return self._emitter.load_element(
            memory, self._emitter.offset(memory.pointer, ref.elements[0] * memory.element)
        )

    def _write_all(self) -> None:
        """Write tiles in up to two loops, then the tiles that these leave."""
        columns_in_all, members = self._tiled.columns_in_all, self._loop.members
        if columns_in_all is None:
            for begin in range(0, members, self._tiled.columns):
                end = min(begin + self._tiled.columns, members)
                self._write_tile(_Tile(tuple((0, member) for member in range(begin, end))))
            return
        rows_in_all = members // columns_in_all
        if rows_in_all == 1:
            self._write_columns(range(1), None)
            return
        rows = self._tiled.rows
        in_loop = rows_in_all // rows * rows if rows_in_all > rows else 0
        if in_loop:
            with self._emitter.for_range(in_loop, rows) as loop:
                self._write_columns(range(rows), loop.index)
        for begin in range(in_loop, rows_in_all, rows):
            self._write_columns(range(begin, min(begin + rows, rows_in_all)), None)

    def _write_columns(self, rows: range, outer: str | None) -> None:
        """Write all columns of some rows: the inner loop, then the columns that it leaves."""
        columns_in_all = self._tiled.columns_in_all or 1
        columns = min(self._tiled.columns, columns_in_all)
        in_loop = columns_in_all // columns * columns if columns_in_all > columns else 0
        if in_loop:
            with self._emitter.for_range(in_loop, columns) as loop:
                self._write_tile(_Tile(_product(rows, range(columns)), outer, loop.index))
        for begin in range(in_loop, columns_in_all, columns):
            self._write_tile(_Tile(_product(rows, range(begin, min(begin + columns, columns_in_all))), outer))

    # ---------------------------------------------------------------------------------------------------- addresses

    def _element(self, ref: ArrayRef, member: int) -> tuple[int, int, int]:
        """Return (element number without the loops' variables, outer stride, inner stride) of a tile's member."""
        row, column = self._tile.iterations[member]
        if not self._tiled.affine:
            return ref.elements[column], 0, 0
        affine = self._tiled.affine[ref]
        element = affine.base + affine.outer * row + affine.inner * column
        return element, affine.outer if self._tile.outer else 0, affine.inner if self._tile.inner else 0

    def _pointer(self, ref: ArrayRef, member: int, dot_step: tuple[str, int] | None = None) -> str:
        """Return the address of a member's element. `dot_step` is a dot's loop variable and its stride in elements."""
        memory = self._memory[ref.array]
        element, outer, inner = self._element(ref, member)
        key = (ref.array, outer, inner)
        base = self._bases.get(key)
        if base is None:
            base = memory.pointer
            for variable, stride in ((self._tile.outer, outer), (self._tile.inner, inner)):
                if variable and stride:
                    base = self._emitter.advance(base, variable, stride * memory.element)
            self._bases[key] = base
        if dot_step is not None and dot_step[1]:
            base = self._emitter.advance(base, dot_step[0], dot_step[1] * memory.element)
        return self._emitter.offset(base, element * memory.element)

    # -------------------------------------------------------------------------------------------------------- values

    def _operand(self, operand: Operand, dot_step: tuple[str, int] | None = None) -> Vectors:
        """Return the operand for every member of the tile and every sample."""
        names: list[str] = []
        for member in range(len(self._tile.iterations)):
            names += self._samples_of(operand, member, dot_step)
        return Vectors(self._emitter.ir, REAL, names)

    def _samples_of(self, operand: Operand, member: int, dot_step: tuple[str, int] | None = None) -> list[str]:
        if isinstance(operand, float):
            return [splat(self._emitter.ir, operand)] * self._samples
        computed = self._values.get((operand.array, member)) if operand.array in self._computed else None
        if computed is not None:
            return computed
        location = (operand.array, self._element(operand, member)[0])
        if self._tiled.unrolled and location in self._available:
            return self._available[location]
        return [self._load(operand, member, sample, dot_step) for sample in range(self._samples)]

    def _load(self, ref: ArrayRef, member: int, sample: int, dot_step: tuple[str, int] | None = None) -> str:
        memory = self._memory[ref.array]
        sample = sample if memory.sample else 0
        key = (ref.array, self._element(ref, member), sample, dot_step)
        if key not in self._loaded:
            pointer = self._pointer(ref, member, dot_step)
            address = self._emitter.offset(pointer, sample * memory.sample)
            self._loaded[key] = self._emitter.load_element(memory, address)
        return self._loaded[key]

    # ---------------------------------------------------------------------------------------------------- statements

    def _write_tile(self, tile: _Tile) -> None:
        self._tile = tile
        self._values, self._bases = {}, {}
        for statement in self._loop.statements:
            self._loaded = {}
            if statement.is_reduction:
                self._reduce(statement)
                continue
            result = self._dot(statement) if statement.operation == DOT else self._apply(statement)
            self._assign(statement, result)

    def _apply(self, statement: Statement) -> Vectors:
        if self._root_division is not None and self._root_division[0] is statement:
            _, divisor, inverse = self._root_division
            root = self._operand(statement.operands[0])
            return divide_root(root, divisor.repeated(root), inverse.repeated(root))
        operands = [self._operand(operand) for operand in statement.operands]
        if statement.operation in FUNCTIONS:
            return self._emitter.call(statement.operation, operands)
        return OPERATIONS[statement.operation](*operands)

    def _assign(self, statement: Statement, result: Vectors) -> None:
        """Keep a statement's result for later statements, and store it if other loops or outputs need it."""
        array = statement.result.array
        for member in range(len(self._tile.iterations)):
            names = list(result.names[member * self._samples : (member + 1) * self._samples])
            self._values[array, member] = names
            if self._tiled.unrolled:
                self._available[array, self._element(statement.result, member)[0]] = names
            if array in self._tiled.stored:
                pointer = self._pointer(statement.result, member)
                for sample, name in enumerate(names):
                    self._emitter.store(name, self._emitter.offset(pointer, sample * self._memory[array].sample))

    def _dot(self, statement: Statement) -> Vectors:
        operands = statement.operands
        pairs = list(zip(operands[statement.has_start :: 2], operands[statement.has_start + 1 :: 2], strict=True))
        if statement.has_start:
            total = self._operand(operands[0])
        else:
            a, b = pairs.pop(0)
            total = self._operand(a) * self._operand(b)
        short = self._tiled.unrolled or len(pairs) <= max(_UNROLLED_DOT, 1)
        steps = None if short else self._even_steps(pairs)
        if steps is None:
            for a, b in pairs:
                self._loaded = {}
                total = fma(self._operand(a), self._operand(b), total)
            return total
        with self._emitter.for_range(len(pairs), carried=total.names) as loop:
            self._loaded = {}
            (a, b), (a_step, b_step) = pairs[0], steps
            before = self._emitter.vectors(*loop.carried)
            total = fma(self._operand(a, (loop.index, a_step)), self._operand(b, (loop.index, b_step)), before)
            loop.carry(total.names)
        return total

    def _even_steps(self, pairs: Sequence[tuple[Operand, Operand]]) -> tuple[int, int] | None:
        """Return the strides, in elements, of both factors from pair to pair; None if they are not constant."""
        steps = []
        for factors in zip(*pairs, strict=True):
            refs = [f for f in factors if isinstance(f, ArrayRef) and f.array not in self._computed]
            if len(refs) < len(pairs) or len({ref.array for ref in refs}) > 1:
                return None
            rows = [[self._element(ref, member) for member in range(len(self._tile.iterations))] for ref in refs]
            step = rows[1][0][0] - rows[0][0][0]
            for k, row in enumerate(rows):
                if row != [(element + k * step, outer, inner) for element, outer, inner in rows[0]]:
                    return None
            steps.append(step)
        return steps[0], steps[1]

    def _reduce(self, statement: Statement) -> None:
        """Add each member's samples to its sum, one after another."""
        pointers = [self._pointer(statement.result, member) for member in range(len(self._tile.iterations))]
        totals = [self._emitter.load(pointer) for pointer in pointers]
        if self._block is None:
            totals = self._reduce_samples(statement, totals)
        else:
            begun = self._emitter.vectors(*totals).masked(self._block.goes_on)
            totals = self._reduce_block(statement, begun.names, self._block.tiles)
        for name, pointer in zip(totals, pointers, strict=True):
            self._emitter.store(name, pointer)

    def _reduce_block(self, statement: Statement, starts: Sequence[str], tiles: str) -> list[str]:
        """Add the samples of some tiles to sums, and return them."""
        memory = self._memory
        arrays = [operand.array for operand in statement.operands if isinstance(operand, ArrayRef)]
        with self._emitter.for_range(tiles, carried=starts) as loop:
            self._bases = {}
            self._memory = {**memory, **{a: memory[a].of_tile(self._emitter, loop.index) for a in arrays}}
            loop.carry(self._reduce_samples(statement, loop.carried))
        self._bases, self._memory = {}, memory
        return loop.carried

    def _reduce_samples(self, statement: Statement, starts: Sequence[str]) -> list[str]:
        """Add the samples of a tile to sums, and return them."""
        totals = list(starts)
        for sample in range(self._samples):
            self._loaded = {}
            for member, total in enumerate(totals):
                values = [self._sample(operand, member, sample) for operand in statement.operands]
                totals[member] = combined(statement.operation, self._emitter.vectors(total), values)
        return totals

    def _sample(self, operand: Operand, member: int, sample: int) -> Vectors:
        """Return one sample of an operand. From memory, only this sample is loaded."""
        if isinstance(operand, ArrayRef) and operand.array not in self._computed:
            location = (operand.array, self._element(operand, member)[0])
            if not (self._tiled.unrolled and location in self._available):
                return self._emitter.vectors(self._load(operand, member, sample))
        return self._emitter.vectors(self._samples_of(operand, member)[sample])


def _product(rows: range, columns: range) -> tuple[tuple[int, int], ...]:
    return tuple((row, column) for row in rows for column in columns)
