"""The configuration to import, as data: recognized, its keys hidden, and read in a way that forgets nothing.

A `Section` remembers which of its keys were read, so that whatever a converter does not know ends up in the report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from llmrouter.config.document import parse
from llmrouter.config.problems import Path, dotted, kind_of
from llmrouter.errors import ConfigError, Problem

Format: TypeAlias = Literal["litellm", "portkey"]

_LITELLM_KEYS: Final = frozenset({"model_list", "litellm_settings", "router_settings", "general_settings"})
_PORTKEY_KEYS: Final = frozenset(
    {"strategy", "targets", "provider", "virtual_key", "override_params", "retry", "request_timeout"}
    | {"input_guardrails", "output_guardrails", "before_request_hooks", "after_request_hooks"}
)
_NOT_SAID: Final = "has no counterpart in llmrouter; left out"


# ------------------------------------------------------------------------------------------------ what stands for text


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that comes from the environment: `os.environ/NAME` in LiteLLM's spelling."""

    name: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """A key that was written into the source. Only its number is kept: equal keys have equal numbers.

    `like` is the provider that a slug of Portkey's vault names, empty where it names none.
    """

    number: int
    like: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the report: a place in the source, what is different there, and what to do."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


_ENVIRON: Final = re.compile(r"os\.environ/(.+)", re.DOTALL)
_BRACED: Final = re.compile(r"\$\{([A-Za-z_]\w*)\}", re.ASCII)
_NAME_OF_A_KEY: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN)")  # OPENAI_API_KEY stands for itself
_SECRET_KEYS: Final = re.compile(
    r"key|token|secret|password|passwd|authorization|credentials?|cookie|service_account(?:_json)?", re.IGNORECASE
)
_SECRET_SHAPES: Final = re.compile(
    r"(?<![A-Za-z0-9-])(?:sk-[A-Za-z0-9_-]{3,}|(?:gsk_|hf_|r8_|xai-|pplx-)[A-Za-z0-9]{8,}|AIza[\w-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|ya29\.[\w-]+|eyJ[\w-]+)|(?i:bearer|basic)\s+[\w.~+/=-]{6,}|://[^/@\s]+@"
)
_NO_KEYS: Final = frozenset(
    {"", "none", "null", "na", "n/a", "x", "xxx", "dummy", "fake", "fake-key", "empty", "unused", "anything"}
    | {"not-needed", "no-key", "no-key-required", "ollama", "lm-studio", "true", "false"}
)


def is_no_key(text: str) -> bool:
    """Return whether `text` is what people write where a key is asked for and none is needed."""
    return text.strip().lower() in _NO_KEYS


