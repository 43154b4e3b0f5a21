"""Data sets ready for training: seeded toys, scikit-learn's shipped real ones, and one's own CSV or Parquet."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.neuron import Floats
from engine.samples import Samples
from experiments.errors import DataError, nearest
from experiments.spec import DatasetSpec
from experiments.tables import CLASSIFICATION, REGRESSION, Table, read_table

DEFAULT_TEST_FRACTION = 0.25
_EXAMPLES = 5  # samples that a data set is remembered by
_SIGNED_OUTPUTS = frozenset({"tanh", "hard_tanh"})


@dataclass(frozen=True)
class Builtin:
    """One row of `gradgrid datasets`. `toy` makes a table from (samples, noise, rng or seed); `real` loads one."""

    name: str
    task: str
    description: str
    toy: Callable[[int, float, int], Table] | None = None
    real: Callable[[], Table] | None = None
    samples: int = 200
    noise: float = 0.1
    test_fraction: float = DEFAULT_TEST_FRACTION


@dataclass(frozen=True)
class Dataset:
    """Features (samples, features), standardised unless asked not to; targets (samples,): numbers or class indices.

    center, scale: (features,), what was taken off each feature as it was given, and what the rest was divided by.
    """

    name: str
    task: str
    training_features: Floats
    training_targets: Floats
    test_features: Floats
    test_targets: Floats
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    center: Floats
    scale: Floats
    fingerprint: str

    @property
    def feature_count(self) -> int:
        return int(self.training_features.shape[1])

    @property
    def output_count(self) -> int:
        """How many outputs a model of it has: one, or one a class where there are more than two."""
        return len(self.classes) if len(self.classes) > 2 else 1

    @property
    def facts(self) -> dict[str, Any]:
        """What a trained network must know of its data to be used elsewhere, as plain values; `from_facts` reads it."""
        given = self.training_features[:_EXAMPLES] * self.scale + self.center
        names = ("name", "task", "feature_names", "classes", "fingerprint")
        return {
            **{name: getattr(self, name) for name in names},
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
            "examples": given.tolist(),
        }

    @staticmethod
    def from_facts(facts: Mapping[str, Any]) -> Dataset:
        """The data set with a few examples as its only samples: enough to say what a network of it is like."""
        center, scale = np.array(facts["center"], dtype=float), np.array(facts["scale"], dtype=float)
        features = (np.array(facts["examples"], dtype=float) - center) / scale
        none, names = np.empty(0), tuple(facts["feature_names"])
        return Dataset(
            facts["name"], facts["task"], features, np.zeros(len(features)), features[:0], none, names,
            tuple(facts["classes"]), center, scale, facts["fingerprint"],
        )  # fmt: skip

    def training(self, loss: str, output: str) -> Samples:
        """The training part, targets as this loss and output activation want them."""
        return Samples(self.training_features, self._encode(self.training_targets, loss, output))

    def test(self, loss: str, output: str) -> Samples | None:
        """The test part likewise; None where there is none."""
        if not len(self.test_targets):
            return None
        return Samples(self.test_features, self._encode(self.test_targets, loss, output))

    def _encode(self, targets: Floats, loss: str, output: str) -> Floats:
        """Numbers as they are; classes as 1 against 0, or -1 for hinge and tanh, a column each where more than two."""
        if self.task == REGRESSION:
            return targets[:, None]
        ones = targets[:, None] == (np.arange(self.output_count) if self.output_count > 1 else 1)
        return np.where(ones, 1.0, -1.0 if _is_signed(loss, output) else 0.0)


def _is_signed(loss: str, output: str) -> bool:
    return loss == "hinge" or (loss != "cross_entropy" and output in _SIGNED_OUTPUTS)


def accuracy_threshold(loss: str, output: str) -> float:
    """The output above which the second of two classes is predicted: the middle of the targets, or the logit 0."""
    return 0.0 if loss == "cross_entropy" or _is_signed(loss, output) else 0.5


def load_dataset(spec: DatasetSpec, folder: Path) -> Dataset:
    """Make or read, check, split and standardise a data set; `folder` is where a relative path begins.

    Raises DataError saying which file, column or row is at fault.
    """
    if spec.path is not None:
        table = read_table(folder / spec.path, str(spec.target), spec.task, spec.features)
        fraction = DEFAULT_TEST_FRACTION
    else:
        builtin = _builtin(spec)
        table = builtin.real() if builtin.real else _make_toy(builtin, spec)
        fraction = builtin.test_fraction
    table = table.choose(spec.features, spec.classes)
    fraction = fraction if spec.test_fraction is None else spec.test_fraction
    training, test = _split(table, fraction, spec.seed)
    features, test_features = table.features[training], table.features[test]
    center, scale = _standards(features) if spec.standardize else _as_given(features)
    features, test_features = ((part - center) / scale for part in (features, test_features))
    targets, test_targets = table.targets[training], table.targets[test]
    fingerprint = _fingerprint(table, features, targets, test_features, test_targets)
    return Dataset(
        table.name,
        table.task,
        features,
        targets,
        test_features,
        test_targets,
        table.feature_names,
        table.classes,
        center,
        scale,
        fingerprint,
    )


def _builtin(spec: DatasetSpec) -> Builtin:
    if spec.name not in BUILTINS:
        raise DataError(f"no data set is called {spec.name!r}{nearest(spec.name, BUILTINS)}; your own goes by path")
    builtin = BUILTINS[spec.name]
    if builtin.real and (spec.samples is not None or spec.noise is not None):
        raise DataError(f"{spec.name} is a real data set: samples and noise belong to the toys; leave them out")
    if spec.task not in (None, builtin.task):
        raise DataError(f"{spec.name} is a {builtin.task} data set, not {spec.task}")
    return builtin


def _make_toy(builtin: Builtin, spec: DatasetSpec) -> Table:
    assert builtin.toy is not None
    samples = builtin.samples if spec.samples is None else spec.samples
    return builtin.toy(samples, builtin.noise if spec.noise is None else spec.noise, spec.seed)


def _split(table: Table, fraction: float, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Indices of the training and the test part, in the order of the table; classes in proportion."""
    samples = len(table.targets)
    everything = np.arange(samples)
    if fraction == 0:
        return everything, everything[:0]
    from sklearn.model_selection import train_test_split

    classes = table.targets if table.task == CLASSIFICATION else None
    try:
        training, test = train_test_split(everything, test_size=fraction, random_state=seed, stratify=classes)
    except ValueError as error:
        raise DataError(
            f"{table.name}: {samples} samples can't be split with test_fraction {fraction}: {error}"
            + ("; where the target is a number to be predicted, write task: regression" if classes is not None else "")
        ) from None
    return np.sort(training), np.sort(test)


