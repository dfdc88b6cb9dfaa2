"""The plain facts of one answer, which each protocol puts in its own words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tests.servers.http1 import Request
from tests.servers.replies import Reply, json_reply, sse

Finish: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]
Failure: TypeAlias = Literal[
    "rate_limit",  # passes; carries its wait when one is given
    "quota",  # a 429 that does not pass
    "server",  # 500
    "overloaded",  # 503 or 529
    "context_length",
    "content_filter",
    "bad_request",
    "prefill",  # a conversation that ends with the assistant
    "authentication",
    "permission",
    "not_found",
]
CREATED = 1_790_000_000  # Unix seconds, the moment every answer claims to be from


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of an answer. `arguments` as text is sent as it is, valid JSON or not."""

    name: str = "weather"
    arguments: Mapping[str, Any] | str = field(default_factory=lambda: {"city": "Oslo"})
    id: str = "call_1"

    @property
    def json(self) -> str:
        """The arguments as the model wrote them."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says and what it cost, in tokens.

    `input_tokens` is the whole prompt, `cache_read` and `cache_write` parts of it; `output_tokens` is everything
    generated, `reasoning_tokens` its hidden part. `model` None: the one that was asked.
    """

    text: str = "The answer is forty-two."
    model: str | None = None
    calls: tuple[Call, ...] = ()
    finish: Finish | None = None  # None: stop, or tool_calls when there are calls
    input_tokens: int = 12
    output_tokens: int = 7
    cache_read: int = 0
    cache_write: int = 0
    reasoning_tokens: int = 0
    reasoning: str = ""
    usage: bool = True  # False: the provider reports none

    @property
    def words(self) -> list[str]:
        """The text in the pieces that a stream brings: word by word, spaces kept."""
        return re.findall(r"\s*\S+|\s+$", self.text)

    @property
    def ended(self) -> Finish:
        """Why the answer ends."""
        return self.finish or ("tool_calls" if self.calls else "stop")

    @property
    def uncached(self) -> int:
        """The part of the prompt that no cache was involved in."""
        return self.input_tokens - self.cache_read - self.cache_write


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failed response: status, headers and body."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def reply(self) -> Reply:
        """The reply that a fault server sends."""
        return json_reply(self.body, self.status, self.headers)


@dataclass(frozen=True)
class Protocol:
    """One wire protocol, as a provider speaks it. Each instance lives in the module of its protocol.

    `body(answer, model)` is the complete answer, `events(answer, model)` the events of the stream (bytes, one whole
    event each, the terminal one last), `trouble(kind, retry_after)` a failure, `embedding(vectors, asked, tokens)` the
    answer to the embedding request `asked`, `error_event(kind)` a failure inside a stream that has begun.
    """

    name: str  # openai, responses, anthropic, google
    kind: str  # of the provider entry
    target: str  # a target of this protocol: provider/model
    root: str  # what the base URL of a server ends with
    headers: Mapping[str, str]
    body: Callable[[Answer, str], dict[str, Any]]
    events: Callable[[Answer, str], list[bytes]]
    trouble: Callable[[Failure, float | None], Trouble]
    error_event: Callable[[Failure], bytes]
    embedding: Callable[[Sequence[Sequence[float]], Mapping[str, Any], int], dict[str, Any]] | None = None

    @property
    def model(self) -> str:
        """The model of `target`."""
        return self.target.partition("/")[2]

    def chunks(self, answer: Answer | str = "") -> list[bytes]:
        """The stream of an answer, event by event."""
        answer = as_answer(answer)
        return self.events(answer, answer.model or self.model)

    def reply(self, answer: Answer | str = "") -> Callable[[Request], Reply]:
        """Answer a request with `answer`, streamed when the request asks for a stream."""
        facts = as_answer(answer)

        def respond(request: Request) -> Reply:
            model = facts.model or request.model or self.model
            if request.streamed:
                return sse(self.events(facts, model), self.headers)
            return json_reply(self.body(facts, model), headers=self.headers)

        return respond

    def stream(self, answer: Answer | str = "") -> Reply:
        """The stream of `answer`, whatever is asked; spoil it with the verbs of Reply."""
        return sse(self.chunks(answer), self.headers)

    def complete(self, answer: Answer | str = "") -> Reply:
        """The whole of `answer`, whatever is asked."""
        facts = as_answer(answer)
        return json_reply(self.body(facts, facts.model or self.model), headers=self.headers)

    def fails(self, kind: Failure, retry_after: float | None = None) -> Reply:
        """A failure of this kind; `retry_after` in seconds, told in the protocol's own way."""
        return self.trouble(kind, retry_after).reply

    def embeds(self, vectors: Sequence[Sequence[float]] | None = None, tokens: int = 4) -> Callable[[Request], Reply]:
        """Answer an embedding request: with these vectors, or with `[n, 0.5]` for its n-th text, from 0."""
        build = self.embedding
        if build is None:
            raise LookupError(f"{self.name} has no embeddings")

        def respond(request: Request) -> Reply:
            asked = request.json
            texts = asked.get("requests") or asked["input"]
            size = 1 if isinstance(texts, str) else len(texts)
            found = [[float(n), 0.5] for n in range(size)] if vectors is None else vectors
            return json_reply(build(found, asked, tokens), headers=self.headers)

        return respond

    def provider(self, url: str, **more: Any) -> dict[str, Any]:
        """The entry of `providers:` that makes a router ask the server at `url` in this protocol."""
        extra = {"api": "responses"} if self.name == "responses" else {}
        return {"kind": self.kind, "base_url": url + self.root, "api_key": "test-key", **extra, **more}

    def config(self, url: str, **route: Any) -> dict[str, Any]:
        """A whole configuration with one route, `r`, whose one rung asks the server at `url`; `route` adds keys."""
        name = self.target.partition("/")[0]
        routes = {"r": {"model": self.target, **route}}
        return {"version": 1, "providers": {name: self.provider(url)}, "routes": routes}


def as_answer(answer: Answer | str) -> Answer:
    """Take plain text for an answer; empty text is the default answer."""
    if isinstance(answer, Answer):
        return answer
    return Answer(text=answer) if answer else Answer()


def data(event: Any, name: str | None = None) -> bytes:
    """One server-sent event with a JSON payload, and its name where the protocol names events."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(event, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()


def halves(text: str) -> Iterator[str]:
    """Cut a text in two pieces, as streams do with the arguments of tools."""
    middle = len(text) // 2
    yield from (text[:middle], text[middle:])
