"""The built-in data sets: seeded toys, and scikit-learn's real ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Floats
from engine.rng import standard_normal
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.tables import Table, number_table
from experiments.data.targets import CLASSIFICATION, REGRESSION
from experiments.errors import DataError, did_you_mean

DEFAULT_TEST_FRACTION = 0.25
RANDOM_NORMAL = "random_normal"
_FEATURES = 16


@dataclass(frozen=True)
class Builtin:
    """One row of `gradgrid datasets`.

    toy: makes a table from (samples, noise, seed); None for a real data set.
    real: loads a table; None for a toy.
    samples, noise: defaults of a toy.
    test_fraction: default share of the test part.
    """

    name: str
    task: str
    description: str
    toy: Callable[[int, float, int], Table] | None = None
    real: Callable[[], Table] | None = None
    samples: int = 200
    noise: float = 0.1
    test_fraction: float = DEFAULT_TEST_FRACTION


def find_builtin(spec: DatasetSpec) -> Builtin:
    """Return the data set that `spec.name` names. Raises DataError for an unknown name and for keys that don't fit."""
    if spec.name not in BUILTINS:
        raise DataError(
            f"no data set is called {spec.name!r}{did_you_mean(spec.name, BUILTINS)}; for a file, set dataset.path"
        )
    builtin = BUILTINS[spec.name]
    if builtin.real and (spec.samples is not None or spec.noise is not None):
        raise DataError(f"{spec.name} is a real data set, and samples and noise are only for toys; leave them out")
    if spec.noise is not None and spec.name == RANDOM_NORMAL:
        raise DataError(f"{spec.name} is nothing but noise; leave noise out")
    if spec.feature_count is not None and spec.name != RANDOM_NORMAL:
        raise DataError(f"feature_count applies only to {RANDOM_NORMAL}; remove it")
    if spec.samples == 1 and spec.name != RANDOM_NORMAL:
        raise DataError(f"{spec.name} needs at least 2 samples")
    if spec.task not in (None, builtin.task):
        raise DataError(f"{spec.name} is a {builtin.task} data set, not {spec.task}; leave task out")
    return builtin


def builtin_table(builtin: Builtin, spec: DatasetSpec) -> Table:
    """Return the data set's table, with the features and classes that the spec names. Raises DataError."""
    if builtin.real:
        table = builtin.real()
    elif spec.name == RANDOM_NORMAL:
        table = _random_normal(spec.samples or builtin.samples, spec.feature_count or _FEATURES, spec.seed)
    else:
        assert builtin.toy is not None
        samples = builtin.samples if spec.samples is None else spec.samples
        table = builtin.toy(samples, builtin.noise if spec.noise is None else spec.noise, spec.seed)
    return table.with_features(spec.features).with_classes(spec.classes)


