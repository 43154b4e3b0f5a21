"""The metric by which a search or early stopping compares trials, and the rungs: their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.data.datasets import Dataset
from experiments.data.targets import CLASSIFICATION
from experiments.errors import SpecError, did_you_mean_metric
from experiments.measures import MEASURES, Measure
from experiments.population import Population
from experiments.search import SearchSpec
from experiments.sections import RecordSpec
from experiments.spec import ResolvedSpec
from experiments.stopping import stops_trials


def check_metric_and_rungs(resolved: ResolvedSpec, populations: Sequence[Population], dataset: Dataset) -> None:
    """Raise SpecError if trials can't be compared by the metric, or at the rungs, that the sweep file names.

    dataset: one of the sweep's; all have the same parts.
    """
    spec, source = resolved.spec, resolved.source
    if not (stops_trials(spec) or spec.search.asks):
        return
    key, metric = ("search", spec.search.metric) if spec.early_stopping is None else (
        "early_stopping", spec.early_stopping.metric
    )  # fmt: skip
    names = _metrics(dataset, {} if spec.early_stopping else MEASURES)
    if metric is not None and metric not in names:
        place = source.location((key, "metric"))
        raise SpecError(
            f"{place}: {key}.metric: {dataset.name} has no metric {metric!r}{did_you_mean_metric(metric, names)}"
        )
    steps = {population.architecture.config.steps for population in populations}
    if spec.early_stopping and (patience := spec.early_stopping.patience) >= (last := max(steps)):
        place = source.location(("early_stopping", "patience"))
        raise SpecError(
            f"{place}: early_stopping.patience is {patience:,}, and should be less than steps, {last:,}: no trial "
            "could stop early; give it a smaller number, or leave early_stopping out"
        )
    if not spec.search.has_rungs:
        return
    if len(steps) > 1:
        raise resolved.blocks[0].error_at("steps", f"{spec.search.method} needs one number of steps for all trials")
    if (first := spec.search.first or 0) >= (last := steps.pop()):
        place = source.location(("search", "first"))
        raise SpecError(f"{place}: search.first is {first:,}, and should be less than steps, {last:,}")


def with_compared_measure(record: RecordSpec, search: SearchSpec) -> RecordSpec:
    """Return the section `record` with the measure that a search compares trials by, to rank them by it."""
    measure = plain_metric(search.metric or "")
    if measure not in MEASURES or measure in record.measures:
        return record
    return record.model_copy(update={"measures": [*record.measures, measure]})


def plain_metric(metric: str) -> str:
    """Return the name of a metric without the part of the data."""
    return metric.removeprefix("test_").removeprefix("validation_")


def _metrics(dataset: Dataset, measures: Mapping[str, Measure]) -> list[str]:
    names = ["loss", *(["accuracy"] if dataset.task == CLASSIFICATION else [])]
    names += [name for name in measures if measures[name].task == dataset.task]
    tested, validated = len(dataset.test_targets) > 0, len(dataset.validation_targets) > 0
    prefixes = ["", *["test_"] * (tested and (bool(measures) or not validated)), *["validation_"] * validated]
    return [prefix + name for prefix in prefixes for name in names]
