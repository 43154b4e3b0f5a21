"""Mutations of sweep files: edits of the tree of keys and values, and edits of the text."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

_NAMES = (
    *("activation", "batch_size", "clip_norm", "dataset", "description", "dtype", "epsilon", "gamma", "grid", "hidden"),
    *(
        "initializer",
        "init_scale",
        "kernel",
        "learning_rate",
        "loss",
        "model",
        "momentum",
        "name",
        "optimizer",
        "output",
    ),
    *("record", "schedule", "seed", "steps", "target", "test_fraction", "warmup_steps", "weight_decay", "x", "0"),
    *(
        "zip",
        "only",
        "with",
        "search",
        "early_stopping",
        "first",
        "factor",
        "metric",
        "batch",
        "patience",
        "every",
        "min_delta",
        "scores",
        "outcomes",
        "method",
        "trials",
        "validation_fraction",
        "validation",
        "test",
        "split",
        "measures",
        "folds",
        "fold",
        "dataset.noise",
        "dataset.seed",
        "dataset.fold",
    ),
)
_WORDS = (
    *(
        "relu",
        "tanh",
        "identity",
        "sgd",
        "momentum",
        "adam",
        "cosine",
        "cross_entropy",
        "hinge",
        "huber",
        "moons",
        "xor",
    ),
    *(
        "iris",
        "float32",
        "reference",
        "auto",
        "zeros",
        "none",
        "tensor",
        "each",
        "summary",
        "classification",
        "",
        "0.1",
    ),
    *("no", "é", "x" * 200, "a b", "NaN", "[1]", "~", "1:30", "010"),
)
_NUMBERS = (0, 1, 2, 3, 7, -1, 10**20, 0.5, 0.1, 1e-3, 1.0, -0.0, 1e308, float("inf"), float("nan"))
_FORMS: tuple[Any, ...] = (
    [], {}, [1, 2], [0.1, 0.2], [[4], [8]], [[]], ["relu", "tanh"], {"range": 3}, {"range": [1, 9, 4]}, {"range": 0},
    {"linspace": [0.1, 0.5], "points": 3}, {"logspace": [0.01, 1], "points": 3}, {"logspace": [0, 1], "points": 2},
    {"values": [0.1, 0.3]}, {"top": 2}, {"points": 3}, [None], [[1], 2], {"a": {"b": [1]}},
    [None, 0.5], {"logspace": [0.01, 1], "points": 2, "with": [0]}, {"seed": [1, 2], "learning_rate": [0.1, 0.2]},
    [{"seed": [1, 2]}, {"seed": [2, 3]}], ["seed>0"], ["seed=1 or learning_rate<0.5"], ["optimizer!=sgd"],
    ["roc_auc", "f1_macro"], ["r2"],
    {"uniform": [1, 3]}, {"loguniform": [0.01, 1]}, {"method": "sobol", "trials": 9}, {"method": "random", "trials": 5},
)  # fmt: skip
_SIGNS = " :,[]{}#-\n\t'\"&*!|>%@?0123456789.eEaz_\u00e9\x00\ufeff"

values = st.one_of(
    st.sampled_from(_NUMBERS), st.sampled_from(_WORDS), st.sampled_from(_FORMS), st.none(), st.booleans()
)


def mutated_tree(draw: Draw, data: Any) -> str:
    """Return the data as YAML or JSON text after one to four edits."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 4))):
        draw(st.sampled_from(_EDITS))(draw, data)
    if draw(st.booleans()):
        return json.dumps(data, ensure_ascii=False)
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=draw(st.booleans())))


def mutated_text(draw: Draw, text: str) -> str:
    """Return the text after one to three edits of characters or lines."""
    for _ in range(draw(st.integers(1, 3))):
        text = draw(st.sampled_from(_TEXT_EDITS))(draw, text)
    return text


def _containers(data: Any) -> list[Any]:
    """Yield every mapping and list in the data that is not empty."""
    inside = [part for value in _items(data) for part in _containers(value)]
    return [data, *inside] if isinstance(data, (dict, list)) and data else inside


def _items(data: Any) -> list[Any]:
    return list(data.values()) if isinstance(data, dict) else list(data) if isinstance(data, list) else []


def _place(draw: Draw, data: Any) -> tuple[Any, Any]:
    container = draw(st.sampled_from(_containers(data) or [{"x": 0}]))
    return container, draw(st.sampled_from(list(container) if isinstance(container, dict) else range(len(container))))


def _replace(draw: Draw, data: Any) -> None:
    container, key = _place(draw, data)
    container[key] = copy.deepcopy(draw(values))


def _remove(draw: Draw, data: Any) -> None:
    container, key = _place(draw, data)
    del container[key]


def _add(draw: Draw, data: Any) -> None:
    container, _ = _place(draw, data)
    value = copy.deepcopy(draw(values))
    if isinstance(container, dict):
        container[draw(st.sampled_from(_NAMES))] = value
    else:
        container.append(value)


def _rename(draw: Draw, data: Any) -> None:
    container, key = _place(draw, data)
    if isinstance(container, dict):
        misspelt = str(key)[:-1] or "y"
        container[draw(st.sampled_from([*_NAMES, misspelt, str(key).upper()]))] = container.pop(key)


def _move(draw: Draw, data: Any) -> None:
    container, key = _place(draw, data)
    value = container.pop(key)
    target, _ = _place(draw, data)
    if isinstance(target, dict):
        target[str(key)] = value
    else:
        target.append(value)


def _wrap(draw: Draw, data: Any) -> None:
    container, key = _place(draw, data)
    container[key] = draw(st.sampled_from([[container[key]], {"values": container[key]}, [container[key]] * 2]))


_EDITS = (_replace, _replace, _remove, _add, _add, _rename, _move, _wrap)


def _insert_sign(draw: Draw, text: str) -> str:
    at = draw(st.integers(0, len(text)))
    return f"{text[:at]}{draw(st.sampled_from(_SIGNS))}{text[at:]}"


def _delete_sign(draw: Draw, text: str) -> str:
    at = draw(st.integers(0, max(len(text) - 1, 0)))
    return text[:at] + text[at + 1 :]


def _change_lines(draw: Draw, text: str) -> str:
    lines = text.splitlines()
    at = draw(st.integers(0, max(len(lines) - 1, 0)))
    line = lines[at] if lines else ""
    other = draw(st.sampled_from(lines or [""]))
    changed = draw(st.sampled_from([[], [line, line], [f" {line}"], [line.strip()], [other, line], [line, "---"]]))
    end: str = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join([*lines[:at], *changed, *lines[at + 1 :]])


_TEXT_EDITS = (_insert_sign, _insert_sign, _delete_sign, _change_lines)
