"""One face for both worlds: a test body written once drives a `Router` or an `AsyncRouter`.

    def test_a_reply_has_text(face: Face) -> None:
        with face.router(config) as router:
            assert face.chat(router, "r", "hello").content == "hello"

In the async world everything runs on one event loop that lives as long as the test; the face fails the test when a
task is still alive at its end.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

World: TypeAlias = Literal["sync", "async"]
Outcome: TypeAlias = Any  # what a call returned, or the exception it raised


class Face:
    """The router's calls, made in one world. `router` arguments are whatever `router()` handed out."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._runner = asyncio.Runner() if world == "async" else None

    # -------------------------------------------------------------------------------------------- routers

    @contextmanager
    def router(self, config: Any = None, **options: Any) -> Iterator[Any]:
        """Open a router of this world on `config` (a dict, a path, a RoutesConfig), and close it at the end."""
        from llmrouter import AsyncRouter, Router

        if self._runner is None:
            with Router(config, **options) as router:
                yield router
            return
        opened = self.run(AsyncRouter, config, **options)
        self.run(opened.__aenter__)
        try:
            yield opened
        finally:
            self.run(opened.__aexit__, None, None, None)

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `function`; what it returns is awaited in the async world if it can be."""
        if self._runner is None:
            return function(*args, **kwargs)

        async def called() -> Any:
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return self._runner.run(called())

    def chat(self, router: Any, *args: Any, **options: Any) -> Any:
        """`router.chat(...)`."""
        return self.run(router.chat, *args, **options)

    def embed(self, router: Any, *args: Any, **options: Any) -> Any:
        """`router.embed(...)`."""
        return self.run(router.embed, *args, **options)

    # -------------------------------------------------------------------------------------------- streams

    def stream(self, router: Any, *args: Any, **options: Any) -> Streaming:
        """`router.stream(...)`, to be iterated, asked for `.events()`, closed."""
        return Streaming(self, self.run(router.stream, *args, **options))

    def text(self, router: Any, *args: Any, **options: Any) -> list[str]:
        """Read a stream to its end; return its pieces of text."""
        with self.stream(router, *args, **options) as stream:
            return list(stream)

    def events(self, router: Any, *args: Any, **options: Any) -> list[Any]:
        """Read a stream to its end; return its events."""
        with self.stream(router, *args, **options) as stream:
            return list(stream.events())

    # -------------------------------------------------------------------------------------------- many at once

    def at_once(self, calls: Sequence[Callable[[], Any]]) -> list[Outcome]:
        """Make all calls at the same time, in threads or tasks; return results and exceptions in order.

        A call is a function without arguments, such as `partial(router.chat, "r", "hello")`.
        """
        if self._runner is None:
            return _in_threads(calls)

        async def made(call: Callable[[], Any]) -> Outcome:
            return await call()

        async def gathered() -> list[Outcome]:
            return list(await asyncio.gather(*(made(call) for call in calls), return_exceptions=True))

        return self._runner.run(gathered())

    # -------------------------------------------------------------------------------------------- the end

    def close(self) -> list[str]:
        """End the world; return the tasks that somebody left running in it."""
        if self._runner is None:
            return []
        try:
            return self._runner.run(_tasks_left())
        finally:
            self._runner.close()


class Streaming:
    """A stream of either world, read from plain code. Iterating it gives text."""

    def __init__(self, face: Face, stream: Any) -> None:
        self._face = face
        self.stream = stream  # the Stream or AsyncStream itself

    def __iter__(self) -> Iterator[str]:
        return self._each(self.stream)

    def events(self) -> Iterator[Any]:
        """Give typed events instead of text."""
        return self._each(self.stream.events())

    @property
    def response(self) -> Any:
        """The whole answer, once the stream has ended."""
        return self.stream.response

    def close(self) -> None:
        """Close the connection, wherever the stream is."""
        self._face.run(self.stream.close if self._face.world == "sync" else self.stream.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _each(self, stream: Any) -> Iterator[Any]:
        if self._face.world == "sync":
            yield from stream
            return
        iterator = aiter(stream)
        while (item := self._face.run(anext, iterator, _END)) is not _END:
            yield item


_END = object()


def _in_threads(calls: Sequence[Callable[[], Any]]) -> list[Outcome]:
    start = threading.Barrier(len(calls))

    def outcome(call: Callable[[], Any]) -> Outcome:
        start.wait()
        try:
            return call()
        except Exception as error:  # noqa: BLE001  (it is the result, as with asyncio.gather)
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


async def _tasks_left() -> list[str]:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=1.0)
    return sorted(repr(task) for task in others if not task.done())
