"""A trained network that predicts.

MLflow models bring a copy of this file and of `engine`. So it imports nothing else of gradgrid.
"""

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
    """A network with its final weights, and the description of its data.

    config: a dictionary with
        widths: of each layer, the inputs first.
        activation, output: of each hidden layer, or of all of them, and of the last.
        bias, gain: whether the units have biases, and each layer's factor of its sum.
        loss: the loss that it was trained with.
        weights: all of them, flat.
        dtype, kernel: of the training, so that outputs have the same bits.
        inputs: the features' columns, and how to turn each into numbers.
        center, scale: to standardise each number.
        classes: their names; empty for a regression.
        targets: the names of the columns to predict.
        target_scale: center and scale of each target, if the network learned standardised ones; else None.
        threshold: of two classes, outputs above it predict the second.
        parts: the text of the file of custom functions; may be empty.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        parts = Parts(config["parts"])
        names = config["activation"]
        hidden = parts.activation(names) if isinstance(names, str) else [parts.activation(name) for name in names]
        self._columns = [InputColumn.from_facts(column) for column in config["inputs"]]
        options = {name: config[name] for name in ("bias", "gain") if name in config}  # older models have neither
        self._network = MLP(
            config["widths"], hidden, parts.activation(config["output"]), initializer="zeros", **options
        )

    @property
    def features(self) -> list[str]:
        """The names of the columns that it reads."""
        return [column.name for column in self._columns]

    @property
    def columns(self) -> list[str]:
        """The names of the columns that it predicts.

        They are those of several targets; else `prediction`, and for classes each of the network's outputs.
        """
        classes, outputs = self.config["classes"], self.config["widths"][-1]
        if not classes:
            return list(self.config["targets"]) if outputs > 1 else ["prediction"]
        return ["prediction", *(["output"] if outputs == 1 else [f"output_{name}" for name in classes])]

    def outputs(self, features: Floats) -> Floats:
        """Return the network's outputs, (samples, outputs). Those for numbers are in the units of the targets.

        features: numbers, (samples, inputs), not standardised. A column of categories has one input a category, 1 or 0.
        """
        config = self.config
        inputs = (np.asarray(features, dtype=float) - np.array(config["center"])) / np.array(config["scale"])
        weights = np.array(config["weights"])
        outputs = predict(self._network, weights, inputs, dtype=config["dtype"], kernel=config["kernel"])
        of_targets = config.get("target_scale")  # older models have none
        if of_targets is None:
            return outputs
        return np.asarray(outputs * np.array(of_targets["scale"]) + np.array(of_targets["center"]))

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return a table with `columns`, a row for each row of the data.

        data: a DataFrame with the features' columns, or an array of them in order. Numbers may be of any type.
        params: ignored; MLflow passes it.
        Raises ValueError if a column is missing, or if a cell is infinite, not a number where it should be one, or
        empty in a column that had no empty cells in training.
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
        table = pd.DataFrame(outputs, columns=self.columns[1:])
        table.insert(0, "prediction", np.array(classes, dtype=object)[best])
        return table


def _table(data: Any, names: list[str]) -> pd.DataFrame:
    """Return the data as a table with these columns. Raises ValueError if one is missing or there twice."""
    if not isinstance(data, (pd.DataFrame, Mapping)):
        array = data if isinstance(data, np.ndarray) else np.array(data, dtype=object)
        if array.ndim != 2 or array.shape[1] != len(names):
            shown = " x ".join(map(str, array.shape))
            raise ValueError(f"the model predicts from rows of {', '.join(names)}; the array has the shape {shown}")
        data = pd.DataFrame(array, columns=names)
    table = pd.DataFrame(data)
    missing = [name for name in names if name not in table.columns]
    if missing:
        columns = ", ".join(map(str, table.columns))
        raise ValueError(
            f"the model predicts from the columns {', '.join(names)}; {', '.join(missing)} not in {columns}"
        )
    twice = [name for name in names if list(table.columns).count(name) > 1]
    if twice:
        raise ValueError(f"the table has the column {twice[0]!r} twice; keep one of them")
    return table


def _cells(column: InputColumn, values: pd.Series) -> Cells:
    """Return the cells of a column after checks. Raises ValueError that names the column and the row, from 1."""
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
    """Load a model. MLflow calls this."""
    return GradgridModel(json.loads(Path(path).read_text(encoding="utf-8")))
