"""A routes file as text that people like to read: short maps on one line, remarks above what they are about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import yaml

from llmrouter.config.document import parse

Place: TypeAlias = tuple[str | int, ...]

_WIDTH: Final = 110
_PLAIN: Final = re.compile(r"[A-Za-z_][\w-]*(?:[./:]+[\w-]+)*|\d+(?:\.\d+)?(?:ms|[smhd])", re.ASCII)
_ALWAYS_OPEN: Final = frozenset({("providers",), ("routes",), ("prices",)})


def render(data: Mapping[str, Any], remarks: Mapping[Place, str], title: str) -> str:
    """Return `data` as YAML, headed by `title`; `remarks` are comments by the place that they stand above.

    A value that is an `Alias` is written as a reference to the map of that name, which gets an anchor.
    """
    anchors = {value.name: f"route-{number}" for number, value in enumerate(_aliases(data), 1)}
    lines = [*_comment(title, 0), *_Writer(remarks, anchors).block(data, ())]
    return "\n".join(lines) + "\n"


class Alias:
    """A route that is another one by a second name."""

    def __init__(self, name: str) -> None:
        self.name = name


def scalar(value: Any) -> str:
    """Return one value as YAML writes it, in a form that is right inside `{}` and `[]`, too."""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and parse(value).data == value:
            return value
        quoted: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=float("inf"))
        return quoted.rstrip("\n")
    return repr(value)


class _Writer:
    def __init__(self, remarks: Mapping[Place, str], anchors: Mapping[str, str]) -> None:
        self._remarks, self._anchors = remarks, anchors

    def block(self, data: Mapping[str, Any], place: Place) -> Iterator[str]:
        indent = 2 * len(place)
        for key, value in data.items():
            here = (*place, key)
            if not place or (here[:-1] == ("routes",) and key != next(iter(data))):
                yield ""  # sections and routes stand apart
            yield from _comment(self._remarks.get(here, ""), indent)
            anchor = f" &{self._anchors[key]}" if place == ("routes",) and key in self._anchors else ""
            yield from self._entry(" " * indent + scalar(key) + ":" + anchor, value, here)

    def _entry(self, head: str, value: Any, place: Place) -> Iterator[str]:
        if isinstance(value, Alias):
            yield f"{head} *{self._anchors[value.name]}"
            return
        inline = None if self._is_open(value, place) else self._inline(value)
        if inline is not None and (len(head) + 1 + len(inline) <= _WIDTH or not isinstance(value, Mapping | list)):
            yield f"{head} {inline}"
        elif isinstance(value, Mapping):
            yield head
            yield from self.block(value, place)
        else:
            yield head
            for index, item in enumerate(value):
                yield from _comment(self._remarks.get((*place, index), ""), 2 * len(place))
                yield f"{' ' * 2 * len(place)}- {self._inline(item)}"

    def _is_open(self, value: Any, place: Place) -> bool:
        if not isinstance(value, Mapping | list) or not value:
            return False
        if any(len(there) > len(place) and there[: len(place)] == place for there in self._remarks):
            return True
        if isinstance(value, list):
            return any(isinstance(item, Mapping) for item in value)
        return place in _ALWAYS_OPEN or place[:-1] == ("routes",)

    def _inline(self, value: Any) -> str:
        if isinstance(value, Mapping):
            pairs = ", ".join(f"{scalar(key)}: {self._inline(each)}" for key, each in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        if isinstance(value, list):
            return f"[{', '.join(map(self._inline, value))}]"
        return scalar(value)


def _aliases(data: Mapping[str, Any]) -> list[Alias]:
    found = {value.name: value for value in data.get("routes", {}).values() if isinstance(value, Alias)}
    return list(found.values())


def _comment(text: str, indent: int) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{' ' * indent}# {line}".rstrip()
