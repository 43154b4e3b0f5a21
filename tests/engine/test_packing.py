"""Diverged trials cost nothing, and no trial's numbers depend on how the living ones are put together."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import Flags
from engine.kernels import compiled, reference
from engine.kernels.chunk import Chunk
from engine.kernels.codegen.target import Target, host_target
from engine.kernels.packing import exchanges, train_blocks
from engine.train import TrainingJob
from tests.engine.populations import make_job, same, select, with_scores

_SHORT_VECTORS = Target("x86-64", "", 2, 16, "x86_regcallcc")
_LARGEST = {"float64": 1e200, "float32": 1e30}


# ------------------------------------------------------------------------------------------------------ which lanes


@given(st.integers(1, 6), st.integers(1, 9), st.data())
def test_living_trials_fill_as_few_blocks_as_possible(blocks: int, lanes: int, data: st.DataObject) -> None:
    flags = data.draw(st.lists(st.booleans(), min_size=blocks * lanes, max_size=blocks * lanes))
    living = np.array(flags).reshape(blocks, lanes)
    free, moving = exchanges(living)
    assert not living[free].any()
    assert living[moving].all()
    places = [*zip(*free, strict=True), *zip(*moving, strict=True)]
    assert len(set(places)) == len(places)
    after = living.copy()
    after[free], after[moving] = True, False
    assert after.sum() == living.sum()
    assert after.any(axis=1).sum() == -(-living.sum() // lanes)


@dataclass
class _Ends:
    """Blocks that only count: each lane has the step at which its trial diverges."""

    ends: list[list[int]]
    every: int
    done: list[int] = field(default_factory=list)
    total: int = 0

    def __post_init__(self) -> None:
        self.done = [0] * len(self.ends)

    @property
    def blocks(self) -> int:
        return len(self.ends)

    def _living(self, block: int) -> Flags:
        return np.array(self.ends[block]) > self.done[block]

    def step(self, block: int) -> int:
        return self.done[block]

    def is_over(self, block: int) -> bool:
        return self.done[block] >= 100 or not self._living(block).any()

    def train(self, block: int, until: int) -> None:
        begin, living = self.done[block], self._living(block).sum()
        while self.done[block] < until and self._living(block).any():
            if self._living(block).sum() < living and self.done[block] % self.every == 0:
                break
            self.done[block] += 1
        self.total += self.done[block] - begin

    def pack(self, blocks: Sequence[int]) -> list[int]:
        assert len({self.done[block] for block in blocks}) == 1
        some = sorted(end for block in blocks for end in self.ends[block])[::-1]
        width = len(self.ends[0])
        for number, block in enumerate(blocks):
            self.ends[block] = some[number * width : (number + 1) * width]
        return [block for block in blocks if 0 < self._living(block).sum() < width]


@given(st.lists(st.lists(st.integers(1, 130), min_size=4, max_size=4), min_size=1, max_size=12), st.integers(1, 120))
def test_all_trials_are_trained_to_their_end_and_hardly_longer(ends: list[list[int]], every: int) -> None:
    lanes = _Ends([list(row) for row in ends], every)
    train_blocks(lanes, lanes.train, 100)
    assert all(lanes.is_over(block) for block in range(lanes.blocks))
    needed = [min(end, 100) for row in ends for end in row]
    assert lanes.total * 4 >= sum(needed)
    if every <= 4:  # at most one block has free lanes, but for the steps up to a pause
        assert lanes.total * 4 <= sum(needed) + len(needed) * 4 * every + 4 * 100


# ---------------------------------------------------------------------------------------------------------- the bits


def _wild(wide: bool, dtype: str, batch_size: int | None, trials: int = 43, steps: int = 70) -> TrainingJob:
    """Return a job whose trials diverge at many different steps, in no order, some at once and some never."""
    widths = (140, 7, 10, 1) if wide else (3, 5, 1)
    job = make_job(widths, "tanh", "mean_squared_error", "sgd", dtype, batch_size, trials)
    rng = np.random.default_rng(3)
    rates = rng.permutation(np.concatenate([[_LARGEST[dtype]], np.geomspace(0.01, 1e4, trials - 1)]))
    initial = job.initial.copy()
    initial[rng.permutation(trials)[:3]] *= _LARGEST[dtype]  # the first loss is infinite
    columns = {**job.columns, "learning_rate": rates, "clip_norm": np.full(trials, _LARGEST[dtype])}
    return with_scores(replace(job, initial=initial, columns=columns, config=replace(job.config, steps=steps)))


@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("wide", [False, True])
def test_packing_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch, wide: bool, dtype: str, batch_size: int | None
) -> None:
    job = _wild(wide, dtype, batch_size)
    alone = [compiled.train(job.select(slice(trial, trial + 1))) for trial in range(job.trials)]
    assert {0, 70} < {int(history.last_step[0]) for history in alone}
    assert len({int(history.last_step[0]) for history in alone}) > 6
    for pauses in (1, 5, 64, 10_000):
        monkeypatch.setattr(compiled, "_PAUSES", pauses)
        for target in (host_target(), _SHORT_VECTORS):
            together = compiled.train(job, target)
            for trial, history in enumerate(alone):
                assert same(select(together, slice(trial, trial + 1)), history), (pauses, target, trial)


@pytest.mark.parametrize("batch_size", [None, 6])
def test_the_reference_kernel_has_no_neighbours_either(batch_size: int | None) -> None:
    job = _wild(False, "float64", batch_size)
    together = reference.train(job)
    for trial in range(job.trials):
        part = slice(trial, trial + 1)
        assert same(select(together, part), reference.train(job.select(part))), trial


def test_windows_of_epochs_and_pauses_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    job = _wild(False, "float64", 6)
    expected = compiled.train(job)
    for order_bytes in (1, 1_500, 4_000):
        for kept_bytes in (0, 3_000, 1 << 20):
            monkeypatch.setattr("engine.kernels.orders._ORDER_BYTES", order_bytes)
            monkeypatch.setattr("engine.kernels.orders._KEPT_ORDER_BYTES", kept_bytes)
            for pauses in (1, 9, 64):
                monkeypatch.setattr(compiled, "_PAUSES", pauses)
                assert same(compiled.train(job), expected), (order_bytes, kept_bytes, pauses)


# --------------------------------------------------------------------------------------------------------- the steps


class _Counter:
    """Counts the steps that blocks of trials do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps, run = 0, Chunk.run

        def counted(chunk: Chunk, block: int, **options: Any) -> None:
            before = chunk.step(block)
            run(chunk, block, **options)
            self.steps += chunk.step(block) - before

        monkeypatch.setattr(Chunk, "run", counted)

    def of(self, job: TrainingJob) -> int:
        self.steps = 0
        compiled.train(job)
        return self.steps


