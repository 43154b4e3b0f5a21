"""First pass: assign a Program's values to arrays in memory, and to functions that compute them together.

Trials are trained in blocks, one trial for each lane of a vector. A block has arrays of vectors in memory: `parameters`
are the weights and the optimiser's state, `columns` the hyperparameters and the step numbers, `sums` the reductions
over samples.

>>> from engine import LOSSES, MLP, OPTIMIZERS, trace_step
>>> program = trace_step(MLP([1, 1]), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=1, targets=1)
>>> print(Layout(program))
parameters: 2 weights, 0 of the optimiser's state
columns: learning_rate, step, steps
sums: reduces 3 values over the samples
loss: loss, from the sums
update: weights, state, from the sums
measure: loss, grad_norm, grad_norm.layer1.weight, grad_norm.layer1.bias, from the sums
ratios: update_ratio, update_ratio.layer1.weight, update_ratio.layer1.bias, from the sums
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from engine.program import LOSS_AND_ACCURACY, Instruction, Program, Reduction

Location: TypeAlias = tuple[str | int, int]
"""An array and the number of one of its elements. Arrays from outside have names, computed arrays have numbers."""


@dataclass(frozen=True)
class RecordedCurves:
    """The curves that are recorded at a step, in the order of their vectors in memory.

    measured: curves that measure the weights.
    ratios: curves that measure the update.
    evaluated: loss and accuracy on the training samples, if the accuracy is recorded.
    tested: loss and accuracy on the test samples.
    """

    measured: tuple[str, ...]
    ratios: tuple[str, ...]
    evaluated: tuple[str, ...]
    tested: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the curves; empty for the loss among `evaluated`, because it is among `measured` too."""
        evaluated = [name if name != "loss" else "" for name in self.evaluated]
        return (*self.measured, *self.ratios, *evaluated, *(f"test_{name}" for name in self.tested))


@dataclass(frozen=True)
class Computation:
    """Values that are computed together. Each computation goes through the passes separately.

    values: the values to compute.
    sources: value -> its location, for the values that exist already, apart from constants.
    sums: value -> the location of its sum, for the reductions among `values`.
    """

    values: tuple[int, ...]
    sources: Mapping[int, Location]
    sums: Mapping[int, Location]


@dataclass(frozen=True)
class ReduceFunction:
    """A function that reduces samples into `sums`.

    name: its name in the module.
    reductions: the reductions, in the order of their sums.
    shared: name of the computation of the values that samples share.
    samples: name of the computation of the values of samples.
    gathered: whether each trial has different samples, as in minibatches.
    """

    name: str
    reductions: tuple[int, ...]
    shared: str
    samples: str
    gathered: bool = False

    def __str__(self) -> str:
        samples = "each trial's samples" if self.gathered else "the samples"
        return f"{self.name}: reduces {len(self.reductions)} values over {samples}"


@dataclass(frozen=True)
class OutputFunction:
    """A function that computes outputs of the program from parameters, columns and sums.

    name: its name in the module.
    outputs: names of the outputs.
    reductions: the reductions, in the order of their sums.
    """

    name: str
    outputs: tuple[str, ...]
    reductions: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(self.outputs)}, from the sums"


