"""Write straight-line code for a tile: some elements of rolled values, for a few samples.

A value of a tile is a list of vectors: for each element, one for each sample. What the elements or samples of a tile
have in common is loaded and computed once.

>>> from engine.kernels.codegen.vectors import IRText
>>> emitter = Emitter(IRText(lanes=4), convention="fastcc")
>>> bias = Storage("%biases", {1: 1})
>>> body = Body(emitter, {}, samples=2)
>>> body.load(bias, [{1: Index((("%unit", 1),), 0)}, {1: Index((("%unit", 1),), 1)}])
['%v3', '%v3', '%v5', '%v5']
>>> print(emitter.ir)
%v1 = mul i64 %unit, 32
%v2 = getelementptr i8, ptr %biases, i64 %v1
%v3 = load <4 x double>, ptr %v2, align 32
%v4 = getelementptr i8, ptr %v2, i64 32
%v5 = load <4 x double>, ptr %v4, align 32
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from engine.kernels.codegen.emitter import Emitter
from engine.kernels.codegen.primitives import OPERATIONS
from engine.kernels.codegen.vectors import REAL, Vectors, fma, splat, where
from engine.kernels.vector_math.functions import FUNCTIONS
from engine.program import Instruction
from engine.rolled import Node, Pick, RolledProgram


class Index(NamedTuple):
    """A position along an axis: the sum of variable x factor for each term, plus a constant."""

    terms: tuple[tuple[str, int], ...] = ()
    constant: int = 0


Indexes: TypeAlias = Mapping[int, Index]
"""Axis -> position."""


@dataclass(frozen=True)
class Storage:
    """The location of a value's elements in memory.

    pointer: name of the address of the first one.
    base: number of elements before it.
    strides: axis -> number of elements from one position to the next.
    samples: samples that lie next to each other; 0 if all have the same value.
    tile: bytes from one group of so many samples to the next.
    row: bytes from sample to sample if an element is one number for all lanes, which is broadcast.
    divisor, factor: vectors by which elements are divided or multiplied.
    as_flag: whether an element is read as 1 if it is not 0.
    """

    pointer: str
    strides: Mapping[int, int]
    base: int = 0
    samples: int = 0
    tile: int = 0
    row: int = 0
    divisor: str | None = None
    factor: str | None = None
    as_flag: bool = False


class Places(NamedTuple):
    """A rolled program's values that can be read: in memory, and in registers.

    memory: node -> its storage. registers: node -> the vector of a value without axes.
    """

    program: RolledProgram
    memory: dict[int, Storage]
    registers: dict[int, str]


class Body:
    """Writes one tile.

    emitter: writes the code.
    places: the values that can be read; {} if only storages are.
    samples: number of samples of the tile.
    tile: variable that counts tiles of samples, if there is one.
    """

    def __init__(
        self, emitter: Emitter, places: Places | Mapping[str, str], *, samples: int = 1, tile: str = ""
    ) -> None:
        self._emitter = emitter
        self._places = places
        self._samples = samples
        self._tile = tile
        self._bases: dict[object, str] = {}
        self._loaded: dict[object, str] = {}
        self._values: dict[tuple[int, tuple[object, ...]], list[str]] = {}

    def forget_loaded(self) -> None:
        """Load values again from here on, because registers are few."""
        self._loaded = {}

    # ------------------------------------------------------------------------------------------------------- addresses

    def pointer(self, storage: Storage, index: Indexes, sample: int = 0) -> str:
        """Return the address of an element, of one sample."""
        emitter = self._emitter
        size = emitter.scalar_bytes if storage.row else emitter.vector_bytes * max(storage.samples, 1)
        constant, terms = storage.base * size, []
        for axis, stride in storage.strides.items():
            constant += index[axis].constant * stride * size
            terms += [(variable, factor * stride * size) for variable, factor in index[axis].terms]
        if self._tile and storage.tile:
            terms.append((self._tile, storage.tile))
        key = (storage.pointer, tuple(terms))
        if key not in self._bases:
            base = storage.pointer
            for variable, stride in terms:
                base = emitter.advance(base, variable, stride)
            self._bases[key] = base
        constant += sample * (storage.row or emitter.vector_bytes * bool(storage.samples))
        return emitter.offset(self._bases[key], constant)

    def load(self, storage: Storage, members: Sequence[Indexes]) -> list[str]:
        """Load some elements, for each sample."""
        return [self.load_one(storage, index, sample) for index in members for sample in range(self._samples)]

    def load_one(self, storage: Storage, index: Indexes, sample: int) -> str:
        """Load an element of one sample."""
        sample = sample if storage.samples or storage.row else 0
        key = (storage.pointer, storage.base, tuple((axis, index[axis]) for axis in storage.strides), sample)
        if key not in self._loaded:
            self._loaded[key] = self._load(storage, self.pointer(storage, index, sample))
        return self._loaded[key]

    def _load(self, storage: Storage, pointer: str) -> str:
        emitter = self._emitter
        if storage.row:
            return emitter.broadcast(emitter.load_scalar(pointer))
        value = emitter.vectors(emitter.load(pointer))
        if storage.divisor is not None:
            value = value / emitter.vectors(storage.divisor)
        if storage.factor is not None:
            value = value * emitter.vectors(storage.factor)
        if storage.as_flag:
            value = where(value.absolute().equals(0.0), value.like(0.0), 1.0)
        return value.names[0]

    def store(self, names: Sequence[str], storage: Storage, members: Sequence[Indexes]) -> None:
        """Store the vectors of some elements, for each sample."""
        rest = iter(names)
        for index in members:
            for sample in range(self._samples):
                self._emitter.store(next(rest), self.pointer(storage, index, sample))

    # ---------------------------------------------------------------------------------------------------------- values

    def value(self, number: int, members: Sequence[Indexes]) -> list[str]:
        """Return the vectors of a node's elements, for each sample. What is not in memory is computed."""
        assert isinstance(self._places, Places)
        program, node = self._places.program, self._places.program.nodes[number]
        if isinstance(node, float):
            return [splat(self._emitter.ir, node)] * (len(members) * self._samples)
        if number in self._places.registers:
            return [self._places.registers[number]] * (len(members) * self._samples)
        if isinstance(node, Pick):
            (axis,) = program.axes[node.operands[0]]
            return self.value(node.operands[0], [{axis: Index((), node.element)}] * len(members))
        axes = program.axes[number]
        own = [{axis: index[axis] for axis in axes} for index in members]
        key = (number, tuple(tuple(index.items()) for index in own))
        if key not in self._values:
            storage = self._places.memory.get(number)
            self._values[key] = self._computed(node, own) if storage is None else self.load(storage, own)
        return self._values[key]

    def keep(self, number: int, members: Sequence[Indexes], names: list[str]) -> None:
        """Remember the vectors of a node's elements, for later nodes of the tile."""
        assert isinstance(self._places, Places)
        axes = self._places.program.axes[number]
        self._values[number, tuple(tuple((axis, index[axis]) for axis in axes) for index in members)] = names

    def compute(self, number: int, members: Sequence[Indexes]) -> list[str]:
        """Return the vectors of an elementwise node, computed from those of its operands."""
        assert isinstance(self._places, Places)
        return self._computed(self._places.program.nodes[number], members)

    def _computed(self, node: Node, members: Sequence[Indexes]) -> list[str]:
        assert isinstance(node, Instruction), node
        operands = [Vectors(self._emitter.ir, REAL, self.value(operand, members)) for operand in node.operands]
        if node.operation == "fma":
            return list(fma(*operands).names)
        if node.operation in FUNCTIONS:
            return list(self._emitter.call(node.operation, operands).names)
        return list(OPERATIONS[node.operation](*operands).names)
