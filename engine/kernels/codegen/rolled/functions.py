"""Write the functions of a step of a rolled program. Their arguments are those of `module.py`.

The samples go through the layers in blocks. A block is some tiles of samples: as many as keep the values of all layers
in the cache, so that weights and sums are read and written as rarely as possible.

>>> from engine import LOSSES, MLP, OPTIMIZERS, UpdateRule
>>> from engine.kernels.codegen.target import host_target
>>> from engine.rolled_tracing import trace_rolled
>>> rule = UpdateRule(OPTIMIZERS["sgd"])
>>> program = trace_rolled(MLP([20, 30, 1]), LOSSES["mean_squared_error"], rule, targets=1)
>>> module, layout = ModuleBuilder(host_target(), "float64"), RolledLayout(program)
>>> emit_rolled_outputs(module, layout, OutputFunction("loss", ("loss",), layout.reductions))
>>> "void @loss(" in module.text()
True
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.kernels.codegen.emitter import Emitter
from engine.kernels.codegen.gather import write_gather
from engine.kernels.codegen.layout import OutputFunction, ReduceFunction
from engine.kernels.codegen.module import ModuleBuilder, step_arguments
from engine.kernels.codegen.rolled.body import Body, Places, Storage
from engine.kernels.codegen.rolled.layout import RolledLayout, needed_nodes
from engine.kernels.codegen.rolled.loops import LoopWriter, SampleTiles
from engine.kernels.codegen.rolled.schedule import Schedule
from engine.kernels.codegen.vectors import splat
from engine.rolled import Axes, Contraction, Family, RolledProgram

_BLOCK_BYTES = 1 << 20
"""Memory for the values of a block's samples. With the weights that are in use, it should fit into the cache."""
_BLOCK_SAMPLES = 64
"""Largest number of samples of a block."""
_PAGE, _PAD = 4096, 1024
"""Addresses that differ by a page compete for the same few lines of the nearest cache."""


def emit_rolled_reductions(
    module: ModuleBuilder,
    layout: RolledLayout,
    function: ReduceFunction,
    samples_at_once: Sequence[int],
    widths: tuple[int, int],
) -> None:
    """Write a function `name(arrays, order, count)`: it reduces `count` samples into sums, then stores `count`.

    samples_at_once: samples of a tile, then those of a remainder, if there can be one.
    widths: numbers of features and of targets of a sample.
    """
    with module.function(function.name, step_arguments("ptr noalias %order", "i64 %count")) as emitter:
        writer = _ReductionWriter(module, emitter, layout, function, widths)
        writer.write(samples_at_once)
        module.scratch_bytes = max(module.scratch_bytes, writer.scratch_bytes)


def emit_rolled_outputs(
    module: ModuleBuilder, layout: RolledLayout, function: OutputFunction, has_exact_inverses: bool = False
) -> None:
    """Write a function `name(arrays, out)`: it computes outputs from parameters, columns and sums into `out`.

    has_exact_inverses: whether each number of samples is a power of two.
    """
    with module.function(function.name, step_arguments("ptr noalias %out")) as emitter:
        program, size = layout.program, emitter.vector_bytes
        count = emitter.load(emitter.offset("%sums", layout.sums_of(function.reductions) * size))
        divisor, factor = emitter.mean_scale(count, has_exact_inverses)
        places = _places(emitter, layout)
        for number, base in layout.sum_bases(function.reductions).items():
            strides = c_order(program, program.axes[number])
            places.memory[number] = (
                Storage("%sums", strides, base, divisor=divisor, factor=factor)
                if layout.is_mean(number)
                else Storage("%sums", strides, base, as_flag=True)
            )
        writer = LoopWriter(emitter, places, module.target.registers)
        stores: dict[Axes, list[tuple[int, Storage]]] = {}
        at = 0
        outputs = dict(program.places)
        roots = layout.nodes_of(function.outputs)
        _write_scalars(emitter, writer, places, needed_nodes(program, roots, layout.is_reduction))
        for name in function.outputs:
            for place in outputs[name]:
                axes = program.axes[place.node]
                strides = dict(zip(axes, place.strides, strict=True))
                stores.setdefault(axes, []).append((place.node, Storage("%out", strides, at + place.base)))
            at += output_size(program, name)
        for axes, values in stores.items():
            writer.write_elements(axes, values)


def output_size(program: RolledProgram, name: str) -> int:
    """Return the number of values of an output."""
    return sum(program.elements(program.axes[place.node]) for place in dict(program.places)[name])


