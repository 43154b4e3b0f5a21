"""Where theory puts the edge of divergence, 2 / the largest curvature, and where the sweep `deep` finds it.

    gradgrid sweep deep
    python docs/edge.py

The curvature is the largest eigenvalue of the exact Hessian of the training loss at the initial weights, of ten seeds.
"""

from pathlib import Path

import numpy as np

from engine import LOSSES, MLP, hessian, initial_weights
from experiments.data.datasets import load_dataset
from experiments.spec import load_spec
from service import load_sweep

_SEEDS = 10


def main() -> None:
    deep = load_spec("deep")
    spec = deep.spec
    widths = [2, *deep.fixed["hidden"], 1]
    samples = load_dataset(spec.dataset, Path()).training("mean_squared_error", "identity")
    trials = load_sweep("deep").trials
    print(f"{'':10} {'2/curvature':>12} {'of seeds':>14} {'none lost to':>13} {'half lost from':>15}")
    for activation in spec.grid["activation"]:
        edges = []
        for seed in range(_SEEDS):
            weights = initial_weights(widths, "xavier_uniform", seed)
            matrix = hessian(MLP(widths, activation), LOSSES["mean_squared_error"], weights, samples)
            edges.append(2 / float(np.linalg.eigvalsh(matrix).max()))
        own = trials[trials["params.activation"] == activation]
        lost = own["outcome"].isin(["exploding", "diverged"]).groupby(own["params.learning_rate"]).mean()
        middle, ends = f"{np.median(edges):.2f}", f"{min(edges):.2f} to {max(edges):.2f}"
        none, half = lost[(lost > 0).cumsum() == 0].index.max(), lost[lost >= 0.5].index.min()
        print(f"{activation:10} {middle:>12} {ends:>14} {none:>13.2f} {half:>15.2f}")


if __name__ == "__main__":
    main()
