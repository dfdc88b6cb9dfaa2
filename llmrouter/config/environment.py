"""The environment of a file: the process's variables over `.env` beside it, and `${NAME}` in its strings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, Final

from llmrouter.config.problems import Finding, Path

_REFERENCE: Final = re.compile(
    r"(?P<escape>\$\$\{)|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>(?:[^}$]|\$(?!\{))*))?\})?"
)
_ASSIGNMENT: Final = re.compile(
    r"^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*"
    r"""(?:'(?P<plain>[^']*)'|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\r\n]*))""",
    re.MULTILINE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t"}


class Substituted(str):
    """Text with values of the environment in it. Its repr is what the file says, since a value may be a key."""

    __slots__ = ("_written",)
    _written: str

    def __new__(cls, value: str, written: str) -> Substituted:
        self = super().__new__(cls, value)
        self._written = written
        return self

    def __repr__(self) -> str:
        return repr(self._written)


def read_dotenv(text: str) -> dict[str, str]:
    """Return the assignments of a `.env` file; lines of any other form are left to the tools they are meant for.

    `NAME=value`, also after `export`. Single quotes keep text as it is, double quotes know escapes such as a backslash
    and n, both may span lines; without quotes the value ends at ` #`.
    """
    found: dict[str, str] = {}
    for match in _ASSIGNMENT.finditer(text):
        name, plain, quoted, bare = match.group("name", "plain", "quoted", "bare")
        if plain is not None:
            found[name] = plain
        elif quoted is not None:
            found[name] = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), quoted)
        else:
            found[name] = re.split(r"(?:^|\s)#", bare, maxsplit=1)[0].strip()
    return found


def environment(folder: FilePath | None, process: Mapping[str, str]) -> Mapping[str, str]:
    """Return `process` over the `.env` in `folder`. Raises OSError when that file cannot be read."""
    file = folder / ".env" if folder else None
    if file is None or not file.is_file():  # a virtual environment may be called .env, too
        return MappingProxyType(dict(process))
    return MappingProxyType(read_dotenv(file.read_text(encoding="utf-8-sig", errors="replace")) | dict(process))


@dataclass(slots=True)
class Substitution:
    """Replaces `${NAME}` in data.

    `findings` are references that lead nowhere. Inside an entry of `providers` an unset variable is no mistake: the key
    that wanted it is left out, and the variable goes to `unset`, so that the provider can be skipped by name.
    """

    variables: Mapping[str, str] = field(repr=False)
    findings: list[Finding] = field(default_factory=list)
    unset: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def apply(self, data: Any, path: Path = ()) -> Any:
        """Return a copy of `data` with every string in it substituted. Keys, and what is not text, stay as they are."""
        if isinstance(data, str):
            return self._text(data, path)
        if isinstance(data, Mapping):
            pairs = ((key, self.apply(value, (*path, key))) for key, value in data.items())
            return {key: value for key, value in pairs if value is not _LEFT_OUT}
        if isinstance(data, list | tuple):
            items = (self.apply(item, (*path, index)) for index, item in enumerate(data))
            return [item for item in items if item is not _LEFT_OUT]
        return data

    def _text(self, text: str, path: Path) -> Any:
        if "${" not in text:
            return text
        references = list(_REFERENCE.finditer(text))
        if any(match["name"] is None and match["escape"] is None for match in references):
            message, hint = "`${` is not followed by a name and `}`", "write ${NAME}, or $${ for a plain ${"
            self.findings.append(Finding(path, message, hint))
            return text
        missing = [match["name"] for match in references if self._value(match) is None]
        if not missing:
            return Substituted(_REFERENCE.sub(lambda match: self._value(match) or "", text), text)
        if len(path) > 2 and path[0] == "providers":
            provider = str(path[1])
            self.unset[provider] = (*self.unset.get(provider, ()), *missing)
            return _LEFT_OUT
        for name in missing:
            hint = f"set it, or write ${{{name}:-a default}}; $${{ stands for a plain ${{"
            self.findings.append(Finding(path, f"the variable {name} is not set", hint))
        return text

    def _value(self, match: re.Match[str]) -> str | None:
        """Return what a reference stands for, None for an unset variable."""
        if match["escape"]:
            return "${"
        value, default = self.variables.get(match["name"]), match["default"]
        return value if default is None else value or default  # as in a shell: `:-` also replaces an empty value


_LEFT_OUT: Final = object()
