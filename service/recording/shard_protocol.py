"""How runs travel in bulk to an MLflow server that has gradgrid's app.

| request | meaning |
|---|---|
| `GET /api/2.0/gradgrid/shards` | ask for the server's `Offer`, as JSON |
| `POST /api/2.0/gradgrid/shards?experiment_id=7` | record a `RunTable`, sent as an Arrow IPC stream |
| `POST /api/2.0/gradgrid/statistics?experiment_id=7` | update the database's statistics, at the end of a sweep |

A shard comes with the version of its format, in a header. A table without the column `weights` has runs whose weights
are not recorded, or are recorded by somebody else. An answer that is not 200 is JSON with a `message`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHARDS_PATH = "/api/2.0/gradgrid/shards"
STATISTICS_PATH = "/api/2.0/gradgrid/statistics"
FORMAT_HEADER = "Gradgrid-Format"
CONTENT_TYPE = "application/vnd.apache.arrow.stream"

FORMAT = 1
"""The version of `RunTable`'s columns as they are sent. A change that an older server would misread needs another."""


@dataclass(frozen=True)
class Offer:
    """What a server's app takes.

    formats: the versions of the format that it reads.
    max_bytes: the most bytes of a request.
    writers: how many requests at once it can use.
    artifacts: whether it writes the weights into the artifact store that it serves.
    why_not: why it can't write in bulk into its database; empty if it can.
    version: of its gradgrid.
    """

    formats: tuple[int, ...]
    max_bytes: int
    writers: int
    artifacts: bool
    why_not: str
    version: str

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Offer:
        """Return the offer in a server's answer. Raises KeyError, TypeError or ValueError if it is not one."""
        return cls(
            formats=tuple(int(number) for number in values["formats"]),
            max_bytes=int(values["max_bytes"]),
            writers=int(values["writers"]),
            artifacts=bool(values["artifacts"]),
            why_not=str(values["why_not"]),
            version=str(values["version"]),
        )

    @property
    def misfit(self) -> str:
        """Why this gradgrid can't use the server's app; empty if it can."""
        if FORMAT not in self.formats:
            theirs = ", ".join(map(str, self.formats))
            return (
                f"its app is of gradgrid {self.version} and reads format {theirs}, while this gradgrid sends format "
                f"{FORMAT}; install the same gradgrid on both"
            )
        return self.why_not
