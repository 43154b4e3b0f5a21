"""Last part of the module: write `run`, the function that trains a block of trials step by step and records curves.

`run(table)` trains from `step` to `end` or `pause`. Its argument is the address of a table with one 64-bit number for
each of the CONTEXT_FIELDS. Its code does this:

    while step < end and step < pause and any trial is alive:
        sums(samples)                     # of the batch, if there are batches; recorded steps measure all samples first
        freeze trials whose loss is infinite or NaN, and undo their last update
        add the loss to the scores
        if step is recorded: measure(), gradients(), evaluate()
        update()
        if step is recorded: ratios()
        commit the update, and freeze trials whose new weights are infinite or NaN
        step += 1
    if finish, and all steps are done or no trial is alive: measure the final weights

The lane of a frozen trial computes on with the others, but its results are not stored. So when a trial is frozen,
`pause` becomes the next multiple of `pause_every`, if it was later. There the caller can put the living trials of
several blocks into fewer (see `kernels/packing.py`).

The parameters and those before the last update have two arrays, which change roles: an update is written over the
older one, whose contents nobody needs any more. At the end, the final parameters are in the array `home`.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.kernels.codegen.emitter import Emitter
from engine.kernels.codegen.layout import Layout
from engine.kernels.codegen.module import ARRAYS, ModuleBuilder
from engine.kernels.codegen.score_code import write_scores
from engine.kernels.codegen.vectors import Vectors, fma, where
from engine.scores import Score

CONTEXT_FIELDS = (
    # memory of the block: arrays of vectors
    "parameters", "before", "home", "columns", "sums", "evaluated_sums", "loss", "scratch", "alive", "last_step",
    # data: samples are (samples, features) and (samples, targets), an order is (epochs, samples, lanes)
    "features", "targets", "test_features", "test_targets", "order", "samples", "test_samples", "recorded",
    # results: (points, curves) and (points, weights) vectors
    "curves", "gradients", "final_curves", "final_gradients",
    # progress, and where to stop
    "step", "end", "pause", "pause_every", "last", "steps", "position", "any_alive", "finish",
    "batch", "per_epoch", "first_epoch",
    # accumulators of scores: the loss of step 0, then a vector for each score
    "scores",
)  # fmt: skip
"""Names of the table's numbers: addresses, counts and positions. `run` and its caller read and write them."""

POINTERS = frozenset(CONTEXT_FIELDS[: CONTEXT_FIELDS.index("samples")]) | {
    "recorded", "curves", "gradients", "final_curves", "final_gradients", "scores"
}  # fmt: skip
"""The fields that are addresses."""


_CHECKED_AT_ONCE = 4
"""Parameters whose sums are independent, so that the processor need not wait for one to add the next."""


def emit_train_loop(module: ModuleBuilder, layout: Layout, scores: Sequence[Score] = ()) -> None:
    """Add the function `run` to a module. scores: what it adds up over the steps."""
    with module.function("run", ["ptr %table"], exported=True) as emitter:
        _TrainLoopWriter(emitter, layout, scores).write()


