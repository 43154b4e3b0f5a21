"""Speed of the engine on populations of small networks, against NumPy, JAX, PyTorch and single scalars.

    pip install -e '.[bench]'
    python benchmarks/engine.py [--rounds 7] [--quick] [table wide settings flat memory workers compilation]
    python benchmarks/engine.py wide --models 64-64-10

Every program trains the same networks (tanh, mean squared error, gradient descent, double precision, full batches of 64
samples) from the same weights on one core, and the final losses are compared. The programs take turns. A figure is the
median of the rounds, in seconds of the processor's time; a ratio is the median of the ratios within a round. Time to
first result includes tracing and compilation of a new model, but no imports. The bound of a model counts its fused
multiply-adds and functions alone, each at the rate at which this processor does nothing else.

- JAX: `jit(scan(vmap(value_and_grad)))`, all steps in one compiled program. Ratios are to the faster of two variants:
  the one that returns only the end. gradgrid also records loss, gradient norms, update ratios and dead units at 25
  points.
- torch.func: `vmap(grad_and_value)`, a Python loop over the steps.
- NumPy: a backward pass by hand, one batched matrix product for each layer.
- scalars: a class as small as micrograd's, one number for each node.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path

_ONE_CORE = {
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}  # fmt: skip
os.environ.update(_ONE_CORE)  # before the imports: the libraries read these once

_ROOT = Path(__file__).absolute().parent.parent
sys.path[0] = str(_ROOT)  # else engine.py of this folder would hide the engine

import numpy as np  # noqa: E402

from benchmarks.bounds import bound  # noqa: E402
from benchmarks.contestants import (  # noqa: E402
    DEFAULT,
    SAMPLES,
    WAYS,
    Run,
    Setting,
    Work,
    by_jax,
    by_numpy,
    by_scalars,
    ours,
)
from engine import LOSSES, MLP, OPTIMIZERS, Samples, trace_step, train  # noqa: E402

MODELS = ((2, 1), (30, 1), (2, 4, 1), (2, 8, 8, 1), (2, 16, 16, 1))
WIDE = ((64, 16, 10), (64, 64, 10), (64, 64, 64, 10), (784, 32, 10))
POPULATIONS = (64, 512, 8192)
SETTINGS = (
    Setting(batch_size=16), Setting(optimizer="adam"), Setting(loss="cross_entropy"), Setting("relu"), Setting("gelu"),
)  # fmt: skip
_SECONDS = 0.25  # approximate length of a run
_STEPS = 200  # least number of gradgrid's steps: 25 recorded points are as rare as in a real sweep

_ONLY: list[str] = []  # models of the part `wide`; all if empty
_OURS, _JAX = "gradgrid, compiled", "JAX"


# -------------------------------------------------------------------------------------------------------- the figures


def _timed(run: Run) -> tuple[float, list[float]]:
    """Return the seconds of the processor's time that a run takes, and its losses. Other processes count little."""
    began = time.process_time()
    losses = run()
    return time.process_time() - began, losses


def _forget_compiled() -> None:
    from engine.kernels import compiled

    compiled._cached.cache_clear()


def _steps(make: Callable[[Work], Run], widths: tuple[int, ...], trials: int, seconds: float) -> int:
    """Return the number of steps that take about so many seconds, from the time of fifteen steps."""
    taken = []
    for steps in (5, 20):
        run = make(Work(widths, trials, steps))
        run()
        taken.append(min(_timed(run)[0] for _ in range(2)))
    return max(4, int(15 * seconds / max(taken[1] - taken[0], 1e-6)))


def measure(widths: tuple[int, ...], trials: int, rounds: int, seconds: float) -> dict[str, tuple[float, float]]:
    """Return for each program the nanoseconds for each sample, step and trial, and the ratio to JAX."""
    works, runs = {}, {}
    for name, make in WAYS.items():
        steps = _steps(make, widths, trials, seconds)
        works[name] = Work(widths, trials, max(steps, _STEPS) if name == _OURS else steps)
        runs[name] = make(works[name])
        runs[name]()
    figures: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds_taken, _ = _timed(run)
            figures[name].append(works[name].nanoseconds(seconds_taken))
    _check_same_work(widths)
    ratios = {n: statistics.median(j / o for j, o in zip(figures[_JAX], figures[n], strict=True)) for n in WAYS}
    return {name: (statistics.median(figures[name]), ratios[name]) for name in WAYS}


