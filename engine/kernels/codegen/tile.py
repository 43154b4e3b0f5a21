"""Fourth pass: cut each loop into tiles, pieces that are written without a loop.

A tile is some iterations for some samples. Their instructions lie next to each other. So a weight is loaded once for
several samples, an input once for several iterations, and the processor always has independent instructions.

In a loop over a matrix, element numbers are affine functions of a row and a column. It becomes two nested loops, and a
tile is some columns of some rows.

>>> from engine.kernels.codegen.loop_program import Statement
>>> weight = ArrayRef("weight", tuple(range(100)))
>>> scaled = Statement("mul", (weight, 2.0), result=ArrayRef(0, tuple(range(100))))
>>> loops = LoopProgram((Loop(100, (scaled,), per_sample=False),), outputs=((0, 7),))
>>> print(tile(loops, samples=8, registers=32))
tiles of 1 x 4 from 1 x 100, 1 sample at once:
    a0[i] = mul weight[i] 2.0
return a0[7]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.kernels.codegen.loop_program import ArrayRef, Loop, LoopProgram
from engine.kernels.vector_math.functions import FUNCTIONS

_UNROLL_LIMIT = 16
"""Largest number of operations of a loop, in all its iterations, that is unrolled completely."""
_TILE_WITHOUT_SAMPLES = 4
"""Iterations of a tile in loops that do not run for each sample."""
_TILE_OF_SUMS = 4
"""Iterations of a tile in loops that only combine samples."""
_COLUMNS_OF_SUMS = 6
"""The same for the columns of a matrix whose sums stay in registers for a block of samples, with four rows."""


@dataclass(frozen=True)
class Affine:
    """Element numbers: base + outer * row + inner * column."""

    base: int
    outer: int
    inner: int


@dataclass(frozen=True)
class TiledLoop:
    """A loop and the size of its tiles.

    loop: the loop.
    samples: samples of a tile; 1 if the loop does not run for each sample.
    group: number that unrolled loops share if they follow each other. Values pass between them in registers.
    stored: arrays that must be written to memory.
    unrolled: whether the loop is unrolled completely.
    columns_in_all: iterations of the inner loop; None if the elements are not affine or the loop is unrolled.
    affine: the element numbers of operands and results in memory, unless `columns_in_all` is None.
    rows, columns: iterations of the outer and of the inner loop in a tile.
    waits: whether the loop waits for the end of a block of samples: it adds them to the sums of a matrix.
    """

    loop: Loop
    samples: int
    group: int
    stored: frozenset[str | int]
    unrolled: bool
    columns_in_all: int | None
    affine: Mapping[ArrayRef, Affine]
    rows: int
    columns: int
    waits: bool = False

    def __str__(self) -> str:
        samples = f"{self.samples} sample{'s' if self.samples > 1 else ''} at once"
        if self.unrolled:
            cut = f"unrolled, all {self.loop.members}"
        elif self.columns_in_all is None:
            cut = f"unrolled, {self.columns} of {self.loop.members} side by side"
        else:
            rows_in_all = self.loop.members // self.columns_in_all
            cut = f"tiles of {self.rows} x {self.columns} from {rows_in_all} x {self.columns_in_all}"
        samples += ", after a block of samples" if self.waits else ""
        return "\n".join([f"{cut}, {samples}:", *(f"    {statement}" for statement in self.loop.statements)])


@dataclass(frozen=True)
class TiledProgram:
    """Tiled loops in the order in which they run.

    loops: the result of `fuse`.
    tiled: its loops, each with its tiles.
    samples: number of samples that go through the loops at once.
    """

    loops: LoopProgram
    tiled: tuple[TiledLoop, ...]
    samples: int

    @property
    def each_tile(self) -> tuple[TiledLoop, ...]:
        """The loops that run for each tile of samples."""
        return tuple(tiled for tiled in self.tiled if not tiled.waits)

    @property
    def each_block(self) -> tuple[TiledLoop, ...]:
        """The loops that run for each block of samples."""
        return tuple(tiled for tiled in self.tiled if tiled.waits)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.tiled), self.loops.last_line])


def tile(program: LoopProgram, *, samples: int, registers: int) -> TiledProgram:
    """Return the loops with the sizes of their tiles.

    samples: number of samples that go through the loops at once.
    registers: number of vector registers. A tile's values should fit into them.
    """
    groups = _unrolled_groups(program)
    users: dict[str | int, set[int]] = defaultdict(set)
    for loop, group in zip(program.loops, groups, strict=True):
        for statement in loop.statements:
            for operand in statement.computed_operands:
                users[operand.array].add(group)
    tiled = []
    for loop, group in zip(program.loops, groups, strict=True):
        results = {statement.result.array for statement in loop.statements}
        stored = {array for array in results if array in program.output_arrays or users[array] - {group}}
        tiled.append(_tiled(loop, samples if loop.per_sample else 1, group, frozenset(stored), registers))
    return TiledProgram(program, tuple(tiled), samples)


def _unrolled_groups(program: LoopProgram) -> list[int]:
    """Return the number of each loop's group."""
    groups: list[int] = []
    for number, loop in enumerate(program.loops):
        continues = number > 0 and _is_unrolled(loop) and _is_unrolled(program.loops[number - 1])
        groups.append(groups[-1] if continues else number)
    return groups


