"""Ask Optuna's samplers for points, one batch after another. Only this module imports Optuna.

The sampler's state is not kept: a sweep that is resumed asks and tells again what it did before, and gets the same.
"""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Floats, Integers, Words
from experiments.asking import Dimension, dimensions
from experiments.errors import UserError, did_you_mean
from experiments.search import SearchSpec
from service.execution.plan import Plan, plan_with_points
from service.results.metrics import METRICS, lower_is_better

if TYPE_CHECKING:
    import optuna


class Sampler:
    """A sampler of Optuna. It minimises."""

    def __init__(self, search: SearchSpec, every: Sequence[Dimension]) -> None:
        """search: of the sweep file. every: the dimensions. Raises UserError without Optuna, or this sampler."""
        try:
            import optuna

            if search.method == "cmaes":
                import cmaes  # noqa: F401  (Optuna imports it late)
        except ImportError:
            raise UserError(
                f"search by {search.method} needs Optuna: pip install 'gradgrid[search]'; or write method: sobol"
            ) from None
        self._optuna, self._dimensions, self._search = optuna, every, search
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of options that Optuna calls experimental
            self._study = optuna.create_study(sampler=self._sampler())
        self._asked: list[optuna.Trial] = []

    def _sampler(self) -> optuna.samplers.BaseSampler:
        samplers, seed = self._optuna.samplers, self._search.seed % 2**32
        sampler: optuna.samplers.BaseSampler
        if self._search.method == "cmaes":
            sampler = samplers.CmaEsSampler(seed=seed, popsize=self._search.batch, warn_independent_sampling=False)
        elif self._search.method == "tpe":
            sampler = samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=self._search.batch)
        else:
            sampler = self._named_sampler(seed)
        return sampler

    def _named_sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        name, samplers = self._search.sampler or "", self._optuna.samplers
        found = getattr(samplers, name, None)
        if not (isinstance(found, type) and issubclass(found, samplers.BaseSampler)):
            names = [each for each in samplers.__all__ if each.endswith("Sampler") and not each.startswith("Base")]
            close = did_you_mean(f"{name.removesuffix('Sampler')}Sampler", names)
            raise UserError(f"Optuna has no sampler {name!r}{close}")
        if name == "GPSampler" and importlib.util.find_spec("torch") is None:  # Optuna imports it late
            raise UserError("Optuna's GPSampler needs PyTorch: pip install torch")
        batch = self._search.batch
        given = {"seed": seed, "population_size": batch, "n_startup_trials": batch, "warn_independent_sampling": False}
        taken = inspect.signature(found).parameters
        try:
            sampler: optuna.samplers.BaseSampler = found(**{key: given[key] for key in given if key in taken})
        except (TypeError, ValueError) as error:
            raise UserError(f"Optuna's {name} can't be used by its name alone: {error}") from None
        return sampler

    def ask(self, count: int) -> Words:
        """Return the coordinates of new points, (count, dimensions)."""
        space = {dimension.name: self._distribution(dimension) for dimension in self._dimensions}
        try:
            self._asked = [self._study.ask(space) for _ in range(count)]
        except (ImportError, ValueError) as error:
            name, reason = type(self._study.sampler).__name__, str(error).strip().splitlines()[0]
            raise UserError(f"Optuna's {name} can't choose points of these axes: {reason}") from None
        rows = [[d.coordinate(trial.params[d.name]) for d in self._dimensions] for trial in self._asked]
        return np.array(rows, dtype=np.uint64)

    def tell(self, points: Words, values: Floats) -> None:
        """Take the values of points: of those that were asked for last, or of others in their place.

        points: (points, dimensions). values: (points,) less is better; all finite.
        """
        state = self._optuna.trial.TrialState
        for trial, point, value in zip(self._asked, points.tolist(), values.tolist(), strict=True):
            if [d.coordinate(trial.params[d.name]) for d in self._dimensions] == point:
                self._study.tell(trial, value)
            else:  # another version of Optuna chose it
                self._study.tell(trial, state=state.FAIL)
                self._study.add_trial(self._trial(point, value))

    def _trial(self, point: Sequence[int], value: float) -> optuna.trial.FrozenTrial:
        params = {d.name: d.value(coordinate) for d, coordinate in zip(self._dimensions, point, strict=True)}
        space = {dimension.name: self._distribution(dimension) for dimension in self._dimensions}
        return self._optuna.trial.create_trial(params=params, distributions=space, value=value)

    def _distribution(self, dimension: Dimension) -> Any:
        distributions = self._optuna.distributions
        if not dimension.values:
            return distributions.FloatDistribution(0.0, 1.0)
        if dimension.ordered:
            return distributions.IntDistribution(0, dimension.values - 1)
        return distributions.CategoricalDistribution(range(dimension.values))


