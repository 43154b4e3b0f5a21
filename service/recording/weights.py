"""The final weights of trials, as artifacts of their runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.recording.artifact_writers import File
    from service.recording.run_table import RunTable

WEIGHTS_FILE = "final_weights.json"


def weights_text(weights: Sequence[Mapping[str, Any]]) -> str:
    """Return the content of final_weights.json. weights: name, shape and values of each tensor."""
    return json.dumps({"tensors": list(weights)})


def weights_path(run_id: str) -> str:
    """Return the path of a run's weights below its experiment's artifact location."""
    return f"{run_id}/artifacts/{WEIGHTS_FILE}"


def weights_files(runs: RunTable) -> Iterator[File]:
    """Yield the file of each run, for its experiment's artifact location."""
    for run_id, weights in zip(runs.texts("run_id"), runs.weights(), strict=True):
        yield weights_path(run_id), weights_text(weights).encode()
