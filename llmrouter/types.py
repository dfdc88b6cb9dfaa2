"""The values that travel through llmrouter: messages, requests, completions, usage, events and responses.

Everything here is frozen, and nothing does I/O.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, Literal, TypeAlias

from typing_extensions import TypeVar

from llmrouter.content import (
    Document as Document,
    Image as Image,
    Part as Part,
    Text as Text,
    media_type_of as media_type_of,
)
from llmrouter.errors import InvalidRequestError
from llmrouter.frozen import quickly_made
from llmrouter.secret import Secret as Secret

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "other"]

EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


# ------------------------------------------------------------------------------------------------ messages


class ToolCall:
    """A tool call that the model asks for: `id`, `name`, and the arguments.

    `arguments_json` is the text as the model wrote it. `arguments` is the dict it decodes to; reading it raises
    InvalidRequestError when the text is not a JSON object.
    """

    __slots__ = ("arguments_json", "id", "name")
    __match_args__ = ("id", "name", "arguments")

    id: str
    name: str
    arguments_json: str

    def __init__(self, id: str, name: str, arguments: Mapping[str, Any] | str = "{}") -> None:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments_json", text)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"ToolCall is frozen: cannot set {name}")

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments, decoded. Raises InvalidRequestError when they are not a JSON object."""
        try:
            decoded = json.loads(self.arguments_json or "{}")
        except ValueError as error:
            raise InvalidRequestError(
                f"the arguments of tool call {self.name!r} are not valid JSON ({error}); the text is in arguments_json"
            ) from None
        if not isinstance(decoded, dict):
            raise InvalidRequestError(f"the arguments of tool call {self.name!r} are not a JSON object")
        return decoded

    def _key(self) -> tuple[str, str, str]:
        return self.id, self.name, self.arguments_json

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ToolCall) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"ToolCall(id={self.id!r}, name={self.name!r}, arguments_json={self.arguments_json!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ToolCall, self._key()


@dataclass(frozen=True, slots=True)
class Private:
    """What one provider needs back verbatim (thinking signatures, reasoning items): sent to `origin`, to nobody else.

    `origin` is the provider's name in routes.yaml; `data` is JSON in that provider's own wire form.
    """

    origin: str
    data: Any


@quickly_made
@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, the same for every provider.

    `content` is text or a tuple of parts. `tool_calls` belongs to an assistant message, `tool_call_id` to a tool
    result, `is_error` marks a tool result that reports a failure. `private` keeps provider-private parts of an
    assistant message.
    """

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    is_error: bool = False
    private: tuple[Private, ...] = ()

    @property
    def text(self) -> str:
        """The text of the message, its text parts joined; images and documents left out."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts: plain text becomes one Text part, empty text none."""
        if isinstance(self.content, str):
            return (Text(self.content),) if self.content else ()
        return self.content

    def private_for(self, origin: str) -> Any:
        """Return the private data of `origin`, or None."""
        return next((private.data for private in self.private if private.origin == origin), None)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. `parameters` is the JSON Schema of its arguments (an object)."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None  # None: the provider's default


@dataclass(frozen=True, slots=True)
class Schema:
    """Structured output: the JSON Schema, its name on the wire, and the pydantic model if one was given."""

    json: Mapping[str, Any]
    name: str = "answer"
    model: Any = None  # type[pydantic.BaseModel] or None


@dataclass(frozen=True, slots=True)
class Params:
    """Sampling parameters; None (or empty) leaves the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning: str | int | None = None  # none, low, medium, high, or a token count
    extra: Mapping[str, Any] = field(default_factory=lambda: EMPTY)  # merged into the wire body as is


@quickly_made
@dataclass(frozen=True, slots=True)
class Request:
    """What one rung asks its provider: everything a codec needs to write the wire body, and nothing else."""

    model: str
    messages: tuple[Message, ...]  # system messages included, in place
    params: Params = Params()
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None  # auto, none, required, or a tool's name
    schema: Schema | None = None
    prompt_cache: str = "auto"  # auto, off, or the name of an explicit provider-side cache
    session: str | None = None


# ------------------------------------------------------------------------------------------------ answers


@quickly_made
@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer in disjoint buckets, the same on every provider.

    `input_tokens` = `uncached_tokens` + `cache_read_tokens` + `cache_write_tokens`. `output_tokens` is everything
    generated; `reasoning_tokens` is its hidden part. `cache_write_1h_tokens` is the part of the cache writes with an
    hour's lifetime. `others` is what the same request used on further models, billed at their own prices.
    `estimated` is True when the provider reported nothing and we counted.
    """

    uncached_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    others: tuple[tuple[str, Usage], ...] = ()

    @property
    def input_tokens(self) -> int:
        """The whole prompt."""
        return self.uncached_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@quickly_made