@pytest.mark.parametrize("batch_size", [None, 6])
def test_a_block_of_diverged_trials_stops(monkeypatch: pytest.MonkeyPatch, batch_size: int | None) -> None:
    lanes = host_target().lanes
    job = _wild(False, "float64", batch_size, trials=2 * lanes, steps=500)
    rates = np.repeat([1e200, 0.01], lanes)
    job = replace(job, columns={**job.columns, "learning_rate": rates}, initial=make_job((3, 5, 1), trials=1).initial)
    job = replace(job, initial=np.repeat(job.initial, 2 * lanes, axis=0))
    last = int(compiled.train(job).last_step[0])
    assert last < 5
    assert last + 500 < _Counter(monkeypatch).of(job) <= last + 2 + 500


@pytest.mark.parametrize("batch_size", [None, 6])
def test_living_trials_are_put_together(monkeypatch: pytest.MonkeyPatch, batch_size: int | None) -> None:
    lanes = host_target().lanes
    job = _wild(False, "float64", batch_size, trials=6 * lanes, steps=640)
    start = np.repeat(make_job((3, 5, 1), trials=1).initial, 6 * lanes, axis=0)
    rates = np.where(np.arange(6 * lanes) % 3 == 0, 0.01, 1e200)  # each block keeps a third of its trials
    job = replace(job, columns={**job.columns, "learning_rate": rates}, initial=start)
    counter = _Counter(monkeypatch)
    assert counter.of(job) == 6 * 10 + 2 * 630  # all pause at step 640 / 64, and two of six go on
    monkeypatch.setattr(compiled, "_PAUSES", 1)
    assert counter.of(job) == 6 * 640


@pytest.mark.parametrize("diverged", [0, 19])
def test_all_and_none_diverge(monkeypatch: pytest.MonkeyPatch, diverged: int) -> None:
    job = make_job((3, 5, 1), optimizer="sgd")
    job = replace(job, columns={**job.columns, "learning_rate": np.full(19, 1e300 if diverged else 0.01)})
    history = compiled.train(job)
    assert history.diverged.sum() == diverged
    blocks = -(-19 // host_target().lanes)
    steps = _Counter(monkeypatch).of(job)
    assert steps < 3 * blocks if diverged else steps == 30 * blocks
