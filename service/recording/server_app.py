"""gradgrid's app for an MLflow server: MLflow's app plus endpoints that record runs in bulk (see shard_protocol.py).

    mlflow server --app-name gradgrid
    mlflow server --app-name gradgrid-basic-auth

The second has MLflow's accounts, which `--app-name basic-auth` turns on: an account must be allowed to create runs in
the experiment. `mlflow server` imports this module before it starts the server's processes; all else is
imported only in those processes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI
    from flask import Flask

_MAX_BYTES = 32 * 2**20
_LOCK_SECONDS = 120


def create_app() -> Flask | FastAPI:
    """Return MLflow's app, with the requests that record in bulk."""
    import mlflow.server  # first: it sets up logging, and gradgrid's modules would make it quieter

    _add_endpoints(mlflow.server.app, accounts=False)
    if os.environ.get("_MLFLOW_SGI_NAME") != "uvicorn":
        return mlflow.server.app
    from mlflow.server import fastapi_app

    return _limited(fastapi_app.app)


def create_app_with_accounts() -> Flask | FastAPI:
    """Return MLflow's app with its accounts, and with the requests that record in bulk."""
    import mlflow.server
    from mlflow.server import auth

    _add_endpoints(mlflow.server.app, accounts=True)
    from filelock import FileLock

    # `mlflow server` makes the accounts' database before it starts processes, but only for the name basic-auth
    user = os.getuid() if hasattr(os, "getuid") else "all"
    with FileLock(Path(tempfile.gettempdir()) / f"gradgrid-accounts-{user}.lock", timeout=_LOCK_SECONDS):
        app = auth.create_app(mlflow.server.app)
    return app if app is mlflow.server.app else _limited(app)


def _add_endpoints(app: Flask, *, accounts: bool) -> None:
    from service.recording.shard_endpoints import add_endpoints

    add_endpoints(app, max_bytes(), accounts=accounts)


def max_bytes() -> int:
    """Return the maximum size of a request, in bytes: GRADGRID_MAX_SHARD_BYTES, else 32 MiB. Raises ValueError."""
    return int(os.environ.get("GRADGRID_MAX_SHARD_BYTES", _MAX_BYTES))


def _limited(app: FastAPI) -> FastAPI:
    app.add_middleware(SizeLimit, max_bytes=max_bytes())
    return app


class SizeLimit:
    """Refuses a request that is too large before its body is read. Flask sees a request only after that."""

    def __init__(self, app: Callable[..., Any], max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from service.recording.shard_endpoints import size_refusal
        from service.recording.shard_protocol import SHARDS_PATH, STATISTICS_PATH

        if scope["type"] == "http" and scope["path"].endswith((SHARDS_PATH, STATISTICS_PATH)):
            length = next((value for name, value in scope["headers"] if name == b"content-length"), b"").decode()
            chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
            refusal = size_refusal(length, self._max_bytes, chunked=chunked)
            if refusal:
                from starlette.responses import JSONResponse

                answer = JSONResponse({"message": str(refusal)}, refusal.status, headers={"Connection": "close"})
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