@dataclass(frozen=True, slots=True)
class Completion:
    """What a codec makes of one provider's answer, before routing facts and prices are added.

    `usage` None: the provider reported none. `model` is the one the provider names. `raw` is the decoded wire body
    (for a stream: its last event that carried usage, or the assembled answer).
    """

    message: Message
    finish_reason: FinishReason
    provider_finish_reason: str | None
    model: str
    usage: Usage | None = None
    reasoning: str | None = None
    logprobs: Any = None
    request_id: str | None = None
    raw: Any = None


@quickly_made
@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to one target, or the reason why a rung was skipped.

    `outcome` is ok, failed, skipped, cached, abandoned or cancelled; `error` the error itself, CancelledError for a
    hedge that lost; `reason` why it was skipped, or where an answer came from that cost nothing (None: the cache;
    `stale`: its expired entry; `shared`: an identical call under way); `seconds` how long it took; `waited_s` the wait
    before it; `usage` and `cost_nano` (nano-USD) are None when nothing was billed or it is unknown.
    """

    target: str
    outcome: str
    error: BaseException | None = None
    reason: str | None = None
    seconds: float = 0.0
    waited_s: float = 0.0
    usage: Usage | None = None
    cost_nano: int | None = None
    request_id: str | None = None

    @property
    def cost_usd(self) -> float | None:
        """`cost_nano` in USD; None when nothing was billed or the price is unknown."""
        return None if self.cost_nano is None else self.cost_nano / 1e9


@dataclass(frozen=True, slots=True)
class Trim:
    """What the token budget removed: token counts before and after, whole messages dropped, characters cut."""

    tokens_before: int
    tokens_after: int
    messages_dropped: int = 0
    characters_cut: int = 0


ParsedT = TypeVar("ParsedT", default=Any)


@quickly_made
@dataclass(frozen=True, slots=True)
class Response(Generic[ParsedT]):
    """The answer to one call, the same for every provider.

    `message` is appended to `messages` for the next turn. `parsed` is the validated structured output, None without a
    schema. `cost_usd` is the price of this answer, None when it is unknown (never 0 for it); what failed attempts cost
    stands in `attempts`. `cached` and `stale` tell of the cache; `latency_s` is the whole call in seconds; `trimmed` is
    None when the token budget removed nothing.
    """

    content: str
    message: Message
    finish_reason: FinishReason
    provider_finish_reason: str | None
    model: str
    target: str
    route: str
    usage: Usage
    cost_usd: float | None
    latency_s: float
    parsed: ParsedT = None  # type: ignore[assignment]
    reasoning: str | None = None
    cached: bool = False
    stale: bool = False
    attempts: tuple[Attempt, ...] = ()
    request_id: str | None = None
    logprobs: Any = None
    trimmed: Trim | None = None
    raw: Any = field(default=None, repr=False)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls the model asks for, in order."""
        return list(self.message.tool_calls)

    @property
    def input_tokens(self) -> int:
        """`usage.input_tokens`."""
        return self.usage.input_tokens

    @property
    def output_tokens(self) -> int:
        """`usage.output_tokens`."""
        return self.usage.output_tokens


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors in the order of the texts, with usage and cost over all batches."""

    vectors: list[list[float]] = field(repr=False)
    model: str
    target: str
    route: str
    usage: Usage
    cost_usd: float | None
    latency_s: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    raw: Any = field(default=None, repr=False)


# ------------------------------------------------------------------------------------------------ events of a stream


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The next piece of the model's visible reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """The next piece of a tool call: `index` tells calls apart, `id` and `name` come once, the arguments in pieces."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments_json: str = ""


@dataclass(frozen=True, slots=True)
class Restart:
    """The stream broke and starts again on `target`: discard what was received so far."""

    target: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Done:
    """The stream is complete; `response` is the whole answer."""

    response: Response[Any]


Delta: TypeAlias = Text | Reasoning | ToolCallDelta  # what a decoder yields
Event: TypeAlias = Text | Reasoning | ToolCallDelta | Restart | Done

MessageLike: TypeAlias = Message | Mapping[str, Any]
MessagesLike: TypeAlias = str | MessageLike | Sequence[MessageLike]


@dataclass(frozen=True, slots=True)
class TokenCount:
    """A number of tokens, and whether it is exact or an estimate."""

    tokens: int
    exact: bool

    def __int__(self) -> int:
        return self.tokens
