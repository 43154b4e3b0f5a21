"""A trained network that predicts, out of numbers alone. Saved with an MLflow model, it needs nothing but `engine`."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine import MLP, Parts, predict
from engine.inputs import Cells, InputColumn, network_inputs, number_name

Floats = np.ndarray[Any, np.dtype[np.float64]]


class GradgridModel:
    """A network with its final weights, and what its data was like.

    config: widths, activation, output, loss, weights (flat), dtype, kernel, inputs (columns of the table, and how they
    become numbers), center and scale (of each number), classes (none for a regression), threshold (above it the second
    of two is predicted), parts (a file's text).
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        parts = Parts(config["parts"])
        hidden, output = (parts.activation(config[name]) for name in ("activation", "output"))
        self._columns = [InputColumn.from_facts(column) for column in config["inputs"]]
        self._network = MLP(config["widths"], hidden, output, initializer="zeros")

    @property
    def features(self) -> list[str]:
        """The names of the columns that it predicts from."""
        return [column.name for column in self._columns]

    @property
    def columns(self) -> list[str]:
        """The names of the columns that it predicts: for classes `prediction`, and each of the network's outputs."""
        classes, outputs = self.config["classes"], self.config["widths"][-1]
        if not classes:
            return ["prediction"]
        return ["prediction", *(["output"] if outputs == 1 else [f"output_{name}" for name in classes])]

    def outputs(self, features: Floats) -> Floats:
        """What the engine computes, (samples, outputs), of features that are numbers already, (samples, inputs).

        They are not standardised; of a column of categories there is one for each category, 1 or 0.
        """
        config = self.config
        given = (np.asarray(features, dtype=float) - np.array(config["center"])) / np.array(config["scale"])
        return predict(
            self._network, np.array(config["weights"]), given, dtype=config["dtype"], kernel=config["kernel"]
        )

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """`columns` for each row of a DataFrame that has the features' columns, or of an array of them in order.

        Numbers may be whole, boolean or of any precision. Raises ValueError for a column that is missing, and for a
        cell that is empty where the training data had none, infinite, or not a number where it should be one.
        """
        table = _table(data, self.features)
        cells = [_cells(column, table[column.name]) for column in self._columns]
        outputs = self.outputs(network_inputs(self._columns, cells))
        classes = self.config["classes"]
        if not classes:
            return pd.DataFrame(outputs, columns=self.columns)
        best = (
            outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > self.config["threshold"]).astype(int)
        )
        named = pd.DataFrame(outputs, columns=self.columns[1:])
        named.insert(0, "prediction", np.array(classes, dtype=object)[best])
        return named


def _table(data: Any, names: list[str]) -> pd.DataFrame:
    """The data as a table that has these columns. Raises ValueError where one is missing or there twice."""
    if not isinstance(data, (pd.DataFrame, Mapping)):
        array = data if isinstance(data, np.ndarray) else np.array(data, dtype=object)
        if array.ndim != 2 or array.shape[1] != len(names):
            shown = " x ".join(map(str, array.shape))
            raise ValueError(f"the model predicts from rows of {', '.join(names)}; the array has the shape {shown}")
        data = pd.DataFrame(array, columns=names)
    table = pd.DataFrame(data)
    missing = [name for name in names if name not in table.columns]
    if missing:
        there = ", ".join(map(str, table.columns))
        raise ValueError(f"the model predicts from the columns {', '.join(names)}; {', '.join(missing)} not in {there}")
    twice = [name for name in names if list(table.columns).count(name) > 1]
    if twice:
        raise ValueError(f"the table has the column {twice[0]!r} twice; keep one of them")
    return table


def _cells(column: InputColumn, values: pd.Series) -> Cells:
    """The cells of a column, checked. Raises ValueError naming the column and the row, counted from 1."""
    if column.kind == "text":
        cells = np.array([_each(column, _word, k, cell) for k, cell in enumerate(values.tolist())], dtype=object)
    elif values.dtype.kind in "iufb" and isinstance(values.dtype, np.dtype):
        cells = values.to_numpy(dtype=float)
    else:
        cells = np.array([_each(column, _number, k, cell) for k, cell in enumerate(values.tolist())], dtype=float)
    for row in np.flatnonzero(column.unfilled(cells))[:1]:
        raise ValueError(
            f"column {column.name!r} is empty in row {row + 1}; the model was trained on rows without gaps"
        )
    if column.kind != "text":
        for row in np.flatnonzero(np.isinf(cells))[:1]:
            raise ValueError(f"column {column.name!r} is infinite in row {row + 1}")
    unknown = column.unknown(cells)
    if unknown:
        warnings.warn(
            f"column {column.name!r}: the training data had no {', '.join(map(repr, unknown[:5]))}; all inputs of the "
            "column are 0 in such rows",
            stacklevel=3,
        )
    return cells


def _each(column: InputColumn, read: Callable[[Any], Any], row: int, cell: Any) -> Any:
    if cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell)):
        return None if column.kind == "text" else math.nan
    try:
        return read(cell)
    except (TypeError, ValueError, OverflowError):
        kind = "a word" if column.kind == "text" else "a number"
        raise ValueError(f"column {column.name!r} should hold {kind} in row {row + 1}, not {cell!r}") from None


def _number(cell: Any) -> float:
    if not isinstance(cell, (Real, Decimal, np.bool_)):
        raise TypeError
    return float(cell)


def _word(cell: Any) -> str:
    if isinstance(cell, str):
        return str(cell)
    return str(bool(cell)) if isinstance(cell, (bool, np.bool_)) else number_name(_number(cell))


def _load_pyfunc(path: str) -> GradgridModel:
    """What MLflow calls."""
    return GradgridModel(json.loads(Path(path).read_text(encoding="utf-8")))
