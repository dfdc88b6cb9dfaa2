"""Parameters in OpenAI's words, as both sources have them, and the durations and prices of a routes file."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from llmrouter.importing.source import Hidden, Section, Variable
from llmrouter.units import show_duration

_LEVELS: Final = ("none", "low", "medium", "high")
_NEAREST: Final[Mapping[str, str]] = {"minimal": "low", "disable": "none", "xhigh": "high", "max": "high"}
_EXTRA: Final = frozenset(
    {"frequency_penalty", "presence_penalty", "n", "logit_bias", "logprobs", "top_logprobs", "top_k", "min_p"}
    | {"parallel_tool_calls", "service_tier", "verbosity", "store", "metadata", "modalities", "repetition_penalty"}
)  # sent as they are: the caller of a chat API knows them, llmrouter does not


def read_params(source: Section) -> dict[str, Any]:
    """Return the `params` that a map of request parameters stands for."""
    found: dict[str, Any] = {
        "temperature": source.number("temperature"),
        "top_p": source.number("top_p"),
        "max_tokens": source.number("max_completion_tokens", "max_tokens"),
        "stop": _stop(source),
        "seed": source.number("seed"),
        "reasoning": _reasoning(source),
        "extra": _extra(source),
    }
    return {name: value for name, value in found.items() if value not in (None, {}, [])}


def _stop(source: Section) -> Any:
    value = source.plain("stop")
    texts = value if isinstance(value, list) else [value]
    return value if all(isinstance(text, str) for text in texts) else None


def _reasoning(source: Section) -> str | int | None:
    level = source.plain("reasoning_effort")
    thinking = source.section("thinking")
    budget = thinking.number("budget_tokens")
    kind = thinking.text("type")
    if budget is not None or kind is not None:
        return "none" if kind == "disabled" else int(budget) if budget else "medium"
    if not isinstance(level, str):
        return None
    if level not in _LEVELS:
        nearest = _NEAREST.get(level, "medium")
        source.note(f"llmrouter's levels are {', '.join(_LEVELS)}; {nearest} is written", "reasoning_effort")
        return nearest
    return level


def _extra(source: Section) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    for key in source:
        if key in _EXTRA and (value := source.value(key)) is not None:
            extra[key] = value
    body = source.value("extra_body")
    if isinstance(body, Mapping):
        extra |= body
    kept = {key: value for key, value in extra.items() if _is_writable(value)}
    for key in extra.keys() - kept.keys():
        source.note("holds a key or a variable, which only `providers` may; left out: pass it with the call", str(key))
    return kept


def _is_writable(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_writable(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(_is_writable, value))
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    return not isinstance(value, Variable | Hidden) and isinstance(value, str | int | None)


def seconds(value: float | None) -> str | None:
    """Return a time as the file writes it, None for none and for no time at all."""
    return show_duration(round(value, 3)) if value and value >= 0.001 else None


def per_million(value: float | int) -> int | float:
    """Return a price per token as one per million tokens, without the noise of binary fractions."""
    exact = (Decimal(repr(value)) * 1_000_000).normalize()
    return int(exact) if exact == exact.to_integral_value() else float(exact)