def c_order(program: RolledProgram, axes: Axes) -> dict[int, int]:
    """Return the distance between elements along each axis, with the last axis varying fastest."""
    strides, stride = {}, 1
    for axis in reversed(axes):
        strides[axis] = stride
        stride *= program.sizes[axis]
    return {axis: strides[axis] for axis in axes}


def _places(emitter: Emitter, layout: RolledLayout) -> Places:
    """Return the values from outside: weights and state in memory, hyperparameters and step numbers in registers."""
    program, size = layout.program, emitter.vector_bytes
    places = Places(program, {}, {})
    columns = {name: position for position, name in enumerate(layout.columns)}
    for number, node in enumerate(program.nodes):
        if not isinstance(node, Family):
            continue
        strides = dict(zip(node.axes, node.strides, strict=True))
        if node.kind in ("weight", "state"):
            first = program.weight_count if node.kind == "state" else 0
            places.memory[number] = Storage("%parameters", strides, first + node.base)
        elif node.kind in ("column", "step", "steps"):
            position = columns[node.name] if node.kind == "column" else len(columns) + (node.kind == "steps")
            places.memory[number] = Storage(emitter.offset("%columns", position * size), {})
    return places


def _write_scalars(emitter: Emitter, writer: LoopWriter, places: Places, needed: Sequence[int]) -> None:
    """Compute the values without axes that do not differ by sample, and keep them in registers.

    Sums along the same axes that are ready together are added up side by side.
    """
    program = places.program
    waiting = [n for n in needed if not program.axes[n] and not program.per_sample_nodes[n]]
    waiting = [n for n in waiting if not isinstance(program.nodes[n], float)]
    depth = _depths(program, needed)
    while waiting:
        number = waiting[0]
        node = program.nodes[number]
        if isinstance(node, Contraction):
            alike = [n for n in waiting if _is_sum(program, n, node.axes) and depth[n] == depth[number]]
            names = writer.write_sums(alike)
        else:
            alike, names = [number], Body(emitter, places).value(number, [{}])
        places.registers.update(zip(alike, names, strict=True))
        waiting = [n for n in waiting if n not in alike]


def _is_sum(program: RolledProgram, number: int, axes: Axes) -> bool:
    node = program.nodes[number]
    return isinstance(node, Contraction) and node.axes == axes


def _depths(program: RolledProgram, needed: Sequence[int]) -> dict[int, int]:
    """Return for each node how many sums lie one behind another before it."""
    depth: dict[int, int] = {}
    for number in needed:
        node = program.nodes[number]
        operands = () if isinstance(node, (Family, float)) else node.operands
        before = max((depth.get(operand, 0) for operand in operands), default=0)
        depth[number] = before + isinstance(node, Contraction)
    return depth


