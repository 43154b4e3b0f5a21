"""Check the axes of the data, such as `dataset.fold`, against the dataset section."""

from __future__ import annotations

from experiments.blocks import Block
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.names import PREFIX


def check_data_axes(block: Block, dataset: DatasetSpec) -> None:
    """Raise SpecError for axes of the data that the dataset section contradicts."""
    keys = {name.removeprefix(PREFIX): name for name in block.axes if name.startswith(PREFIX)}
    for key, name in keys.items():
        if getattr(dataset, key) is not None and key in dataset.model_fields_set:
            raise block.error_at(name, f"{key} is in the grid and under dataset; remove one of them")
    if "fold" in keys and dataset.folds is None:
        raise block.error_at(keys["fold"], "there are no folds; write their number under dataset, as folds: 5")
    if "test_fraction" in keys and dataset.folds is not None:
        raise block.error_at(keys["test_fraction"], "dataset.folds names the test part; remove one of them")
    if dataset.name is None and (toy := {"samples", "noise"} & keys.keys()):
        raise block.error_at(keys[min(toy)], f"{min(toy)} is only for toy data sets; remove it")
    if "test_fraction" in keys and dataset.names_test_part:
        given = "split" if dataset.test is None else "test"
        raise block.error_at(keys["test_fraction"], f"dataset.{given} names the test part; remove one of them")
    if "seed" in keys and dataset.names_test_part and dataset.validation_fraction is None:
        given = "split" if dataset.test is None else "test"
        raise block.error_at(
            keys["seed"],
            f"dataset.{given} says which row is which, and no row is drawn: each seed is the same; remove it",
        )
