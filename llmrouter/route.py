"""One route as an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from llmrouter.explain import Plan
from llmrouter.pipeline.options import ChatOptions, PlainOptions
from llmrouter.streams import AsyncStream, Stream
from llmrouter.types import Embeddings, MessagesLike, Response

if TYPE_CHECKING:
    from llmrouter.router import AsyncRouter, Router

ParsedT = TypeVar("ParsedT")
RouterT = TypeVar("RouterT")


class Route(Generic[RouterT]):
    """One route as an object: `chat`, `stream`, `embed` and `explain` without the name."""

    def __init__(self, router: RouterT, name: str) -> None:
        self._router: Any = router
        self.name = name

    @property
    def description(self) -> str:
        """What the file says the route is for."""
        return str(self._router.plan(self.name).description)

    @property
    def targets(self) -> tuple[str, ...]:
        """The chain, in the order of the file."""
        return tuple(rung.target for rung in self._router.plan(self.name).rungs)

    def __repr__(self) -> str:
        return f"Route({self.name!r})"

    @overload
    def chat(
        self: Route[Router], messages: MessagesLike, *, schema: type[ParsedT], **options: Unpack[PlainOptions]
    ) -> Response[ParsedT]: ...
    @overload
    def chat(self: Route[Router], messages: MessagesLike, **options: Unpack[ChatOptions]) -> Response[Any]: ...
    @overload
    async def chat(
        self: Route[AsyncRouter], messages: MessagesLike, *, schema: type[ParsedT], **options: Unpack[PlainOptions]
    ) -> Response[ParsedT]: ...
    @overload
    async def chat(
        self: Route[AsyncRouter], messages: MessagesLike, **options: Unpack[ChatOptions]
    ) -> Response[Any]: ...
    def chat(self, messages: MessagesLike, **options: Any) -> Any:
        """Call the router's `chat` with this route."""
        return self._router.chat(self.name, messages, **options)

    @overload
    def stream(self: Route[Router], messages: MessagesLike, **options: Unpack[ChatOptions]) -> Stream: ...
    @overload
    def stream(self: Route[AsyncRouter], messages: MessagesLike, **options: Unpack[ChatOptions]) -> AsyncStream: ...
    def stream(self, messages: MessagesLike, **options: Any) -> Any:
        """Call the router's `stream` with this route."""
        return self._router.stream(self.name, messages, **options)

    @overload
    def embed(
        self: Route[Router], texts: str | Sequence[str], dimensions: int | None = None, **options: Any
    ) -> Embeddings: ...
    @overload
    async def embed(
        self: Route[AsyncRouter], texts: str | Sequence[str], dimensions: int | None = None, **options: Any
    ) -> Embeddings: ...
    def embed(self, texts: str | Sequence[str], dimensions: int | None = None, **options: Any) -> Any:
        """Call the router's `embed` with this route."""
        return self._router.embed(self.name, texts, dimensions, **options)

    def explain(self, messages: MessagesLike, **options: Unpack[ChatOptions]) -> Plan:
        """Call the router's `explain` with this route."""
        plan: Plan = self._router.explain(self.name, messages, **options)
        return plan