def check_sampler(plan: Plan) -> None:
    """Raise UserError if a plan's search asks for points, and Optuna is not installed or has not this sampler."""
    resolved = plan.resolved
    if not resolved.last_search.asks:
        return
    try:
        Sampler(resolved.last_search, ())
    except UserError as error:
        raise type(error)(f"{resolved.source.location(('search', 'method'))}: {error}") from None


class Asking:
    """Trains the points that a sampler is asked for, batch after batch.

    keep: keeps the names of the dimensions, the coordinates of all points so far, (points, dimensions), and the batch
        of each, (points,).
    train: trains and records the trials of a plan that are not yet recorded; returns whether all of them are.
    table: returns the table of the trials that are recorded.
    """

    def __init__(
        self,
        plan: Plan,
        keep: Callable[[Sequence[str], Words, Integers], None],
        train: Callable[[Plan], bool],
        table: Callable[[], pd.DataFrame],
    ) -> None:
        self._plan, self._keep, self._train, self._table = plan, keep, train, table
        self._search = plan.resolved.last_search
        self._dimensions = dimensions(plan.resolved.stages[-1].blocks[0])
        self.sampler = Sampler(self._search, self._dimensions)

    def run(self, known: tuple[Words, Integers] | None) -> None:
        """Train all points, or as many as the budget allows.

        known: those that were asked for before the sweep was resumed, as `keep` had them.
        """
        points = np.zeros((0, len(self._dimensions)), dtype=np.uint64)
        batches = np.zeros(0, dtype=np.int64)
        earlier, of_batch = known or (points, batches)
        if len(earlier) and not self._train(plan_with_points(self._plan, earlier)):
            return
        for number in range(self._search.points):
            again = earlier[of_batch == number]
            count = len(again) or min(self._search.batch, self._search.points - len(points))
            asked = self.sampler.ask(count)
            batch = again if len(again) else asked
            points = np.concatenate([points, batch])
            batches = np.concatenate([batches, np.full(len(batch), number)])
            if not len(again):
                self._keep([dimension.name for dimension in self._dimensions], points, batches)
            plan = plan_with_points(self._plan, points)
            is_complete = len(again) > 0 or self._train(plan)
            if not is_complete or len(points) == self._search.points:
                return
            self.sampler.tell(batch, self._values(plan, points, len(points) - len(batch)))

    def _values(self, plan: Plan, points: Words, first: int) -> Floats:
        """Return the value of each point from `first` on: the mean over its trials, less is better.

        A point with a trial that diverged has the worst value of all.
        """
        (counts,) = plan.grid.blocks
        assert counts.positions is not None
        repeats = counts.block.points // len(points)
        point = counts.positions // repeats
        trials = self._of_trials(plan)
        with np.errstate(invalid="ignore"):
            means = np.bincount(point, weights=trials, minlength=len(points)) / repeats
        equal = np.flatnonzero(np.bincount(point, minlength=len(points)) == 0)  # to an earlier point
        equal = equal[equal >= first]
        if len(equal):
            number_of = {trial: number for number, trial in enumerate(plan.trial_ids)}
            rows, places = np.unique(points[equal], axis=0, return_inverse=True)
            ids = [plan_with_points(plan, row[None]).trial_ids for row in rows]
            values = np.array([trials[[number_of[trial] for trial in of]].mean() for of in ids])
            means[equal] = values[places.reshape(-1)]
        finite = means[np.isfinite(means)]
        return np.where(np.isfinite(means), means, finite.max() if len(finite) else 0.0)[first:]

    def _of_trials(self, plan: Plan) -> Floats:
        """Return the objective of each trial, (trials,), less is better; NaN for one that diverged."""
        table = self._table().set_index("number").loc[np.arange(plan.trials)]
        sign = 1.0 if lower_is_better(plan.objective) else -1.0
        values = sign * table[METRICS + plan.objective].to_numpy(dtype=float)
        return np.where((table["outcome"] == DIVERGED).to_numpy(), np.nan, values)
