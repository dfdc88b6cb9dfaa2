"""The only place that knows whether we block or await.

The pipeline is written once as `async def` and waits only through a Runtime. In the asynchronous world its coroutines
are awaited; in the blocking world `drive` runs them with one `send(None)`, because no verb of BlockingRuntime suspends.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast

from llmrouter.pipeline import playback
from llmrouter.providers.base import World
from llmrouter.providers.thread_bound import Interrupt, bound

T = TypeVar("T")


class End(Enum):
    """The stream is over; StopIteration may not cross a coroutine frame."""

    END = "end"


END: Final = End.END
_LOOK_S: Final = 0.02  # between two looks of a racing thread at whether it has lost


class SuspendedError(RuntimeError):
    """Shared code awaited something that only an event loop could finish."""


Racer: TypeAlias = Callable[[], Coroutine[Any, Any, T]]


class Runtime(Protocol):
    """Every way in which the pipeline may wait. A limit that passes raises TimeoutError; None is no limit."""

    world: World

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass; next to no time in an instant replay."""
        ...

    async def call(self, fn: Callable[..., Any], /, *args: Any, within: float | None) -> Any:
        """Call a client's verb and wait for its result, `within` seconds."""
        ...

    async def next(self, stream: Any, *, within: float | None) -> Any:
        """Return the stream's next chunk, or END."""
        ...

    async def offload(self, fn: Callable[..., T], /, *args: Any) -> T:
        """Call something slow that is not I/O (an import): in the asynchronous world off the loop's thread."""
        ...

    async def close(self, thing: Any) -> None:
        """Close a stream or client now."""
        ...

    async def wait(self, future: Future[T], *, within: float | None) -> T:
        """Wait for a future that another thread or task completes; never cancels it."""
        ...

    async def protect(self, cleanup: Coroutine[Any, Any, None]) -> None:
        """Run `cleanup` to its end even when this task is being cancelled."""
        ...

    def detach(self, cleanup: Coroutine[Any, Any, None]) -> None:
        """Start `cleanup` for a finalizer, which cannot wait for it; where no loop runs any more, it is dropped."""
        ...

    async def gather(self, thunks: Sequence[Callable[[], Coroutine[Any, Any, T]]], *, at_once: int) -> list[T]:
        """Run all and return their results in order; the first failure cancels the rest and is raised."""
        ...

    async def race(
        self, first: Racer[T], second: Racer[T], *, after_s: float, discard: Callable[[T], Coroutine[Any, Any, None]]
    ) -> T:
        """Return the first success of the two; the loser is cut short.

        `second` starts when `first` has not ended after `after_s` seconds; before that, `first` alone decides. A loser
        that succeeded all the same goes to `discard`. When both fail, `first`'s error is raised.
        """
        ...

    def scope(self) -> object:
        """Return what network clients belong to: the running event loop, or this module in the blocking world."""
        ...

    def owner(self) -> object:
        """Return who is running: the current task or thread, so that nobody waits for themselves."""
        ...


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose waits all block instead of suspending; no event loop is involved."""
    try:
        yielded = coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise SuspendedError(f"the blocking pipeline suspended on {yielded!r}: wait through the runtime")


class BlockingRuntime:
    """Waits by blocking the calling thread."""

    world: World = "sync"

    async def sleep(self, seconds: float) -> None:
        """See Runtime."""
        seconds, interrupt = playback.paced(seconds), bound.interrupt
        if interrupt is None:
            time.sleep(seconds)
        elif interrupt.asked.wait(seconds):
            raise _cut_short()

    async def call(self, fn: Callable[..., Any], /, *args: Any, within: float | None) -> Any:
        """See Runtime."""
        before, bound.until = bound.until, None if within is None else time.monotonic() + within
        try:
            return fn(*args)
        except Exception:
            if bound.interrupt is not None and bound.interrupt.asked.is_set():
                raise _cut_short() from None
            raise
        finally:
            bound.until = before

    async def next(self, stream: Any, *, within: float | None) -> Any:
        """See Runtime."""
        return await self.call(next, stream, END, within=within)

    async def offload(self, fn: Callable[..., T], /, *args: Any) -> T:
        """See Runtime."""
        return fn(*args)

    async def close(self, thing: Any) -> None:
        """See Runtime."""
        thing.close()

    async def wait(self, future: Future[T], *, within: float | None) -> T:
        """See Runtime."""
        interrupt = bound.interrupt
        if interrupt is not None:  # only in a race, and nothing wakes a future's waiter but the future
            until = math.inf if within is None else time.monotonic() + within
            while not future.done() and (left_s := until - time.monotonic()) > 0:
                if interrupt.asked.wait(min(_LOOK_S, left_s)):
                    raise _cut_short()
            within = 0.0
        return future.result(within)

    async def protect(self, cleanup: Coroutine[Any, Any, None]) -> None:
        """See Runtime."""
        await cleanup

    def detach(self, cleanup: Coroutine[Any, Any, None]) -> None:
        """See Runtime."""
        drive(cleanup)

    async def gather(self, thunks: Sequence[Callable[[], Coroutine[Any, Any, T]]], *, at_once: int) -> list[T]:
        """See Runtime."""
        del at_once  # a thread that blocks does one thing at a time
        return [await thunk() for thunk in thunks]

    async def race(
        self, first: Racer[T], second: Racer[T], *, after_s: float, discard: Callable[[T], Coroutine[Any, Any, None]]
    ) -> T:
        """See Runtime."""
        from concurrent.futures import FIRST_COMPLETED, wait

        runners = [_Runner(first)]
        try:
            if not wait([runners[0].future], after_s).done:
                runners.append(_Runner(second))
                wait([runner.future for runner in runners], return_when=FIRST_COMPLETED)
            found = _winner(runners, wait)
            for runner in runners:
                runner.drop(discard)
        except BaseException:  # a Ctrl-C too, even between the answer and its return: then nobody has it
            for runner in runners:
                runner.taken = False
                runner.drop(discard)
            raise
        return found

    def scope(self) -> object:
        """See Runtime."""
        return BlockingRuntime

    def owner(self) -> object:
        """See Runtime."""
        return threading.get_ident()


def _cut_short() -> asyncio.CancelledError:
    """Return the error of a thread that lost a race: what became of it has the same name in both worlds."""
    return asyncio.CancelledError("another one was first")


class _Runner(Generic[T]):
    """A coroutine of the blocking world, driven in a thread of its own that can be cut short."""

    def __init__(self, racer: Racer[T]) -> None:
        self.future: Future[T] = Future()
        self.taken = self._discarded = False
        self._racer, self._interrupt = racer, Interrupt()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="llmrouter-race", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        bound.interrupt = self._interrupt
        try:
            self.future.set_result(drive(self._racer()))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the race
            self.future.set_exception(error)

    def drop(self, discard: Callable[[T], Coroutine[Any, Any, None]]) -> None:
        """Cut the thread short unless its result was taken, and wait for it: it has an attempt to book."""
        if self.taken:
            return
        if not self.future.done():
            self._interrupt.ask()
        self._thread.join()
        if self.future.exception() is None and not self._discarded:
            self._discarded = True
            drive(discard(self.future.result()))


def _winner(runners: list[_Runner[T]], wait: Callable[..., Any]) -> T:
    """Return the first success among runners of which at least one has ended; raise the first one's error."""
    pending = list(runners)
    while pending:
        for runner in [runner for runner in pending if runner.future.done()]:
            pending.remove(runner)
            if runner.future.exception() is None:
                runner.taken = True
                return runner.future.result()
        if pending:
            wait([runner.future for runner in pending], return_when="FIRST_COMPLETED")
    runners[0].taken = True
    return runners[0].future.result()


