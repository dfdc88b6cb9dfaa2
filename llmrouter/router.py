"""Router and AsyncRouter: two thin faces over one pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Unpack, overload

from llmrouter.base_router import BaseRouter, Source, texts_of
from llmrouter.closing import AsyncClosing, Closing
from llmrouter.pipeline.options import ChatOptions, PlainOptions
from llmrouter.pipeline.runtime import AsyncioRuntime, BlockingRuntime, drive
from llmrouter.pipeline.stream import StreamCore
from llmrouter.route import Route
from llmrouter.streams import AsyncStream, Stream
from llmrouter.types import Embeddings, MessagesLike, Response

ParsedT = TypeVar("ParsedT")


class Router(BaseRouter, Closing):
    """Routes for blocking code. May be shared by threads; after a fork each process opens its own connections.

    `source` is a path, a dict or a RoutesConfig; None means $LLMROUTER_ROUTES, then ./routes.yaml, then plain defaults.
    With `watch`, an edit of the file holds from the next call on. `environ` stands for the environment, None for the
    real one. Raises ConfigError with every mistake of the file.
    """

    def __init__(self, source: Source = None, *, watch: bool = False, environ: Mapping[str, str] | None = None) -> None:
        self._runtime = BlockingRuntime()
        super().__init__(source, watch=watch, environ=environ)

    @overload
    def chat(
        self, route: str, messages: MessagesLike, *, schema: type[ParsedT], **options: Unpack[PlainOptions]
    ) -> Response[ParsedT]: ...
    @overload
    def chat(self, route: str, messages: MessagesLike, **options: Unpack[ChatOptions]) -> Response[Any]: ...
    def chat(self, route: str, messages: MessagesLike, **options: Any) -> Response[Any]:
        """Ask a route, or a target string, and return the answer.

        `options` are overrides for this call alone: system, temperature, top_p, max_tokens, stop, seed, tools,
        tool_choice, schema, reasoning, fallbacks, timeout, deadline, cache, max_context_tokens, session, metadata,
        extra. Raises TypeError for another keyword, and the errors of `llmrouter.errors`.
        """
        return drive(self._pipeline.chat(self._call(route, messages, options)))

    def stream(self, route: str, messages: MessagesLike, **options: Unpack[ChatOptions]) -> Stream:
        """Ask as `chat` does and return the answer as it comes; the request is sent at the first iteration."""
        return Stream(StreamCore(self._pipeline, self._call(route, messages, options)))

    def embed(
        self, route: str, texts: str | Sequence[str], dimensions: int | None = None, **options: Any
    ) -> Embeddings:
        """Return one vector a text, in their order. `dimensions` None leaves the model's own number."""
        call = self._embed_call(route, options)
        return drive(self._embedding.run(call, texts_of(texts), dimensions))

    def route(self, name: str) -> Route[Router]:
        """Return the route as an object. Raises RouteNotFoundError with near misses."""
        self.plan(name)
        return Route(self, name)

    def close(self) -> None:
        """Close the connections and write what was learned. The router may be used again, and then reconnects."""
        drive(self._pipeline.close())


class AsyncRouter(BaseRouter, AsyncClosing):
    """Routes for asyncio code: the same as Router, awaited. One object serves any number of tasks and loops."""

    def __init__(self, source: Source = None, *, watch: bool = False, environ: Mapping[str, str] | None = None) -> None:
        self._runtime = AsyncioRuntime()
        super().__init__(source, watch=watch, environ=environ)

    @overload
    async def chat(
        self, route: str, messages: MessagesLike, *, schema: type[ParsedT], **options: Unpack[PlainOptions]
    ) -> Response[ParsedT]: ...
    @overload
    async def chat(self, route: str, messages: MessagesLike, **options: Unpack[ChatOptions]) -> Response[Any]: ...
    async def chat(self, route: str, messages: MessagesLike, **options: Any) -> Response[Any]:
        """Ask a route, or a target string, and return the answer; see `Router.chat`."""
        return await self._pipeline.chat(self._call(route, messages, options))

    def stream(self, route: str, messages: MessagesLike, **options: Unpack[ChatOptions]) -> AsyncStream:
        """Ask as `chat` does and return the answer as it comes; not awaited itself, `async for` sends the request."""
        return AsyncStream(StreamCore(self._pipeline, self._call(route, messages, options)))

    async def embed(
        self, route: str, texts: str | Sequence[str], dimensions: int | None = None, **options: Any
    ) -> Embeddings:
        """Return one vector a text, in their order; batches are sent side by side."""
        call = self._embed_call(route, options)
        return await self._embedding.run(call, texts_of(texts), dimensions)

    def route(self, name: str) -> Route[AsyncRouter]:
        """Return the route as an object. Raises RouteNotFoundError with near misses."""
        self.plan(name)
        return Route(self, name)

    async def close(self) -> None:
        """Close the running loop's connections and write what was learned."""
        await self._pipeline.close()
