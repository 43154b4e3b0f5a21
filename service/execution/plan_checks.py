"""Checks of a sweep file against its data, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine import TrainConfig
from experiments.compared_metrics import plain_metric
from experiments.data.datasets import Dataset
from experiments.errors import DataError, SpecError
from experiments.measures import MEASURES
from experiments.population import Population
from experiments.spec import ResolvedSpec

_LISTED = 5  # values in a note


def check_measures(resolved: ResolvedSpec, dataset: Dataset) -> None:
    """Raise SpecError for a measure that these data do not have."""
    for name in resolved.spec.record.measures:
        if MEASURES[name].task != dataset.task:
            place = resolved.source.location(("record", "measures"))
            raise SpecError(
                f"{place}: record.measures: {name} is for {MEASURES[name].task}, and {dataset.name} has a "
                f"{dataset.task} target; leave it out"
            )


def located(error: DataError, resolved: ResolvedSpec) -> DataError:
    """Return the error with the line and the key that it is about: of the dataset section, or an axis of the data."""
    key, section, source = error.key, resolved.spec.dataset, resolved.source
    axis = f"dataset.{key}"
    if key and key not in section.model_fields_set:
        for block in resolved.blocks:
            if axis in block.axes:
                return DataError(str(block.error_at(axis, str(error))))
    line = source.location(("dataset", key or ("name" if section.path is None else "path")))
    return DataError(f"{line}: dataset{'.' * bool(key)}{key}: {error}")


def check_batches(resolved: ResolvedSpec, config: TrainConfig, samples: int) -> None:
    """Raise SpecError for batches that are drawn with replacement and larger than the data."""
    if config.replacement and (config.batch_size or 0) > samples:
        message = f"a batch that is drawn with replacement has at most {samples:,} samples, as many as the data"
        raise resolved.blocks[0].error_at("batch_size", f"{message}, not {config.batch_size:,}")


def training_notes(
    resolved: ResolvedSpec, populations: Sequence[Population], datasets: Sequence[Dataset]
) -> Iterator[str]:
    """Yield what to know of a sweep of which some settings have no effect.

    populations: of the sweep. datasets: its data sets.
    """
    configs = [(p.architecture.config, len(datasets[p.dataset].training_targets)) for p in populations]
    too_many = [(config.batch_size or 0, samples) for config, samples in configs if (config.batch_size or 0) > samples]
    if too_many:
        least = min(samples for _, samples in too_many)
        of = "" if len(datasets) == 1 else " of a data set"
        place, sizes = _place(resolved, "batch_size", [size for size, _ in too_many])
        what = f"more than the {least:,} training samples{of}, so an update takes all of them"
        yield f"{place}: {sizes} is {what}; to say so, leave it out or write null"
    rule = resolved.spec.early_stopping
    short = [config.steps for config, _ in configs if rule and config.steps <= rule.patience]
    if rule and short:
        place, steps = _place(resolved, "steps", short)
        why = f"not more than early_stopping.patience, {rule.patience:,}, so these trials can't stop early"
        yield f"{place}: {steps} is {why}"


def _place(resolved: ResolvedSpec, name: str, values: Sequence[int]) -> tuple[str, str]:
    """Return file, line and key of values of a hyperparameter, swept or fixed, and the values as text."""
    every = sorted(set(values))
    of_value = (block for block in resolved.blocks if every[0] in block.axes.get(name, ()))
    block = next(of_value, resolved.blocks[0])
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    text = " or ".join(f"{value:,}" for value in every[:_LISTED])
    return str(block.error_at(name, "")).removesuffix(": "), text + more


def part_note(resolved: ResolvedSpec, dataset: Dataset) -> list[str]:
    """Return a note if a search or early stopping goes by another part than the validation part, which is there."""
    spec = resolved.spec
    given = {"search": spec.search.metric, "early_stopping": spec.early_stopping and spec.early_stopping.metric}
    notes = []
    for section, metric in given.items():
        if metric and len(dataset.validation_targets) and not metric.startswith("validation_"):
            part = "test" if metric.startswith("test_") else "training"
            place = resolved.source.location((section, "metric"))
            better = f"validation_{plain_metric(metric)}"
            notes.append(
                f"{place}: {section}.metric: {metric} is of the {part} part; {better} is of the validation part"
            )
    return notes


def search_notes(resolved: ResolvedSpec) -> list[str]:
    """Return what to know of a search that is not as useful as it could be."""
    search = resolved.last_search
    if search.asks and search.points <= search.batch:
        why = "are asked for before any result is known, so they are random"
        return [f"all {search.points:,} points {why}: give search.batch a smaller number"]
    return []
