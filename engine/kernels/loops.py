"""Writing a Program's loops: a *tile* of members and a few samples go through the statements side by side.

So a weight is loaded once for several samples, and an input once for several members. In which order different numbers
are computed is free; in which order the terms of one sum are added is not: the pairs of a dot one after another, and
the samples of a reduction one after another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.kernels.emitter import Emitter, Memory
from engine.kernels.functions import FUNCTIONS
from engine.kernels.rolling import DOT, Loop, Place, Reference, Rolled, Statement
from engine.kernels.vectors import REAL, Lanes, fma, splat, where
from engine.program import Reduction

_WRITTEN_OUT = 16
"""Operations of all of a loop's members up to which they are written out instead."""
_SHORT_DOT = 8
"""Pairs of a dot up to which they are written out."""
_UNIFORM_TILE = 4

OPERATIONS: dict[str, Callable[..., Lanes]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "absolute": lambda a: a.absolute(),
    "floor": lambda a: a.call("floor"),
    "sqrt": lambda a: a.call("sqrt"),
    "select": lambda a, b, x, y: where(a <= b, x, y),
    # NaN in either operand comes out, as in NumPy
    "maximum": lambda a, b: where((a >= b) | a.is_nan(), a, b),
    "minimum": lambda a, b: where((a <= b) | a.is_nan(), a, b),
}


def write_loops(
    emitter: Emitter, rolled: Rolled, memory: Mapping[str | int, Memory], *, samples: int, registers: int
) -> None:
    """Write every loop, those over samples for so many at once. `memory`: of each array from outside or stored."""
    runs = _straight_runs(rolled)
    wanted = {place[0] for place in rolled.places if not isinstance(place, float)}
    users: dict[str | int, set[int]] = defaultdict(set)
    for loop, run in zip(rolled.loops, runs, strict=True):
        for statement in loop.statements:
            for operand in statement.operands:
                if isinstance(operand, Reference):
                    users[operand.array].add(run)
    known: dict[Place, list[str]] = {}
    before = -1
    for loop, run in zip(rolled.loops, runs, strict=True):
        if run != before:
            known = {}
        before = run
        kept = {s.result.array for s in loop.statements if s.result.array in wanted or users[s.result.array] - {run}}
        count = samples if loop.per_sample else 1
        _LoopWriter(emitter, loop, memory, count, registers, known, kept).write()


def _straight_runs(rolled: Rolled) -> list[int]:
    """For each loop the number of its run: loops that are written out one after another share one."""
    runs: list[int] = []
    for number, loop in enumerate(rolled.loops):
        follows = number > 0 and _is_written_out(loop) and _is_written_out(rolled.loops[number - 1])
        runs.append(runs[-1] if follows else number)
    return runs


