"""From the text of another program's configuration to a routes file that loads, and a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from llmrouter.config.loader import load
from llmrouter.errors import ConfigError, Problem
from llmrouter.importing import litellm, portkey
from llmrouter.importing.draft import Draft
from llmrouter.importing.source import Format, Hiding, Note, read, recognized
from llmrouter.importing.writing import Alias, render
from llmrouter.providers import registry

_PROGRAM: Final = {"litellm": "a LiteLLM proxy config", "portkey": "a Portkey config"}
_MOST_REPAIRS: Final = 200


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it: the routes file as text, and the report, in the order of the source."""

    format: Format
    text: str
    notes: tuple[Note, ...]


def convert(text: str, name: str) -> Imported:
    """Turn the text of a configuration into a routes file that the loader accepts.

    `name` is the source's file name, for messages. No key that is written into the source is in the result: in its
    place stands `${NAME}`. Raises ConfigError for a text that is no configuration of a known program, and for one in
    which there is nothing to import.
    """
    data = read(text, name)
    form = recognized(data, name)
    hiding = Hiding(portkey.KINDS)
    hidden = hiding.apply(data)
    notes: list[Note] = []
    draft = Draft(notes, hiding.names)
    converter = litellm if form == "litellm" else portkey
    converter.fill(draft, hidden, name)
    _repair(draft)
    if draft.data.keys() == {"version"}:
        reported = [Problem(str(note), file=name) for note in notes]
        raise ConfigError(
            [Problem("there is no model and no setting in it that could be imported", file=name), *reported]
        )
    if not draft.routes and "providers" not in draft.data:
        notes.append(Note("", "there is no model in it: what it says is written as `defaults`; routes are up to you"))
    title = f"Made by `llmrouter import` from {_PROGRAM[form]}. Compare it with the report that came with it."
    return Imported(form, render(draft.data, draft.remarks, title), tuple(dict.fromkeys(notes)))


def _repair(draft: Draft) -> None:
    """Take out what the loader does not accept, and report it: a value may be as wrong in the source as it is here."""
    for _ in range(_MOST_REPAIRS):
        data = {key: _without_aliases(value) for key, value in draft.data.items()}
        try:
            load(data, {}, kinds=registry.names())
        except ConfigError as error:
            problem = error.problems[0]
            draft.notes.append(Note(problem.path, f"{problem.message}; left out of the routes file"))
            if not _remove(draft.data, problem.path):
                raise
        else:
            break
    for name, route in list(draft.routes.items()):
        if isinstance(route, Alias) and route.name not in draft.routes:
            del draft.routes[name]


def _without_aliases(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_aliases(each) for key, each in value.items() if not isinstance(each, Alias)}
    return value


def _remove(data: Any, path: str) -> bool:
    """Delete what stands at a path such as `routes.a.params.stop`; a map whose `model` is wrong goes as a whole."""
    here, parent, last = data, None, None
    rest = path
    while rest:
        key = _next_key(here, rest)
        if key is None:
            break
        parent, last, here = here, key, here[key]
        rest = rest[len(f"[{key}]" if isinstance(key, int) else str(key)) :].removeprefix(".")
    if parent is None or last is None:
        return False
    del parent[last]
    return True


def _next_key(here: Any, rest: str) -> str | int | None:
    if isinstance(here, list):
        index = rest[1:].partition("]")[0]
        return int(index) if index.isdigit() and int(index) < len(here) else None
    if not isinstance(here, dict):
        return None
    fitting = [key for key in here if rest == key or rest.startswith((f"{key}.", f"{key}["))]
    return max(fitting, key=len, default=None)
