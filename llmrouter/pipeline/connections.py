"""The SDK clients of one router: opened when first needed, one per provider and event loop, closed by the router."""

from __future__ import annotations

import contextvars
import os
import threading
import weakref
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from llmrouter.pipeline.playback import connectable
from llmrouter.pipeline.runtime import Runtime, loop_closed
from llmrouter.providers.base import Client, Provider


class _Opening:
    """A client that is being opened, or is open; the provider is kept so that its id stays its own."""

    __slots__ = ("client", "future", "provider")

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.client: Client | None = None  # once it is open
        self.future: Future[Client] = Future()
        self.future.set_running_or_notify_cancel()


class Connections:
    """Clients by the scope they belong to (a loop, or the blocking world) and the provider that opened them.

    Opening one imports its SDK, which takes a second, and many on a machine that is starved. So it is done by a thread
    of its own: whoever waits for it can stop waiting, and fallbacks are opened while the first rung is being asked.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.forget()
        _forgetful.add(self)

    def opened(self, provider: Provider) -> Client | None:
        """Return the client of `provider` for whoever runs now, None where it is not open yet."""
        clients = self._clients.get(self._runtime.scope())
        found = clients.get(id(provider)) if clients is not None else None
        return None if found is None else found.client

    async def client(self, provider: Provider, *, within: float) -> Client:
        """Return the open client of `provider` for whoever runs now; the first caller has it opened.

        Raises TimeoutError after `within` seconds; it is being opened all the same, for the next caller.
        """
        opening, first = self._claim(provider)
        if first:
            self._start([opening])
        return await self._runtime.wait(opening.future, within=within)

    def warm(self, providers: Iterable[Provider]) -> None:
        """Open in the background what is not open yet."""
        claims = [self._claim(provider) for provider in providers]
        mine = [opening for opening, first in claims if first]
        if mine:
            self._start(mine)

    def _claim(self, provider: Provider) -> tuple[_Opening, bool]:
        """Return the opening of `provider`, and whether the caller is the one who has to do it."""
        with self._lock:
            clients = self._clients.setdefault(self._runtime.scope(), {})
            found = clients.get(id(provider))
            if found is not None:
                return found, False
            opening = clients[id(provider)] = _Opening(provider)
            return opening, True

    def _start(self, mine: list[_Opening]) -> None:
        context = contextvars.copy_context()
        opener = threading.Thread(
            target=context.run, args=(self._open_all, mine), name="llmrouter-connect", daemon=True
        )
        try:
            opener.start()
        except RuntimeError:  # the interpreter is on its way out, or the system has no more threads
            self._open_all(mine)

    def _open_all(self, mine: list[_Opening]) -> None:
        for opening in mine:
            self._open(opening)

    def _open(self, opening: _Opening) -> None:
        provider = opening.provider
        try:
            opening.client = connectable(provider).connect(self._runtime.world)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the client gets it
            with self._lock:  # the next caller tries anew
                for clients in self._clients.values():
                    if clients.get(id(provider)) is opening:
                        del clients[id(provider)]
            opening.future.set_exception(error)
        else:
            opening.future.set_result(opening.client)

    async def close(self) -> None:
        """Close the clients of the running scope; those of other, finished loops have nothing left to close."""
        scope = self._runtime.scope()
        with self._lock:
            clients = self._clients.pop(scope, {})
            for other in [other for other in self._clients if loop_closed(other)]:
                del self._clients[other]
        for opening in clients.values():
            await self._runtime.close(await self._runtime.wait(opening.future, within=None))

    def forget(self) -> None:
        """Drop every client without closing it: after a fork, the connections belong to the parent."""
        self._lock = threading.Lock()
        self._clients: weakref.WeakKeyDictionary[Any, dict[int, _Opening]] = weakref.WeakKeyDictionary()


_forgetful: weakref.WeakSet[Connections] = weakref.WeakSet()


def _after_fork() -> None:
    for connections in list(_forgetful):
        connections.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
