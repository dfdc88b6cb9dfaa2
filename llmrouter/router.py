"""Router and AsyncRouter: two thin faces over one pipeline."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar, Unpack, overload

from llmrouter.catalogue import ModelInfo
from llmrouter.compile import Compiled, file_stamp
from llmrouter.config.loader import load
from llmrouter.errors import ConfigError, InvalidRequestError, RouteNotFoundError, StreamInterruptedError
from llmrouter.explain import Plan, explain
from llmrouter.pipeline.call import Call, ChatOptions, PlainOptions, make_call
from llmrouter.pipeline.embedding import Embedding
from llmrouter.pipeline.pipeline import Logged, Pipeline
from llmrouter.pipeline.plan import RoutePlan
from llmrouter.pipeline.runtime import END, AsyncioRuntime, BlockingRuntime, End, Runtime, drive
from llmrouter.pipeline.stream import StreamCore
from llmrouter.providers import registry
from llmrouter.store.cache import DiskCache
from llmrouter.tokens.counter import TokenCounter
from llmrouter.tokens.factors import Factors
from llmrouter.types import Embeddings, Event, Message, MessagesLike, Response, Restart, Text, TokenCount

if TYPE_CHECKING:
    from llmrouter.config.models import RoutesConfig

ParsedT = TypeVar("ParsedT")
RouterT = TypeVar("RouterT", bound="_Face")
Source: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | RoutesConfig | None"


class _Face:
    """What both routers have in common: the compiled file, and everything that needs no network."""

    _runtime: Runtime

    def __init__(self, source: Source = None, *, watch: bool = False, environ: Mapping[str, str] | None = None) -> None:
        self._source, self._environ, self._watch = source, environ, watch
        self._reloading = threading.Lock()
        loaded = load(source, environ, kinds=registry.names())
        self._stamp = file_stamp(loaded.path)
        self._compiled = Compiled(loaded)
        config = loaded.config
        folder = loaded.file(config.cache.dir)
        cache = DiskCache(folder, config.cache.size_limit)
        self._pipeline = Pipeline(self._runtime, cache, TokenCounter(Factors(folder)))
        self._embedding = Embedding(self._pipeline)
        self._use_logging()
        self._warn_unusable()

    # -------------------------------------------------------------------------------------- the file

    def reload(self) -> bool:
        """Read the file again and swap it in for the calls that start from now on; return whether that was done.

        A file with mistakes changes nothing: the routes stay as they were, the mistakes are logged as an error and
        kept in `reload_error`. Calls under way finish with the configuration they started with.
        """
        with self._reloading:
            self._stamp = file_stamp(self._compiled.loaded.path)
            try:
                compiled = Compiled(load(self._source, self._environ, kinds=registry.names()), self._compiled)
            except ConfigError as error:
                from loguru import logger

                self.reload_error = error
                logger.error("the edited file is not used, the routes stay as they were\n{}", error)
                return False
            self.reload_error = None
            self._compiled = compiled
        self._use_logging()
        self._warn_unusable()
        return True

    reload_error: ConfigError | None = None
    """Why the last reload did not happen; None when it did."""

    def _current(self) -> Compiled:
        # One stat a call (about a microsecond) instead of a thread: the call after an edit sees the edit.
        if self._watch and file_stamp(self._compiled.loaded.path) != self._stamp:
            self.reload()
        return self._compiled

    def _use_logging(self) -> None:
        section = self._compiled.loaded.config.logging
        if section is not None:
            from llmrouter.observe.log import enable_logging

            enable_logging(section.level)
            self._pipeline.logged = Logged(section.prompts, section.responses)

    def _warn_unusable(self) -> None:
        reasons = self._compiled.unusable()
        if reasons:
            from loguru import logger

            told = "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons.items()))
            logger.warning("targets of these providers are skipped: {}", told)

    # -------------------------------------------------------------------------------------- without network

    @property
    def routes(self) -> Mapping[str, Route[Self]]:
        """The file's routes by name, in the order of the file."""
        return {name: Route(self, name) for name in self._current().plans}

    def plan(self, name: str) -> RoutePlan:
        """Return what a route, or a target string, is compiled into. Raises RouteNotFoundError with near misses."""
        return self._current().plan(name)

    @property
    def total_cost(self) -> float:
        """USD that this router has spent, as far as prices are known; failed attempts that were billed are in it."""
        return self._pipeline.books.total_usd

    def explain(self, route: str, messages: MessagesLike, **options: Unpack[ChatOptions]) -> Plan:
        """Return what a call with the same arguments would do, without any network. Raises as `chat` does."""
        return explain(self._pipeline, self._call(route, messages, options))

    def count_tokens(self, target: str, messages: MessagesLike) -> TokenCount:
        """Return the tokens that `target` (`provider/model`) sees for `messages`; see TokenCount for exactness."""
        from llmrouter.messages import normalize

        return self._pipeline.counter.count(target, normalize(messages))

    def models(self, provider: str | None = None) -> list[ModelInfo]:
        """List the known models of one provider of the file, or of all. Raises RouteNotFoundError for no provider."""
        try:
            return self._current().catalogue.models(provider)
        except KeyError:
            raise RouteNotFoundError(str(provider), sorted(registry.names())) from None

    def model_info(self, target: str) -> ModelInfo:
        """Return what is known of a model: context window, prices, capabilities; None where it is not known."""
        return self._current().catalogue.model_info(target)

    def recommend(
        self,
        needs: Sequence[str] | str = (),
        budget: Any = None,
        max_input_price: float | None = None,
        min_context: int | None = None,
    ) -> list[ModelInfo]:
        """Return the models that have all of `needs`, cheapest first, of the providers that have a key.

        `budget` keeps the cheapest third ("low"), two thirds ("medium") or all ("high") of what fits;
        `max_input_price` is in USD per million tokens, `min_context` in tokens. Raises ValueError for an unknown need.
        """
        compiled = self._current()
        usable = [name for name in compiled.endpoints if compiled.why_unusable(compiled.provider(name)) is None]
        return compiled.catalogue.recommend(
            (needs,) if isinstance(needs, str) else needs, budget, max_input_price, min_context, usable or None
        )

    def _call(self, route: str, messages: MessagesLike, options: Mapping[str, Any]) -> Call:
        plan = self._current().plan(route, options.get("fallbacks"))
        return make_call(plan, messages, options)

    def _embed_call(self, route: str, options: Mapping[str, Any]) -> Call:
        plan = self._current().plan(route)
        allowed = ("timeout", "deadline", "metadata")
        unknown = next((name for name in options if name not in allowed), None)
        if unknown is not None:
            raise TypeError(f"unknown keyword {unknown!r} of embed; it takes dimensions, {', '.join(allowed)}")
        call = make_call(plan, "", options)
        return call.embedding()


