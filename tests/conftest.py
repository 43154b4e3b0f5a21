"""Each test has a folder and an environment of its own: no store, no Ray and no address of the machine's is found."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    trusted = tmp_path_factory.mktemp("trust") / "trusted_parts"  # no file of parts was run before
    monkeypatch.setenv("GRADGRID_TRUSTED_PARTS", str(trusted))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parent.parent
