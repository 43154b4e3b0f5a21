"""Send requests to a tracking server, with the credentials and certificates of MLflow's environment variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

_SECONDS = 60
_LINE = 200


class Server:
    """A tracking server's REST interface. Every failure is a requests.RequestException with the server's message.

    It does not retry: only the caller knows whether a request may be sent twice.
    """

    def __init__(self, uri: str) -> None:
        self._credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]

    def reach(self, seconds: float) -> None:
        """Raise requests.RequestException if the server does not answer. Any answer will do."""
        self._answer("GET", "/health", timeout=seconds)

    def post(self, call: str, body: Mapping[str, Any]) -> Any:
        """POST to `/api/2.0/mlflow/<call>`; return the answer's JSON."""
        data = json.dumps(body, allow_nan=False).encode()
        return self._request("POST", f"/api/2.0/mlflow/{call}", data, "application/json").json()

    def put(self, path: str, content: bytes) -> None:
        """PUT a file's content."""
        self._request("PUT", path, content, "application/octet-stream")

    def get(self, path: str) -> Any:
        """GET a path; return the answer's JSON."""
        return self._request("GET", path, b"", "text/plain").json()

    def send(self, path: str, content: bytes, headers: Mapping[str, str], *, seconds: float) -> None:
        """POST bytes. seconds: to wait for the answer."""
        self._checked(self._answer("POST", path, timeout=seconds, data=content, extra_headers=dict(headers)))

    def version(self) -> str:
        """Return the server's MLflow version."""
        return self._request("GET", "/version", b"", "text/plain").text

    def _request(self, method: str, path: str, data: bytes, kind: str) -> requests.Response:
        return self._checked(
            self._answer(method, path, timeout=_SECONDS, data=data, extra_headers={"Content-Type": kind})
        )

    def _checked(self, response: requests.Response) -> requests.Response:
        if not response.ok:
            raise requests.HTTPError(_message(response), response=response)
        return response

    def _answer(self, method: str, path: str, **request: Any) -> requests.Response:
        try:
            answer: requests.Response = http_request(  # type: ignore[no-untyped-call]
                self._credentials, path, method, max_retries=0, raise_on_status=False, **request
            )
        except MlflowException as error:  # no answer came
            raise requests.ConnectionError(str(error)) from error
        return answer


def _message(response: requests.Response) -> str:
    """Return the server's message, else the status, with the answer's text if that is a line."""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = response.text.strip()
        is_line = 0 < len(text) <= _LINE and "\n" not in text and not text.startswith("<")
        return f"{response.status_code} {response.reason}" + (f": {text}" if is_line else "")
