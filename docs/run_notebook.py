"""Run docs/notebook.ipynb anew, in a kernel of its own, and keep what it shows.

python docs/run_notebook.py
"""

import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent / "notebook.ipynb"


def executed() -> Any:
    """The notebook with the outputs of every cell. Raises where a cell fails."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore:IProgress not found"}  # MLflow's tqdm without ipywidgets
    NotebookClient(notebook, timeout=600, record_timing=False).execute(env=quiet)
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
