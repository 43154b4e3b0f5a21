"""Seconds and trials until a configuration within 1 % of the best is found: gradgrid, Optuna, Ray Tune, random search.

    python benchmarks/search.py [--repetitions 20] [--spaces breast_cancer digits diabetes]

Three spaces of listed values on real data. gradgrid trains the whole grid of each first, so the best is known. The
value of a configuration is the mean test loss of its three seeds; it is infinite if one of them diverges. A
configuration is good if its value is at most 1.01 times the least. Each search has a new seed in each repetition and
ends when it has found a good configuration, or when its budget is over.

gradgrid runs in this process, in as many threads as there are cores, and records into one SQLite store for each space;
the whole grid in one thread. Where gradgrid expects that a search takes longer than Ray to start, it starts Ray, which
counts. A configuration is found when all its
seeds are recorded; with halving, at the last step. The peers train with NumPy, on one thread. Their training time is
measured on 20 configurations of the best tenth and then counted: the samplers run on the table of the grid's values,
and each configuration counts the median training time. NumPy's values must be gradgrid's; where training is chaotic,
the last bit decides the loss, so a fourth of the 20 may differ. Ray Tune trains each configuration itself, on all
cores.

The time of the start is that of a new process. Ours runs a sweep of two trials in a new store; random search and
Optuna load their libraries and the data; Ray Tune starts Ray. Where the search at a quantile found nothing, the table
shows > and the quantile of the times until the searches found something or their budget was over, which is a lower
bound.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).absolute().parent.parent)  # else engine.py of this folder would hide the engine

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from benchmarks.search_peers import optuna_search, random_search, replayed  # noqa: E402
from benchmarks.search_space import AXES, FACTOR, ROOT, RUNGS, SEEDS, SPACES, STEPS, Space, Training  # noqa: E402
from benchmarks.search_table import Found, print_table, rows_of  # noqa: E402
from experiments.spec import load_spec  # noqa: E402
from service.execution.shard_tables import ShardSummary  # noqa: E402
from service.execution.sweep_state import SweepState  # noqa: E402
from service.results.metrics import METRICS, PARAMS  # noqa: E402
from service.run import run_sweep  # noqa: E402

_NEAR = 1.01
_CHECKED = 20  # configurations that NumPy trains too
_AGREE = 15  # of them
_TUNE_RUNS = 2
_PARAMS = [PARAMS + name for name in AXES]
_LOSS = METRICS + "test_loss"
_LABELS = {
    "grid": "gradgrid, grid", "sobol": "gradgrid, sobol", "halving": "gradgrid, halving", "tpe": "gradgrid, tpe",
    "random": "random search, twice the budget", "optuna tpe": "Optuna, TPE", "optuna cmaes": "Optuna, CMA-ES",
    "optuna qmc": "Optuna, QMC", "tune": "Ray Tune, ASHA",
}  # fmt: skip


class _FoundError(Exception):
    """A good configuration is recorded: the sweep may end."""


class _Watch:
    """Sees what a sweep records, and ends it when a good configuration is recorded.

    target: the value of a good configuration.
    """

    def __init__(self, target: float) -> None:
        self._target = target
        self._losses: dict[tuple[Any, ...], list[float]] = {}
        self._began = time.perf_counter()
        self.found = Found(0.0, 0, is_good=False)

    def __call__(self, rows: pd.DataFrame, recorded: int) -> None:
        """Take rows of trials that are recorded now. recorded: all trials so far. Raises _FoundError."""
        is_good = self._has_good(rows)
        self.found = Found(time.perf_counter() - self._began, recorded, is_good)
        if is_good:
            raise _FoundError

    def _has_good(self, rows: pd.DataFrame) -> bool:
        whole = rows[(rows["last_step"] == STEPS) & np.isfinite(rows[_LOSS])]
        for *configuration, loss in whole[[*_PARAMS, _LOSS]].itertuples(index=False):
            losses = self._losses.setdefault(tuple(configuration), [])
            losses.append(loss)
            if len(losses) == SEEDS and np.mean(losses) <= self._target:
                return True
        return False


_See = Callable[[pd.DataFrame, int], None]
"""Takes the rows of trials that are recorded now, and the number of all that are."""


@contextmanager
def _watched(watch: _See) -> Iterator[None]:
    """Show what sweeps record to `watch`, which may end them."""
    commit = SweepState.commit

    def see(self: SweepState, summary: ShardSummary, first: int, run_ids: list[str]) -> None:
        commit(self, summary, first, run_ids)
        watch(summary.rows.slice(first, len(run_ids) or None).to_pandas(), self.recorded)

    SweepState.commit = see  # type: ignore[method-assign]
    try:
        with suppress(_FoundError):
            yield
    finally:
        SweepState.commit = commit  # type: ignore[method-assign]


def _sweep(space: Space, uri: str, search: Mapping[str, Any] | None = None, *, inline: bool = False) -> pd.DataFrame:
    """Train a sweep; return the trials' table. uri: of the store. inline: in one thread of this process."""
    return run_sweep(load_spec(space.sweep(search)), tracking_uri=uri, inline=inline).table


