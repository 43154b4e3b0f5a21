"""Addresses of MLflow's pages. Every one opens in model-training mode: MLflow 3 starts in a mode that shows no runs.

`base` is where the dashboard is, such as http://127.0.0.1:5000; with an empty one the address is relative, as MLflow
renders it in descriptions. A prefix in its path stays, a user and password do not.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from service.recording.redaction import without_user

_TRAINING = {"workflowType": "machine_learning"}


def experiments_link(base: str) -> str:
    """The list of all experiments."""
    return _address(base, "experiments")


def runs_link(base: str, experiment_id: str, *, view: str = "", charts: bool = False, order: str = "") -> str:
    """The table of an experiment's runs.

    view: the key of a saved view that it opens with. charts: open the charts instead of the table.
    """
    query = {"viewStateShareKey": view} if view else {}
    return _address(base, "experiments", experiment_id, "runs", **query, **_mode(charts))


def sorted_runs_link(
    base: str, experiment_id: str, metric: str, *, ascending: bool, condition: str = "", charts: bool = False
) -> str:
    """The table of an experiment's runs, sorted by a metric, without a saved view.

    condition: only runs of which it holds, as MLflow's search writes it. charts: open the charts instead.
    """
    query = {"orderByKey": f"metrics.`{metric}`", "orderByAsc": str(ascending).lower(), "searchFilter": condition}
    return _address(base, "experiments", experiment_id, "runs", **query, **_mode(charts))


def run_link(base: str, experiment_id: str, run_id: str) -> str:
    """The page of a run."""
    return _address(base, "experiments", experiment_id, "runs", run_id)


def model_link(base: str, name: str, version: int) -> str:
    """The page of a version of a registered model."""
    return _address(base, "models", name, "versions", str(version))


def public_address(base: str) -> str:
    """The address of a server as it may be shown: without user and password, without a slash at its end."""
    return without_user(base).partition("?")[0].rstrip("/")


def _mode(charts: bool) -> dict[str, str]:
    return {"compareRunsMode": "CHART"} if charts else {}


def _address(base: str, *path: str, **query: str) -> str:
    place = "/".join(quote(part, safe="") for part in path)
    root = f"{public_address(base)}/" if base else ""
    return f"{root}#/{place}?{urlencode({**_TRAINING, **query}, quote_via=quote, safe='')}"
