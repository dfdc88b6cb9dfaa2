"""routes.yaml in, RoutesConfig out; or one ConfigError with every mistake of the file at its line and column."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from llmrouter.config.checks import across
from llmrouter.config.document import Document, Place, parse
from llmrouter.config.environment import Substitution, environment
from llmrouter.config.fields import BUILT_IN, KINDS, PRESETS, Surroundings
from llmrouter.config.models import RoutesConfig
from llmrouter.config.problems import Finding, Path, dotted, finding, kind_of, without_misspelled
from llmrouter.errors import ConfigError, Problem

DEFAULT_FILE: Final = "routes.yaml"
FILE_VARIABLE: Final = "LLMROUTER_ROUTES"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is valid, and what the compiler needs beside it.

    `path` is the file, absolute, because a program may change its working directory later; None for a dict, a
    RoutesConfig or the built-in defaults. `environ` is the process's environment
    over the `.env` beside the file. `unset` names, for each entry of `providers`, the variables that it asks for
    without a default and that are not set: such a provider cannot be used, and the keys that asked are left out of it.
    """

    config: RoutesConfig
    path: FilePath | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    unset: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _document: Document = field(default_factory=Document, repr=False)
    _written: FilePath | None = None  # `path` as the caller wrote it, for reports
    _home: FilePath = field(default_factory=lambda: _absolute(FilePath()))

    @property
    def folder(self) -> FilePath:
        """The folder that relative paths start from: the file's own, else the working directory when it was loaded."""
        return self.path.parent if self.path else self._home

    def file(self, path: str | FilePath) -> FilePath:
        """Return a path of the file as it is to be opened: `~` replaced, a relative one from the file's folder."""
        return self.folder / FilePath(path).expanduser()

    def locate(self, path: str | Path) -> Place | None:
        """Return where `path` stands in the file (or the nearest map around it), None without a file.

        `path` is a tuple such as ("routes", "summarize", "fallbacks", 1), or the same as text.
        """
        if isinstance(path, str):
            path = next((known for known in self._document.values if dotted(known) == path), ())
        return self._document.place(path)

    def problem(self, path: Path, message: str, hint: str | None = None) -> Problem:
        """Return a mistake found later, by the compiler, with its place in the file."""
        return _problem(Finding(path, message, hint), self._document.place(path), self._written)


def load(
    source: str | os.PathLike[str] | Mapping[str, Any] | RoutesConfig | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    kinds: Collection[str] = KINDS,
    presets: Collection[str] = PRESETS,
) -> Loaded:
    """Load a file, a dict or a RoutesConfig; None means $LLMROUTER_ROUTES, then ./routes.yaml, then plain defaults.

    `environ` stands for the process's environment, None for the real one, which is read and never changed. `kinds` and
    `presets` are what a provider's `kind` may be. Raises ConfigError with every mistake found, in the file's order.
    """
    if source is None:
        source = _variable(environ, FILE_VARIABLE) or (DEFAULT_FILE if FilePath(DEFAULT_FILE).is_file() else {})
    path, document = _opened(source)
    substitution = Substitution(_environment(path, environ))
    # A RoutesConfig is finished: a `${` in it is meant as it stands.
    data = document.data if isinstance(source, RoutesConfig) else substitution.apply(_without_notes(document.data))
    surroundings = Surroundings(
        providers=frozenset({*BUILT_IN, *presets, *_names(data.get("providers"))}),
        kinds=frozenset({*kinds, *presets}),
        folder=path.parent if path else FilePath(),
    )
    config, findings = _validated(data, surroundings)
    findings = list(_root_causes([*across(data, surroundings), *findings], substitution.findings, document))
    problems = [*document.findings, *((document.place(f.path, at_key=f.at_key), f) for f in findings)]
    if config is None or problems:
        raise ConfigError(_report(problems, path))
    unset = MappingProxyType(substitution.unset)
    return Loaded(config, None if path is None else _absolute(path), substitution.variables, unset, document, path)