def _check_same_work(widths: tuple[int, ...]) -> None:
    work = Work(widths, 6, 30)
    expected = by_numpy(work)()
    for name, make in WAYS.items():
        np.testing.assert_allclose(make(work)(), expected, rtol=1e-9, err_msg=name)
    few = Work(widths, 2, 3)
    np.testing.assert_allclose(by_scalars(few)(), by_numpy(few)(), rtol=1e-9, err_msg="scalars")


def _figure(number: float) -> str:
    return f"{number:,.3g}" if number < 1_000 else f"{number:,.0f}"


def _shown(widths: Sequence[int]) -> str:
    return "-".join(map(str, widths))


def table(rounds: int, seconds: float) -> None:
    """Measure the steady state and the time to first result for every model and population."""
    print("Nanoseconds a sample, step and trial; in brackets how many times as fast as JAX.\n")
    print("| model | population | " + " | ".join(WAYS) + " |")
    print("|---|---|" + "---|" * len(WAYS))
    found = {}
    for widths in MODELS:
        for trials in POPULATIONS:
            found[widths, trials] = measure(widths, trials, rounds, seconds)
            cells = [f"{ns:,.3g} ({ratio:.2f})" for ns, ratio in found[widths, trials].values()]
            print(f"| {_shown(widths)} | {trials:,} | " + " | ".join(cells) + " |", flush=True)
    print("\nSeconds to the result of 100 steps of a new model, tracing and compilation included, population 512.\n")
    print("| model | gradgrid, compiled | JAX | ratio |\n|---|---|---|---|")
    for widths in MODELS:
        mine, theirs = _first_results(widths, rounds)
        print(f"| {_shown(widths)} | {mine:.3f} | {theirs:.3f} | {theirs / mine:.1f} |", flush=True)
    print("\nScalars one by one, as micrograd computes, against ours at population 512.\n")
    print("| model | scalars, ns | ours, ns | ratio |\n|---|---|---|---|")
    for widths in MODELS[:1] + MODELS[2:4]:
        few = Work(widths, 2, 4)
        scalars = statistics.median(few.nanoseconds(_timed(by_scalars(few))[0]) for _ in range(rounds))
        mine = found[widths, 512][_OURS][0]
        print(f"| {_shown(widths)} | {scalars:,.0f} | {mine:.3g} | {scalars / mine:,.0f} |", flush=True)


def _first_results(
    widths: tuple[int, ...],
    rounds: int,
    setting: Setting = DEFAULT,
    *,
    trials: int = 512,
    steps: int = 100,
) -> tuple[float, float]:
    """Measure the seconds from a model's description to the result of some steps, for gradgrid and JAX in turn."""
    import jax

    seconds: dict[str, list[float]] = {_OURS: [], _JAX: []}
    for _ in range(rounds):
        for name, taken in seconds.items():
            _forget_compiled()
            jax.clear_caches()
            work = Work(widths, trials, steps, setting)
            began = time.perf_counter()
            WAYS[name](work)()
            taken.append(time.perf_counter() - began)
    return statistics.median(seconds[_OURS]), statistics.median(seconds[_JAX])


def duel(work: Work, rounds: int) -> tuple[float, float, float]:
    """Return gradgrid's nanoseconds for a sample, step and trial, JAX's, and the median of the ratios.

    Both must come to the same losses.
    """
    runs = {_OURS: ours(work, "compiled"), _JAX: by_jax(work, curve=False)}
    found = [run() for run in runs.values()]
    tolerance = 1e-7 if work.setting.dtype == "float64" else 0.02
    np.testing.assert_allclose(found[0], found[1], rtol=tolerance, atol=1e-4 * tolerance)
    figures: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            figures[name].append(work.nanoseconds(_timed(run)[0]))
    ratios = [theirs / mine for mine, theirs in zip(*figures.values(), strict=True)]
    mine, theirs = (statistics.median(values) for values in figures.values())
    return mine, theirs, statistics.median(ratios)