@dataclass(frozen=True)
class Layout:
    """The locations of a program's values in memory, and the functions that compute them.

    program: one training step.
    tested: whether there are test samples.
    batches: whether there are minibatches.
    gradients: whether the gradient of each weight is recorded.

    All curves but the accuracy are computed from the sums of the training step. The accuracy and the curves of the test
    samples are evaluated at recorded steps only.
    """

    program: Program
    tested: bool = False
    batches: bool = False
    gradients: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order. In memory, the step and the number of steps follow them."""
        return self.program.columns

    @property
    def parameters(self) -> int:
        """Number of weights plus that of the optimiser's state."""
        return self.program.weight_count + len(self.program.initial_state)

    @cached_property
    def recorded(self) -> RecordedCurves:
        """The recorded curves."""
        ratios = self.program.update_ratios
        measured = tuple(name for name in self.program.curves if name != "accuracy" and name not in ratios)
        evaluated = self.evaluated if "accuracy" in self.evaluated else ()
        return RecordedCurves(measured, ratios, evaluated, self.evaluated if self.tested else ())

    @cached_property
    def evaluated(self) -> tuple[str, ...]:
        """Names of the outputs that are computed on test samples too."""
        return tuple(name for name in LOSS_AND_ACCURACY if name in self.program.output_names)

    @cached_property
    def functions(self) -> tuple[ReduceFunction | OutputFunction, ...]:
        """The functions of a step, in the order of their code."""
        return tuple(self._functions())

    def _functions(self) -> Iterator[ReduceFunction | OutputFunction]:
        recorded, sums = self.recorded, self.reductions
        yield ReduceFunction("sums", sums, "sums.shared", "sums.samples")
        if self.batches:
            yield ReduceFunction("batch_sums", sums, "sums.shared", "sums.samples", gathered=True)
        yield OutputFunction("loss", ("loss",), sums)
        yield OutputFunction("update", ("weights", "state"), sums)
        yield OutputFunction("measure", recorded.measured, sums)
        yield OutputFunction("ratios", recorded.ratios, sums)
        if self.gradients:
            yield OutputFunction("gradients", ("gradient",), sums)
        if recorded.evaluated or recorded.tested:
            evaluated = self.reductions_of(self.evaluated)
            yield ReduceFunction("evaluate", evaluated, "evaluate.shared", "evaluate.samples")
            yield OutputFunction("evaluated", self.evaluated, evaluated)

    def values(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the values of these outputs, one after another."""
        return tuple(value for name in names for value in self.program.output(name))

    @cached_property
    def reductions(self) -> tuple[int, ...]:
        """The reductions over the training samples, in the order of their sums, with means first."""
        return self.reductions_of(["gradient", *self.recorded.measured, "weights", "state"])

    def reductions_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the reductions that these outputs need, with means first."""
        reductions = _reductions(self.program, self.values(names))
        return tuple(sorted(reductions, key=lambda value: not self.is_mean(value)))

    @property
    def sum_count(self) -> int:
        """Number of sums that a function reduces samples into, at most."""
        return max(len(self.reductions), len(self.evaluated))

    def is_mean(self, value: int) -> bool:
        """Return whether a reduction is a mean."""
        return self._instruction(value).operation == Reduction.MEAN

    # --------------------------------------------------------------------------------------------------- computations

    @cached_property
    def computations(self) -> dict[str, Computation]:
        """Name -> computation, for all functions, without those that compute nothing."""
        computations: dict[str, Computation] = {}
        for function in self.functions:
            if isinstance(function, OutputFunction):
                computations[function.name] = self._of_outputs(function)
            elif not function.gathered:  # a gathered function has the same computations as the other one
                shared = self._shared_by_samples(function.reductions)
                computations[function.shared] = Computation(shared, self.inputs, {})
                computations[function.samples] = self._of_samples(function, shared)
        return {name: computation for name, computation in computations.items() if computation.values}

    def _of_outputs(self, function: OutputFunction) -> Computation:
        sums: dict[int, Location] = {
            value: ("mean" if self.is_mean(value) else "any", k) for k, value in enumerate(function.reductions)
        }
        return Computation(self.values(function.outputs), {**self.inputs, **sums}, {})

    def _of_samples(self, function: ReduceFunction, shared: Sequence[int]) -> Computation:
        sources = {**self.inputs, **{value: ("shared", k) for k, value in enumerate(shared)}}
        sums: dict[int, Location] = {value: ("sums", k) for k, value in enumerate(function.reductions)}
        return Computation(function.reductions, sources, sums)

    def _shared_by_samples(self, reductions: Sequence[int]) -> tuple[int, ...]:
        """Return the values that reductions use and that are the same for all samples, without inputs and constants."""
        program, first = self.program, self.program.first_instruction
        shared: dict[int, None] = {}
        pending, visited = list(reductions), set(reductions)
        while pending:
            for operand in self._instruction(pending.pop()).operands:
                if operand < first or operand in visited:
                    continue
                visited.add(operand)
                if program.per_sample[operand]:
                    pending.append(operand)
                else:
                    shared[operand] = None
        return tuple(shared)

    def _instruction(self, value: int) -> Instruction:
        return self.program.instructions[value - self.program.first_instruction]

    @cached_property
    def inputs(self) -> dict[int, Location]:
        """Input -> its location."""
        columns = {name: position for position, name in enumerate(self.columns)}
        step_numbers = {"step": len(columns), "steps": len(columns) + 1}
        locations: dict[int, Location] = {}
        for value, (kind, position, name) in enumerate(self.program.inputs):
            if kind == "column":
                locations[value] = ("column", columns[name])
            elif kind in step_numbers:
                locations[value] = ("column", step_numbers[kind])
            else:
                locations[value] = (kind, position)
        return locations

    def __str__(self) -> str:
        state = len(self.program.initial_state)
        head = [
            f"parameters: {self.program.weight_count} weights, {state} of the optimiser's state",
            f"columns: {', '.join([*self.columns, 'step', 'steps'])}",
        ]
        return "\n".join([*head, *map(str, self.functions)])


def _reductions(program: Program, values: Sequence[int]) -> list[int]:
    """Return the reductions that these values need, in the order of their first use."""
    first = program.first_instruction
    reductions: dict[int, None] = {}
    visited: set[int] = set()
    pending = list(reversed(values))
    while pending:
        value = pending.pop()
        if value < first or value in visited:
            continue
        visited.add(value)
        operation, operands = program.instructions[value - first]
        if operation in Reduction.ALL:
            reductions[value] = None
        else:
            pending.extend(reversed(operands))
    return list(reductions)
