"""Write the loops over samples, and assign memory to the values that they compute.

A tile of samples goes through most loops of a computation before the next tile does. The loops that add samples to the
sums of a matrix wait: they take all tiles of a block at once, with a tile of sums in registers.

>>> from engine.kernels.codegen.vectors import IRText
>>> scratch = Scratch(Emitter(IRText(lanes=8), convention="fastcc"))
>>> scratch.reserve(640), scratch.reserve(64), scratch.size
('%scratch', '%v1', 704)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from engine.kernels.codegen.emitter import Emitter, Memory
from engine.kernels.codegen.gather import write_gather
from engine.kernels.codegen.loop_program import LoopProgram
from engine.kernels.codegen.loops import Block, write_block_loops, write_loops
from engine.kernels.codegen.tile import TiledProgram

_BLOCK_BYTES = 1 << 16
"""Approximate memory of the values of a block of samples. It should fit into a near cache."""
_BLOCK_TILES = 8
"""Largest number of tiles of samples in a block."""
_PAGE, _PAD = 4096, 1024
"""Addresses that differ by a page compete for the same few lines of the nearest cache."""


class Scratch:
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


class SampleLoop:
    """Writes loops over samples, several at once.

    emitter: of the function.
    widths: numbers of features and of targets of a sample.
    memory: the location of arrays from outside.
    scratch: memory for intermediate values.
    gathered: whether each trial has different samples.
    """

    def __init__(
        self,
        emitter: Emitter,
        widths: tuple[int, int],
        memory: Mapping[str | int, Memory],
        scratch: Scratch,
        gathered: bool,
    ) -> None:
        self._emitter, self._memory = emitter, memory
        self._widths = {"feature": widths[0], "target": widths[1]}
        self._scratch, self._gathered = scratch, gathered

    def write(self, begin: str, count: str, tiled: TiledProgram) -> None:
        """Write the loop over `count` samples from `begin` on. The count is a multiple of `tiled.samples`."""
        emitter, at_once = self._emitter, tiled.samples
        if tiled.each_block:
            self._write_blocks(begin, count, tiled)
            return
        memory = {**self._memory, **self._scratch.arrays(tiled.loops, at_once), **self._copies(at_once, 1)}
        with emitter.for_range(count, at_once) as loop:
            first = loop.index if begin == "0" else emitter.ir.value(f"add i64 {loop.index}, {begin}")
            self._write_tile(tiled, memory, first)

    def _write_blocks(self, begin: str, count: str, tiled: TiledProgram) -> None:
        """Write the loop over blocks of samples, and the loop over their tiles inside."""
        emitter, value, at_once = self._emitter, self._emitter.ir.value, tiled.samples
        kept = _kept_arrays(tiled)
        most = self._tiles_of_block(sum(kept.values()), at_once)
        memory = {**self._memory, **self._copies(at_once, most), **self._scratch.arrays(tiled.loops, at_once, kept)}
        memory |= {array: self._reserve(members, at_once, most) for array, members in kept.items()}
        with emitter.for_range(count, at_once * most) as block:
            start = block.index if begin == "0" else value(f"add i64 {block.index}, {begin}")
            left = value(f"udiv i64 {value(f'sub i64 {count}, {block.index}')}, {at_once}")
            tiles = value(f"select i1 {value(f'icmp ult i64 {left}, {most}')}, i64 {left}, i64 {most}")
            with emitter.for_range(tiles) as loop:
                first = value(f"add i64 {start}, {value(f'mul i64 {loop.index}, {at_once}')}")
                of_tile = {array: place.of_tile(emitter, loop.index) for array, place in memory.items()}
                self._write_tile(tiled, of_tile, first)
            here = Block(tiles, goes_on=value(f"icmp ne i64 {start}, 0"))
            write_block_loops(emitter, tiled, {**memory, **self._rows(start, at_once)}, here)

    def _tiles_of_block(self, kept: int, at_once: int) -> int:
        """Return the number of tiles in a block. kept: values of a sample that wait for the block's end."""
        copied = sum(self._widths.values()) if self._gathered else 0
        tile = (kept + copied) * at_once * self._emitter.vector_bytes
        return max(1, min(_BLOCK_TILES, _BLOCK_BYTES // max(tile, 1)))

    def _write_tile(self, tiled: TiledProgram, memory: Mapping[str | int, Memory], first: str) -> None:
        """Write the loops of a tile of samples, from the sample `first` on."""
        if self._gathered:
            order = self._emitter.advance("%order", first, self._emitter.ir.lanes * 4)
            for kind, width in self._widths.items():
                write_gather(self._emitter, kind, width, order, tiled.samples, memory[kind].pointer)
        write_loops(self._emitter, tiled, {**memory, **self._rows(first, tiled.samples)})

    def _copies(self, at_once: int, tiles: int) -> dict[str | int, Memory]:
        """Reserve memory for copies of the samples, if each trial has different ones."""
        widths = self._widths if self._gathered else {}
        return {kind: self._reserve(width, at_once, tiles) for kind, width in widths.items()}

    def _reserve(self, members: int, samples: int, tiles: int) -> Memory:
        """Reserve memory for the elements of an array, for some tiles of samples."""
        size = self._emitter.vector_bytes
        tile = members * samples * size
        if tiles > 1 and tile % _PAGE in (0, _PAGE // 2):
            tile += _PAD
        return Memory(self._scratch.reserve(tile * tiles), samples * size, size, tile if tiles > 1 else 0)

    def _rows(self, first: str, at_once: int) -> dict[str | int, Memory]:
        """Return the location of the samples' rows from `first` on, if all trials share them."""
        size, rows = self._emitter.scalar_bytes, dict[str | int, Memory]()
        for kind, width in self._widths.items() if not self._gathered else ():
            row = width * size
            rows[kind] = Memory(self._emitter.advance(f"%{kind}s", first, row), size, row, at_once * row, scalar=True)
        return rows


def _kept_arrays(tiled: TiledProgram) -> dict[str | int, int]:
    """Return the arrays whose values wait for the end of a block, with their numbers of elements."""
    used = {ref.array for loop in tiled.each_block for s in loop.loop.statements for ref in s.computed_operands}
    return {array: loop.members for array, loop in tiled.loops.stored.items() if loop.per_sample and array in used}
