"""`Options`: the settings of compiled code, besides the program and the target.

>>> tile_sizes(8, (40, 20))  # 20 samples are two tiles of 8 and one of 4
(8, 4)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from engine.kernels.codegen.layout import Computation
from engine.scores import Score

_SAMPLES_AT_ONCE = 8


@dataclass(frozen=True)
class Options:
    """The settings of the code, besides the program and the target.

    >>> options = Options("float64", widths=(2, 1), sample_counts=(40, 8), update_counts=(8,))
    >>> options.has_exact_inverses("update"), options.has_exact_inverses("measure")
    (True, False)

    dtype: type of all numbers, `float64` or `float32`.
    widths: numbers of features and of targets of a sample.
    sample_counts: numbers of training samples, of test samples and of samples in batches. Loops that take several
    samples at once need code for a remainder only if one of these numbers leaves one.
    tested: whether there are test samples.
    batches: whether there are minibatches.
    gradients: whether the gradient of each weight is recorded.
    scores: what is added up over the steps.
    update_counts: numbers of samples of an update. If it is left out, they are unknown.
    """

    dtype: str
    widths: tuple[int, int]
    sample_counts: tuple[int, ...]
    tested: bool = False
    batches: bool = False
    gradients: bool = False
    scores: tuple[Score, ...] = ()
    update_counts: tuple[int, ...] = ()

    def samples_at_once(self, computation: Computation) -> tuple[int, ...]:
        """Return the number of samples that go through the loops at once, then that of a remainder, if there is one."""
        return tile_sizes(_SAMPLES_AT_ONCE, self.sample_counts) if computation.sums else (1,)

    def has_exact_inverses(self, function: str) -> bool:
        """Return whether the numbers of samples of a function's means are powers of two.

        To multiply by their inverse gives the same bits as to divide by them, and is several times as fast.
        """
        counts = self.update_counts if function == "update" else ()
        return bool(counts) and all(count & (count - 1) == 0 for count in counts)


def tile_sizes(most: int, sample_counts: Sequence[int]) -> tuple[int, ...]:
    """Return the number of samples that are taken at once, then that of a remainder, if there is one.

    most: the largest number of samples at once.
    """
    at_once = min(most, *sample_counts)
    remainder = gcd(*(count % at_once for count in sample_counts))
    return (at_once, remainder) if remainder else (at_once,)
