"""Choose the fastest recorder that a store allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.errors import StoreError
from service.recording.connection import is_server
from service.recording.direct_database import database_address, open_database, why_not_direct
from service.recording.plugin_recorder import ask_offer
from service.recording.recorder_recipe import RecorderRecipe
from service.recording.redaction import without_passwords
from service.recording.rest_client import Server

if TYPE_CHECKING:
    from mlflow.entities import Experiment


def recorder_recipe(
    uri: str,
    experiment: Experiment,
    folder: str,
    *,
    weights: bool = True,
    backend_uri: str | None = None,
) -> RecorderRecipe:
    """Return the recipe of the fastest recorder.

    uri: the store's.
    experiment: the experiment for the trials.
    folder: where that experiment's artifacts are now.
    weights: whether to record the final weights.
    backend_uri: the database behind a tracking server, to write into it directly.
    Raises StoreError if the database belongs to another server.
    """
    experiment_id, location = str(experiment.experiment_id), str(experiment.artifact_location)
    address = (backend_uri if is_server(uri) else None) or uri
    database = database_address(address)
    why_not = why_not_direct(address)
    kind, note, offer = "bulk", "", None
    if database and not why_not:
        _check_same_store(database, address, uri, experiment_id, experiment.name)
    elif is_server(uri):
        offer = ask_offer(Server(uri))
        misfit = offer.misfit if offer else why_not if backend_uri else ""
        kind = "plugin" if offer and not misfit else "server"
        note = f"recording through the server, run by run: {misfit}" if misfit else ""
    else:
        kind, note = "client", f"recording through MLflow's client, run by run: {why_not}"
        if folder != location:
            raise StoreError(
                f"the store was moved or copied: MLflow would write weights to {location}, the old place; link that "
                f"to {folder} (`ln -s`), then resume the sweep"
            )
    return RecorderRecipe(kind, uri, database, experiment_id, location, folder, weights, note, offer)


def _check_same_store(database: str, address: str, uri: str, experiment_id: str, name: str) -> None:
    """Raise StoreError unless the database has an experiment with this id and name."""
    opened = open_database(database)
    try:
        if opened.experiment_name(int(experiment_id)) != name:
            raise StoreError(
                f"the database at {without_passwords(address)} is not the one behind {without_passwords(uri)}: it has "
                f"no experiment {name!r}; give the backend store of that server, or none"
            )
    finally:
        opened.close()
