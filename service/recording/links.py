"""Addresses of MLflow's pages, in model-training mode: MLflow 3 starts in a mode that shows no runs.

`base` is the dashboard's address, such as http://127.0.0.1:5000. If it is empty, addresses are relative, for MLflow's
descriptions. A path in it stays; user and password are removed.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from service.recording.redaction import without_user

_TRAINING = {"workflowType": "machine_learning"}


def experiments_link(base: str) -> str:
    """Return the address of the list of experiments."""
    return _address(base, "experiments")


def runs_link(base: str, experiment_id: str, *, view: str = "", charts: bool = False, order: str = "") -> str:
    """Return the address of the table of an experiment's runs.

    view: the key of a saved view to open it with. charts: open the charts instead of the table.
    """
    query = {"viewStateShareKey": view} if view else {}
    return _address(base, "experiments", experiment_id, "runs", **query, **_mode(charts))


def sorted_runs_link(
    base: str, experiment_id: str, metric: str, *, ascending: bool, condition: str = "", charts: bool = False
) -> str:
    """Return the address of the table of an experiment's runs, sorted by a metric, without a saved view.

    condition: show only runs that match, in MLflow's search syntax. charts: open the charts instead of the table.
    """
    query = {"orderByKey": f"metrics.`{metric}`", "orderByAsc": str(ascending).lower(), "searchFilter": condition}
    return _address(base, "experiments", experiment_id, "runs", **query, **_mode(charts))


def run_link(base: str, experiment_id: str, run_id: str) -> str:
    """Return the address of a run's page."""
    return _address(base, "experiments", experiment_id, "runs", run_id)


def model_link(base: str, name: str, version: int) -> str:
    """Return the address of the page of a registered model's version."""
    return _address(base, "models", name, "versions", str(version))


def public_address(base: str) -> str:
    """Return a server's address without user, password, query and final slash."""
    return without_user(base).partition("?")[0].rstrip("/")


def _mode(charts: bool) -> dict[str, str]:
    return {"compareRunsMode": "CHART"} if charts else {}


def _address(base: str, *path: str, **query: str) -> str:
    page = "/".join(quote(part, safe="") for part in path)
    root = f"{public_address(base)}/" if base else ""
    return f"{root}#/{page}?{urlencode({**_TRAINING, **query}, quote_via=quote, safe='')}"
