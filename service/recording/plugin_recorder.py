"""Record through a tracking server that has gradgrid's app: one request for hundreds of runs.

The server writes them as the bulk recorder does. A run's id is derived from sweep and trial, so a request whose answer
was lost is simply sent again.
"""

from __future__ import annotations

from http import HTTPStatus

import requests

from experiments.errors import StoreError
from service.recording.artifact_writers import ArtifactWriter
from service.recording.connection import translated_errors
from service.recording.redaction import without_passwords
from service.recording.rest_client import Server
from service.recording.run_table import RunTable
from service.recording.shard_protocol import (
    CONTENT_TYPE,
    FORMAT,
    FORMAT_HEADER,
    SHARDS_PATH,
    STATISTICS_PATH,
    Offer,
)
from service.recording.weights import weights_files

_NO_APP = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
)
_SECONDS = 300  # a database that many write into may be slow


def ask_offer(server: Server) -> Offer | None:
    """Return what the server's app takes; None if the server has none. Raises requests.RequestException."""
    try:
        return Offer.from_json(server.get(SHARDS_PATH))
    except requests.HTTPError as error:
        if error.response is not None and error.response.status_code in _NO_APP:
            return None
        raise
    except (KeyError, TypeError, ValueError):  # a proxy may answer every path with a page
        return None


class PluginRecorder:
    """Sends tables of runs to a server.

    offer: the server's.
    sends_weights: whether the server writes the weights.
    weights: writes them below the experiment's artifact location, if they are recorded and the server does not.
    uri: the store's, for messages.
    """

    def __init__(
        self,
        server: Server,
        experiment_id: str,
        offer: Offer,
        weights: ArtifactWriter | None,
        uri: str,
        *,
        sends_weights: bool,
    ) -> None:
        self._server = server
        self._query = f"experiment_id={experiment_id}"
        self._max_bytes = offer.max_bytes
        self._weights = weights
        self._uri = uri
        self._sends_weights = sends_weights

    def record(self, runs: RunTable, *, again: bool = False) -> list[str]:
        with translated_errors(self._uri):
            if self._weights:
                self._weights.write(weights_files(runs))  # first, so that a run in the database has its weights
            self._send(runs if self._sends_weights else runs.without_weights())
        return runs.texts("run_id")

    def _send(self, runs: RunTable) -> None:
        """Send runs in one request, or in several if they are too large for one."""
        content = runs.to_bytes()
        if len(content) <= self._max_bytes and self._post(content):
            return
        if len(runs) == 1:
            raise StoreError(
                f"the MLflow server at {without_passwords(self._uri)} takes at most {self._max_bytes:,} bytes in a "
                f"request, and one trial has {len(content):,}: let the server take more (GRADGRID_MAX_SHARD_BYTES, and "
                "the limit of a proxy before it), or record less of each trial (`record:` in the sweep file)"
            )
        half = len(runs) // 2
        self._send(runs.slice(0, half))
        self._send(runs.slice(half, len(runs) - half))

    def _post(self, content: bytes) -> bool:
        """Send a table; return whether it was recorded. It wasn't if the server, or a proxy before it, takes less."""
        headers = {"Content-Type": CONTENT_TYPE, FORMAT_HEADER: str(FORMAT)}
        try:
            self._server.send(f"{SHARDS_PATH}?{self._query}", content, headers, seconds=_SECONDS)
        except requests.HTTPError as error:
            if error.response is None or error.response.status_code != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise
            self._max_bytes = len(content) - 1
            return False
        return True

    def finish(self) -> None:
        with translated_errors(self._uri):
            self._server.send(f"{STATISTICS_PATH}?{self._query}", b"", {}, seconds=_SECONDS)

    def close(self) -> None:
        if self._weights:
            self._weights.close()
