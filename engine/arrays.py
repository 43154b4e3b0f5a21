"""Types of the engine's arrays and columns. The functions that use them state the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""Numbers of any type."""
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Indexes: TypeAlias = npt.NDArray[np.int32]
"""Positions of samples in a data set."""
Words: TypeAlias = npt.NDArray[np.uint64]
"""Random bits and seeds."""
Codes: TypeAlias = npt.NDArray[np.int8]
"""Positions in a short list of names."""
Flags: TypeAlias = npt.NDArray[np.bool_]
Columns: TypeAlias = Mapping[str, Floats]
"""Name -> (trials,), one value for each trial of a population: its learning rate, for example."""
