"""`run`: the compiled function that takes a block of trials through its steps, and notes what is to be recorded.

A trial that leaves the finite numbers is frozen: its lane goes on with the others, but is written back no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.kernels.assembly import ARRAYS, Assembly
from engine.kernels.emitter import Emitter
from engine.kernels.vectors import Lanes, fma, where

FIELDS = (
    # memory of the block
    "parameters", "next", "before", "columns", "sums", "evaluated_sums", "loss", "scratch", "alive", "last_step",
    # data: samples are (samples, features) and (samples, targets), an order is (epochs, samples, lanes)
    "features", "targets", "test_features", "test_targets", "order", "samples", "test_samples", "recorded",
    # results: (points, curves) and (points, weights) vectors
    "curves", "gradients", "final_curves", "final_gradients",
    # how far it is, and how far it is to go
    "step", "end", "last", "steps", "position", "some_alive", "finish", "batch", "per_epoch", "first_epoch",
)  # fmt: skip
"""What `run` is told, and tells, by a table of 64-bit numbers: addresses and counts."""

POINTERS = frozenset(FIELDS[: FIELDS.index("samples")]) | {
    "recorded", "curves", "gradients", "final_curves", "final_gradients"
}  # fmt: skip
"""The fields that are addresses."""


@dataclass(frozen=True)
class Noted:
    """What `run` notes at a recorded step, in the order of the vectors."""

    measured: tuple[str, ...]
    ratios: tuple[str, ...]
    evaluated: tuple[str, ...]
    tested: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the curves; the loss of the evaluated is measured already."""
        evaluated = [name if name != "loss" else "" for name in self.evaluated]
        return (*self.measured, *self.ratios, *evaluated, *(f"test_{name}" for name in self.tested))


def define_run(assembly: Assembly, *, tested: bool, batches: bool, gradients: bool) -> Noted:
    """Define the functions of a step, and `run(table)`, which goes from `step` to `end`.

    `table` has the FIELDS. With `finish` set it measures the final weights once all steps are done.
    """
    layout = assembly.layout
    accuracy = "accuracy" in layout.evaluated
    noted = Noted(
        layout.measured,
        layout.ratios,
        layout.evaluated if accuracy else (),
        layout.evaluated if tested else (),
    )
    sums = layout.reductions
    assembly.define_sums("sums", sums)
    if batches:
        assembly.define_sums("batch_sums", sums, gathered=True)
    assembly.define_outputs("loss", ["loss"], sums)
    assembly.define_outputs("update", ["weights", "state"], sums)
    assembly.define_outputs("measure", layout.measured, sums)
    assembly.define_outputs("ratios", layout.ratios, sums)
    if gradients:
        assembly.define_outputs("gradients", ["gradient"], sums)
    if accuracy or tested:
        evaluated = layout.reductions_of(layout.evaluated)
        assembly.define_sums("evaluate", evaluated)
        assembly.define_outputs("evaluated", layout.evaluated, evaluated)
    with assembly.function("run", ["ptr %table"], exported=True) as emitter:
        _Run(emitter, assembly, noted, batches=batches, gradients=gradients).write()
    return noted


