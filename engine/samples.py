"""`Samples`: the numbers that a population is trained or tested on."""

from __future__ import annotations

from dataclasses import dataclass

from engine.history import Floats


@dataclass(frozen=True)
class Samples:
    """features: (samples, features); targets: (samples, targets), as the loss wants them."""

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