def wide(rounds: int, seconds: float) -> None:
    """Measure all models in both types against JAX and against the bound, population 512; then first results."""
    chosen = [widths for widths in (*MODELS, *WIDE) if not _ONLY or _shown(widths) in _ONLY]
    print("| model | type | gradgrid, ns | JAX, ns | times as fast as JAX | bound, ns | share of the bound |")
    print("|---|---|---|---|---|---|---|")
    for widths in chosen:
        for dtype in ("float64", "float32"):
            weights = sum(inputs * units + units for inputs, units in pairwise(widths))
            steps = min(2_000, max(20, int(4 * seconds / (512 * SAMPLES * max(weights, 20) * 0.2e-9))))
            mine, theirs, ratio = duel(Work(widths, 512, steps, Setting(dtype=dtype)), rounds)
            least = bound(widths, dtype, outputs_bend=len(widths) == 2)
            cells = f"{_figure(mine)} | {_figure(theirs)} | {ratio:.2f} | {_figure(least)} | {least / mine:.0%}"
            print(f"| {_shown(widths)} | {dtype} | {cells} |", flush=True)
    print("\nSeconds to the result of 5 steps of a new model, tracing and compilation included, population 64.\n")
    print("| model | type | gradgrid | JAX |\n|---|---|---|---|")
    for widths in (widths for widths in chosen if widths in WIDE):
        for dtype in ("float64", "float32"):
            mine, theirs = _first_results(widths, min(3, rounds), Setting(dtype=dtype), trials=64, steps=5)
            print(f"| {_shown(widths)} | {dtype} | {mine:.2f} | {theirs:.2f} |", flush=True)


