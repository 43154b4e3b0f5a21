"""Write docs/reference.md: the sweep file from its schema, and the command from click.

python docs/make_reference.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine import ACTIVATIONS, INITIALIZERS, LOSSES, OPTIMIZERS, SCHEDULES
from experiments.data.dataset_spec import DatasetSpec
from experiments.hyperparameters import HYPERPARAMETERS, Hyperparameter
from experiments.plan_memory import MAX_BYTES, MAX_TRIALS, bytes_text
from experiments.search import SearchSpec
from experiments.sections import RecordSpec
from experiments.spec import Spec
from service.cli import main as command
from service.results.cells import markdown_table

_PAGE = Path(__file__).parent / "reference.md"
_CHOICES_OF: dict[str, Mapping[str, Any]] = {
    "activation": ACTIVATIONS,
    "output": ACTIVATIONS,
    "initializer": INITIALIZERS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}


def reference() -> str:
    """Return the page."""
    return "\n".join([*_head(), *_sweep_file(), *_command(), ""])


def _head() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "`python docs/make_reference.py` writes this page from the sweep file's schema and from the command itself."
    yield "[The sweep file](sweep-file.md) explains the keys, [The command](command.md) the commands."


def _sweep_file() -> Iterator[str]:
    yield from ("", "## The sweep file")
    top = [
        (name, field.description or _SECTIONS[name], _default(field))
        for name, field in Spec.model_fields.items()
        if name not in HYPERPARAMETERS
    ]
    yield from _keys("At the top", [*top, *_hyperparameters("")])
    yield from _keys("model", _hyperparameters("model"))
    yield from _keys("dataset", _fields(DatasetSpec))
    yield from _keys("record", _fields(RecordSpec))
    yield from _keys("search", _fields(SearchSpec))
    yield from ("", "### grid", "", "Any hyperparameter of the tables above, as a list of values or as an axis:")
    yield "`{values: [...]}`, `{range: N}`, `{linspace: [FROM, TO], points: N}`, `{logspace: [FROM, TO], points: N}`."
    yield "In a search also `{uniform: [FROM, TO]}` and `{loguniform: [FROM, TO]}`."
    yield "`null` leaves a hyperparameter out. [Blocks, `zip` and `only`](sweep-file.md#grid) make other sets."
    yield f"A grid has at most {MAX_TRIALS:,} trials: its plan takes {bytes_text(MAX_BYTES)} of memory then."
    names = [
        (kind, ", ".join(f"`{name}`" for name in choices)) for kind, choices in _CHOICES_OF.items() if kind != "output"
    ]
    yield from ("", "### Names", "", markdown_table(("of", "are"), names))


def _keys(title: str, rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Yield a section with a table of keys. rows: key, description, default."""
    cells = ([cell.replace("|", "\\|") for cell in (f"`{name}`", *rest)] for name, *rest in rows)
    yield from ("", f"### {title}", "", markdown_table(("key", "meaning", "default"), cells))


_SECTIONS = {
    "name": "the sweep's name, and its experiment's in MLflow",
    "description": "a note to the reader, shown on the report",
    "dataset": "[the data](#dataset)",
    "model": "[the network](#model)",
    "record": "[how much is recorded](#record)",
    "search": "[which points of the axes are trained](#search)",
}


def _fields(section: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in section.model_fields.items():
        yield name, _choices(field) + (field.description or ""), _default(field)


def _choices(field: FieldInfo) -> str:
    words = [word for word in _words(field.annotation) if isinstance(word, str)]
    return f"{', '.join(f'`{word}`' for word in words)}: " if words else ""


def _words(annotation: Any) -> Iterator[Any]:
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from _words(part)


def _hyperparameters(section: str) -> Iterator[tuple[str, str, str]]:
    for row in HYPERPARAMETERS.values():
        if row.section == section:
            yield row.name, _described(row), "" if row.default is None else f"`{_plain(row.default)}`"


def _described(row: Hyperparameter) -> str:
    return f"{row.description}{' ([names](#names))' if row.name in _CHOICES_OF else ''}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "" if field.default is None or isinstance(field.default, BaseModel) else _quoted(field.default)


def _quoted(value: Any) -> str:
    return "" if type(value).__name__ == "PydanticUndefinedType" else f"`{_plain(value)}`"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else value


def _command() -> Iterator[str]:
    yield from ("", "## The command", "", *_usage(command, "gradgrid"))
    for name, sub in sorted(command.commands.items()):
        yield from ("", f"### gradgrid {name}", "", *_usage(sub, f"gradgrid {name}"))


def _usage(sub: click.Command, path: str) -> Iterator[str]:
    names = ["-h", "--help"]
    context = click.Context(sub, info_name=path, help_option_names=names, terminal_width=100, max_content_width=100)
    yield "```text"
    yield from (line.rstrip() for line in sub.get_help(context).splitlines())
    yield "```"


if __name__ == "__main__":
    _PAGE.write_text(reference(), encoding="utf-8")
