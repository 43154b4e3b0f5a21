"""Custom parts: which files are accepted, which are refused and why, and that custom parts train like built-in ones."""

import pickle

import numpy as np
import pytest

from engine import MLP, OPTIMIZERS, PartError, Parts, Samples, initial_weights, trace_step, train

_IMPORTS = (
    "import math\nimport numpy as np\nfrom engine.operations import *\nfrom engine.operations import exp, select, sin\n"
    "from engine.parts import activation, initializer, loss\n"
)
_LINES = len(_IMPORTS.splitlines())


def _parts(text: str) -> Parts:
    return Parts(_IMPORTS + text, "own.py")


def test_custom_parts_are_found_like_built_in_ones() -> None:
    parts = _parts("@activation\ndef snake(x):\n    return x + sin(x) ** 2\n")
    assert parts.names("activation")[0] == "identity"
    assert parts.names("activation")[-1] == "snake"
    assert "snake" not in parts.names("loss")
    assert parts.is_custom("snake")
    assert not parts.is_custom("relu")
    assert parts.activation("snake")(2.0) == 2.0 + np.sin(2.0) ** 2
    assert parts.loss("huber")([1.0], [1.0]) == 0
    with pytest.raises(KeyError):
        parts.loss("snake")


def test_parts_travel_as_their_text() -> None:
    parts = _parts("@activation\ndef snake(x):\n    return x + sin(x) ** 2\n")
    copy = pickle.loads(pickle.dumps(parts))
    assert copy == parts
    assert hash(copy) == hash(parts)
    assert copy.digest == parts.digest != _parts("@activation\ndef snake(x):\n    return x + sin(x)\n").digest
    assert copy.activation("snake")(1.0) == parts.activation("snake")(1.0)
    assert Parts().digest == ""


@pytest.mark.parametrize("kernel", ["compiled", "reference"])
@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("activation", "tanh", "@activation\ndef own(x):\n    return tanh(x)\n"),
        ("activation", "relu", "@activation\ndef own(x):\n    return select(x, 0.0, 0.0, x)\n"),
        ("loss", "mean_squared_error", "@loss\ndef own(p, t):\n    e = p[0] - t[0]\n    return e * e\n"),
    ],
)
def test_a_part_written_again_trains_to_the_same_bits(kernel: str, kind: str, name: str, text: str) -> None:
    rng = np.random.default_rng(0)
    samples = Samples(rng.normal(size=(12, 2)), rng.normal(size=(12, 1)))
    initial = np.stack([initial_weights((2, 3, 1), "normal", seed) for seed in range(3)])
    parts = _parts(text)
    trained = []
    for own in (False, True):
        activation = parts.activation(("own" if own else name) if kind == "activation" else "gelu")
        loss = parts.loss(("own" if own else name) if kind == "loss" else "mean_squared_error")
        program = trace_step(MLP((2, 3, 1), activation), loss, OPTIMIZERS["sgd"], features=2, targets=1)
        rates = {"learning_rate": np.full(3, 0.1)}
        trained.append(train(program, initial, rates, samples, steps=20, kernel=kernel))
    assert (trained[0].weights == trained[1].weights).all()
    assert not (trained[0].weights == initial).all()


def test_an_initializer_draws_the_weights() -> None:
    parts = _parts("@initializer\ndef half(rng, shape):\n    return np.full(shape, 0.5)\n")
    assert initial_weights((2, 1), parts.initializer("half"), 0, 2.0).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\n", None, "no function is marked"),
        ("def f(:\n", 1, "not valid Python"),
        ("x = 1 / 0\n", 1, "the file can't be run: ZeroDivisionError"),
        ("@activation\ndef relu(x):\n    return x\n", 1, "activation relu: that is built in"),
        ("@activation\ndef Own(x):\n    return x\n", 1, "names are small letters"),
        ("@activation\ndef own(x):\n    return x if x > 0 else 0.0\n", 3, "can't branch on a value"),
        ("@activation\ndef own(x):\n    return math.sin(x)\n", 3, "write it in the operations"),
        ("@activation\ndef own(x):\n    return np.sin(x)\n", 3, "write it in the operations of engine.operations"),
        ("@activation\ndef own(x):\n    return 1.0\n", 1, "does not depend on its input"),
        ("@loss\ndef own(p, t):\n    return 0.0 * t[0]\n", 1, "does not depend on the predictions"),
        ("@loss\ndef own(p, t):\n    return p[1]\n", 3, "IndexError"),
        ("@activation\ndef own(x):\n    return log(x - 5.0)\n", 1, "its value at x = -3 is nan (25 of 25"),
        ("@activation\ndef own(x):\n    return x * 1e308 * 1e308\n", 1, "its value at x = -3 is -inf (25 of 25"),
        (
            "@loss\ndef own(p, t):\n    return log(-1.0 - p[0] * p[0])\n",
            1,
            "its value at prediction = -3 and target = 1 is nan (70 of 70",
        ),
        ("@initializer\ndef own(rng, shape):\n    return rng.normal(size=3)\n", 1, "not finite numbers of that shape"),
        ("@initializer\ndef own(rng, shape):\n    return np.random.rand(*shape)\n", 1, "drew other numbers"),
        ("@initializer\ndef own(rng, shape):\n    return rng.cauchy(shape)\n", 3, "AttributeError"),
    ],
)
def test_a_wrong_parts_file_is_refused_with_its_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(PartError) as error:
        _parts(text)
    assert message in str(error.value)
    assert "own.py" in str(error.value)
    if line is not None:
        assert f"own.py:{_LINES + line}:" in str(error.value) or f"own.py:{_LINES + line})" in str(error.value)
