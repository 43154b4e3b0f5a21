"""Time and size of the report of 10,000 trials, and time to read their curves, against MLflow's client.

python benchmarks/report.py
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3
CLIENT_RUNS = 100  # runs that the client reads, one after another; all would take minutes
CHANGES = ("name=seen", "grid.learning_rate.points=50", "grid.init_scale=[0.25,0.5,1,2,4]")

READ = """
import sys, time
from mlflow import MlflowClient
from service import load_sweep

found = load_sweep("seen", tracking_uri=sys.argv[1])
runs = found.trials["run_id"].tolist()
began = time.perf_counter()
points = len(found.curves("test_loss"))
ours = (time.perf_counter() - began) / len(runs)
client = MlflowClient(sys.argv[1])
began = time.perf_counter()
for run_id in runs[: int(sys.argv[2])]:
    client.get_metric_history(run_id, "test_loss")
theirs = (time.perf_counter() - began) / int(sys.argv[2])
print(ours, theirs)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        told = _gradgrid(folder, "sweep", "moons", *(part for c in CHANGES for part in ("--set", c)), "--json")
        print(f"{json.loads(told)['trials']:,} trials")
        seconds, ratios = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            _gradgrid(folder, "report", "seen", "-o", "seen.html")
            seconds.append(time.perf_counter() - began)
            command = [sys.executable, "-c", READ, uri, str(CLIENT_RUNS)]
            read = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
            ours, theirs = map(float, read.split())
            ratios.append((theirs / ours, ours, theirs))
        size = (folder / "seen.html").stat().st_size / 2**20
        print(f"gradgrid report, prompt to exit: {statistics.median(seconds):.1f} s, {size:.1f} MiB")
        ratio, ours, theirs = sorted(ratios)[len(ratios) // 2]
        print(f"a trial's curve from the sweep's files: {ours * 1e6:,.0f} µs; by MlflowClient: {theirs * 1e6:,.0f} µs")
        print(f"that is {ratio:,.0f} times as fast")


def _gradgrid(folder: Path, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("gradgrid")), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
