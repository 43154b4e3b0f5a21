"""A trained network that predicts, out of numbers alone. Saved with an MLflow model, it needs nothing but `engine`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine import MLP, Parts, predict

Floats = np.ndarray[Any, np.dtype[np.float64]]


class GradgridModel:
    """A network with its final weights, and what its data was like.

    facts: widths, activation, output, loss, weights (flat), dtype, kernel, features (names), center and scale (of
    each), classes (none for a regression), threshold (above it the second of two is predicted), parts (a file's text).
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)
        parts = Parts(facts["parts"])
        hidden, output = (parts.activation(facts[name]) for name in ("activation", "output"))
        self._network = MLP(facts["widths"], hidden, output, initializer="zeros")

    @property
    def features(self) -> list[str]:
        """The names of the columns that it predicts from."""
        return list(self.facts["features"])

    @property
    def columns(self) -> list[str]:
        """The names of the columns that it predicts: for classes `prediction`, and each of the network's outputs."""
        classes, outputs = self.facts["classes"], self.facts["widths"][-1]
        if not classes:
            return ["prediction"]
        return ["prediction", *(["output"] if outputs == 1 else [f"output_{name}" for name in classes])]

    def outputs(self, features: Floats) -> Floats:
        """What the engine computes, (samples, outputs), of features as they were given, (samples, features)."""
        facts = self.facts
        given = (np.asarray(features, dtype=float) - np.array(facts["center"])) / np.array(facts["scale"])
        return predict(self._network, np.array(facts["weights"]), given, dtype=facts["dtype"], kernel=facts["kernel"])

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """`columns` for each row of a DataFrame that has the features' columns, or of an array of them in order."""
        table = data[self.features] if isinstance(data, pd.DataFrame) else np.asarray(data)
        outputs = self.outputs(np.asarray(table, dtype=float))
        classes = self.facts["classes"]
        if not classes:
            return pd.DataFrame(outputs, columns=self.columns)
        best = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > self.facts["threshold"]).astype(int)
        named = pd.DataFrame(outputs, columns=self.columns[1:])
        named.insert(0, "prediction", np.array(classes, dtype=object)[best])
        return named


def _load_pyfunc(path: str) -> GradgridModel:
    """What MLflow calls."""
    return GradgridModel(json.loads(Path(path).read_text(encoding="utf-8")))