class _TrainLoopWriter:
    """Writes the body of `run`. Methods are named after the code that they write."""

    def __init__(self, emitter: Emitter, layout: Layout, scores: Sequence[Score]) -> None:
        self._emitter = emitter
        self._layout = layout
        self._scores = scores
        self._recorded = layout.recorded
        self._names = {field: self._field(field) for field in CONTEXT_FIELDS if field != "scores" or scores}

    def _field(self, field: str) -> str:
        """Load a field's value."""
        kind = "ptr" if field in POINTERS else "i64"
        return self._emitter.ir.value(f"load {kind}, ptr {self._address(field)}, align 8")

    def _address(self, field: str) -> str:
        return self._emitter.offset("%table", 8 * CONTEXT_FIELDS.index(field))

    def _set(self, field: str, value: str) -> None:
        self._emitter.ir.line(f"store i64 {value}, ptr {self._address(field)}, align 8")

    def _set_pointer(self, field: str, value: str) -> None:
        self._emitter.ir.line(f"store ptr {value}, ptr {self._address(field)}, align 8")

    def _value(self, text: str) -> str:
        return self._emitter.ir.value(text)

    def write(self) -> None:
        """Write the loop over steps, then the measurements of the final weights."""
        emitter = self._emitter
        emitter.ir.line("br label %check")
        emitter.start("check")
        step = self._field("step")
        before_end = self._value(f"icmp ult i64 {step}, {self._names['end']}")
        before_pause = self._value(f"icmp ult i64 {step}, {self._field('pause')}")
        any_alive = self._value(f"icmp ne i64 {self._field('any_alive')}, 0")
        before_both = self._value(f"and i1 {before_end}, {before_pause}")
        goes_on = self._value(f"and i1 {before_both}, {any_alive}")
        emitter.ir.line(f"br i1 {goes_on}, label %step, label %done")
        emitter.start("step")
        self._step(step)
        self._set("step", self._value(f"add i64 {step}, 1"))
        emitter.ir.line("br label %check")
        emitter.start("done")
        may_finish = self._value(f"icmp ne i64 {self._names['finish']}, 0")
        is_last = self._value(f"icmp uge i64 {step}, {self._names['last']}")
        is_over = self._value(f"select i1 {any_alive}, i1 {is_last}, i1 true")
        finish = self._value(f"and i1 {may_finish}, {is_over}")
        with emitter.if_then(finish):
            self._finish()

    def _load_roles(self) -> None:
        """Load the addresses of the two arrays of parameters, which change at each step."""
        self._names |= {field: self._field(field) for field in ("parameters", "before")}

    def _step(self, step: str) -> None:
        emitter = self._emitter
        self._load_roles()
        position = self._field("position")
        next_recorded = self._value(f"load i64, ptr {emitter.advance(self._names['recorded'], position, 8)}, align 8")
        recorded = self._value(f"icmp eq i64 {step}, {next_recorded}")
        points = [
            emitter.advance(self._names["curves"], position, len(self._recorded.names) * emitter.vector_bytes),
            emitter.advance(
                self._names["gradients"], position, self._layout.program.weight_count * emitter.vector_bytes
            ),
        ]
        self._set_step(step)
        if self._layout.batches:
            with emitter.if_then(recorded):
                self._sum_all()
                self._measure(*points)
            self._sum_batch(step)
        else:
            self._sum_all()
        self._freeze_diverged(step)
        if self._scores:
            alive, names = self._vector("alive").equals(1.0), self._names
            write_scores(emitter, self._scores, names["scores"], step, names["last"], self._vector("loss"), alive)
        if not self._layout.batches:
            with emitter.if_then(recorded):
                self._measure(*points)
        self._call("update", self._names["before"])
        with emitter.if_then(recorded):
            self._record_ratios(points[0])
            self._set("position", self._value(f"add i64 {position}, 1"))
        self._commit(step)

    def _finish(self) -> None:
        """Freeze trials whose final loss is infinite or NaN, then record the curves of the final weights."""
        self._load_roles()
        names = self._names
        self._set_step(names["last"])
        self._sum_all()
        self._freeze_diverged(names["last"])
        self._sum_all()
        self._measure(names["final_curves"], names["final_gradients"])
        if self._layout.batches:
            self._sum_batch(names["last"])
        self._record_ratios(names["final_curves"])
        away = self._value(f"icmp ne ptr {names['parameters']}, {names['home']}")
        with self._emitter.if_then(away), self._emitter.for_range(self._layout.parameters) as loop:
            size = self._emitter.vector_bytes
            value = self._emitter.load(self._emitter.advance(names["parameters"], loop.index, size))
            self._emitter.store(value, self._emitter.advance(names["home"], loop.index, size))

    # ----------------------------------------------------------------------------------------------------------- calls

    def _call(self, function: str, *more: str, **replaced: str) -> None:
        """Call an output function with the block's arrays, of which some are replaced, and more arguments."""
        arrays = [f"ptr {replaced.get(array, self._names[array])}" for array in ARRAYS]
        rest = [f"ptr {pointer}" for pointer in more]
        self._emitter.ir.line(f"call fastcc void @{function}({', '.join([*arrays, *rest])})")

    def _reduce(self, function: str, order: str, count: str, **replaced: str) -> None:
        """Call a reduce function with the block's arrays, of which some are replaced."""
        arrays = [f"ptr {replaced.get(array, self._names[array])}" for array in ARRAYS]
        self._emitter.ir.line(f"call fastcc void @{function}({', '.join(arrays)}, ptr {order}, i64 {count})")

    def _sum_all(self) -> None:
        self._reduce("sums", "null", self._names["samples"])

    def _sum_batch(self, step: str) -> None:
        """Reduce the batch of a step: `batch` samples of the epoch's order, or fewer at the epoch's end."""
        names, lanes = self._names, self._emitter.ir.lanes
        epoch = self._value(f"udiv i64 {step}, {names['per_epoch']}")
        number = self._value(f"urem i64 {step}, {names['per_epoch']}")
        begin = self._value(f"mul i64 {number}, {names['batch']}")
        left = self._value(f"sub i64 {names['samples']}, {begin}")
        is_full = self._value(f"icmp ult i64 {names['batch']}, {left}")
        count = self._value(f"select i1 {is_full}, i64 {names['batch']}, i64 {left}")
        row_epoch = self._value(f"sub i64 {epoch}, {names['first_epoch']}")
        row = self._value(f"mul i64 {row_epoch}, {names['samples']}")
        position = self._value(f"add i64 {row}, {begin}")
        self._reduce("batch_sums", self._emitter.advance(names["order"], position, 4 * lanes), count)

    def _measure(self, curves: str, gradients: str) -> None:
        """Record the curves that measure the weights, and the gradients."""
        size, names, recorded = self._emitter.vector_bytes, self._names, self._recorded
        self._call("measure", curves)
        if self._layout.gradients:
            self._call("gradients", gradients)
        sums = names["evaluated_sums"]
        after = self._emitter.offset(curves, (len(recorded.measured) + len(recorded.ratios)) * size)
        if recorded.evaluated:
            self._reduce("evaluate", "null", names["samples"], sums=sums)
            self._call("evaluated", after, sums=sums)
        if recorded.tested:
            data = {"features": names["test_features"], "targets": names["test_targets"]}
            self._reduce("evaluate", "null", names["test_samples"], sums=sums, **data)
            self._call("evaluated", self._emitter.offset(after, len(recorded.evaluated) * size), sums=sums)

    def _record_ratios(self, curves: str) -> None:
        self._call("ratios", self._emitter.offset(curves, len(self._recorded.measured) * self._emitter.vector_bytes))

    # ---------------------------------------------------------------------------------------------------------- lanes

    def _set_step(self, step: str) -> None:
        emitter, columns = self._emitter, len(self._layout.columns)
        for position, number in enumerate((step, self._names["steps"])):
            real = self._value(f"uitofp i64 {number} to {emitter.ir.scalar}")
            address = emitter.offset(self._names["columns"], (columns + position) * emitter.vector_bytes)
            emitter.store(emitter.broadcast(real), address)

    def _vector(self, field: str) -> Vectors:
        return self._emitter.vectors(self._emitter.load(self._names[field]))

    def _freeze_diverged(self, step: str) -> None:
        """Freeze trials whose loss is infinite or NaN, and undo their last update, if there was one."""
        emitter, names = self._emitter, self._names
        self._call("loss", names["loss"])
        alive = self._vector("alive").equals(1.0)
        diverged = alive & ~(self._vector("loss").absolute() < float("inf"))
        with emitter.if_then(emitter.ir.any_lane(diverged.names[0])):
            self._rollback(diverged, "parameters", "before")
            first = self._value(f"icmp eq i64 {step}, 0")
            previous = self._value(f"sub i64 {step}, 1")
            self._freeze(diverged, step, self._value(f"select i1 {first}, i64 0, i64 {previous}"))

    def _rollback(self, lanes: Vectors, current: str, before: str) -> None:
        """Restore in `current` the parameters of these lanes from `before`."""
        emitter, size = self._emitter, self._emitter.vector_bytes
        with emitter.for_range(self._layout.parameters) as loop:
            address = emitter.advance(self._names[current], loop.index, size)
            old = emitter.vectors(emitter.load(emitter.advance(self._names[before], loop.index, size)))
            emitter.store(where(lanes, old, emitter.vectors(emitter.load(address))).names[0], address)

    def _freeze(self, lanes: Vectors, step: str, last_step: str) -> None:
        """Mark these lanes as not alive, set their last step, and pause soon."""
        emitter = self._emitter
        number = emitter.vectors(emitter.broadcast(self._value(f"uitofp i64 {last_step} to {emitter.ir.scalar}")))
        emitter.store(where(lanes, number, self._vector("last_step")).names[0], self._names["last_step"])
        alive = self._vector("alive")
        alive = where(lanes, alive.like(0.0), alive)
        emitter.store(alive.names[0], self._names["alive"])
        any_alive = emitter.ir.any_lane(alive.equals(1.0).names[0])
        self._set("any_alive", self._value(f"zext i1 {any_alive} to i64"))
        every, pause = self._names["pause_every"], self._field("pause")
        passed = self._value(f"urem i64 {step}, {every}")
        multiple = self._value(f"sub i64 {step}, {passed}")
        soon = self._value(f"add i64 {multiple}, {every}")
        is_sooner = self._value(f"icmp ult i64 {soon}, {pause}")
        self._set("pause", self._value(f"select i1 {is_sooner}, i64 {soon}, i64 {pause}"))

    def _commit(self, step: str) -> None:
        """Make the next parameters the current ones, and freeze trials of which one is infinite or NaN.

        The next parameters are in `before`. Those of frozen trials are replaced by their current ones.
        """
        emitter, names = self._emitter, self._names
        alive = self._vector("alive").equals(1.0)
        with emitter.if_then(emitter.ir.any_lane((~alive).names[0])):
            self._rollback(~alive, "before", "parameters")
        diverged = alive & ~self._zero_if_finite().equals(0.0)
        with emitter.if_then(emitter.ir.any_lane(diverged.names[0])):
            self._rollback(diverged, "before", "parameters")
            self._freeze(diverged, step, step)
        self._set_pointer("parameters", names["before"])
        self._set_pointer("before", names["parameters"])

    def _zero_if_finite(self) -> Vectors:
        """Return a number that is 0 if all next parameters are finite, else NaN."""
        emitter, size, count = self._emitter, self._emitter.vector_bytes, self._layout.parameters
        at_once = min(_CHECKED_AT_ONCE, count)
        totals = emitter.vectors(*["zeroinitializer"] * at_once)

        def add(first: str, many: int, before: Vectors) -> Vectors:
            # 0 times infinity or NaN is NaN, so the sum of these products is 0 only if every number is finite
            values = emitter.vectors(*[emitter.load(emitter.offset(first, k * size)) for k in range(many)])
            return fma(values, 0.0, before)

        whole = count // at_once * at_once
        with emitter.for_range(whole, at_once, carried=totals.names) as loop:
            first = emitter.advance(self._names["before"], loop.index, size)
            loop.carry(add(first, at_once, emitter.vectors(*loop.carried)).names)
        if count > whole:
            first = emitter.offset(self._names["before"], whole * size)
            rest = add(first, count - whole, emitter.vectors(*loop.carried[: count - whole])).names
            loop.carried[: count - whole] = rest
        total = emitter.vectors(loop.carried[0])
        for name in loop.carried[1:]:
            total = total + emitter.vectors(name)
        return total
