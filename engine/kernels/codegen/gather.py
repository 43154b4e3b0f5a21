"""Write code that copies each trial's samples from the rows of the data to vectors: one trial in each lane.

As many columns as a vector has lanes are read at once, as one vector for each trial, and transposed. The columns that
are left are copied number by number.

>>> emitter = Emitter(IRText(lanes=2), convention="fastcc")
>>> rows = transposed(emitter, ["%first", "%second"])
>>> print(emitter.ir)
%v1 = shufflevector <2 x double> %first, <2 x double> %second, <2 x i32> <i32 0, i32 2>
%v2 = shufflevector <2 x double> %first, <2 x double> %second, <2 x i32> <i32 1, i32 3>
>>> rows
['%v1', '%v2']
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.kernels.codegen.emitter import Emitter
from engine.kernels.codegen.vectors import IRText

__all__ = ["IRText", "transposed", "write_gather"]


def write_gather(emitter: Emitter, kind: str, width: int, order: str, samples: int, target: str) -> None:
    """Write code that copies some samples of each trial.

    kind: `feature` or `target`.
    width: number of columns of the data.
    order: address of the samples' positions in the data, (samples, lanes).
    samples: number of samples.
    target: address of the copies, (columns, samples, lanes).
    """
    lanes, size = emitter.ir.lanes, emitter.scalar_bytes
    rows = [_row(emitter, kind, width, order, place) for place in range(samples * lanes)]
    whole = width // lanes * lanes
    if whole:
        with emitter.for_range(whole, lanes) as loop:
            first = emitter.advance(target, loop.index, samples * emitter.vector_bytes)
            for sample in range(samples):
                pointers = [
                    emitter.advance(row, loop.index, size) for row in rows[sample * lanes : (sample + 1) * lanes]
                ]
                for column, name in enumerate(_columns(emitter, pointers)):
                    emitter.store(name, emitter.offset(first, (column * samples + sample) * emitter.vector_bytes))
    if width > whole > 0:
        # the last columns that fill a vector, of which some have been copied
        for sample in range(samples):
            here = rows[sample * lanes : (sample + 1) * lanes]
            columns = _columns(emitter, [emitter.offset(row, (width - lanes) * size) for row in here])
            for column in range(whole, width):
                place = emitter.offset(target, (column * samples + sample) * emitter.vector_bytes)
                emitter.store(columns[column - (width - lanes)], place)
    elif width > whole:
        with emitter.for_range(width - whole) as loop:
            first = emitter.offset(target, whole * samples * emitter.vector_bytes)
            place = emitter.advance(first, loop.index, samples * emitter.vector_bytes)
            for sample in range(samples):
                name = "poison"
                for lane, row in enumerate(rows[sample * lanes : (sample + 1) * lanes]):
                    number = emitter.load_scalar(emitter.advance(emitter.offset(row, whole * size), loop.index, size))
                    real = emitter.ir.real
                    name = emitter.ir.value(f"insertelement {real} {name}, {emitter.ir.scalar} {number}, i64 {lane}")
                emitter.store(name, emitter.offset(place, sample * emitter.vector_bytes))


def _row(emitter: Emitter, kind: str, width: int, order: str, place: int) -> str:
    """Return the address of a sample's row in the data."""
    ir = emitter.ir
    number = ir.value(f"load i32, ptr {emitter.offset(order, place * 4)}, align 4")
    distance = ir.value(f"mul i64 {ir.value(f'zext i32 {number} to i64')}, {width * emitter.scalar_bytes}")
    return ir.value(f"getelementptr i8, ptr %{kind}s, i64 {distance}")


def _columns(emitter: Emitter, pointers: Sequence[str]) -> list[str]:
    """Read as many numbers from each address as there are lanes, and return the columns of this square matrix.

    The first exchange is part of the loads: the halves of two rows are read into one vector.
    """
    ir, lanes = emitter.ir, emitter.ir.lanes
    half = lanes // 2
    if half < 2:
        return transposed(emitter, [_load_unaligned(emitter, pointer, ir.real) for pointer in pointers])
    part, both = f"<{half} x {ir.scalar}>", ", ".join(f"i32 {k}" for k in range(lanes))
    joined = []
    for begin in (0, half):
        halves = [_load_unaligned(emitter, emitter.offset(p, begin * emitter.scalar_bytes), part) for p in pointers]
        for low, high in zip(halves[:half], halves[half:], strict=True):
            joined.append(ir.value(f"shufflevector {part} {low}, {part} {high}, <{lanes} x i32> <{both}>"))
    return transposed(emitter, joined, half // 2)


def _load_unaligned(emitter: Emitter, pointer: str, kind: str) -> str:
    return emitter.ir.value(f"load {kind}, ptr {pointer}, align {emitter.scalar_bytes}")


def transposed(emitter: Emitter, rows: Sequence[str], distance: int = 0) -> list[str]:
    """Return as many vectors as there are lanes, of which vector j has element j of each of these.

    distance: that of the first exchange that is left to do; all are if it is 0.

    Each round exchanges blocks of half the size between pairs of vectors (Eklundh, A Fast Computer Method for Matrix
    Transposing, 1972).
    """
    vectors, lanes, real = list(rows), emitter.ir.lanes, emitter.ir.real
    distance = distance or lanes // 2
    while distance:
        for low in (k for k in range(lanes) if not k & distance):
            high = low + distance
            pair = f"{real} {vectors[low]}, {real} {vectors[high]}"
            first = [k if not k & distance else k - distance + lanes for k in range(lanes)]
            second = [k + distance if not k & distance else k + lanes for k in range(lanes)]
            vectors[low], vectors[high] = (
                emitter.ir.value(f"shufflevector {pair}, <{lanes} x i32> <{', '.join(f'i32 {k}' for k in order)}>")
                for order in (first, second)
            )
        distance //= 2
    return vectors
