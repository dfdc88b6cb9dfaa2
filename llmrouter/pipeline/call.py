"""One call: a route's plan with what the caller asks of it this time."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypedDict

from llmrouter.errors import CacheMissError, InvalidRequestError
from llmrouter.messages import normalize
from llmrouter.pipeline import playback
from llmrouter.pipeline.plan import CachePolicy, RoutePlan, RungPlan, Timeouts
from llmrouter.types import (
    Document,
    Image,
    Message,
    MessagesLike,
    Params,
    Request,
    Schema,
    Tool,
)
from llmrouter.units import duration

CACHE_MODES: Final = ("use", "refresh", "bypass", "only")


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
    """ChatOptions, checked; None leaves the route's own value."""

    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: str | Sequence[str] | None = None
    seed: int | None = None
    tools: Sequence[Any] | None = None
    tool_choice: Any = None
    schema: Any = None
    reasoning: str | int | None = None
    fallbacks: Sequence[Any] | None = None
    timeout: Any = None
    deadline: Any = None
    cache: str | None = None
    max_context_tokens: int | None = None
    session: str | None = None
    metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Options:
        """Make the options of a call. Raises TypeError that names the near miss of an unknown keyword."""
        unknown = [name for name in given if name not in _NAMES]
        if unknown:
            near = difflib.get_close_matches(unknown[0], _NAMES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it takes {', '.join(_NAMES)}"
            raise TypeError(f"unknown keyword {unknown[0]!r}{hint}")
        options = cls(**given)
        if options.cache is not None and options.cache not in CACHE_MODES:
            raise InvalidRequestError(f"cache={options.cache!r}: expected one of {', '.join(CACHE_MODES)}")
        return options


_NAMES: Final = tuple(each.name for each in dataclasses.fields(Options))
_NO_OPTIONS: Final = Options()


@dataclass(frozen=True, slots=True)
class Call:
    """What the pipeline works on: the plan, the conversation and the options, checked and in our types."""

    plan: RoutePlan
    messages: tuple[Message, ...]
    options: Options
    deadline_s: float
    schema: Schema | None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    needs: frozenset[str] = frozenset()
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cache(self) -> CachePolicy | None:
        """The cache policy of this call; None when it neither reads nor writes the cache."""
        skipped = self.options.cache == "bypass" or (self.options.cache != "only" and playback.skips_cache())
        return None if skipped else self.plan.cache

    def timeouts(self, rung: RungPlan) -> Timeouts:
        """Return the rung's limits with the call's own over them."""
        timeout = self.options.timeout
        if timeout is None:
            return rung.timeouts
        if not isinstance(timeout, Mapping):
            return dataclasses.replace(rung.timeouts, attempt=_seconds("timeout", timeout))
        limits = {name: _seconds(f"timeout[{name!r}]", value) for name, value in timeout.items()}
        watched = rung.timeouts.watched or bool(limits.keys() & {"first_token", "idle"})
        try:
            return dataclasses.replace(rung.timeouts, watched=watched, **limits)
        except TypeError:
            known = "connect, attempt, first_token, idle, total"
            raise InvalidRequestError(f"timeout={dict(timeout)!r}: expected the keys {known}") from None

    def params(self, rung: RungPlan) -> Params:
        """Return the rung's parameters with the call's own over them, and output capped by the token budget."""
        cap, most = self.plan.budget.output, rung.params.max_tokens
        if not self.overrides and not rung.refused and (cap is None or (most is not None and most <= cap)):
            return rung.params
        merged = dataclasses.replace(rung.params, **self.overrides)
        if self.options.extra:
            merged = dataclasses.replace(merged, extra={**rung.params.extra, **self.options.extra})
        if cap is not None and (merged.max_tokens is None or merged.max_tokens > cap):
            merged = dataclasses.replace(merged, max_tokens=cap)
        refused: dict[str, Any] = dict.fromkeys(rung.refused)
        return dataclasses.replace(merged, **refused) if refused else merged

    def embedding(self) -> Call:
        """Return this call as one for vectors."""
        return dataclasses.replace(self, needs=frozenset({"embeddings"}))

    def request(self, rung: RungPlan, messages: tuple[Message, ...]) -> Request:
        """Return what `rung` asks its provider, `messages` being the history as fitted for it."""
        return Request(
            model=rung.model,
            messages=messages,
            params=self.params(rung),
            tools=self.tools,
            tool_choice=self.tool_choice,
            schema=self.schema,
            prompt_cache=self.plan.prompt_cache,
            session=self.options.session,
        )


def make_call(plan: RoutePlan, messages: MessagesLike, given: Mapping[str, Any]) -> Call:
    """Check and normalise what the caller passed. Raises TypeError or InvalidRequestError; does no I/O."""
    options = Options.parse(given) if given else _NO_OPTIONS
    conversation = _with_system(normalize(messages), options.system, plan.system)
    tools, tool_choice = _tools(options)
    schema = _schema(options, plan)
    if options.cache == "only" and plan.cache is None:
        raise CacheMissError(f"cache='only': route {plan.name!r} keeps no cache; give it `cache: {{ttl: 24h}}`")
    return Call(
        plan=plan,
        messages=conversation,
        options=options,
        deadline_s=plan.deadline_s if options.deadline is None else _seconds("deadline", options.deadline),
        schema=schema,
        tools=tools,
        tool_choice=tool_choice,
        needs=_needs(conversation, tools, schema),
        overrides=_overrides(options) if given else {},
    )


def _with_system(messages: tuple[Message, ...], asked: str | None, default: str | None) -> tuple[Message, ...]:
    """Put the system prompt first: the call's own; else the conversation's; else the route's default."""
    system = asked
    if system is None and default is not None and not any(message.role == "system" for message in messages):
        system = default
    return (Message("system", system), *messages) if system else messages


def _tools(options: Options) -> tuple[tuple[Tool, ...], str | None]:
    if not options.tools:
        return (), None
    from llmrouter.tools import as_tool_choice, as_tools

    tools = as_tools(options.tools)
    return tools, as_tool_choice(options.tool_choice, tools)


def _schema(options: Options, plan: RoutePlan) -> Schema | None:
    if options.schema is None:
        return plan.schema
    from llmrouter.schema import as_schema

    return as_schema(options.schema, Path.cwd())


def _needs(messages: tuple[Message, ...], tools: tuple[Tool, ...], schema: Schema | None) -> frozenset[str]:
    needs = set()
    if tools:
        needs.add("tools")
    if schema is not None:
        needs.add("schema")
    for message in messages:
        if not isinstance(message.content, str):
            needs.update("images" for part in message.content if isinstance(part, Image))
            needs.update("documents" for part in message.content if isinstance(part, Document))
    return frozenset(needs)


def _overrides(options: Options) -> dict[str, Any]:
    names = ("temperature", "top_p", "max_tokens", "seed", "reasoning")
    found = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.stop is not None:
        found["stop"] = (options.stop,) if isinstance(options.stop, str) else tuple(options.stop)
    if options.extra:
        found["extra"] = options.extra
    return found


def _seconds(name: str, value: Any) -> float:
    try:
        return duration(value)
    except ValueError as error:
        raise InvalidRequestError(f"{name}={value!r}: {error}") from None