@dataclass(slots=True)
class Hiding:
    """Takes the keys out of the source before anything else sees it."""

    providers: Collection[str] = ()  # names to look for in a slug
    names: set[str] = field(default_factory=set)  # variables that the source refers to
    _numbers: dict[str, int] = field(default_factory=dict)

    def apply(self, data: Any) -> Any:
        """Return a copy of `data` in which references are `Variable` and keys are `Hidden`."""
        self._find(data, secret=False)
        return self._replace(data)

    def _find(self, data: Any, *, secret: bool) -> None:
        if isinstance(data, Mapping):
            for key, value in data.items():
                self._find(value, secret=secret or _is_secret_name(key))
        elif isinstance(data, list):
            for value in data:
                self._find(value, secret=secret)
        elif isinstance(data, str) and self._reference(data) is None and _is_secret(data, named=secret):
            self._numbers.setdefault(data, len(self._numbers) + 1)

    def _replace(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {key: self._replace(value) for key, value in data.items()}
        if isinstance(data, list):
            return [self._replace(value) for value in data]
        if not isinstance(data, str):
            return data
        reference = self._reference(data)
        if reference is not None:
            self.names.add(reference.name)
            return reference
        return self._hidden(data) or data

    def _hidden(self, text: str) -> Hidden | None:
        if text in self._numbers:
            known = (name for name in sorted(self.providers, key=len, reverse=True) if name in text.lower())
            return Hidden(self._numbers[text], next(known, ""))
        number = next((number for key, number in self._numbers.items() if len(key) > 5 and key in text), None)
        return None if number is None else Hidden(number)

    def _reference(self, text: str) -> Variable | None:
        found = _ENVIRON.fullmatch(text.strip()) or _BRACED.fullmatch(text.strip())
        name = found[1] if found else text if _NAME_OF_A_KEY.fullmatch(text) else None
        if name is None:
            return None
        return Variable(variable_name(name))


def variable_name(text: str) -> str:
    """Return `text` as an environment variable may be called: API_KEY_1 for `api-key.1`."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_") or "VALUE"
    return f"_{name}" if name[0].isdigit() else name


def _is_secret(text: str, *, named: bool) -> bool:
    return not is_no_key(text) and (named or _SECRET_SHAPES.search(text) is not None)


def _is_secret_name(key: object) -> bool:
    words = re.split(r"[^A-Za-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(key)))
    last = words[-1] if words else ""
    return bool(_SECRET_KEYS.fullmatch(last) or _SECRET_KEYS.fullmatch("_".join(words[-2:])) or last == "apikey")


# ------------------------------------------------------------------------------------------------ reading


class Section:
    """A map of the source. What it is asked for counts as read; `report_rest` reports everything else."""

    def __init__(self, data: Any, path: Path, notes: list[Note]) -> None:
        self.path, self.notes = path, notes
        self._data: Mapping[Any, Any] = data if isinstance(data, Mapping) else {}
        self._read: set[Any] = set()
        if data is not None and not isinstance(data, Mapping):
            notes.append(Note(dotted(path), f"must be a map, not {kind_of(data)}; left out"))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __contains__(self, key: str) -> bool:
        return self._data.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        """Give the keys in the order of the source."""
        return (str(key) for key in self._data)

    def note(self, message: str, *keys: str | int) -> None:
        """Report something about this map, or about what it holds at `keys`."""
        self.notes.append(Note(dotted((*self.path, *keys)), message))

    def value(self, *keys: str) -> Any:
        """Return what the first of `keys` that is there holds; None where none is. All count as read."""
        self._read.update(keys)
        return next((self._data[key] for key in keys if self._data.get(key) is not None), None)

    def plain(self, *keys: str) -> Any:
        """Return a value that routes.yaml can hold anywhere; one from the environment is reported, and then None."""
        value = self.value(*keys)
        if isinstance(value, Variable | Hidden):
            origin = f"comes from {value.name}" if isinstance(value, Variable) else "looks like a key"
            self.note(
                f"{origin}, which only `providers` may do; left out: write the value into the routes file", keys[0]
            )
            return None
        return value

    def number(self, *keys: str) -> float | int | None:
        """Return a number from 0 up, None where there is none; anything else is reported."""
        value = self.plain(*keys)
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(value) if "." in value else int(value)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15):
            return value
        self.note("is not a number from 0 up; left out", keys[0])
        return None

    def text(self, *keys: str) -> str | None:
        """Return a text; anything else is reported."""
        value = self.plain(*keys)
        if value is None or isinstance(value, str):
            return value or None
        self.note(f"must be text, not {kind_of(value)}; left out", keys[0])
        return None

    def flag(self, *keys: str) -> bool:
        """Return whether the first of `keys` that is there says true."""
        value = self.plain(*keys)
        return value is True or (isinstance(value, str) and value.lower() == "true")

    def section(self, key: str) -> Section:
        """Return the map at `key`, an empty one where there is none."""
        return Section(self.value(key), (*self.path, key), self.notes)

    def sections(self, key: str) -> list[Section]:
        """Return the maps of the list at `key`."""
        found = self.value(key)
        if found is not None and not isinstance(found, list):
            self.note(f"must be a list, not {kind_of(found)}; left out", key)
            return []
        return [Section(each, (*self.path, key, index), self.notes) for index, each in enumerate(found or ())]

    def items(self, key: str) -> list[Any]:
        """Return the list at `key`; a single value counts as a list of one."""
        found = self.value(key)
        return [] if found is None else found if isinstance(found, list) else [found]

    def report_rest(self, advice: Mapping[str, str] | None = None, otherwise: str = _NOT_SAID) -> None:
        """Report every key that nobody read: with `advice` for it, or `otherwise`."""
        for key, value in self._data.items():
            if key not in self._read and value is not None:
                self.note((advice or {}).get(str(key), otherwise), str(key))


def read(text: str, name: str) -> dict[str, Any]:
    """Return the data of a YAML or JSON text. Raises ConfigError, naming the file `name`, for anything but a map."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        document = parse(text)
        data = document.data
        if data is None and document.findings:
            place, finding = document.findings[0]
            raise ConfigError([Problem(finding.message, "", name, place.line, place.column)]) from None
    if not isinstance(data, dict):
        raise ConfigError([Problem(f"holds no configuration: it must be a map, not {kind_of(data)}", file=name)])
    return data


def recognized(data: Mapping[str, Any], name: str) -> Format:
    """Return whose configuration it is. Raises ConfigError when it is nobody's that can be imported."""
    if _LITELLM_KEYS & data.keys():
        return "litellm"
    if "routes" in data or "defaults" in data:
        raise ConfigError([Problem("is a routes file already", file=name, hint="`llmrouter check` reads it")])
    cache = data.get("cache")
    if _PORTKEY_KEYS & data.keys() or (isinstance(cache, Mapping) and "mode" in cache):
        return "portkey"
    raise ConfigError(
        [
            Problem(
                "is neither a LiteLLM proxy config (it has no `model_list`) nor a Portkey config (it has no `targets`, "
                "`provider` or `virtual_key`)",
                file=name,
                hint="these two can be imported; `llmrouter init` writes a file to start from",
            )
        ]
    )
