"""The seam between the pipeline and a provider: a pure codec, and a thin client over the official SDK.

A codec translates between our types and one wire protocol; it imports no SDK and does no I/O. A client opens the SDK
with its retries off and carries bodies; it decides nothing. A provider pairs them for one entry of `providers:`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from llmrouter.errors import LLMRouterError, ProviderError
from llmrouter.frozen import quickly_made
from llmrouter.types import EMPTY, Completion, Delta, Request, Secret, Usage

World: TypeAlias = Literal["sync", "async"]


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One entry of `providers:`, keys resolved. None means: the SDK's or the kind's own default."""

    name: str
    kind: str
    base_url: str | None = None
    api_key: Secret | None = None
    api: str | None = None  # chat or responses
    api_version: str | None = None
    organization: str | None = None
    project: str | None = None
    region: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    max_connections: int = 100
    keepalive: int = 20
    proxy: str | None = None
    ca_bundle: str | None = None
    token: Secret | None = None  # a bearer token that stands in the key's place (Entra ID)
    key_variables: tuple[str, ...] = ()  # environment variables that could hold the key, for messages

    def no_key(self) -> str:
        """Return what to tell somebody who has given no key."""
        variables = " or ".join(self.key_variables)
        way = f"set {variables} (environment or .env), or api_key" if variables else "set api_key"
        return f"no key: {way} in providers.{self.name}"


@quickly_made
@dataclass(frozen=True, slots=True)
class WireTimeouts:
    """Limits of one request, in seconds, for the SDK's `timeout=`; the pipeline enforces the attempt's limit itself.

    `pool` is for a free connection where all are in use; None: as `read`, which is longer for a stream than its
    first token may take.
    """

    connect: float
    read: float
    pool: float | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class WireCall:
    """One request as a client sends it: `body` is the JSON body, stream flags included where the call streams."""

    operation: Literal["chat", "embed"]
    model: str
    body: Mapping[str, Any]
    timeouts: WireTimeouts
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)


@quickly_made
@dataclass(frozen=True, slots=True)
class WireReply:
    """A complete answer: the decoded JSON body and the response headers (lower-case names)."""

    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class StreamDecoder(Protocol):
    """Turns the chunks of one stream into deltas. Made anew for each stream; pure.

    `feed` raises ProviderError for an error event inside the stream and MalformedResponseError for garbage.
    `ended` is True once the protocol's terminal event came; the pipeline then stops reading.
    `finish` is called when the stream is over; it returns the whole answer, or raises StreamInterruptedError when the
    provider's terminal event never came.
    `usage_so_far` is what the provider has reported until now, None if nothing, for a stream that is abandoned.
    """

    ended: bool

    def feed(self, chunk: Any) -> Sequence[Delta]:
        """Return the deltas that `chunk` completes."""
        ...

    def finish(self) -> Completion:
        """Return the whole answer."""
        ...

    def usage_so_far(self) -> Usage | None:
        """Return what was reported until now."""
        ...


class Codec(Protocol):
    """Pure translation for one wire protocol.

    A codec may have `makes_up: frozenset[str]`: capabilities that it provides where a model lacks them. It may have
    `usage(reply: WireReply) -> Usage | None`: what an answer reports that `decode` refuses as malformed, since it was
    billed all the same; without it, such an answer is counted.
    """

    embed_batch: int  # most texts in one embedding request; 0: this protocol has no embeddings

    def encode(self, request: Request) -> dict[str, Any]:
        """Return the wire body of a complete (not streamed) answer; its JSON is what the cache key hashes."""
        ...

    def streaming(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return `body` with the flags that ask for a stream with usage."""
        ...

    def decode(self, reply: WireReply) -> Completion:
        """Read a complete answer. Raises MalformedResponseError, or the ProviderError that a 200 body reports."""
        ...

    def decoder(self, headers: Mapping[str, str]) -> StreamDecoder:
        """Return a decoder for a stream whose response had these headers."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes | str | Any) -> ProviderError:
        """Classify a failed response by type, status and code. Header names may have any case."""
        ...

    def encode_embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:
        """Return the wire body of one embedding batch."""
        ...

    def decode_embed(self, reply: WireReply) -> tuple[list[list[float]], Usage]:
        """Read one embedding batch: vectors in the order asked, and usage."""
        ...


class WireStream(Protocol):
    """An open stream: an iterator (sync) or async iterator of chunks that the codec's decoder understands.

    `close()` (sync) or `await close()` (async) drops the connection at once; it may be called twice.
    """

    headers: Mapping[str, str]

    def close(self) -> Any:
        """Drop the connection; may be called twice."""
        ...


class Client(Protocol):
    """A thin wrapper of one SDK client. In the async world each verb returns an awaitable of the same thing.

    SDK exceptions pass through; `Provider.translate` maps them.
    """

    def send(self, call: WireCall) -> WireReply | Awaitable[WireReply]:
        """Ask for a complete answer, or for one batch of vectors."""
        ...

    def open(self, call: WireCall) -> WireStream | Awaitable[WireStream]:
        """Ask for a stream."""
        ...

    def close(self) -> Awaitable[None] | None:
        """Close the connections."""
        ...


class Provider(Protocol):
    """One endpoint with credentials."""

    settings: ProviderSettings
    codec: Codec

    def unusable(self) -> str | None:
        """Return why no request can be sent (a missing key, naming the variables; a missing extra), or None."""
        ...

    def lacks(self, request: Request) -> str | None:
        """Return what `request` needs that this protocol cannot carry at all ("tools", "images", ...), or None."""
        ...

    def connect(self, world: World) -> Client:
        """Open the SDK client, retries off. Imports the SDK."""
        ...

    def translate(self, error: Exception) -> LLMRouterError | None:
        """Map an SDK exception to ours; None when it is not one we know, and then it passes unmapped."""
        ...