def _is_written_out(loop: Loop) -> bool:
    return loop.members * sum(max(1, len(s.operands) // 2) for s in loop.statements) <= _WRITTEN_OUT


@dataclass(frozen=True)
class _Affine:
    """Elements base + outer o + inner i of the members o split + i."""

    base: int
    outer: int
    inner: int


@dataclass(frozen=True)
class _Tile:
    """Members by (outer, inner) offsets from the loops' variables, where there are such; else by their numbers."""

    offsets: tuple[tuple[int, int], ...]
    outer: str | None = None
    inner: str | None = None


class _LoopWriter:
    def __init__(
        self,
        emitter: Emitter,
        loop: Loop,
        memory: Mapping[str | int, Memory],
        samples: int,
        registers: int,
        known: dict[Place, list[str]],
        kept: set[str | int],
    ) -> None:
        self._emitter = emitter
        self._loop = loop
        self._memory = memory
        self._samples = samples
        self._registers = registers
        self._known = known
        self._kept = kept
        self._written_out = _is_written_out(loop)
        self._own = {statement.result.array for statement in loop.statements if not _is_reduction(statement)}
        self._affine: dict[Reference, _Affine] = {}
        # of the tile that is being written
        self._tile = _Tile(())
        self._values: dict[tuple[str | int, int], list[str]] = {}
        self._bases: dict[tuple[str | int, int, int], str] = {}
        self._loaded: dict[object, str] = {}

    def write(self) -> None:
        split = None if self._written_out else self._split()
        members = self._loop.members
        if split is None:
            width = self._width()
            for begin in range(0, members, width):
                self._write_tile(_Tile(tuple((0, m) for m in range(begin, min(begin + width, members)))))
            return
        rounds = members // split
        if rounds == 1:
            self._write_inner(split, range(1), None)
            return
        height = self._height(split)
        looped = rounds // height * height if rounds > height else 0
        if looped:
            with self._emitter.repeat(looped, height) as loop:
                self._write_inner(split, range(height), loop.at)
        for begin in range(looped, rounds, height):
            self._write_inner(split, range(begin, min(begin + height, rounds)), None)

    def _write_inner(self, split: int, rounds: range, outer: str | None) -> None:
        """Rounds of the outer loop side by side: the inner loop, then what it leaves over."""
        width = min(self._width(len(rounds)), split)
        looped = split // width * width if split > width else 0
        if looped:
            with self._emitter.repeat(looped, width) as loop:
                self._write_tile(_Tile(_grid(rounds, range(width)), outer, loop.at))
        for begin in range(looped, split, width):
            self._write_tile(_Tile(_grid(rounds, range(begin, min(begin + width, split))), outer))

    def _reduces(self) -> bool:
        return all(_is_reduction(statement) for statement in self._loop.statements)

    def _height(self, split: int) -> int:
        """Rounds of the outer loop that go side by side: where all is sums of products, they share their factors."""
        return (4 if self._registers >= 32 else 2) if self._reduces() and split > 1 else 1

    def _width(self, height: int = 1) -> int:
        if self._reduces():
            return max(height, 4)
        if not self._loop.per_sample:
            return _UNIFORM_TILE
        together = self._registers // 4 if self._calls() else self._registers // 2
        return max(1, together // self._samples)

    def _calls(self) -> bool:
        """Whether functions are called, before which all that is under way has to leave the registers."""
        return any(statement.operation in FUNCTIONS for statement in self._loop.statements)

    # ---------------------------------------------------------------------------------------------------- addresses

    def _split(self) -> int | None:
        """Members of an inner loop by which all elements are affine; None where there is no such number."""
        references = self._outside_references()
        members = self._loop.members
        split = min((_regular(reference.elements) for reference in references), default=members)
        if members % split:
            return None
        affine = {reference: _affine(reference.elements, split) for reference in references}
        if None in affine.values():
            return None
        self._affine = {reference: found for reference, found in affine.items() if found is not None}
        return split

    def _outside_references(self) -> list[Reference]:
        """The operands that other loops or nobody computes, and where results go."""
        used = [operand for statement in self._loop.statements for operand in statement.operands]
        outside = [o for o in used if isinstance(o, Reference) and o.array not in self._own]
        return [*outside, *(statement.result for statement in self._loop.statements)]

    def _place(self, reference: Reference, member: int) -> tuple[int, int, int]:
        """(element but for the loops' variables, outer stride, inner stride) for a member of the tile."""
        a, b = self._tile.offsets[member]
        if not self._affine:
            return reference.elements[b], 0, 0
        affine = self._affine[reference]
        element = affine.base + affine.outer * a + affine.inner * b
        return element, affine.outer if self._tile.outer else 0, affine.inner if self._tile.inner else 0

    def _pointer(self, reference: Reference, member: int, extra: tuple[str, int] | None = None) -> str:
        """Where a member's element is; `extra`: so many elements further for each round of a dot's loop."""
        memory = self._memory[reference.array]
        element, outer, inner = self._place(reference, member)
        key = (reference.array, outer, inner)
        base = self._bases.get(key)
        if base is None:
            base = memory.pointer
            for variable, stride in ((self._tile.outer, outer), (self._tile.inner, inner)):
                if variable and stride:
                    base = self._emitter.advance(base, variable, stride * memory.element)
            self._bases[key] = base
        if extra is not None and extra[1]:
            base = self._emitter.advance(base, extra[0], extra[1] * memory.element)
        return self._emitter.offset(base, element * memory.element)

    # -------------------------------------------------------------------------------------------------------- values

    def _operand(self, operand: Reference | float, extra: tuple[str, int] | None = None) -> Lanes:
        """The operand of every member of the tile, each with its samples."""
        names: list[str] = []
        for member in range(len(self._tile.offsets)):
            names += self._samples_of(operand, member, extra)
        return Lanes(self._emitter.code, REAL, names)

    def _samples_of(self, operand: Reference | float, member: int, extra: tuple[str, int] | None = None) -> list[str]:
        if isinstance(operand, float):
            return [splat(self._emitter.code, operand)] * self._samples
        own = self._values.get((operand.array, member)) if operand.array in self._own else None
        if own is not None:
            return own
        place = (operand.array, self._place(operand, member)[0])
        if self._written_out and place in self._known:
            return self._known[place]
        return [self._load(operand, member, sample, extra) for sample in range(self._samples)]

    def _load(self, reference: Reference, member: int, sample: int, extra: tuple[str, int] | None = None) -> str:
        memory = self._memory[reference.array]
        sample = sample if memory.sample else 0
        key = (reference.array, self._place(reference, member), sample, extra)
        if key not in self._loaded:
            pointer = self._pointer(reference, member, extra)
            self._loaded[key] = self._emitter.fetch(memory, self._emitter.offset(pointer, sample * memory.sample))
        return self._loaded[key]

    # ---------------------------------------------------------------------------------------------------- statements

    def _write_tile(self, tile: _Tile) -> None:
        self._tile = tile
        self._values, self._bases = {}, {}
        for statement in self._loop.statements:
            self._loaded = {}
            if _is_reduction(statement):
                self._reduce(statement)
                continue
            if statement.operation == DOT:
                result = self._dot(statement)
            else:
                result = self._apply(statement.operation, [self._operand(operand) for operand in statement.operands])
            self._keep(statement, result)

    def _apply(self, operation: str, operands: Sequence[Lanes]) -> Lanes:
        if operation in FUNCTIONS:
            return self._emitter.call(operation, operands)
        return OPERATIONS[operation](*operands)

    def _keep(self, statement: Statement, result: Lanes) -> None:
        array = statement.result.array
        for member in range(len(self._tile.offsets)):
            names = list(result.names[member * self._samples : (member + 1) * self._samples])
            self._values[array, member] = names
            if self._written_out:
                self._known[array, self._place(statement.result, member)[0]] = names
            if array in self._kept:
                pointer = self._pointer(statement.result, member)
                for sample, name in enumerate(names):
                    self._emitter.store(name, self._emitter.offset(pointer, sample * self._memory[array].sample))

    def _dot(self, statement: Statement) -> Lanes:
        operands = statement.operands
        pairs = list(zip(operands[statement.has_start :: 2], operands[statement.has_start + 1 :: 2], strict=True))
        if statement.has_start:
            total = self._operand(operands[0])
        else:
            a, b = pairs.pop(0)
            total = self._operand(a) * self._operand(b)
        steps = None if self._written_out or len(pairs) <= max(_SHORT_DOT, 1) else self._steps(pairs)
        if steps is None:
            for a, b in pairs:
                self._loaded = {}
                total = fma(self._operand(a), self._operand(b), total)
            return total
        with self._emitter.repeat(len(pairs), carried=total.names) as loop:
            self._loaded = {}
            (a, b), (a_step, b_step) = pairs[0], steps
            before = self._emitter.lanes(*loop.carried)
            total = fma(self._operand(a, (loop.at, a_step)), self._operand(b, (loop.at, b_step)), before)
            loop.carry(total.names)
        return total

    def _steps(self, pairs: Sequence[tuple[Reference | float, Reference | float]]) -> tuple[int, int] | None:
        """By how many elements both factors move on from pair to pair, where they do so evenly."""
        steps = []
        for factors in zip(*pairs, strict=True):
            references = [f for f in factors if isinstance(f, Reference) and f.array not in self._own]
            if len(references) < len(pairs) or len({r.array for r in references}) > 1:
                return None
            places = [[self._place(r, m) for m in range(len(self._tile.offsets))] for r in references]
            step = places[1][0][0] - places[0][0][0]
            for k, row in enumerate(places):
                moved = [(element + k * step, outer, inner) for element, outer, inner in places[0]]
                if row != moved:
                    return None
            steps.append(step)
        return steps[0], steps[1]

    def _reduce(self, statement: Statement) -> None:
        """Add each member's samples to its sum, one after another."""
        pointers = [self._pointer(statement.result, member) for member in range(len(self._tile.offsets))]
        totals = [self._emitter.load(pointer) for pointer in pointers]
        for sample in range(self._samples):
            self._loaded = {}
            for member, total in enumerate(totals):
                values = [self._sample(operand, member, sample) for operand in statement.operands]
                totals[member] = self._added(statement.operation, self._emitter.lanes(total), values)
        for name, pointer in zip(totals, pointers, strict=True):
            self._emitter.store(name, pointer)

    def _sample(self, operand: Reference | float, member: int, sample: int) -> Lanes:
        if isinstance(operand, Reference) and operand.array not in self._own:
            place = (operand.array, self._place(operand, member)[0])
            if not (self._written_out and place in self._known):
                return self._emitter.lanes(self._load(operand, member, sample))
        return self._emitter.lanes(self._samples_of(operand, member)[sample])

    def _added(self, operation: str, total: Lanes, values: Sequence[Lanes]) -> str:
        if operation == Reduction.ANY:
            return (total.bits() | values[0].bits()).real().names[0]
        return (fma(values[0], values[1], total) if len(values) == 2 else total + values[0]).names[0]


def _is_reduction(statement: Statement) -> bool:
    return statement.operation in Reduction.ALL


def _grid(outer: range, inner: range) -> tuple[tuple[int, int], ...]:
    return tuple((a, b) for a in outer for b in inner)


def _regular(elements: Sequence[int]) -> int:
    """How many elements from the first on lie evenly."""
    if len(elements) == 1:
        return 1
    step = elements[1] - elements[0]
    return next((n for n in range(1, len(elements)) if elements[n] - elements[n - 1] != step), len(elements))


def _affine(elements: Sequence[int], split: int) -> _Affine | None:
    base = elements[0]
    inner = elements[1] - base if split > 1 else 0
    outer = elements[split] - base if len(elements) > split else 0
    even = all(element == base + outer * (n // split) + inner * (n % split) for n, element in enumerate(elements))
    return _Affine(base, outer, inner) if even else None
