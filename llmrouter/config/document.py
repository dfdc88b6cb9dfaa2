"""YAML with places: the data of a file, and the line and column of every key and value in it.

Scalars follow YAML 1.2, as editors do: `on` is a key and `off` is a word, not booleans, and a date is text. Nothing but
plain data can be made: tags are refused, and aliases cannot grow the data beyond a bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from llmrouter.config.problems import Finding, Path
from llmrouter.content import made_whole
from llmrouter.units import shown

_MOST_VALUES: Final = 50_000  # aliases counted each time: a bomb stops here
_DEEPEST: Final = 40  # an alias that contains itself stops here

_TAG: Final = "tag:yaml.org,2002:"
_FLOAT: Final = r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_SCALARS: Final = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?\d+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, both from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """The plain data of a file, the places in it, and what is wrong with it as YAML."""

    data: Any = None
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    findings: list[tuple[Place, Finding]] = field(default_factory=list)

    def place(self, path: Path, *, at_key: bool = False) -> Place | None:
        """Return where `path` stands, or the nearest map or list around it; None for data without a file."""
        first, second = (self.keys, self.values) if at_key else (self.values, self.keys)
        for end in range(len(path), -1, -1):
            found = first.get(path[:end]) or second.get(path[:end])
            if found:
                return found
        return None


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # replaces the parent's YAML 1.1 table


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # there or not, by platform
    """The same over libyaml, where PyYAML was built with it: a tenth of the time."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _name, _pattern, _first in _SCALARS:
    for _each in (_Loader, _FastLoader):
        _each.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)


def parse(text: str) -> Document:
    """Read one YAML document. A syntax error is the only finding then, since nothing after it can be trusted."""
    document = Document()
    try:
        node = _composed(text)
    except yaml.MarkedYAMLError as error:
        return _broken(_place(error.problem_mark or error.context_mark), error.problem or error.context or "")
    except yaml.reader.ReaderError as error:
        return _broken(_place_at(text, error.position), f"the character #x{error.character:04x} is not allowed")
    except RecursionError:
        return _broken(Place(1, 1), "nested too deeply")
    except (ValueError, OverflowError, yaml.YAMLError):  # PyYAML lets some escapes and directives fail as they may
        return _broken(Place(1, 1), "an escape or a directive in it has no meaning")
    if node is None:
        return document
    try:
        document.data = _Reader(document).read(node, ())
    except _TooMuchError as error:
        return _broken(error.place, error.message)
    return document


def _composed(text: str) -> Node | None:
    try:
        return yaml.compose(text, Loader=_FastLoader)
    except Exception:  # noqa: BLE001 - whatever it is, the loader in Python says it with the right words and places
        return yaml.compose(text, Loader=_Loader)


class _TooMuchError(Exception):
    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place, self.message = place, message


def _broken(place: Place, what: str) -> Document:
    return Document(findings=[(place, Finding((), f"not valid YAML: {what}"))])


def _place(mark: yaml.Mark | None) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def _place_at(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def _text(node: Node) -> str:
    return made_whole(str(node.value))  # JSON writes an emoji as two escapes, which YAML leaves apart


class _Reader:
    """Turns nodes into data, noting places and findings on the way."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = _MOST_VALUES

    def read(self, node: Node, path: Path) -> Any:
        self._document.values[path] = _place(node.start_mark)
        if len(path) > _DEEPEST:
            raise _TooMuchError(_place(node.start_mark), f"nested more than {_DEEPEST} deep")
        self._count(node)
        if isinstance(node, MappingNode):
            return self._map(node, path)
        if isinstance(node, SequenceNode):
            return self._list(node, path)
        return self._scalar(node, path)

    def _count(self, node: Node) -> None:
        self._left -= 1
        if self._left < 0:
            raise _TooMuchError(
                _place(node.start_mark), f"more than {_MOST_VALUES:,} values, aliases counted each time"
            )

    def _map(self, node: MappingNode, path: Path) -> dict[str, Any]:
        self._expect(node, "map", path)
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not self._is_merge(key_node):
                self._entry(key_node, value_node, path, data)
        for source in self._merged(node, path, 0):  # after the map's own keys, which win
            for key_node, value_node in source.value:
                if isinstance(key_node, ScalarNode) and not self._is_merge(key_node) and _text(key_node) not in data:
                    self._entry(key_node, value_node, path, data)
        return data

    def _entry(self, key_node: Node, value_node: Node, path: Path, data: dict[str, Any]) -> None:
        if not isinstance(key_node, ScalarNode):
            return self._note(key_node, Finding(path, "a key must be text, not a map or a list"))
        key = _text(key_node)
        inner = (*path, key)
        if key in data:
            hint = f"it is already on line {self._document.keys[inner].line}; keep one"
            return self._note(key_node, Finding(inner, f"duplicate key {shown(key)}", hint, at_key=True))
        self._document.keys[inner] = _place(key_node.start_mark)
        data[key] = self.read(value_node, inner)
        return None

    @staticmethod
    def _is_merge(node: Node) -> bool:
        return bool(node.tag == f"{_TAG}merge")

    def _merged(self, node: MappingNode, path: Path, depth: int) -> Iterator[MappingNode]:
        """Yield the maps that `<<` brings in, nearest first."""
        for key_node, value_node in node.value:
            if not self._is_merge(key_node):
                continue
            for source in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
                self._count(source)
                if depth > _DEEPEST:
                    raise _TooMuchError(_place(source.start_mark), "`<<` leads back to itself")
                if isinstance(source, MappingNode):
                    yield source
                    yield from self._merged(source, path, depth + 1)
                else:
                    self._note(source, Finding(path, "`<<` takes a map, or a list of maps"))

    def _list(self, node: SequenceNode, path: Path) -> list[Any]:
        self._expect(node, "seq", path)
        return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]

    def _scalar(self, node: Node, path: Path) -> Any:
        kind, text = str(node.tag).removeprefix(_TAG), _text(node)
        if kind == "null":
            return None
        try:
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            if kind == "float":
                return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        except (ValueError, KeyError):  # an explicit tag on other text, or more digits than Python reads
            return text
        if kind != "merge":
            self._expect(node, "str", path)
        return text

    def _expect(self, node: Node, kind: str, path: Path) -> None:
        if node.tag != f"{_TAG}{kind}":
            message = f"the tag {shown(str(node.tag))} is not allowed"
            self._note(node, Finding(path, message, "write plain text, numbers, lists and maps"))

    def _note(self, node: Node, found: Finding) -> None:
        self._document.findings.append((_place(node.start_mark), found))
