"""Write the loops over elements and samples of rolled values, tile by tile.

Different numbers may be computed in any order. The terms of one sum may not: they are added one after another, for the
samples of a mean as for the inputs of a unit. Otherwise a trial's last bits would depend on the tiles.

A contraction keeps a tile of sums in registers: some units of some samples. Each weight that it loads is used for all
samples of the tile, each input for all units. The axis of the sum is cut into pieces whose weights stay in the nearest
cache while the samples pass.

>>> from engine import LOSSES, MLP, OPTIMIZERS, UpdateRule
>>> from engine.kernels.codegen.vectors import IRText
>>> from engine.rolled_tracing import trace_rolled
>>> rule = UpdateRule(OPTIMIZERS["sgd"])
>>> program = trace_rolled(MLP([20, 30, 1]), LOSSES["mean_squared_error"], rule, targets=1)
>>> emitter = Emitter(IRText(lanes=4), convention="fastcc")
>>> places = Places(program, {0: Storage("%weights", {1: 20, 0: 1})}, {})
>>> emitter.start("entry")
>>> LoopWriter(emitter, places, registers=32).write_elements((1, 0), [(0, Storage("%copy", {1: 20, 0: 1}))])
>>> lines = str(emitter.ir).splitlines()  # two loops, and four loads in the inner one
>>> sum("br i1" in line for line in lines), sum("load" in line for line in lines)
(2, 4)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from engine.kernels.codegen.emitter import Emitter
from engine.kernels.codegen.rolled.body import Body, Index, Indexes, Places, Storage
from engine.kernels.codegen.rolled.schedule import CONTRACTION, STACK, Group
from engine.kernels.codegen.vectors import REAL, Vectors, fma, splat
from engine.program import Instruction, Reduction
from engine.rolled import Axes, Contraction, Pick, RolledProgram, Stack

_SUMS = {32: 6, 16: 3}
"""Number of registers -> units in a tile of a contraction."""
_ROWS, _COLUMNS = {32: 4, 16: 3}, {32: 6, 16: 4}
"""Number of registers -> rows and columns in a tile of a gradient."""
_VALUES_AT_ONCE = 8
"""Vectors of a tile that is computed element by element."""
_PIECE = 64
"""Terms of a sum that are added before the next tile has its turn."""

NO_START = -0.0
"""Adding to it changes no number, not even the sign of 0."""


@dataclass(frozen=True)
class SampleTiles:
    """The samples of a block.

    samples: samples of a tile. tiles: number of tiles, a value of the text.
    """

    samples: int
    tiles: str


class LoopWriter:
    """Writes the loops of one function.

    emitter: writes the code. places: the values that can be read. registers: number of vector registers.
    """

    def __init__(self, emitter: Emitter, places: Places, registers: int) -> None:
        self._emitter = emitter
        self._places = places
        self._program: RolledProgram = places.program
        self._registers = 32 if registers >= 32 else 16

    def axis_tiles(self, axis: int, size: int) -> Iterator[list[Index]]:
        """Write the loop over an axis, and yield the positions of a tile; then those that are left."""
        count = self._program.sizes[axis]
        whole = count // size * size
        if whole > size:
            with self._emitter.for_range(whole, size) as loop:
                yield [Index(((loop.index, 1),), k) for k in range(size)]
        elif whole:
            yield [Index((), k) for k in range(size)]
        if count > whole:
            yield [Index((), k) for k in range(whole, count)]

    def tiles_of(self, axes: Axes, sizes: Sequence[int]) -> Iterator[list[Indexes]]:
        """Write the loops over axes, and yield the elements of a tile.

        sizes: size of a tile along each axis.
        """
        if not axes:
            yield [{}]
            return
        for outer in self.axis_tiles(axes[0], sizes[0]):
            for rest in self.tiles_of(axes[1:], sizes[1:]):
                yield [{axes[0]: index, **others} for index, others in product(outer, rest)]

    # ---------------------------------------------------------------------------------------------- values of a sample

    def write_group(self, group: Group, samples: SampleTiles) -> None:
        """Write the loops of a step of the schedule, for the samples of a block."""
        node = self._program.nodes[group.nodes[0]]
        if group.kind == CONTRACTION and isinstance(node, Contraction):
            self._contract(group.nodes[0], node, samples)
        elif group.kind == STACK and isinstance(node, Stack):
            self._stack(group.nodes[0], node, samples)
        else:
            self._elementwise(group, samples)

    def _elementwise(self, group: Group, samples: SampleTiles) -> None:
        at_once = max(1, _VALUES_AT_ONCE // samples.samples)
        sizes = [1] * (len(group.axes) - 1) + [at_once]
        with self._emitter.for_range(samples.tiles) as loop:
            for members in self.tiles_of(group.axes, sizes):
                body = Body(self._emitter, self._places, samples=samples.samples, tile=loop.index)
                for number in group.nodes:
                    names = body.compute(number, members)
                    body.keep(number, members, names)
                    if number in group.stored:
                        body.store(names, self._places.memory[number], members)

    def _stack(self, number: int, node: Stack, samples: SampleTiles) -> None:
        with self._emitter.for_range(samples.tiles) as loop:
            for element, operand in enumerate(node.operands):
                body = Body(self._emitter, self._places, samples=samples.samples, tile=loop.index)
                at = [{node.axis: Index((), element)}]
                body.store(body.value(operand, [{}]), self._places.memory[number], at)

    def _contract(self, number: int, node: Contraction, samples: SampleTiles) -> None:
        """Write a sum along an axis, for each element and sample."""
        axes, storage = self._program.axes[number], self._places.memory[number]
        (axis,) = node.axes  # a layer has one axis of inputs
        terms = self._program.sizes[axis]
        pieces = terms > 2 * _PIECE
        sizes = [1] * (len(axes) - 1) + [_SUMS[self._registers]]
        if pieces:
            self._store_starts(node, axes, storage, samples)
            with self._emitter.for_range(terms, _PIECE) as piece:
                end = self._smaller(f"{terms - 0}", piece.index, _PIECE)
                for members in self.tiles_of(axes, sizes):
                    with self._emitter.for_range(samples.tiles) as loop:
                        body = Body(self._emitter, self._places, samples=samples.samples, tile=loop.index)
                        start = body.load(storage, members)
                        totals = self._sum(node, members, samples, loop.index, start, end, piece.index)
                        body.store(totals, storage, members)
            return
        for members in self.tiles_of(axes, sizes):
            with self._emitter.for_range(samples.tiles) as loop:
                body = Body(self._emitter, self._places, samples=samples.samples, tile=loop.index)
                start = self._start(node, body, members, samples)
                totals = self._sum(node, members, samples, loop.index, start, str(terms), "")
                body.store(totals, storage, members)

    def _smaller(self, end: str, begin: str, step: int) -> str:
        """Write and return the number of terms of a piece: `step`, or what is left up to `end`."""
        value = self._emitter.ir.value
        left = value(f"sub i64 {end}, {begin}")
        return value(f"select i1 {value(f'icmp ult i64 {left}, {step}')}, i64 {left}, i64 {step}")

    def _start(self, node: Contraction, body: Body, members: Sequence[Indexes], samples: SampleTiles) -> list[str]:
        if node.has_start:
            return body.value(node.operands[0], members)
        return [splat(self._emitter.ir, NO_START)] * (len(members) * samples.samples)

    def _store_starts(self, node: Contraction, axes: Axes, storage: Storage, samples: SampleTiles) -> None:
        with self._emitter.for_range(samples.tiles) as loop:
            for members in self.tiles_of(axes, [1] * len(axes)):
                body = Body(self._emitter, self._places, samples=samples.samples, tile=loop.index)
                body.store(self._start(node, body, members, samples), storage, members)

    def _sum(
        self,
        node: Contraction,
        members: Sequence[Indexes],
        samples: SampleTiles,
        tile: str,
        start: Sequence[str],
        count: str,
        begin: str,
    ) -> list[str]:
        """Write the loop over the terms from `begin` on, and return the sums."""
        (axis,) = node.axes
        factor, first = (-1, self._program.sizes[axis] - 1) if node.descending else (1, 0)
        with self._emitter.for_range(count, carried=start) as loop:
            terms = ((loop.index, factor), *(((begin, factor),) if begin else ()))
            body = Body(self._emitter, self._places, samples=samples.samples, tile=tile)
            inside = [{**index, axis: Index(terms, first)} for index in members]
            loop.carry(self._with_term(node, body, inside, loop.carried))
        return loop.carried

    def _with_term(self, node: Contraction, body: Body, members: Sequence[Indexes], totals: Sequence[str]) -> list[str]:
        """Return the sums after one more term."""
        factors = [Vectors(self._emitter.ir, REAL, body.value(factor, members)) for factor in node.factors]
        before = Vectors(self._emitter.ir, REAL, totals)
        return list((fma(factors[0], factors[1], before) if len(factors) == 2 else before + factors[0]).names)

    # ------------------------------------------------------------------------------------------------------ reductions

    def write_reduction(self, number: int, sums: Storage, samples: SampleTiles) -> None:
        """Write the loops that add the samples of a block to sums, one after another."""
        axes, node = self._program.axes[number], self._program.nodes[number]
        assert isinstance(node, Instruction)
        sizes = [_ROWS[self._registers], _COLUMNS[self._registers]] if len(axes) == 2 else [_VALUES_AT_ONCE]
        for members in self.tiles_of(axes, sizes):
            outside = Body(self._emitter, self._places)
            starts = outside.load(sums, members)
            with self._emitter.for_range(samples.tiles, carried=starts) as loop:
                body = Body(self._emitter, self._places, samples=samples.samples, tile=loop.index)
                totals = list(loop.carried)
                for sample in range(samples.samples):
                    body.forget_loaded()
                    totals = self._with_sample(node, body, members, sample, totals)
                loop.carry(totals)
            outside.store(loop.carried, sums, members)

    def _with_sample(
        self, node: Instruction, body: Body, members: Sequence[Indexes], sample: int, totals: Sequence[str]
    ) -> list[str]:
        ir = self._emitter.ir
        operands = [
            Vectors(ir, REAL, [self._one(body, operand, index, sample) for index in members])
            for operand in node.operands
        ]
        before = Vectors(ir, REAL, totals)
        if node.operation == Reduction.ANY:
            return list((before.bits() | operands[0].bits()).real().names)
        return list((fma(operands[0], operands[1], before) if len(operands) == 2 else before + operands[0]).names)

    def _one(self, body: Body, number: int, index: Indexes, sample: int) -> str:
        """Return one sample of a value that is in memory, or the same for all samples."""
        node = self._program.nodes[number]
        if isinstance(node, float) or number in self._places.registers:
            return body.value(number, [index])[sample]
        if isinstance(node, Pick):
            (axis,) = self._program.axes[node.operands[0]]
            return self._one(body, node.operands[0], {axis: Index((), node.element)}, sample)
        storage = self._places.memory.get(number)
        if storage is None:  # the same for all samples
            return body.value(number, [index])[sample]
        return body.load_one(storage, index, sample)

    # ------------------------------------------------------------------------------- values that all samples have alike

    def write_sums(self, numbers: Sequence[int]) -> list[str]:
        """Write sums along the same axes, over values that do not differ by sample, side by side; return them."""
        nodes: list[Contraction] = []
        for number in numbers:
            node = self._program.nodes[number]
            assert isinstance(node, Contraction)
            assert not self._program.axes[number]
            nodes.append(node)
        body = Body(self._emitter, self._places)
        starts = [self._start(node, body, [{}], SampleTiles(1, "1"))[0] for node in nodes]
        return self._nested(nodes, nodes[0].axes, {}, starts)

    def _nested(self, nodes: Sequence[Contraction], axes: Axes, at: Indexes, totals: Sequence[str]) -> list[str]:
        if not axes:
            body = Body(self._emitter, self._places)
            return [self._with_term(node, body, [at], [t])[0] for node, t in zip(nodes, totals, strict=True)]
        with self._emitter.for_range(self._program.sizes[axes[0]], carried=totals) as loop:
            inside = {**at, axes[0]: Index(((loop.index, 1),), 0)}
            loop.carry(self._nested(nodes, axes[1:], inside, loop.carried))
        return loop.carried

    def write_elements(self, axes: Axes, stores: Sequence[tuple[int, Storage]]) -> None:
        """Write the loops that compute values with these axes, and store them."""
        for members in self.tiles_of(axes, [1] * (len(axes) - 1) + [4]):
            body = Body(self._emitter, self._places)
            for number, storage in stores:
                body.store(body.value(number, members), storage, members)
