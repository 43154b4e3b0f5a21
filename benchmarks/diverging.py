"""Speed of populations of which a part diverges: what it saves to put the living trials of several blocks together.

    python benchmarks/diverging.py [--rounds 5] [--quick] [sweep ...]

The trials are those of ready sweeps, in the sweep's order and shuffled; of the large maps, every fourth shard. Each is
trained with packing and without it, in turn, on one core, in this process alone. Without it, a block of trials stops
when all of them have diverged. A figure is the median of the rounds, in seconds of the processor's time; a ratio is the
median of the ratios within a round. The bound is the ratio of the steps that blocks do without packing to the steps
that their trials live, so it is reached if a diverged trial costs nothing. The last rows are of trials none of which
diverges: their learning rates are at most 0.01. All records of both are compared to the bit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})  # before NumPy's import
sys.path[0] = str(Path(__file__).absolute().parent.parent)

import numpy as np  # noqa: E402

from engine.arrays import Integers  # noqa: E402
from engine.history import History  # noqa: E402
from engine.kernels import compiled  # noqa: E402
from engine.kernels.codegen.target import host_target  # noqa: E402
from engine.train import TrainingJob  # noqa: E402
from experiments.spec import load_spec  # noqa: E402
from service.execution.plan import make_plan  # noqa: E402
from service.execution.worker import batch_seeds, initial, program_columns  # noqa: E402

SWEEPS = ("deep", "fractal_tanh", "fractal_point", "fractal_minibatch", "fractal_relu")
_SHARES = {"fractal_tanh": 4, "fractal_minibatch": 4, "fractal_relu": 4}  # one of so many shards is trained
_TAME = 0.01  # a learning rate at which no trial diverges
_WITH, _WITHOUT = compiled._PAUSES, 1


def jobs(sweep: str, share: int) -> list[TrainingJob]:
    """Return what the tasks of a sweep train on two workers. share: one of so many is returned."""
    plan = make_plan(load_spec(sweep))
    found = []
    for shard in list(plan.shards(2))[::share]:
        architecture, dataset = shard.architecture, plan.datasets[shard.dataset]
        training, test, _ = (
            part(architecture.loss, architecture.output)
            for part in (dataset.training, dataset.test, dataset.validation)
        )
        assert training is not None
        start, columns = initial(shard.columns, architecture, dataset), program_columns(shard.columns)
        seeds = batch_seeds(shard.columns).astype(np.uint64)
        found.append(TrainingJob(shard.program, start, columns, training, test, shard.config, seeds))
    return found


def shuffled(job: TrainingJob) -> TrainingJob:
    """Return the job with its trials in another order."""
    order = np.random.default_rng(0).permutation(job.trials)
    columns = {name: column[order] for name, column in job.columns.items()}
    assert job.seeds is not None
    return replace(job, initial=job.initial[order], columns=columns, seeds=job.seeds[order])


def tame(job: TrainingJob) -> TrainingJob:
    """Return the job with small learning rates."""
    columns = {n: np.minimum(c, _TAME) if n.startswith("learning_rate") else c for n, c in job.columns.items()}
    return replace(job, columns=columns)


def steps_lived(job: TrainingJob, history: History) -> Integers:
    """Return the number of steps that each trial lives, (trials,)."""
    return np.where(history.diverged, history.last_step + 1, job.config.steps)


def bound(job: TrainingJob, lived: Integers) -> tuple[int, int]:
    """Return the steps of lanes that blocks do without packing, and those of trials that live."""
    lanes = host_target().lanes * (2 if job.config.dtype == "float32" else 1)
    blocks = np.pad(lived, (0, -len(lived) % lanes), mode="edge").reshape(-1, lanes)
    return int(blocks.max(axis=1).sum()) * lanes, int(lived.sum())


def trained(some: Sequence[TrainingJob], pauses: int) -> tuple[float, list[History]]:
    """Return the seconds of the processor's time of training, and the histories."""
    compiled._PAUSES = pauses
    began = time.process_time()
    histories = [compiled.train(job) for job in some]
    return time.process_time() - began, histories


def check_same(some: Sequence[History], others: Sequence[History]) -> None:
    """Raise AssertionError if two lists of histories differ in a bit."""
    for a, b in zip(some, others, strict=True):
        for name in ("weights", "last_step", "diverged"):
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
        for name, curve in [*a.curves.items(), *a.scores.items()]:
            assert curve.tobytes() == {**b.curves, **b.scores}[name].tobytes(), name


def row(name: str, order: str, some: Sequence[TrainingJob], rounds: int) -> None:
    """Measure some jobs, and print a row of the table."""
    histories, expected = (trained(some, pauses)[1] for pauses in (_WITH, _WITHOUT))
    check_same(histories, expected)
    lived = [steps_lived(job, history) for job, history in zip(some, histories, strict=True)]
    done, needed = np.sum([bound(job, steps) for job, steps in zip(some, lived, strict=True)], axis=0)
    diverged = np.mean(np.concatenate([history.diverged for history in histories]))
    seconds: dict[int, list[float]] = {_WITHOUT: [], _WITH: []}
    for _ in range(rounds):
        for pauses, taken in seconds.items():
            taken.append(trained(some, pauses)[0])
    without, packed = seconds.values()
    ratio = statistics.median(a / b for a, b in zip(without, packed, strict=True))
    figures = f"{statistics.median(without):.2f} | {statistics.median(packed):.2f} | {ratio:.2f} | {done / needed:.2f}"
    trials = sum(job.trials for job in some)
    print(f"| {name} | {order} | {trials:,} | {diverged:.0%} | {figures} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="*", choices=[*SWEEPS, []], default=[], help="all when left out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few trials, to check that it works")
    arguments = parser.parse_args()
    print("| sweep | order | trials | diverged | without packing, s | with, s | times as fast | bound |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.sweeps or SWEEPS:
        some = jobs(name, _SHARES.get(name, 1))
        if arguments.quick:
            some = [job.select(slice(0, 40)) for job in some[:2]]
        row(name, "the sweep's", some, arguments.rounds)
        row(name, "shuffled", [shuffled(job) for job in some], arguments.rounds)
        if name in ("deep", "fractal_point"):
            row(name, "tame", [tame(job) for job in some], arguments.rounds)


if __name__ == "__main__":
    main()