def settings(rounds: int, seconds: float) -> None:
    """Measure minibatches, adam, cross entropy, relu and gelu against JAX, population 512."""
    print("| model | setting | gradgrid, ns | JAX, ns | times as fast as JAX |\n|---|---|---|---|---|")
    for widths in ((2, 8, 8, 1), (30, 8, 1)):
        for setting in SETTINGS:
            steps = max(40, int(seconds * 800)) * (SAMPLES // (setting.batch_size or SAMPLES))
            mine, theirs, ratio = duel(Work(widths, 512, steps, setting), rounds)
            changed = [str(v) for v, d in zip(astuple(setting), astuple(DEFAULT), strict=True) if v != d]
            name = f"batches of {changed[0]}" if setting.batch_size else changed[0]
            print(f"| {_shown(widths)} | {name} | {_figure(mine)} | {_figure(theirs)} | {ratio:.2f} |", flush=True)


def flat(rounds: int, seconds: float) -> None:
    """Measure the cost of a trial as the population grows; 2-8-8-1, 200 steps, 25 recorded points."""
    steps = _STEPS if seconds >= _SECONDS else 20
    works = {trials: Work((2, 8, 8, 1), trials, steps) for trials in (512, 8_192, 100_000)}
    runs = {trials: ours(work, "compiled") for trials, work in works.items()}
    runs[512]()
    figures: dict[int, list[float]] = {trials: [] for trials in works}
    for _ in range(max(3, rounds // 2)):
        for trials, run in runs.items():
            figures[trials].append(works[trials].nanoseconds(_timed(run)[0]))
    print("| population | ns for each sample, step and trial | relative to 512 |\n|---|---|---|")
    for trials, values in figures.items():
        ratio = statistics.median(v / f for v, f in zip(values, figures[512], strict=True))
        print(f"| {trials:,} | {statistics.median(values):.2f} | {ratio:.3f} |")


def memory(rounds: int, seconds: float) -> None:
    """Measure the peak memory of a process that trains 100,000 trials of 2-8-8-1, 200 steps, 25 points."""
    steps = _STEPS if seconds >= _SECONDS else 2
    script = (
        "import resource; from benchmarks.contestants import Work, ours; "
        f"ours(Work((2, 8, 8, 1), 100_000, {steps}), 'compiled')(); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=True)
    print(f"peak of the process: {int(done.stdout) / 2**20:.2f} GiB; this one's so far: {_peak():.2f} GiB")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def workers(rounds: int, seconds: float) -> None:
    """Measure the throughput of two processes, with a core each, against that of one."""
    cores = sorted(_CORES)[:2]
    if len(cores) < 2:
        print("this process may use one core only")
        return
    speedups = []
    for _ in range(rounds):
        one = _throughput(cores[:1], seconds)
        two = _throughput(cores, seconds)
        speedups.append(two / one)
    print(f"two workers train {statistics.median(speedups):.2f} times what one does (2-8-8-1)")


def _throughput(cores: Sequence[int], seconds: float) -> float:
    script = (
        "import os, sys, time; os.sched_setaffinity(0, {{{core}}}); from benchmarks.contestants import Work, ours; "
        "run = ours(Work((2, 8, 8, 1), 2_048, {steps}), 'compiled'); run(); print(flush=True); sys.stdin.readline(); "
        "began = time.perf_counter(); run(); print(time.perf_counter() - began)"
    )
    steps = max(_STEPS, int(4 * seconds / 3.5e-3))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script.format(core=core, steps=steps)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for core in cores
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # wait until it is ready
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(1.0 / float(process.communicate()[0]) for process in processes)


def compilation(rounds: int, seconds: float) -> None:
    """Measure the seconds of tracing, and those of compilation and one step, by the number of weights."""
    print("| model | weights | tracing | compilation |\n|---|---|---|---|")
    for widths in [(2, 16, 16, 1), (64, 8, 10), (64, 16, 10), (64, 64, 10), (784, 32, 10), (784, 128, 10)]:
        tracing, compiling = [], []
        for _ in range(rounds):
            _forget_compiled()
            began = time.perf_counter()
            program = trace_step(
                MLP(widths, initializer="zeros"),
                LOSSES["mean_squared_error"],
                OPTIMIZERS["sgd"],
                features=widths[0],
                targets=widths[-1],
            )
            tracing.append(time.perf_counter() - began)
            samples = Samples(np.ones((SAMPLES, widths[0])), np.ones((SAMPLES, widths[-1])))
            start = np.zeros((1, program.weight_count))
            began = time.perf_counter()
            train(program, start, {"learning_rate": np.array([0.1])}, samples, steps=1, points=2, kernel="compiled")
            compiling.append(time.perf_counter() - began)
        a, b = statistics.median(tracing), statistics.median(compiling)
        print(f"| {_shown(widths)} | {program.weight_count:,} | {a:.3f} s | {b:.3f} s |")


PARTS: dict[str, Callable[[int, float], None]] = {
    "table": table, "wide": wide, "settings": settings, "flat": flat, "memory": memory, "workers": workers,
    "compilation": compilation,
}  # fmt: skip
_CORES = os.sched_getaffinity(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[], help="all when left out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="short runs, to check that it works")
    parser.add_argument("--models", nargs="+", default=[], help="models of the part wide, such as 64-64-10")
    arguments = parser.parse_args()
    _ONLY.extend(arguments.models)
    os.sched_setaffinity(0, {max(_CORES)})
    seconds = _SECONDS / 10 if arguments.quick else _SECONDS
    print(f"{_processor()}, one core, Python {platform.python_version()}, {_versions()}\n")
    for name in arguments.parts or PARTS:
        print(f"### {name}\n", flush=True)
        PARTS[name](arguments.rounds, seconds)
        print()


def _processor() -> str:
    from engine.kernels.codegen.target import host_target

    return f"{platform.machine()} ({host_target().cpu}, {host_target().lanes} lanes)"


def _versions() -> str:
    from importlib.metadata import distributions

    found = {package.name: package.version for package in distributions()}  # PyTorch is only needed for `table`
    return ", ".join(f"{name} {found[name]}" for name in ("numpy", "llvmlite", "jax", "torch") if name in found)


if __name__ == "__main__":
    main()
