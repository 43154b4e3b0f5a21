"""Sentences on how the best trials were chosen: on which part of the data, and among which trials."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from service.results.metrics import validation_metric


def part_note(metric: str, has_validation: Sequence[bool]) -> str:
    """Return a note on a choice by the test part although there is a validation part; empty for another choice.

    metric: what the trials were chosen by.
    has_validation: for each sweep, whether its trials have the metric of a validation part.
    """
    if not metric.startswith("test_") or not any(has_validation):
        return ""
    chosen = f"the best by {metric} are chosen on the test part"
    if all(has_validation):
        return f"{chosen}; --by {validation_metric(metric)} ranks by the validation part"
    return f"{chosen}, although {sum(has_validation)} of the {len(has_validation)} sweeps have a validation part"


def choice_sentence(metric: str, *, has_validation: bool) -> str:
    """Return a sentence for a page on a choice that was made on the test part; empty for another choice.

    has_validation: whether all trials have the metric of a validation part.
    """
    if not metric.startswith("test_"):
        return ""
    way = "dataset.validation_fraction or dataset.validation makes a part for the choice."
    if has_validation:
        way = f"{validation_metric(metric)} chooses on the validation part."
    return (
        f"The best trials were chosen on the test part, so on other data they are worse than their test figures; {way}"
    )


def stopped_note(table: pd.DataFrame) -> str:
    """Return a note on trials that were stopped before the last step; empty if none was."""
    from experiments.stopping import STOPPED

    stopped = int((table["outcome"] == STOPPED).sum()) if len(table) else 0
    if not stopped:
        return ""
    how = "" if stopped == len(table) else f"; --where outcome!={STOPPED} ranks the others alone"
    return f"{stopped:,} of {len(table):,} trials were stopped early, and are ranked by what they had reached{how}"