class _ReductionWriter:
    """Writes the body of a function that reduces samples."""

    def __init__(
        self,
        module: ModuleBuilder,
        emitter: Emitter,
        layout: RolledLayout,
        function: ReduceFunction,
        widths: tuple[int, int],
    ) -> None:
        self._emitter, self._layout, self._function = emitter, layout, function
        self._program = layout.program
        self._places = _places(emitter, layout)
        self._writer = LoopWriter(emitter, self._places, module.target.registers)
        self._schedule = Schedule.of(layout.program, function.reductions)
        self._widths = {"feature": widths[0], "target": widths[1]}
        self._bases = layout.sum_bases(function.reductions)
        self.scratch_bytes = 0

    def write(self, samples_at_once: Sequence[int]) -> None:
        """Write the blocks of samples, then the samples that are left."""
        emitter, value = self._emitter, self._emitter.ir.value
        sums = self._layout.sums_of(self._function.reductions)
        self._write_shared()
        with emitter.for_range(sums) as loop:
            emitter.store(splat(emitter.ir, 0.0), emitter.advance("%sums", loop.index, emitter.vector_bytes))
        at_once = samples_at_once[0]
        left = value(f"urem i64 %count, {at_once}")
        evenly = value(f"sub i64 %count, {left}")
        with emitter.if_then(value(f"icmp ne i64 {evenly}, 0")):
            self._write_blocks("0", evenly, at_once)
        for remainder in samples_at_once[1:]:
            with emitter.if_then(value(f"icmp ne i64 {left}, 0")):
                self._write_blocks(evenly, left, remainder)
        count = emitter.broadcast(value(f"uitofp i64 %count to {emitter.ir.scalar}"))
        emitter.store(count, emitter.offset("%sums", sums * emitter.vector_bytes))

    def _write_shared(self) -> None:
        """Compute the values without axes that samples share."""
        program = self._program
        roots = [n for group in self._schedule.groups for n in group.nodes]
        roots += [o for n in self._function.reductions for o in getattr(program.nodes[n], "operands", ())]
        _write_scalars(
            self._emitter, self._writer, self._places, needed_nodes(program, roots, self._layout.is_reduction)
        )

    def _write_blocks(self, begin: str, count: str, samples: int) -> None:
        """Write the loop over blocks of `count` samples from `begin` on. The count is a multiple of `samples`."""
        emitter, value = self._emitter, self._emitter.ir.value
        stored = [n for group in self._schedule.groups for n in group.stored]
        members = sum(self._program.elements(self._program.axes[n]) for n in stored)
        gathered = sum(self._widths.values()) if self._function.gathered else 0
        of_sample = (members + gathered) * emitter.vector_bytes
        most = max(1, min(_BLOCK_SAMPLES, _BLOCK_BYTES // of_sample) // samples)
        self._assign_scratch(stored, samples, most)
        tiles = value(f"udiv i64 {count}, {samples}")
        with emitter.for_range(tiles, most) as block:
            left = value(f"sub i64 {tiles}, {block.index}")
            fewer = value(f"icmp ult i64 {left}, {most}")
            here = SampleTiles(samples, value(f"select i1 {fewer}, i64 {left}, i64 {most}"))
            first = value(f"mul i64 {block.index}, {samples}")
            first = first if begin == "0" else value(f"add i64 {first}, {begin}")
            self._read_samples(first, here)
            for group in self._schedule.groups:
                self._writer.write_group(group, here)
            for number in self._function.reductions:
                sums = Storage("%sums", c_order(self._program, self._program.axes[number]), self._bases[number])
                self._writer.write_reduction(number, sums, here)

    def _reserve(self, at: int, count: int, samples: int, tiles: int) -> tuple[str, int]:
        """Return (address, bytes from tile to tile) of scratch memory, and note its end."""
        tile = count * samples * self._emitter.vector_bytes
        if tile % _PAGE in (0, _PAGE // 2):
            tile += _PAD  # tiles at such distances would displace each other from the nearest cache
        self.scratch_bytes = max(self.scratch_bytes, at + tile * tiles)
        return self._emitter.offset("%scratch", at), tile

    def _assign_scratch(self, stored: Sequence[int], samples: int, tiles: int) -> None:
        """Assign memory to the stored values of a block and to gathered samples."""
        at = 0
        self._gathered: dict[str, tuple[str, int]] = {}
        for number in stored:
            axes = self._program.axes[number]
            count = self._program.elements(axes)
            pointer, tile = self._reserve(at, count, samples, tiles)
            self._places.memory[number] = Storage(pointer, c_order(self._program, axes), samples=samples, tile=tile)
            at += tile * tiles
        if self._function.gathered:
            for kind, width in self._widths.items():
                self._gathered[kind] = self._reserve(at, width, samples, tiles)
                at += self._gathered[kind][1] * tiles

    def _read_samples(self, first: str, here: SampleTiles) -> None:
        """Set the places of features and targets: the data's rows, or copies if each trial has other samples."""
        emitter = self._emitter
        for kind, width in self._widths.items():
            if self._function.gathered:
                pointer, tile = self._gathered[kind]
                _gather(emitter, kind, width, first, here, pointer, tile)
                base = Storage(pointer, {}, samples=here.samples, tile=tile)
            else:
                row = width * emitter.scalar_bytes
                base = Storage(emitter.advance(f"%{kind}s", first, row), {}, tile=here.samples * row, row=row)
            for number, node in enumerate(self._program.nodes):
                if isinstance(node, Family) and node.kind == kind:
                    strides = dict(zip(node.axes, node.strides, strict=True))
                    self._places.memory[number] = Storage(
                        base.pointer, strides, node.base, samples=base.samples, tile=base.tile, row=base.row
                    )


def _gather(
    emitter: Emitter, kind: str, width: int, first: str, here: SampleTiles, target: str, tile_bytes: int
) -> None:
    """Write code that copies each trial's samples into scratch memory, tile by tile."""
    ir = emitter.ir
    with emitter.for_range(here.tiles) as loop:
        sample = ir.value(f"add i64 {first}, {ir.value(f'mul i64 {loop.index}, {here.samples}')}")
        order = emitter.advance("%order", sample, ir.lanes * 4)
        tile = emitter.advance(target, loop.index, tile_bytes)
        write_gather(emitter, kind, width, order, here.samples, tile)