def _as_given(features: Floats) -> tuple[Floats, Floats]:
    return np.zeros(features.shape[1]), np.ones(features.shape[1])


def _standards(training: Floats) -> tuple[Floats, Floats]:
    """Center and scale: to mean 0 and standard deviation 1 on the training part; a constant feature becomes 0.

    Sums are exact (fsum), so that the result does not depend on the machine.
    """
    samples = len(training)
    mean = np.array([math.fsum(column) / samples for column in training.T])
    deviation = np.sqrt([math.fsum(column) / samples for column in ((training - mean) ** 2).T])
    return mean, np.where(deviation > 0, deviation, 1.0)


def _fingerprint(table: Table, *arrays: Floats) -> str:
    digest = hashlib.sha256(repr((table.task, table.classes, [a.shape for a in arrays])).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()[:32]


# -------------------------------------------------------------------------------------------------------- the toys


def _plane(name: str, features: Floats, classes: Floats) -> Table:
    labels = tuple(str(k) for k in range(int(classes.max()) + 1))
    return Table(name, CLASSIFICATION, features, classes.astype(float), ("x1", "x2"), labels)


def _gate(name: str, truth: Callable[[Floats, Floats], Any]) -> Callable[[int, float, int], Table]:
    def make(samples: int, noise: float, seed: int) -> Table:
        """The truth table over and over, each row moved by noise."""
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
    """Two arms of one and a half turns each, the second turned by half a circle."""
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
        return Table(name, REGRESSION, x[:, None], y, ("x",), ())

    return make


def _shipped(name: str, task: str) -> Callable[[], Table]:
    def load() -> Table:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        classes = tuple(map(str, bunch.target_names)) if task == CLASSIFICATION else ()
        names = tuple(map(str, bunch.feature_names))
        return Table(name, task, bunch.data.astype(float), bunch.target.astype(float), names, classes)

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
        _real("iris", CLASSIFICATION, "Fisher's irises: 150 flowers of 3 species"),
        _real("wine", CLASSIFICATION, "chemical analysis of 178 wines of 3 growers"),
        _real("breast_cancer", CLASSIFICATION, "Wisconsin diagnostic: 569 tumours, malignant or benign"),
        _real("diabetes", REGRESSION, "progression of 442 patients after one year"),
        _real("digits", CLASSIFICATION, "1,797 handwritten digits of 8 x 8 pixels"),
    )
}
