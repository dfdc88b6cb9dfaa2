"""The Chat Completions protocol: our request to its body, its answer to our completion.

One codec serves OpenAI and every server that copied the protocol; what they do differently is data in a Dialect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter import shape
from llmrouter.errors import MalformedResponseError, ProviderError
from llmrouter.providers.base import WireReply
from llmrouter.providers.openai_chat_answer import assemble, tool_calls_of, usage_of
from llmrouter.providers.openai_chat_encode import encode_chat
from llmrouter.providers.openai_chat_stream import ChatStreamDecoder, decoder_of
from llmrouter.providers.openai_dialect import OPENAI, Dialect
from llmrouter.providers.openai_embed import decode_embed, encode_embed
from llmrouter.providers.openai_errors import failure, request_id
from llmrouter.types import Completion, Request, Usage


class ChatCodec:
    """Pure translation between our types and Chat Completions, for the provider named `name`."""

    def __init__(self, name: str, dialect: Dialect = OPENAI) -> None:
        self.name, self.dialect = name, dialect
        self.embed_batch = dialect.embed_batch
        self.makes_up = frozenset() if dialect.native_schema else frozenset({"schema"})  # in the prompt's words

    def encode(self, request: Request) -> dict[str, Any]:
        """Return the wire body of a complete answer."""
        return encode_chat(request, self.name, self.dialect)

    def streaming(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return `body` asking for a stream, with usage in its last chunk."""
        streamed = {**body, "stream": True}
        if self.dialect.stream_options:
            streamed["stream_options"] = {"include_usage": True, **shape.mapping(body.get("stream_options"))}
        return streamed

    def decode(self, reply: WireReply) -> Completion:
        """Read a complete answer. Raises MalformedResponseError, or the error that a 200 body reports."""
        body = reply.body
        choices = shape.mappings(shape.mapping(body).get("choices"))
        if not choices:
            if shape.mapping(body).get("error") or shape.mapping(body).get("object") == "error":
                raise failure(None, reply.headers, body)
            raise MalformedResponseError("the answer has no `choices`", body=body)
        choice = choices[0]
        if choice.get("error"):  # OpenRouter: the provider behind it failed after the 200
            raise failure(None, reply.headers, choice)
        message = shape.mapping(choice.get("message"))
        if not message and choice.get("finish_reason") != "content_filter":
            raise MalformedResponseError("the answer's first choice has no `message`", body=body)
        return assemble(
            message=message,
            calls=tool_calls_of(message, shape.text(body.get("id"))),
            finish=choice.get("finish_reason"),
            model=shape.text(body.get("model")),
            usage=usage_of(body),
            logprobs=choice.get("logprobs"),
            request_id=request_id(reply.headers, body),
            raw=body,
            name=self.name,
            dialect=self.dialect,
        )

    def usage(self, reply: WireReply) -> Usage | None:
        """Return the usage that an answer reports, whatever else is wrong with it; None when it reports none."""
        return usage_of(shape.mapping(reply.body))

    def decoder(self, headers: Mapping[str, str]) -> ChatStreamDecoder:
        """Return a decoder for a stream whose response had these headers."""
        return decoder_of(self.name, self.dialect, headers)

    def error(self, status: int, headers: Mapping[str, str], body: bytes | str | Any) -> ProviderError:
        """Classify a failed response."""
        return failure(status, headers, body)

    def encode_embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:
        """Return the wire body of one embedding batch."""
        return encode_embed(self.dialect, model, texts, dimensions)

    def decode_embed(self, reply: WireReply) -> tuple[list[list[float]], Usage]:
        """Read one embedding batch."""
        return decode_embed(reply)
