"""The keyword overrides of one call: what there is, and what each may be.

A value may be written as in the file ("8k", "30s"), and is held to the same bounds.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict

from llmrouter.config import fields
from llmrouter.content import HALF, is_whole
from llmrouter.errors import InvalidRequestError
from llmrouter.hints import hint
from llmrouter.units import duration, shown

CACHE_MODES: Final = ("use", "refresh", "bypass", "only")
_LIMITS: Final = ("connect", "attempt", "first_token", "idle", "total")


class PlainOptions(TypedDict, total=False):
    """The keyword overrides of one call, but for `schema`; times are seconds, or text such as "30s"."""

    system: str | None  # instead of the route's system prompt
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    tools: Sequence[Any] | None  # functions, Tool, or OpenAI-style dicts
    tool_choice: Any  # auto, none, required, or a tool
    reasoning: str | int | None  # none, low, medium, high, or a number of tokens
    fallbacks: Sequence[Any] | None  # targets instead of the route's fallbacks
    timeout: Any  # the attempt's limit, or a map of connect, attempt, first_token, idle, total
    deadline: Any  # for the whole call
    cache: Literal["use", "refresh", "bypass", "only"] | None
    max_context_tokens: int | None
    session: str | None  # keeps a conversation on one target, and on its provider-side prompt cache
    metadata: Mapping[str, Any] | None  # tags for the log and the ledger; never sent
    extra: Mapping[str, Any] | None  # sent as it is, beside everything else


class ChatOptions(PlainOptions, total=False):
    """The keyword overrides of one call."""

    schema: Any  # JSON Schema, a pydantic model, or a reference as in routes.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """ChatOptions, checked and in numbers; None leaves the route's own value. `timeout` is seconds by limit."""

    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    tools: Sequence[Any] | None = None
    tool_choice: Any = None
    schema: Any = None
    reasoning: str | int | None = None
    fallbacks: Sequence[Any] | None = None
    timeout: Mapping[str, float] | None = None
    deadline: float | None = None
    cache: str | None = None
    max_context_tokens: int | None = None
    session: str | None = None
    metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Options:
        """Make the options of a call.

        Raises TypeError that names the near miss of an unknown keyword, and InvalidRequestError for a value that an
        option cannot have.
        """
        unknown = [name for name in given if name not in _NAMES]
        if unknown:
            advice = hint(unknown[0], _NAMES) or f"; it takes {', '.join(_NAMES)}"
            raise TypeError(f"unknown keyword {unknown[0]!r}{advice}")
        return cls(**{name: _checked(name, value) for name, value in given.items()})


_NAMES: Final = tuple(each.name for each in dataclasses.fields(Options))


def _checked(name: str, value: Any) -> Any:
    check = _CHECKS.get(name)
    if check is None or value is None:
        return value
    try:
        return check(value)
    except ValueError as error:
        raise InvalidRequestError(f"{name}: {error}") from None


def _as_given(check: Callable[[Any], float]) -> Callable[[Any], float]:
    """Keep a number as the caller wrote it: 0 and 0.0 are different bytes on the wire."""

    def checked(value: Any) -> float:
        number = check(value)
        return value if isinstance(value, int | float) else number

    return checked


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {type(value).__name__}")
    if not is_whole(value):
        raise ValueError(f"it holds {HALF}")
    return value


def _stop(value: Any) -> tuple[str, ...]:
    if not isinstance(value, str | Sequence) or not all(isinstance(each, str) for each in value):
        raise ValueError("expected text, or a list of texts")
    return tuple(map(_text, (value,) if isinstance(value, str) else value))


def _limits(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {"attempt": fields.limit(value)}
    for name in value:
        if name not in _LIMITS:
            raise ValueError(f"expected the keys {', '.join(_LIMITS)}, not {name!r}{hint(name, _LIMITS)}")
    return {name: fields.limit(limit) for name, limit in value.items() if limit is not None}


def _cache(value: Any) -> str:
    if value not in CACHE_MODES:
        raise ValueError(f"expected one of {', '.join(CACHE_MODES)}, not {shown(value)}{hint(value, CACHE_MODES)}")
    return str(value)


def _map(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a dict, got {type(value).__name__}")
    return value


def _extra(value: Any) -> Mapping[str, Any]:
    extra = _map(value)
    try:
        json.dumps(extra, ensure_ascii=False, allow_nan=False, default=dict).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it cannot be sent as JSON: {error}") from None
    return extra


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "system": _text,
    "temperature": _as_given(fields.up_to_two),
    "top_p": _as_given(fields.up_to_one),
    "max_tokens": fields.positive,
    "stop": _stop,
    "seed": fields.whole,
    "reasoning": fields.reasoning,
    "timeout": _limits,
    "deadline": duration,  # 0 too: what is left of a budget may be nothing
    "cache": _cache,
    "max_context_tokens": fields.positive,
    "session": _text,
    "metadata": _map,
    "extra": _extra,
}
