"""Checks of a sweep file against its data, before anything is trained."""

from __future__ import annotations

from engine import TrainConfig
from experiments.data.datasets import Dataset
from experiments.errors import DataError, SpecError
from experiments.measures import MEASURES
from experiments.spec import ResolvedSpec


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


def search_notes(resolved: ResolvedSpec) -> list[str]:
    """Return what to know of a search that is not as useful as it could be."""
    search = resolved.last_search
    if search.asks and search.points <= search.batch:
        why = "are asked for before any result is known, so they are random"
        return [f"all {search.points:,} points {why}: give search.batch a smaller number"]
    return []
