"""The peers of `search.py`: random search, Optuna's samplers, and Ray Tune with ASHA. Ray Tune runs as a program:

python benchmarks/search_peers.py SPACE TARGET [--seed 0] [--limit 40]
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).absolute().parent.parent)

import numpy as np  # noqa: E402

from benchmarks.search_space import AXES, FACTOR, RUNGS, SEEDS, SPACES, STEPS, Training  # noqa: E402
from benchmarks.search_table import Found  # noqa: E402

Ask = Callable[[], tuple[tuple[int, ...], Callable[[float], None]]]
"""Returns the indices of the next configuration, and a function that takes its value."""


def replayed(ask: Ask, values: Any, target: float, budget: int, training: float) -> Found:
    """Let a sampler search the values of a space. The time is the sampler's, and that of training for each point.

    values: of all configurations, one dimension for each axis. training: seconds for a configuration.
    """
    worst, seconds = float(values[np.isfinite(values)].max()), 0.0
    for count in range(1, budget + 1):
        began = time.perf_counter()
        indices, tell = ask()
        value = float(values[indices])
        tell(value if math.isfinite(value) else worst)
        seconds += time.perf_counter() - began + training
        if value <= target:
            return Found(seconds, count * SEEDS, is_good=True)
    return Found(seconds, budget * SEEDS, is_good=False)


def random_search(shape: tuple[int, ...], seed: int) -> Ask:
    """Return a search in random order, which repeats no configuration."""
    order = iter(np.random.default_rng(seed).permutation(math.prod(shape)).tolist())

    def ask() -> tuple[tuple[int, ...], Callable[[float], None]]:
        return tuple(map(int, np.unravel_index(next(order), shape))), lambda value: None

    return ask


def optuna_search(name: str, shape: tuple[int, ...], seed: int) -> Ask:
    """Return a sampler of Optuna, which sees each axis as the positions of its values.

    name: tpe, cmaes or qmc.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed, with_margin=True, restart_strategy=None),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=seed, scramble=True),
    }
    warnings.simplefilter("ignore")  # of options that Optuna calls experimental
    study = optuna.create_study(sampler=samplers[name]())
    every: dict[str, optuna.distributions.BaseDistribution] = {
        axis: optuna.distributions.IntDistribution(0, n - 1) for axis, n in zip(AXES, shape, strict=True)
    }

    def ask() -> tuple[tuple[int, ...], Callable[[float], None]]:
        trial = study.ask(every)

        def tell(value: float) -> None:
            study.tell(trial, value)

        return tuple(trial.params[axis] for axis in AXES), tell

    return ask


def _tune(space: str, target: float, seed: int, limit: float) -> dict[str, float | int]:
    """Search by Ray Tune with ASHA; return the seconds of its start, the seconds until found, and the trials."""
    began = time.perf_counter()
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        RAY_AIR_NEW_OUTPUT="0",
    )  # fmt: skip
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    started = time.perf_counter()
    every, seen, found = SPACES[space], set[str](), [math.inf]

    def trainable(configuration: Mapping[str, Any]) -> None:
        from benchmarks.search_space import SPACES, Training

        for step, value in _reports(Training(SPACES[space]), configuration):
            tune.report({"steps": step, "value": value if math.isfinite(value) else 1e300})

    class UntilFound(tune.Stopper):
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            seen.add(trial_id)
            if result["steps"] == STEPS and result["value"] <= target:
                found[0] = min(found[0], time.perf_counter() - started)
            return bool(result["steps"] == STEPS)

        def stop_all(self) -> bool:
            return math.isfinite(found[0])

    tune.Tuner(
        trainable,
        param_space={name: tune.choice(values) for name, values in zip(AXES, every.axes(), strict=True)},
        tune_config=tune.TuneConfig(
            metric="value", mode="min", num_samples=2048, reuse_actors=True, time_budget_s=limit,
            search_alg=tune.search.basic_variant.BasicVariantGenerator(random_state=seed),
            scheduler=ASHAScheduler(time_attr="steps", grace_period=RUNGS[0], max_t=STEPS, reduction_factor=FACTOR),
        ),
        run_config=tune.RunConfig(storage_path=str(Path.cwd()), verbose=0, stop=UntilFound()),
    ).fit()  # fmt: skip
    searched = time.perf_counter() - started
    is_good = math.isfinite(found[0])
    return {
        "start": started - began,
        "seconds": found[0] if is_good else searched,
        "trials": len(seen) * SEEDS,
        "is_good": is_good,
    }


def _reports(training: Training, configuration: Mapping[str, Any]) -> Iterator[tuple[int, float]]:
    return training.values(configuration, (*RUNGS, STEPS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", choices=SPACES)
    parser.add_argument("target", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=40.0, help="seconds")
    arguments = parser.parse_args()
    print(json.dumps(_tune(arguments.space, arguments.target, arguments.seed, arguments.limit)))


if __name__ == "__main__":
    main()
