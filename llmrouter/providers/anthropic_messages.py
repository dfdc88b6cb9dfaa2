"""The Messages protocol: Anthropic itself, its models on Bedrock and Vertex, and vendors that speak the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmrouter import shape
from llmrouter.errors import ProviderError, UnsupportedError
from llmrouter.providers.anthropic_decode import MessagesDecoder, completion_of, usage_of
from llmrouter.providers.anthropic_encode import encode
from llmrouter.providers.anthropic_errors import error_of
from llmrouter.providers.base import WireReply
from llmrouter.types import EMPTY, Completion, Request, Usage


class MessagesCodec:
    """Translates for one provider.

    `origin` is the provider's name in routes.yaml, which tags what only it may get back. `sampling` and
    `inline_system` say what the endpoint takes whatever the model (see `anthropic_encode.encode`); `fixed` is written
    into every body, the place where clouds want their version.
    """

    embed_batch = 0  # Anthropic has no embeddings
    makes_up = frozenset({"schema"})  # a model without structured output answers through a forced tool

    def __init__(
        self, origin: str, *, sampling: bool = True, inline_system: bool = True, fixed: Mapping[str, Any] = EMPTY
    ) -> None:
        self._origin, self._sampling, self._inline_system, self._fixed = origin, sampling, inline_system, fixed

    def encode(self, request: Request) -> dict[str, Any]:
        """Return the wire body of a complete answer."""
        body = encode(request, self._origin, sampling=self._sampling, inline_system=self._inline_system)
        return {**self._fixed, **body} if self._fixed else body

    def streaming(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return `body` as a request for a stream; usage comes unasked."""
        return {**body, "stream": True}

    def decode(self, reply: WireReply) -> Completion:
        """Read a complete answer."""
        return completion_of(reply.body, reply.headers, self._origin)

    def usage(self, reply: WireReply) -> Usage | None:
        """Return the usage that an answer reports, whatever else is wrong with it; None when it reports none."""
        body = shape.mapping(reply.body)
        return usage_of(body.get("usage"), shape.text(body.get("model")))

    def decoder(self, headers: Mapping[str, str]) -> MessagesDecoder:
        """Return the decoder of one stream."""
        return MessagesDecoder(headers, self._origin)

    def error(self, status: int, headers: Mapping[str, str], body: bytes | str | Any) -> ProviderError:
        """Classify a failed response."""
        return error_of(status, headers, body)

    def encode_embed(self, model: str, _texts: Sequence[str], _dimensions: int | None) -> dict[str, Any]:
        """Raise UnsupportedError: there are no embeddings in this protocol."""
        raise UnsupportedError(f"{self._origin}/{model}: Anthropic has no embeddings; route them to another provider")

    def decode_embed(self, _reply: WireReply) -> tuple[list[list[float]], Usage]:
        """Raise UnsupportedError, as `encode_embed` does."""
        raise UnsupportedError(f"{self._origin}: Anthropic has no embeddings; route them to another provider")
