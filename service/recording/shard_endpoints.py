"""The requests of shard_protocol.py, in MLflow's Flask app: checked, and carried out by `ShardStore`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify, request
from mlflow.exceptions import MlflowException
from mlflow.server.handlers import _add_static_prefix

from experiments.errors import StoreError, StoreUnavailableError
from service.recording.shard_check import ShardError, read_shard
from service.recording.shard_protocol import CONTENT_TYPE, FORMAT, FORMAT_HEADER, SHARDS_PATH, STATISTICS_PATH
from service.recording.shard_store import ShardStore

_RECORDING = {"gradgrid_record", "gradgrid_finish"}
_LARGEST_ID = 2**31 - 1  # MLflow's column


def add_endpoints(app: Flask, max_bytes: int, *, accounts: bool) -> None:
    """Add the requests to MLflow's app.

    max_bytes: the most bytes of a request.
    accounts: whether MLflow's accounts are on, and decide who may record.
    Raises RuntimeError if they would not.
    """
    store = ShardStore(max_bytes)
    shards, statistics = _add_static_prefix(SHARDS_PATH), _add_static_prefix(STATISTICS_PATH)

    def record(experiment_id: str) -> Response:
        return _answer(lambda: store.record(_checked(experiment_id), read_shard(_content(store.max_bytes))))

    def finish(experiment_id: str) -> Response:
        return _answer(lambda: store.finish(_checked(experiment_id)))

    app.add_url_rule(shards, "gradgrid_offer", lambda: _answer(lambda: dataclasses.asdict(store.offer)))
    app.add_url_rule(shards, "gradgrid_record", record, methods=["POST"])
    app.add_url_rule(statistics, "gradgrid_finish", finish, methods=["POST"])
    app.url_value_preprocessor(_take_experiment_id)
    if accounts:
        _authorize(app, shards, statistics)


def _take_experiment_id(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Give the query's experiment to the view, and to MLflow's check of permissions, in the one form that it knows."""
    if endpoint in _RECORDING and values is not None:
        text = request.args.get("experiment_id", "")
        is_id = text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LARGEST_ID
        values["experiment_id"] = str(int(text)) if is_id else ""


def _authorize(app: Flask, shards: str, statistics: str) -> None:
    """Let MLflow's accounts decide: to ask needs an account, to record needs the permission to create runs."""
    from mlflow.server import auth

    validators = {
        (shards, "GET"): lambda: True,
        (shards, "POST"): auth.validate_can_create_run,
        (statistics, "POST"): auth.validate_can_create_run,
    }
    auth.BEFORE_REQUEST_VALIDATORS.update(validators)
    for (path, method), validator in validators.items():
        with app.test_request_context(path, method=method):
            if auth._find_validator(request) is not validator:
                raise RuntimeError(
                    "this MLflow's accounts do not check gradgrid's requests: start the server with `--app-name "
                    "basic-auth`, and sweeps are recorded run by run"
                )


def _checked(experiment_id: str) -> str:
    if not experiment_id:
        raise ShardError("the query names no experiment: ?experiment_id=...")
    return experiment_id


def size_refusal(length: str, max_bytes: int, *, chunked: bool) -> ShardError | None:
    """Return why a request's body is not read; None if it is.

    length: the header Content-Length; empty if there is none. chunked: whether there is a header Transfer-Encoding.
    """
    if chunked:
        return ShardError(
            "the request does not say its length: send it with Content-Length", HTTPStatus.LENGTH_REQUIRED
        )
    if length.isdigit() and int(length) > max_bytes:
        return ShardError(
            f"the request has {int(length):,} bytes, and this server takes {max_bytes:,}: send fewer runs at a time",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    return None


def _content(max_bytes: int) -> bytes:
    """Return the body of a request for this version of the format. Raises ShardError."""
    sent = request.headers.get(FORMAT_HEADER, "")
    if sent != str(FORMAT):
        raise ShardError(
            f"this server reads format {FORMAT} of runs, and the request has format {sent[:20] or 'none'}: install the "
            "same gradgrid on both"
        )
    encoding = request.headers.get("Content-Encoding", "identity")
    if request.mimetype != CONTENT_TYPE or encoding != "identity":
        raise ShardError(
            f"the body is not {CONTENT_TYPE}, not encoded: send an Arrow IPC stream", HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        )
    chunked = "Transfer-Encoding" in request.headers
    refusal = size_refusal(request.headers.get("Content-Length", ""), max_bytes, chunked=chunked)
    if refusal:
        raise refusal
    return request.get_data(cache=False)


def _answer(work: Callable[[], Any]) -> Response:
    """Do the work; return its value as JSON, or its error."""
    try:
        return jsonify(work() or {})
    except ShardError as error:
        status = error.status
        message = str(error)
    except StoreError as error:
        status = HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, StoreUnavailableError) else HTTPStatus.CONFLICT
        message = str(error)
    except MlflowException as error:
        status, message = error.get_http_status_code(), str(error.message)  # type: ignore[no-untyped-call]
    answer = jsonify({"message": message})
    answer.status_code = int(status)
    return answer
