"""Requests to a tracking server, with the credentials and certificates that MLflow's environment variables name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

_SECONDS = 60
CONCURRENT = 8  # requests at once: enough for a server of several processes, few enough for one

_Item = TypeVar("_Item")


class Server:
    """A tracking server's REST interface. Every failure is a requests.RequestException with the server's own words.

    Nothing is tried again here: whether that is safe, only the caller knows.
    """

    def __init__(self, uri: str) -> None:
        self._credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]

    def post(self, call: str, body: Mapping[str, Any]) -> Any:
        """POST to `/api/2.0/mlflow/<call>`; returns the answer."""
        data = json.dumps(body, allow_nan=False).encode()
        return self._request("POST", f"/api/2.0/mlflow/{call}", data, "application/json").json()

    def put(self, path: str, content: bytes) -> None:
        """PUT a file's content."""
        self._request("PUT", path, content, "application/octet-stream")

    def _request(self, method: str, path: str, data: bytes, kind: str) -> requests.Response:
        try:
            response: requests.Response = http_request(  # type: ignore[no-untyped-call]
                self._credentials,
                path,
                method,
                max_retries=0,
                raise_on_status=False,
                timeout=_SECONDS,
                data=data,
                extra_headers={"Content-Type": kind},
            )
        except MlflowException as error:  # how it tells that no answer came
            raise requests.ConnectionError(str(error)) from error
        if not response.ok:
            raise requests.HTTPError(_words(response), response=response)
        return response


def _words(response: requests.Response) -> str:
    """The server's own message, else the status."""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} {response.reason}"


class Concurrently:
    """Runs a function over items, several at once, and yields the items that are done."""

    def __init__(self, threads: int = CONCURRENT) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads

    def each(self, work: Any, items: Sequence[_Item]) -> Iterator[_Item]:
        """Yield each item whose `work` is done. The first error is raised once those that were begun have ended, and so
        is the end of an iterator that is closed early; nothing more is begun then.
        """
        waiting = iter(items)
        running: dict[Future[Any], _Item] = {}
        try:
            while True:
                for item in islice(waiting, self._threads - len(running)):
                    running[self._pool.submit(work, item)] = item
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    item = running.pop(future)
                    future.result()
                    yield item
        finally:
            wait(running)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
