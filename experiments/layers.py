"""The hyperparameters that a network's layers have for themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from experiments.blocks import Block
from experiments.hyperparameters import GAINS


def layers_with(hyperparameter: str, layers: int, given: Collection[str]) -> tuple[str, ...]:
    """Return the layers of a network that have a hyperparameter of their own, such as `layer1`.

    layers: number of layers of the network. given: the hyperparameters in the sweep file.
    """
    return tuple(f"layer{k}" for k in range(1, layers + 1) if f"{hyperparameter}.layer{k}" in given)


def check_layers(structure: Mapping[str, Any], activation: Any, block: Block) -> None:
    """Raise SpecError if a list does not have one activation for each hidden layer, or one gain for each layer.

    structure: the structural hyperparameters, by their names in the sweep file.
    activation: of the hidden layers; that of a single neuron.
    block: the block of the trials, for messages.
    """
    hidden = len(structure["hidden"])
    for name, value, layers, kind in (
        ("activation", activation, hidden, "hidden layers"),
        ("gain", structure["gain"], hidden + 1, "layers, the output's included"),
    ):
        if isinstance(value, tuple) and len(value) != layers:
            way_out = "give one for each" if layers else "a single neuron takes one name, not a list"
            raise block.error_at(name, f"{list(value)} has {len(value)} values for {layers} {kind}; {way_out}")


def layer_gains(gain: Any, widths: Sequence[int]) -> list[float]:
    """Return the gain of each layer.

    gain: as in the sweep file, for all layers or for each.
    widths: of the network, inputs first.
    """
    given = gain if isinstance(gain, tuple) else [gain] * (len(widths) - 1)
    return [GAINS[g](n) if isinstance(g, str) else float(g) for g, n in zip(given, widths[:-1], strict=True)]