class _Run:
    def __init__(self, emitter: Emitter, assembly: Assembly, noted: Noted, *, batches: bool, gradients: bool) -> None:
        self._emitter = emitter
        self._layout = assembly.layout
        self._noted = noted
        self._batches = batches
        self._gradients = gradients
        self._names = {field: self._field(field) for field in FIELDS}

    def _field(self, field: str) -> str:
        """A field's value at the beginning."""
        kind = "ptr" if field in POINTERS else "i64"
        return self._emitter.code.value(f"load {kind}, ptr {self._address(field)}, align 8")

    def _address(self, field: str) -> str:
        return self._emitter.offset("%table", 8 * FIELDS.index(field))

    def _set(self, field: str, value: str) -> None:
        self._emitter.code.line(f"store i64 {value}, ptr {self._address(field)}, align 8")

    def _whole(self, text: str) -> str:
        return self._emitter.code.value(text)

    def write(self) -> None:
        emitter = self._emitter
        emitter.code.line("br label %check")
        emitter.start("check")
        step = self._field("step")
        goes_on = self._whole(f"icmp ult i64 {step}, {self._names['end']}")
        some = self._whole(f"icmp ne i64 {self._field('some_alive')}, 0")
        both = self._whole(f"and i1 {goes_on}, {some}")
        emitter.code.line(f"br i1 {both}, label %step, label %done")
        emitter.start("step")
        self._step(step)
        self._set("step", self._whole(f"add i64 {step}, 1"))
        emitter.code.line("br label %check")
        emitter.start("done")
        finish = self._whole(f"icmp ne i64 {self._names['finish']}, 0")
        with emitter.when(finish):
            self._finish()

    def _step(self, step: str) -> None:
        emitter = self._emitter
        position = self._field("position")
        due = self._whole(f"load i64, ptr {emitter.advance(self._names['recorded'], position, 8)}, align 8")
        recorded = self._whole(f"icmp eq i64 {step}, {due}")
        points = [
            emitter.advance(self._names["curves"], position, len(self._noted.names) * emitter.vector_bytes),
            emitter.advance(
                self._names["gradients"], position, self._layout.program.weight_count * emitter.vector_bytes
            ),
        ]
        self._set_clock(step)
        if self._batches:
            with emitter.when(recorded):
                self._sum_all()
                self._measure(*points)
            self._sum_batch(step)
        else:
            self._sum_all()
        self._freeze_lost(step)
        if not self._batches:
            with emitter.when(recorded):
                self._measure(*points)
        self._call("update", self._names["next"])
        with emitter.when(recorded):
            self._note_ratios(points[0])
            self._set("position", self._whole(f"add i64 {position}, 1"))
        self._commit(step)

    def _finish(self) -> None:
        """A last look at the loss of the final weights, and then all that is noted of them."""
        names = self._names
        self._set_clock(names["last"])
        self._sum_all()
        self._freeze_lost(names["last"])
        self._sum_all()
        self._measure(names["final_curves"], names["final_gradients"])
        if self._batches:
            self._sum_batch(names["last"])
        self._call("update", names["next"])
        self._note_ratios(names["final_curves"])

    # ----------------------------------------------------------------------------------------------------------- calls

    def _call(self, function: str, *more: str, **replaced: str) -> None:
        """Call a function of the step with the block's arrays, some of them replaced, and what else it takes."""
        arrays = [f"ptr {replaced.get(array, self._names[array])}" for array in ARRAYS]
        rest = [f"ptr {pointer}" for pointer in more]
        self._emitter.code.line(f"call fastcc void @{function}({', '.join([*arrays, *rest])})")

    def _reduce(self, function: str, order: str, count: str, **replaced: str) -> None:
        arrays = [f"ptr {replaced.get(array, self._names[array])}" for array in ARRAYS]
        self._emitter.code.line(f"call fastcc void @{function}({', '.join(arrays)}, ptr {order}, i64 {count})")

    def _sum_all(self) -> None:
        self._reduce("sums", "null", self._names["samples"])

    def _sum_batch(self, step: str) -> None:
        """The batch of a step: `batch` samples of the epoch's order, fewer at its end."""
        names, lanes = self._names, self._emitter.code.lanes
        epoch = self._whole(f"udiv i64 {step}, {names['per_epoch']}")
        number = self._whole(f"urem i64 {step}, {names['per_epoch']}")
        begin = self._whole(f"mul i64 {number}, {names['batch']}")
        left = self._whole(f"sub i64 {names['samples']}, {begin}")
        whole = self._whole(f"icmp ult i64 {names['batch']}, {left}")
        count = self._whole(f"select i1 {whole}, i64 {names['batch']}, i64 {left}")
        known = self._whole(f"sub i64 {epoch}, {names['first_epoch']}")
        row = self._whole(f"mul i64 {known}, {names['samples']}")
        place = self._whole(f"add i64 {row}, {begin}")
        self._reduce("batch_sums", self._emitter.advance(names["order"], place, 4 * lanes), count)

    def _measure(self, curves: str, gradients: str) -> None:
        """Note what is measured of the weights."""
        size, names, noted = self._emitter.vector_bytes, self._names, self._noted
        self._call("measure", curves)
        if self._gradients:
            self._call("gradients", gradients)
        sums = names["evaluated_sums"]
        after = self._emitter.offset(curves, (len(noted.measured) + len(noted.ratios)) * size)
        if noted.evaluated:
            self._reduce("evaluate", "null", names["samples"], sums=sums)
            self._call("evaluated", after, sums=sums)
        if noted.tested:
            data = {"features": names["test_features"], "targets": names["test_targets"]}
            self._reduce("evaluate", "null", names["test_samples"], sums=sums, **data)
            self._call("evaluated", self._emitter.offset(after, len(noted.evaluated) * size), sums=sums)

    def _note_ratios(self, curves: str) -> None:
        self._call("ratios", self._emitter.offset(curves, len(self._noted.measured) * self._emitter.vector_bytes))

    # ---------------------------------------------------------------------------------------------------------- lanes

    def _set_clock(self, step: str) -> None:
        emitter, columns = self._emitter, len(self._layout.columns)
        for place, number in enumerate((step, self._names["steps"])):
            real = self._whole(f"uitofp i64 {number} to {emitter.code.scalar}")
            at = emitter.offset(self._names["columns"], (columns + place) * emitter.vector_bytes)
            emitter.store(emitter.spread(real), at)

    def _vector(self, field: str) -> Lanes:
        return self._emitter.lanes(self._emitter.load(self._names[field]))

    def _some(self, flag: Lanes) -> str:
        lanes = self._emitter.code.lanes
        return self._whole(f"call i1 @llvm.vector.reduce.or.v{lanes}i1({flag.type} {flag.names[0]})")

    def _freeze_lost(self, step: str) -> None:
        """A loss that is not finite condemns the update that led to it; at step 0 there is none to take back."""
        emitter, names = self._emitter, self._names
        self._call("loss", names["loss"])
        alive = self._vector("alive").equals(1.0)
        lost = alive & ~(self._vector("loss").absolute() < float("inf"))
        with emitter.when(self._some(lost)):
            self._take_back(lost)
            first = self._whole(f"icmp eq i64 {step}, 0")
            previous = self._whole(f"sub i64 {step}, 1")
            self._freeze(lost, self._whole(f"select i1 {first}, i64 0, i64 {previous}"))

    def _take_back(self, lanes: Lanes) -> None:
        """Give lanes the parameters that they had before the last update."""
        emitter, size = self._emitter, self._emitter.vector_bytes
        with emitter.repeat(self._layout.parameters) as loop:
            at = emitter.advance(self._names["parameters"], loop.at, size)
            before = emitter.lanes(emitter.load(emitter.advance(self._names["before"], loop.at, size)))
            emitter.store(where(lanes, before, emitter.lanes(emitter.load(at))).names[0], at)

    def _freeze(self, lanes: Lanes, last_step: str) -> None:
        emitter = self._emitter
        number = emitter.lanes(emitter.spread(self._whole(f"uitofp i64 {last_step} to {emitter.code.scalar}")))
        emitter.store(where(lanes, number, self._vector("last_step")).names[0], self._names["last_step"])
        alive = self._vector("alive")
        alive = where(lanes, alive.like(0.0), alive)
        emitter.store(alive.names[0], self._names["alive"])
        some = self._some(alive.equals(1.0))
        self._set("some_alive", self._whole(f"zext i1 {some} to i64"))

    def _commit(self, step: str) -> None:
        """The next parameters become the present ones where they are finite and the trial is alive."""
        emitter, names, size = self._emitter, self._names, self._emitter.vector_bytes
        alive = self._vector("alive").equals(1.0)
        with emitter.repeat(self._layout.parameters, carried=["zeroinitializer"]) as loop:
            at = emitter.advance(names["parameters"], loop.at, size)
            old = emitter.lanes(emitter.load(at))
            new = emitter.lanes(emitter.load(emitter.advance(names["next"], loop.at, size)))
            emitter.store(old.names[0], emitter.advance(names["before"], loop.at, size))
            emitter.store(where(alive, new, old).names[0], at)
            # 0 times a number that is not finite is NaN
            loop.carry(fma(new, 0.0, emitter.lanes(*loop.carried)).names)
        lost = alive & ~emitter.lanes(*loop.carried).equals(0.0)
        with emitter.when(self._some(lost)):
            self._take_back(lost)
            self._freeze(lost, step)