def _values(table: pd.DataFrame) -> pd.Series:
    """Return the value of each configuration."""
    losses = table[_LOSS].astype(float).where(table["outcome"] != "diverged", math.inf).fillna(math.inf)
    return losses.groupby([table[name] for name in _PARAMS], sort=True).mean()


@dataclass(frozen=True)
class _Grid:
    """A space whose whole grid is trained.

    uri: of the store. values: one dimension for each axis. found: when the grid itself came to a good configuration.
    core_seconds: of the sweep. training: seconds of NumPy for a configuration.
    """

    space: Space
    uri: str
    table: pd.DataFrame
    values: Any
    target: float
    found: Found
    core_seconds: float
    training: float

    @property
    def budget(self) -> int:
        """The configurations that a search may train: a little over a fourth of the grid, a power of two."""
        return int(2 ** round(math.log2(self.values.size * 0.29)))


def _trained(space: Space, uri: str) -> _Grid:
    """Train the whole grid and say which part of it is good. uri: of the store."""
    small = space.sweep()
    small["grid"] = {**small["grid"], "learning_rate": [0.001], "momentum": [0.9], "init_scale": [1.0]}
    run_sweep(load_spec(small), tracking_uri=uri)  # makes the store, and loads the libraries
    commits: list[tuple[float, pd.DataFrame, int]] = []
    began, cores = time.perf_counter(), time.process_time()
    with _watched(lambda rows, recorded: commits.append((time.perf_counter() - began, rows, recorded))):
        table = _sweep(space, uri, inline=True)
    cores = time.process_time() - cores
    values = _values(table)
    target = _NEAR * float(values.min())
    found = _found_by_grid(commits, target)
    axes = space.axes()
    shape = tuple(map(len, axes))
    assert [values.index.levels[k].tolist() for k in range(len(AXES))] == axes
    good = int((values <= target).sum())
    print(f"\n{space.name}: {len(table):,} trials, {len(values):,} configurations, {good} of them good; the best has")
    print(f"{values.min():.6g} at {', '.join(f'{n}={v}' for n, v in zip(AXES, values.idxmin(), strict=True))}")
    seconds = _numpy_seconds(space, values)
    return _Grid(space, uri, table, values.to_numpy().reshape(shape), target, found, cores, seconds)


def _found_by_grid(commits: list[tuple[float, pd.DataFrame, int]], target: float) -> Found:
    """Return when the grid had recorded a good configuration. commits: seconds, rows and trials so far."""
    watch = _Watch(target)
    for seconds, rows, recorded in commits:
        try:
            watch(rows, recorded)
        except _FoundError:
            return Found(seconds, recorded, is_good=True)
    raise AssertionError("the grid has its own best")


def _numpy_seconds(space: Space, values: pd.Series) -> float:
    """Return the median seconds of NumPy for a configuration. Compares its values with gradgrid's.

    The configurations are of the best tenth. At their edge training is chaotic, and rounding decides the loss.
    """
    training, seconds, apart = Training(space), [], []
    for at, expected in values.nsmallest(len(values) // 10).sample(_CHECKED, random_state=0).items():
        began = time.perf_counter()
        value = training.value(dict(zip(AXES, at, strict=True)))
        seconds.append(time.perf_counter() - began)
        apart.append(abs(value - expected) / expected)
    agree = sum(value < 1e-6 for value in apart)
    assert agree >= _AGREE, f"NumPy and gradgrid agree on {agree} of {_CHECKED} configurations of {space.name}"
    median = statistics.median(seconds)
    print(f"training time measured on {_CHECKED} configurations, then counted: {1000 * median:.1f} ms each by NumPy;")
    print(f"the values of {agree} of them agree with gradgrid's within 1e-6")
    return median


def _ours(grid: _Grid, method: str, seed: int) -> Found:
    search: dict[str, Any] = {"method": method, "trials": grid.budget, "seed": seed}
    if method == "halving":
        search |= {"first": RUNGS[0], "factor": FACTOR}
    if method == "tpe":
        search["batch"] = 64
    watch = _Watch(grid.target)
    with _watched(watch):
        _sweep(grid.space, grid.uri, search)
    return watch.found


def _peer(grid: _Grid, name: str, seed: int) -> Found:
    shape, budget = grid.values.shape, grid.budget
    began = time.perf_counter()
    if name == "random":
        ask, budget = random_search(shape, seed), 2 * budget
    else:
        ask = optuna_search(name.removeprefix("optuna "), shape, seed)
    setup = time.perf_counter() - began
    found = replayed(ask, grid.values, grid.target, budget, grid.training)
    return replace(found, seconds=found.seconds + setup)


def _tune(grid: _Grid, limit: float) -> tuple[list[Found], float]:
    """Run Ray Tune; return its searches and the median time of its start. Empty if it is not installed."""
    found, starts = [], []
    for seed in range(_TUNE_RUNS):
        command = [sys.executable, str(ROOT / "benchmarks" / "search_peers.py"), grid.space.name, repr(grid.target)]
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [*command, "--seed", str(seed), "--limit", str(limit)], cwd=folder, capture_output=True, text=True,
                env={**os.environ, "PYTHONPATH": paths}, check=False,
            )  # fmt: skip
        if "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr:
            print(f"Ray Tune is left out: {done.stderr.strip().splitlines()[-1]}")
            return [], 0.0
        assert done.returncode == 0, done.stderr[-3000:]
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        starts.append(answer.pop("start"))
        found.append(Found(**answer))
    return found, statistics.median(starts)


