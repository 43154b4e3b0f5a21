"""The table of a refined map with the cells that were not trained, for everything that draws or measures the map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.axis import LazyAxis, parse_axis
from service.results.metrics import PARAMS
from service.results.refinement import first_strides, sources

NOT_TRAINED = -1
"""The number of the rows that stand for cells without a trial."""


def with_untrained_cells(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table of a refined map with a row for each cell that was not trained; of another sweep, the table.

    Such a row has the values of the trained cell that its label comes from, but the number NOT_TRAINED and no run.

    table: see `service.results.trials_table`.
    spec: the content of the sweep file.
    """
    forms = _refined_axes(spec)
    values = {name: _values(raw, spec["refine"]["to"]) for name, raw in forms.items()}
    if len(values) != 2 or not len(table) or not all(PARAMS + name in table for name in values):
        return table
    positions = [_positions(table[PARAMS + name], axis) for name, axis in values.items()]
    shape = tuple(len(axis) for axis in values.values())
    first = np.full(shape, -1)
    first[positions[0][::-1], positions[1][::-1]] = np.arange(len(table))[::-1]
    coarse_rows, coarse_columns = (int(raw["points"]) for raw in forms.values())
    source = sources(first >= 0, first_strides((shape[0], shape[1]), (coarse_rows, coarse_columns)))
    missing = (first < 0) & (source >= 0)
    rows = table.iloc[first.ravel()[source[missing]]].copy()
    for (name, axis), indices in zip(values.items(), np.nonzero(missing), strict=True):
        rows[PARAMS + name] = np.asarray(axis)[indices]
    rows = rows.assign(number=NOT_TRAINED)
    if "run_id" in table:
        rows = rows.assign(run_id=pd.Series(None, index=rows.index, dtype=table["run_id"].dtype))
    return pd.concat([table, rows], ignore_index=True)


def _refined_axes(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the forms of the axes that a refinement makes dense; empty without one."""
    if not isinstance(spec.get("refine"), Mapping):
        return {}
    return {name: raw for name, raw in spec["grid"].items() if isinstance(raw, Mapping) and "points" in raw}


def _values(form: Mapping[str, Any], points: int) -> list[Any]:
    axis = parse_axis({**form, "points": points})
    return list(axis.make()) if isinstance(axis, LazyAxis) else []


def _positions(column: pd.Series, axis: list[Any]) -> np.ndarray[Any, Any]:
    index = {value: position for position, value in enumerate(axis)}
    return np.array([index[value] for value in column.tolist()], dtype=np.int64)
