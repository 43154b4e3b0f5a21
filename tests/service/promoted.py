"""Load a registered model in a process of its own, as its user does."""

import json
import subprocess
import sys
from typing import Any

import pandas as pd

_LOAD = """
import json, sys, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
data = pd.DataFrame(json.loads(sys.argv[3]))
signature = model.metadata.signature
print(json.dumps({
    "predicted": model.predict(data).to_dict("list"),
    "engine": sys.modules["engine"].__file__,
    "inputs": signature.inputs.input_names(),
    "outputs": signature.outputs.input_names(),
}))
"""


def loaded(uri: str, model: str, given: pd.DataFrame) -> Any:
    """Return what a registered model predicts, the names of its signature, and where its engine is.

    uri: of the store. model: its address. given: the data to predict from.
    """
    asked = [uri, model, json.dumps(given.to_dict("list"))]
    done = subprocess.run([sys.executable, "-c", _LOAD, *asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