class AsyncioRuntime:
    """Waits by awaiting on the running asyncio loop."""

    world: World = "async"

    def __init__(self) -> None:
        self._detached: set[asyncio.Future[None]] = set()

    async def sleep(self, seconds: float) -> None:
        """See Runtime."""
        await asyncio.sleep(playback.paced(seconds))

    async def call(self, fn: Callable[..., Any], /, *args: Any, within: float | None) -> Any:
        """See Runtime."""
        async with asyncio.timeout(within):
            if _blocks(fn, args):
                found = await asyncio.to_thread(fn, *args)
                return await found if isinstance(found, Awaitable) else found
            return await fn(*args)

    async def next(self, stream: Any, *, within: float | None) -> Any:
        """See Runtime."""
        async with asyncio.timeout(within):
            if getattr(stream, "blocking", False):
                return await asyncio.to_thread(next, stream, END)
            return await anext(stream, END)

    async def offload(self, fn: Callable[..., T], /, *args: Any) -> T:
        """See Runtime."""
        return await asyncio.to_thread(fn, *args)

    async def close(self, thing: Any) -> None:
        """See Runtime."""
        closing = thing.close()
        if isinstance(closing, Awaitable):
            await closing

    async def wait(self, future: Future[T], *, within: float | None) -> T:
        # Shielded: one follower that is cancelled must not cancel what the others wait for.
        """See Runtime."""
        async with asyncio.timeout(within):
            return await asyncio.shield(asyncio.wrap_future(future))

    async def protect(self, cleanup: Coroutine[Any, Any, None]) -> None:
        # The usual reason to clean up is that this task was cancelled: finish first, then obey.
        """See Runtime."""
        task = asyncio.ensure_future(cleanup)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                with suppress(asyncio.CancelledError):  # a scope of anyio cancels again until it is obeyed
                    await asyncio.wait({task})
            raise

    def detach(self, cleanup: Coroutine[Any, Any, None]) -> None:
        """See Runtime."""
        try:
            task = asyncio.ensure_future(cleanup, loop=asyncio.get_running_loop())
        except RuntimeError:  # no loop runs here any more, and with it went the connection
            cleanup.close()
            return
        self._detached.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._detached.discard)

    async def gather(self, thunks: Sequence[Callable[[], Coroutine[Any, Any, T]]], *, at_once: int) -> list[T]:
        """See Runtime."""
        room = asyncio.Semaphore(at_once)

        async def bounded(thunk: Callable[[], Coroutine[Any, Any, T]]) -> T:
            async with room:
                return await thunk()

        tasks = [asyncio.ensure_future(bounded(thunk)) for thunk in thunks]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def race(
        self, first: Racer[T], second: Racer[T], *, after_s: float, discard: Callable[[T], Coroutine[Any, Any, None]]
    ) -> T:
        """See Runtime."""
        tasks = [asyncio.ensure_future(first())]
        try:
            done, _ = await asyncio.wait(tasks, timeout=after_s)
            if done:
                return tasks.pop().result()
            tasks.append(asyncio.ensure_future(second()))
            pending: set[asyncio.Task[T]] = set(tasks)
            while pending:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done() and not task.cancelled() and task.exception() is None:
                        tasks.remove(task)
                        return task.result()
            return tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()
            for lost in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(lost, BaseException):
                    await discard(lost)

    def scope(self) -> object:
        """See Runtime."""
        return asyncio.get_running_loop()

    def owner(self) -> object:
        """See Runtime."""
        return asyncio.current_task()


def _blocks(verb: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether calling a client's verb occupies the thread; a client that can tell says so of a single call."""
    client = getattr(verb, "__self__", None)
    if not getattr(client, "blocking", False):
        return False
    only_awaits = getattr(client, "only_awaits", None)
    return only_awaits is None or not only_awaits(*args)


def loop_closed(scope: object) -> bool:
    """Whether the scope that clients belong to can no longer be used to close them."""
    return isinstance(scope, asyncio.AbstractEventLoop) and scope.is_closed()