def _opened(source: str | os.PathLike[str] | Mapping[str, Any] | RoutesConfig) -> tuple[FilePath | None, Document]:
    if isinstance(source, RoutesConfig):
        return None, Document(source.model_dump(by_alias=True, exclude_unset=True))
    if isinstance(source, Mapping):
        return None, Document(dict(source))
    path = FilePath(source).expanduser()
    return path, _read(path)


def _absolute(path: FilePath) -> FilePath:
    try:
        return path.absolute()
    except OSError:  # the working directory has been deleted
        return path


def _read(path: FilePath) -> Document:
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "`llmrouter init` writes one" if isinstance(error, FileNotFoundError) else None
        raise _refused(path, f"cannot be read: {(error.strerror or 'no such file').lower()}", hint) from None
    except ValueError:  # a null character in the name
        raise _refused(path, "cannot be the name of a file") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Place(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise _refused(path, "is not UTF-8", "save it as UTF-8", place) from None
    document = parse(text)
    if document.data is None and not document.findings:
        raise _refused(path, "is empty", "start with `version: 1`", Place(1, 1))
    if not isinstance(document.data, dict):
        findings = document.findings or [
            (Place(1, 1), Finding((), f"must be a map, not {kind_of(document.data)}", "start with `version: 1`"))
        ]
        raise ConfigError(_report(findings, path))
    return document


def _refused(path: FilePath, message: str, hint: str | None = None, place: Place | None = None) -> ConfigError:
    return ConfigError([_problem(Finding((), message, hint), place, path)])


def _variable(environ: Mapping[str, str] | None, name: str) -> str | None:
    return (os.environ if environ is None else environ).get(name)


def _environment(path: FilePath | None, environ: Mapping[str, str] | None) -> Mapping[str, str]:
    # No caller holds the real environment in a variable: a traceback may show the values of those.
    folder = path.parent if path else None
    try:
        return environment(folder, os.environ if environ is None else environ)
    except OSError as error:
        raise _refused(FilePath(folder or "", ".env"), f"cannot be read: {error.strerror}") from None


def _without_notes(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out top-level keys that start with `x-`: room for anchors and notes, as in other YAML files."""
    return {key: value for key, value in data.items() if not str(key).startswith("x-")}


def _names(providers: Any) -> Iterable[str]:
    return (str(name) for name in providers) if isinstance(providers, Mapping) else ()


def _validated(data: Any, surroundings: Surroundings) -> tuple[RoutesConfig | None, list[Finding]]:
    try:
        return RoutesConfig.model_validate(data, context=surroundings), []
    except ValidationError as error:
        found = (finding(detail, RoutesConfig) for detail in error.errors(include_url=False))
        return None, [replace(one, path=_written(one.path, data)) for one in found]


def _written(path: Path, data: Any) -> Path:
    """Return as much of `path` as the data has: a shorthand such as `cache: 24h` has no `ttl` to point at."""
    here = data
    for depth, part in enumerate(path):
        try:
            here = here[part]
        except (LookupError, TypeError):
            return path[:depth]
    return path


def _root_causes(found: list[Finding], substituted: list[Finding], document: Document) -> Iterable[Finding]:
    """Return all findings but those that only follow from another one: an unset variable is no duration."""
    earlier = [*(one for _, one in document.findings), *substituted]
    known = [one.path for one in earlier if not one.at_key]
    yield from substituted
    for late in without_misspelled(found):
        if not any(path and late.path[: len(path)] == path for path in known):
            yield late


def _report(found: Iterable[tuple[Place | None, Finding]], path: FilePath | None) -> list[Problem]:
    """Return problems in the order of the file; one that an alias brings to many places is told once."""
    ordered = sorted(found, key=lambda pair: (pair[0].line, pair[0].column) if pair[0] else (0, 0))
    unique = {(place or late.path, late.message): (place, late) for place, late in reversed(ordered)}
    return [_problem(late, place, path) for place, late in reversed(unique.values())]


def _problem(found: Finding, place: Place | None, path: FilePath | None) -> Problem:
    file = str(path) if path else None
    line, column = (place.line, place.column) if place else (None, None)
    return Problem(found.message, dotted(found.path), file, line, column, found.hint)
