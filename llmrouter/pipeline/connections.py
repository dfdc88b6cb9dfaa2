"""The SDK clients of one router: opened when first needed, one per provider and event loop, closed by the router."""

from __future__ import annotations

import contextvars
import os
import threading
import weakref
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, TypeAlias

from llmrouter.pipeline.playback import connectable
from llmrouter.pipeline.runtime import Runtime, loop_closed
from llmrouter.providers.base import Client, Provider

_Opening: TypeAlias = tuple[Provider, "Future[Client]"]  # the provider is kept so that its id stays its own


class Connections:
    """Clients by the scope they belong to (a loop, or the blocking world) and the provider that opened them.

    Opening one imports its SDK, which takes a second, and many on a machine that is starved. So it is done by a thread
    of its own: whoever waits for it can stop waiting, and fallbacks are opened while the first rung is being asked.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.forget()
        _forgetful.add(self)

    async def client(self, provider: Provider, *, within: float) -> Client:
        """Return the open client of `provider` for whoever runs now; the first caller has it opened.

        Raises TimeoutError after `within` seconds; it is being opened all the same, for the next caller.
        """
        clients = self._clients.get(self._runtime.scope())
        found = clients.get(id(provider)) if clients is not None else None
        if found is not None and found[1].done():
            return found[1].result()
        opening, first = self._claim(provider)
        if first:
            self._start([(provider, opening)])
        return await self._runtime.wait(opening, within=within)

    def warm(self, providers: Iterable[Provider]) -> None:
        """Open in the background what is not open yet."""
        cold = [(provider, *self._claim(provider)) for provider in providers if not self._is_claimed(provider)]
        mine = [(provider, opening) for provider, opening, first in cold if first]
        if mine:
            self._start(mine)

    def _is_claimed(self, provider: Provider) -> bool:
        clients = self._clients.get(self._runtime.scope())
        return clients is not None and id(provider) in clients

    def _claim(self, provider: Provider) -> tuple[Future[Client], bool]:
        """Return the future client of `provider`, and whether the caller is the one who has to open it."""
        with self._lock:
            clients = self._clients.setdefault(self._runtime.scope(), {})
            found = clients.get(id(provider))
            if found is not None:
                return found[1], False
            opening: Future[Client] = Future()
            opening.set_running_or_notify_cancel()
            clients[id(provider)] = provider, opening
            return opening, True

    def _start(self, mine: list[tuple[Provider, Future[Client]]]) -> None:
        context = contextvars.copy_context()
        opener = threading.Thread(
            target=context.run, args=(self._open_all, mine), name="llmrouter-connect", daemon=True
        )
        try:
            opener.start()
        except RuntimeError:  # the interpreter is on its way out, or the system has no more threads
            self._open_all(mine)

    def _open_all(self, mine: list[tuple[Provider, Future[Client]]]) -> None:
        for provider, opening in mine:
            self._open(provider, opening)

    def _open(self, provider: Provider, opening: Future[Client]) -> None:
        try:
            opening.set_result(connectable(provider).connect(self._runtime.world))
        except BaseException as error:  # noqa: BLE001 - whoever waits for the client gets it
            with self._lock:  # the next caller tries anew
                for clients in self._clients.values():
                    clients.pop(id(provider), None)
            opening.set_exception(error)

    async def close(self) -> None:
        """Close the clients of the running scope; those of other, finished loops have nothing left to close."""
        scope = self._runtime.scope()
        with self._lock:
            clients = self._clients.pop(scope, {})
            for other in [other for other in self._clients if loop_closed(other)]:
                del self._clients[other]
        for _, opening in clients.values():
            await self._runtime.close(await self._runtime.wait(opening, within=None))

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
