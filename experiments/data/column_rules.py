"""`encode` and `missing` of a sweep file: one word for all columns, or a mapping of columns to words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.data.columns import Column, RawTable
from experiments.errors import DataError, did_you_mean, quoted

if TYPE_CHECKING:
    from experiments.data.dataset_spec import DatasetSpec

ONE_HOT = "one_hot"
REFUSE, DROP, MEAN, MEDIAN = "refuse", "drop", "mean", "median"

_SHORT = 40  # longest cell that a message shows as YAML


def checked_encode(value: Any) -> Any:
    """Return None, `one_hot`, or a mapping of columns to it. Raises ValueError for any other value."""
    return None if value is None else _checked(value, (ONE_HOT,))


def checked_missing(value: Any) -> Any:
    """Return `refuse`, `drop`, `mean`, `median`, or a mapping of columns to these. Raises ValueError for others."""
    return _checked(value, (REFUSE, DROP, MEAN, MEDIAN))


def na_values_key(cell: str) -> str:
    """Return the line of a sweep file that makes this cell an empty one."""
    return f"na_values: [{json.dumps(cell, ensure_ascii=False)}]" if len(cell) <= _SHORT else "na_values with that cell"


def _checked(value: Any, words: Sequence[str]) -> Any:
    columns = value if isinstance(value, Mapping) else {"": value}
    if not columns or not all(isinstance(word, str) and word in words for word in columns.values()):
        listed = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
        example = f"{listed}, or a mapping of columns, such as {{age: {words[-1]}}}"
        raise ValueError(f"should be {example}; not {quoted(value)}{_did_you_mean(columns.values(), words)}")
    return {str(name): word for name, word in columns.items()} if isinstance(value, Mapping) else value


def _did_you_mean(values: Collection[Any], words: Sequence[str]) -> str:
    """Return a question with the word nearest to the first wrong one; empty if none is near."""
    wrong = next((word for word in values if isinstance(word, str) and word not in words), "")
    close = difflib.get_close_matches(wrong, words, n=1)
    return f"; did you mean {quoted(close[0])}?" if close else ""


def encoded_columns(raw: RawTable, spec: DatasetSpec, features: Sequence[Column]) -> frozenset[str]:
    """Return the features to one-hot encode: every column of words, or those that `encode` names.

    Raises DataError for a name that is not a feature.
    """
    if spec.encode is None:
        return frozenset()
    if isinstance(spec.encode, str):
        return frozenset(column.name for column in features if column.kind == "text")
    _refuse_unknown(raw, "encode", spec.encode, [column.name for column in features], "feature")
    return frozenset(spec.encode)


def missing_rules(
    raw: RawTable, spec: DatasetSpec, features: Sequence[Column], targets: Sequence[Column], encoded: Collection[str]
) -> dict[str, str]:
    """Return column -> `refuse`, `drop`, `mean` or `median`, the rule for its empty cells.

    encoded: features to one-hot encode. They, words and the targets have no mean or median.
    Raises DataError for an unknown column, and for a mean or median of a column that has none.
    """
    named = spec.missing if isinstance(spec.missing, dict) else {}
    names = [column.name for column in (*features, *targets)]
    _refuse_unknown(raw, "missing", named, names, "feature or target")
    predicted = {column.name for column in targets}
    rules = {}
    for column in (*features, *targets):
        rule = named.get(column.name, REFUSE) if isinstance(spec.missing, dict) else spec.missing
        if rule not in (DROP, REFUSE):
            if column.name not in predicted and column.kind != "text" and column.name not in encoded:
                rules[column.name] = rule
                continue
            if column.name in named:
                what = "the target" if column.name in predicted else "a column of categories"
                raise DataError(
                    f"{raw.name}: dataset.missing: {quoted(column.name)} is {what}, which has no {rule}; "
                    "write drop or refuse for it"
                )
            rule = REFUSE
        rules[column.name] = rule
    return rules


def _refuse_unknown(raw: RawTable, key: str, named: Collection[str], known: Sequence[str], kind: str) -> None:
    for name in named:
        if name not in known:
            raise DataError(f"{raw.name}: dataset.{key}: no {kind} is called {quoted(name)}{did_you_mean(name, known)}")
