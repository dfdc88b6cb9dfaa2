"""One call: a route's plan with what the caller asks of it this time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from llmrouter.content import HALF, has_half
from llmrouter.errors import CacheMissError, InvalidRequestError
from llmrouter.frozen import quickly_made
from llmrouter.messages import normalize
from llmrouter.pipeline import playback
from llmrouter.pipeline.options import Options
from llmrouter.pipeline.plan import CachePolicy, RoutePlan, RungPlan, Timeouts
from llmrouter.types import (
    EMPTY,
    Document,
    Image,
    Message,
    MessagesLike,
    Params,
    Part,
    Request,
    Schema,
    Text,
    Tool,
)

_NO_OPTIONS: Final = Options()


@quickly_made
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
    overrides: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    @property
    def cache(self) -> CachePolicy | None:
        """The cache policy of this call; None when it neither reads nor writes the cache."""
        skipped = self.options.cache == "bypass" or (self.options.cache != "only" and playback.skips_cache())
        return None if skipped else self.plan.cache

    def timeouts(self, rung: RungPlan) -> Timeouts:
        """Return the rung's limits with the call's own over them."""
        limits = self.options.timeout
        if limits is None:
            return rung.timeouts
        watched = rung.timeouts.watched or bool(limits.keys() & {"first_token", "idle"})
        return dataclasses.replace(rung.timeouts, watched=watched, **limits)

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
    conversation = _with_system(_sendable(normalize(messages)), options.system, plan.system)
    tools, tool_choice = _tools(options)
    schema = _schema(options, plan)
    if options.cache == "only" and plan.cache is None:
        raise CacheMissError(f"cache='only': route {plan.name!r} keeps no cache; give it `cache: {{ttl: 24h}}`")
    return Call(
        plan=plan,
        messages=conversation,
        options=options,
        deadline_s=plan.deadline_s if options.deadline is None else options.deadline,
        schema=schema,
        tools=tools,
        tool_choice=tool_choice,
        needs=_needs(conversation, tools, schema),
        overrides=_overrides(options) if given else EMPTY,
    )


def _sendable(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Refuse text with half of a character in it, which no request could carry."""
    for index, message in enumerate(messages):
        content = message.content
        if (
            isinstance(content, str)
            and content.isascii()
            and not (message.name or message.tool_calls or message.private)
        ):
            continue
        if (place := _place_of_half(message)) is not None:
            advice = "text.encode(errors='replace').decode() replaces it"
            raise InvalidRequestError(f"messages[{index}]{place} holds {HALF}; {advice}")
    return messages


def _place_of_half(message: Message) -> str | None:
    """Return where in a message half of a character is, None where there is none."""
    content = message.content
    if has_half((message.name, content if isinstance(content, str) else tuple(map(_texts, content)))):
        return ""
    calls = ((call.name, call.arguments_json) for call in message.tool_calls)
    places = {"tool_calls": calls, "private": (private.data for private in message.private)}
    halves = (f".{name}[{at}]" for name, each in places.items() for at, data in enumerate(each) if has_half(data))
    return next(halves, None)


def _texts(part: Part) -> tuple[str | None, ...]:
    if isinstance(part, Text):
        return (part.text,)
    return (part.url, part.filename if isinstance(part, Document) else None)


def _with_system(messages: tuple[Message, ...], asked: str | None, default: str | None) -> tuple[Message, ...]:
    """Put the system prompt first: the call's own; else the conversation's; else the route's default."""
    system = asked
    if system is None and default is not None and not any(message.role == "system" for message in messages):
        system = default
    return (Message("system", system), *messages) if system else messages


def _tools(options: Options) -> tuple[tuple[Tool, ...], str | None]:
    if not options.tools and options.tool_choice is None:
        return (), None
    from llmrouter.tools import as_tool_choice, as_tools

    tools = as_tools(options.tools)
    choice = as_tool_choice(options.tool_choice, tools)
    return tools, choice if tools else None  # providers refuse a choice without tools, were it `auto`


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
    names = ("temperature", "top_p", "max_tokens", "stop", "seed", "reasoning")
    found = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.extra:
        found["extra"] = options.extra
    return found