def _is_unrolled(loop: Loop) -> bool:
    return loop.members * sum(max(1, len(s.operands) // 2) for s in loop.statements) <= _UNROLL_LIMIT


def _tiled(loop: Loop, samples: int, group: int, stored: frozenset[str | int], registers: int) -> TiledLoop:
    unrolled = _is_unrolled(loop)
    columns_in_all, affine = (None, {}) if unrolled else _affine_columns(loop)
    rows, columns, waits = 1, _columns(loop, samples, registers), False
    if loop.is_reduction and columns_in_all is not None and columns_in_all > 1:
        rows = 4 if registers >= 32 else 2  # the sums in a tile share factors, which are loaded once
        waits = columns_in_all < loop.members
        if waits:
            columns = _evenly(columns_in_all, _COLUMNS_OF_SUMS if registers >= 32 else _TILE_OF_SUMS)
    return TiledLoop(loop, samples, group, stored, unrolled, columns_in_all, affine, rows, columns, waits)


def _evenly(count: int, most: int) -> int:
    """Return the size of tiles that cut a number of columns nearly evenly. most: largest size."""
    return -(-count // -(-count // most))


def _columns(loop: Loop, samples: int, registers: int) -> int:
    if loop.is_reduction:
        return _TILE_OF_SUMS
    if not loop.per_sample:
        return _TILE_WITHOUT_SAMPLES
    # a call of a vector function spills the registers, so fewer values should be alive
    calls = any(statement.operation in FUNCTIONS for statement in loop.statements)
    return max(1, (registers // 4 if calls else registers // 2) // samples)


def _affine_columns(loop: Loop) -> tuple[int | None, dict[ArrayRef, Affine]]:
    """Return the number of columns for which all element numbers in memory are affine, and their affine functions.

    Return (None, {}) if there is none.
    """
    refs = _refs_in_memory(loop)
    columns = min((_evenly_spaced(ref.elements) for ref in refs), default=loop.members)
    if loop.members % columns:
        return None, {}
    affine: dict[ArrayRef, Affine] = {}
    for ref in refs:
        function = _affine(ref.elements, columns)
        if function is None:
            return None, {}
        affine[ref] = function
    return columns, affine


def _refs_in_memory(loop: Loop) -> list[ArrayRef]:
    """Return the operands that the loop does not compute itself, and the results."""
    computed = {statement.result.array for statement in loop.statements if not statement.is_reduction}
    operands = [operand for statement in loop.statements for operand in statement.operands]
    loaded = [operand for operand in operands if isinstance(operand, ArrayRef) and operand.array not in computed]
    return [*loaded, *(statement.result for statement in loop.statements)]


def _evenly_spaced(elements: Sequence[int]) -> int:
    """Return the number of elements, from the first on, that are evenly spaced."""
    if len(elements) == 1:
        return 1
    step = elements[1] - elements[0]
    return next((n for n in range(1, len(elements)) if elements[n] - elements[n - 1] != step), len(elements))


def _affine(elements: Sequence[int], columns: int) -> Affine | None:
    """Return the affine function of row and column that gives these elements, or None if there is none."""
    base = elements[0]
    inner = elements[1] - base if columns > 1 else 0
    outer = elements[columns] - base if len(elements) > columns else 0
    fits = all(element == base + outer * (n // columns) + inner * (n % columns) for n, element in enumerate(elements))
    return Affine(base, outer, inner) if fits else None