def _random_normal(samples: int, features: int, seed: int) -> Table:
    """Return features and a target without any relation, all N(0, 1).

    The seed's stream is not that of initial weights, so a network with the same seed does not begin with these numbers.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1,))))
    x, y = standard_normal(rng, (samples, features)), standard_normal(rng, (samples,))
    return number_table(RANDOM_NORMAL, REGRESSION, x, y, [f"x{k + 1}" for k in range(features)], ())


def _plane(name: str, features: Floats, classes: Floats) -> Table:
    labels = tuple(str(k) for k in range(int(classes.max()) + 1))
    return number_table(name, CLASSIFICATION, features, classes.astype(float), ("x1", "x2"), labels)


def _gate(name: str, truth: Callable[[Floats, Floats], Any]) -> Callable[[int, float, int], Table]:
    def make(samples: int, noise: float, seed: int) -> Table:
        """Return the rows of the truth table in turn, each moved by noise."""
        corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        rows = corners[np.arange(samples) % 4]
        moved = rows + noise * np.random.Generator(np.random.PCG64(seed)).normal(size=rows.shape)
        return _plane(name, moved, truth(rows[:, 0], rows[:, 1]).astype(float))

    return make


def _moons(samples: int, noise: float, seed: int) -> Table:
    from sklearn.datasets import make_moons

    return _plane("moons", *make_moons(samples, noise=noise, random_state=seed))


def _circles(samples: int, noise: float, seed: int) -> Table:
    from sklearn.datasets import make_circles

    return _plane("circles", *make_circles(samples, noise=noise, factor=0.5, random_state=seed))


def _blobs(samples: int, noise: float, seed: int) -> Table:
    from sklearn.datasets import make_blobs

    return _plane("blobs", *make_blobs(samples, centers=3, cluster_std=noise, random_state=seed))


def _spirals(samples: int, noise: float, seed: int) -> Table:
    """Return two arms of one and a half turns each, the second rotated by half a circle."""
    rng = np.random.Generator(np.random.PCG64(seed))
    arm = np.arange(samples) % 2
    radius = np.linspace(0.1, 1.0, samples)
    angle = 3.0 * np.pi * radius + np.pi * arm
    points = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return _plane("spirals", points + noise * rng.normal(size=points.shape), arm.astype(float))


def _curve(name: str, half_width: float, truth: Callable[[Floats], Floats]) -> Callable[[int, float, int], Table]:
    def make(samples: int, noise: float, seed: int) -> Table:
        rng = np.random.Generator(np.random.PCG64(seed))
        x = rng.uniform(-half_width, half_width, size=samples)
        y = truth(x) + noise * rng.normal(size=samples)
        return number_table(name, REGRESSION, x[:, None], y, ("x",), ())

    return make


def _shipped(name: str, task: str) -> Callable[[], Table]:
    def load() -> Table:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        classes = tuple(map(str, bunch.target_names)) if task == CLASSIFICATION else ()
        names = tuple(map(str, bunch.feature_names))
        return number_table(name, task, bunch.data.astype(float), bunch.target.astype(float), names, classes)

    return load


def _real(name: str, task: str, description: str) -> Builtin:
    return Builtin(name, task, description, real=_shipped(name, task))


BUILTINS: dict[str, Builtin] = {
    row.name: row
    for row in (
        Builtin("xor", CLASSIFICATION, "exclusive or of two inputs", _gate("xor", lambda a, b: a != b), None, 4, 0, 0),
        Builtin("and", CLASSIFICATION, "both of two inputs", _gate("and", lambda a, b: a + b == 2), None, 4, 0, 0),
        Builtin("or", CLASSIFICATION, "either of two inputs", _gate("or", lambda a, b: a + b >= 1), None, 4, 0, 0),
        Builtin("moons", CLASSIFICATION, "two interleaved half circles", _moons),
        Builtin("circles", CLASSIFICATION, "a circle within a circle", _circles, noise=0.05),
        Builtin("blobs", CLASSIFICATION, "three Gaussian clouds in the plane", _blobs, noise=1.0),
        Builtin("spirals", CLASSIFICATION, "two spiral arms", _spirals, noise=0.02),
        Builtin("line", REGRESSION, "y = 2 x - 1 on [-1, 1]", _curve("line", 1.0, lambda x: 2.0 * x - 1.0)),
        Builtin("sine", REGRESSION, "y = sin x on [-pi, pi]", _curve("sine", math.pi, np.sin)),
        Builtin(
            RANDOM_NORMAL,
            REGRESSION,
            "features and a target of pure noise",
            lambda samples, _, seed: _random_normal(samples, _FEATURES, seed),
            test_fraction=0,
        ),
        _real("iris", CLASSIFICATION, "Fisher's irises: 150 flowers of 3 species"),
        _real("wine", CLASSIFICATION, "chemical analysis of 178 wines of 3 growers"),
        _real("breast_cancer", CLASSIFICATION, "Wisconsin diagnostic: 569 tumours, malignant or benign"),
        _real("diabetes", REGRESSION, "progression of 442 patients after one year"),
        _real("digits", CLASSIFICATION, "1,797 handwritten digits of 8 x 8 pixels"),
    )
}
