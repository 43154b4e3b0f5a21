"""`Samples`: the training or test data of a population."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.arrays import Floats


@dataclass(frozen=True)
class Samples:
    """Features and targets of a data set.

    features: (samples, features).
    targets: (samples, targets), in the form that the loss expects.

    Raises ValueError for other shapes, and if there are no samples.
    """

    features: Floats
    targets: Floats

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.targets.ndim != 2 or len(self.features) != len(self.targets):
            raise ValueError(
                "features and targets are (samples, features) and (samples, targets), "
                f"not {self.features.shape} and {self.targets.shape}"
            )
        if not len(self.features):
            raise ValueError("there are no samples")

    def cast(self, dtype: str) -> Samples:
        """Return the samples with all numbers rounded to `dtype`, in C order.

        Raises ValueError if a number is too large for it.
        """
        with np.errstate(over="ignore"):
            features, targets = (np.ascontiguousarray(array, dtype=dtype) for array in (self.features, self.targets))
        if not np.isfinite(features).all() or not np.isfinite(targets).all():
            raise ValueError(f"a feature or target is not finite in {dtype}")
        return Samples(features, targets)