def _texts(texts: str | Sequence[str]) -> list[str]:
    found = [texts] if isinstance(texts, str) else list(texts)
    for index, text in enumerate(found):
        if not isinstance(text, str):
            raise InvalidRequestError(f"texts[{index}]: expected text, got {type(text).__name__}")
    return found


class Router(_Face):
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
        return drive(self._embedding.run(call, _texts(texts), dimensions))

    def route(self, name: str) -> Route[Router]:
        """Return the route as an object. Raises RouteNotFoundError with near misses."""
        self.plan(name)
        return Route(self, name)

    def close(self) -> None:
        """Close the connections and write what was learned. The router may be used again, and then reconnects."""
        drive(self._pipeline.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncRouter(_Face):
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
        return await self._embedding.run(call, _texts(texts), dimensions)

    def route(self, name: str) -> Route[AsyncRouter]:
        """Return the route as an object. Raises RouteNotFoundError with near misses."""
        self.plan(name)
        return Route(self, name)

    async def close(self) -> None:
        """Close the running loop's connections and write what was learned."""
        await self._pipeline.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


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


class _OpenStream:
    """What Stream and AsyncStream have in common."""

    def __init__(self, core: StreamCore) -> None:
        self._core = core
        self._handed_out = False

    @property
    def response(self) -> Response[Any]:
        """The whole answer, once the stream has ended. Raises RuntimeError before that."""
        if self._core.response is None:
            raise RuntimeError("the stream has not ended: read it to its end before asking for .response")
        return self._core.response

    @property
    def message(self) -> Message:
        """The answer's message, once the stream has ended."""
        return self.response.message

    def _text(self, event: Event) -> str | None:
        """Return the text of an event for a reader of plain text, to whom nothing can be taken back."""
        if isinstance(event, Restart) and self._handed_out:
            interrupted = StreamInterruptedError(
                f"the stream broke and was started again on {event.target}, but text was already handed out; "
                "read .events() to follow a restart"
            )
            raise interrupted from event.error
        if not isinstance(event, Text):
            return None
        self._handed_out = True
        return event.text

    def __del__(self) -> None:
        if self._core.opened and not self._core.ended:
            self._core.abandon()


class Stream(_OpenStream):
    """An answer as it comes: iterate for text, or over `.events()`; `.response` once ended. Belongs to one thread.

    As a context manager, or by `close()`, the connection is closed at once.
    """

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while (event := drive(self._core.next())) is not END:
            try:
                text = self._text(event)
            except StreamInterruptedError:
                self.close()
                raise
            if text is not None:
                return text
        raise StopIteration

    def events(self) -> Iterator[Event]:
        """Iterate over typed events: Text, Reasoning, ToolCallDelta, Restart, and Done at the end."""
        return _Events(self)

    def close(self) -> None:
        """Drop the stream; nothing happens when it has ended."""
        drive(self._core.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Events:
    """The events of a Stream, which it keeps alive."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event: Event | End = drive(self._stream._core.next())
        if event is END:
            raise StopIteration
        return event


class AsyncStream(_OpenStream):
    """An answer as it comes: `async for` for text, or over `.events()`; `.response` once ended. Belongs to one task.

    Under `async with`, or by `await close()`, the connection is closed at once.
    """

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while (event := await self._core.next()) is not END:
            try:
                text = self._text(event)
            except StreamInterruptedError:
                await self.close()
                raise
            if text is not None:
                return text
        raise StopAsyncIteration

    def events(self) -> AsyncIterator[Event]:
        """Iterate over typed events: Text, Reasoning, ToolCallDelta, Restart, and Done at the end."""
        return _AsyncEvents(self)

    async def close(self) -> None:
        """Drop the stream; nothing happens when it has ended."""
        await self._core.close()

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class _AsyncEvents:
    """The events of an AsyncStream, which it keeps alive."""

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._stream._core.next()
        if event is END:
            raise StopAsyncIteration
        return event