def _start_seconds(space: Space, program: str) -> float:
    """Return the median time of three new processes that do what the program needs before it can search."""
    data = f"from benchmarks.search_space import SPACES, Training; Training(SPACES[{space.name!r}])"
    if program == "gradgrid":
        small = replace(space, rates=(0.001, 0.01), counts=(1, 1, 1)).sweep()
        small["grid"] = {"activation": ["relu", "tanh"]}
        data = f"from benchmarks.search import start; start({small!r})"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {'import optuna; ' if program == 'Optuna' else ''}{data}"
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def start(spec: dict[str, Any]) -> None:
    """Run a small sweep in a new store."""
    with tempfile.TemporaryDirectory() as folder:
        run_sweep(load_spec(spec), tracking_uri=f"sqlite:///{folder}/mlflow.db")


def _halving(grid: _Grid) -> str:
    """Halve the whole grid; compare its core seconds, and the bits of the survivors."""
    cores = time.process_time()
    table = _sweep(grid.space, grid.uri, {"method": "halving", "first": RUNGS[0], "factor": FACTOR}, inline=True)
    cores = time.process_time() - cores
    survivors = table[table["last_step"] == STEPS]
    both = survivors.merge(grid.table, on=[*_PARAMS, PARAMS + "seed"], suffixes=("", " of the grid"))
    same = (both[_LOSS].to_numpy() == both[_LOSS + " of the grid"].to_numpy()).all() and len(both) == len(survivors)
    best = float(_values(survivors).min())
    return (
        f"halving of the whole grid: {cores:.1f} core seconds, the grid {grid.core_seconds:.1f}: "
        f"{grid.core_seconds / cores:.1f} x fewer; the losses of its {len(survivors)} survivors are "
        f"{'the same bits' if same else 'NOT the same bits'}; its best is {best / grid.target * _NEAR:.4f} x the best"
    )


def _measure(space: Space, repetitions: int, limit: float, uri: str) -> None:
    grid = _trained(space, uri)
    kinds: dict[str, tuple[Callable[[_Grid, str, int], Found], str]] = {
        **dict.fromkeys(("sobol", "halving", "tpe"), (_ours, "gradgrid")),
        "random": (_peer, "NumPy"),
        **{f"optuna {name}": (_peer, "Optuna") for name in ("tpe", "cmaes", "qmc")},
    }
    times = {program: _start_seconds(space, program) for program in ("gradgrid", "NumPy", "Optuna")}
    found, starts = {"grid": [grid.found]}, {"grid": times["gradgrid"]}
    for name, (run, program) in kinds.items():
        starts[name], began = times[program], time.perf_counter()
        found[name] = [run(grid, name, seed) for seed in range(repetitions)]
        print(f"{space.name}, {name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    tuned, starts["tune"] = _tune(grid, limit)
    found.update({"tune": tuned} if tuned else {})
    print(f"budget: {grid.budget:,} configurations; Ray Tune: {limit:.0f} s")
    print_table(rows_of(found, starts, _LABELS))
    print("\n" + _halving(grid), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--limit", type=float, default=40.0, help="seconds of a search by Ray Tune")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.spaces:
            uri = f"sqlite:///{folder}/{name}.db"
            _measure(SPACES[name], arguments.repetitions, arguments.limit, uri)


if __name__ == "__main__":
    main()
