"""Write the code that adds a step's loss to the accumulators of scores: see `engine.scores`, whose bits it has.

>>> from engine.kernels.codegen.emitter import Emitter
>>> from engine.kernels.codegen.vectors import IRText, REAL, Vectors
>>> from engine.scores import Score
>>> emitter = Emitter(IRText(lanes=4), convention="fastcc")
>>> loss, alive = emitter.vectors("%loss"), Vectors(emitter.ir, "flag", ["%alive"])
>>> emitter.start("entry")
>>> write_scores(emitter, (Score("fit", "sum"),), "%scores", "%step", "%steps", loss, alive)
>>> print(str(emitter.ir).partition("after1:")[2])
<BLANKLINE>
%v2 = getelementptr i8, ptr %scores, i64 32
%v3 = load <4 x double>, ptr %v2, align 32
%v4 = fadd <4 x double> %v3, %loss
%v5 = select <4 x i1> %alive, <4 x double> %v4, <4 x double> %v3
store <4 x double> %v5, ptr %v2, align 32
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.kernels.codegen.emitter import Emitter
from engine.kernels.codegen.vectors import Vectors, where
from engine.scores import INVERSE_RATIO, LEAST, LOSS, LOSS_RATIO, MEAN, SUM, Score


def write_scores(
    emitter: Emitter, scores: Sequence[Score], address: str, step: str, steps: str, loss: Vectors, alive: Vectors
) -> None:
    """Write the code of one step.

    emitter: of the function.
    scores: the scores.
    address: of the accumulators: the loss of step 0, then a vector for each score.
    step, steps: the step, and the number of all steps, as i64.
    loss: the step's loss.
    alive: flags of the trials that have not diverged.
    """
    is_first = emitter.ir.value(f"icmp eq i64 {step}, 0")
    with emitter.if_then(is_first):
        emitter.store(loss.names[0], address)
    writer = _Writer(emitter, address, step, loss, alive)
    for last in dict.fromkeys(score.last for score in scores):
        some = [(row, score) for row, score in enumerate(scores, start=1) if score.last == last]
        if last is None:
            writer.write(some)
            continue
        end = emitter.ir.value(f"add i64 {step}, {last}")
        is_inside = emitter.ir.value(f"icmp uge i64 {end}, {steps}")
        with emitter.if_then(is_inside):
            writer.write(some)


class _Writer:
    """Writes the code of the scores of the same steps. They share what they are of."""

    def __init__(self, emitter: Emitter, address: str, step: str, loss: Vectors, alive: Vectors) -> None:
        self._emitter, self._address, self._step = emitter, address, step
        self._loss, self._alive = loss, alive

    def write(self, scores: Sequence[tuple[int, Score]]) -> None:
        """Write the code of some scores. scores: with the position of each one's accumulator."""
        known: dict[tuple[str, float | None], Vectors] = {}
        for row, score in scores:
            place = self._emitter.offset(self._address, row * self._emitter.vector_bytes)
            old = self._emitter.vectors(self._emitter.load(place))
            value = self._quantity(score.quantity, score.cap, known)
            self._emitter.store(self._next(score, old, value).names[0], place)

    def _quantity(self, quantity: str, cap: float | None, known: dict[tuple[str, float | None], Vectors]) -> Vectors:
        """Return what a score is of. known: what the code has computed already."""
        if quantity == LOSS and cap is None:
            return self._loss
        if (quantity, cap) not in known:
            if quantity == INVERSE_RATIO:
                ratio = self._quantity(LOSS_RATIO, cap, known)
                value = ratio.like(1.0) / ratio
            elif cap is not None:
                whole = self._quantity(quantity, None, known)
                value = where(whole > cap, whole.like(cap), whole)
            else:
                value = self._loss / self._emitter.vectors(self._emitter.load(self._address))
            known[quantity, cap] = value
        return known[quantity, cap]

    def _next(self, score: Score, old: Vectors, value: Vectors) -> Vectors:
        if score.condition is not None:
            sign, bound = score.condition
            holds = value.compare(_PREDICATES[sign], bound)
            real = self._emitter.ir.value(f"uitofp i64 {self._step} to {self._emitter.ir.scalar}")
            now = self._emitter.vectors(self._emitter.broadcast(real))
            return where(self._alive & old.is_nan() & holds, now, old)
        if score.kind in (SUM, MEAN):
            return where(self._alive, old + value, old)
        better = value < old if score.kind == LEAST else value > old
        return where(self._alive & better, value, old)


_PREDICATES = {"<": "olt", "<=": "ole", ">": "ogt", ">=": "oge"}
