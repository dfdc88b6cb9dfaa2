"""The SDK clients of one router: opened when first needed, one per provider and event loop, closed by the router."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from llmrouter.pipeline.runtime import Runtime, loop_closed
from llmrouter.providers.base import Client, Provider


class Connections:
    """Clients by the scope they belong to (a loop, or the blocking world) and the provider that opened them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._clients: weakref.WeakKeyDictionary[Any, dict[int, tuple[Provider, Client]]] = weakref.WeakKeyDictionary()
        _forgetful.add(self)

    def client(self, provider: Provider) -> Client:
        """Return the open client of `provider` for whoever runs now. Imports its SDK the first time."""
        scope = self._runtime.scope()
        clients = self._clients.get(scope)
        found = clients.get(id(provider)) if clients is not None else None
        if found is not None:
            return found[1]
        with self._lock:
            clients = self._clients.setdefault(scope, {})
            if id(provider) not in clients:
                clients[id(provider)] = provider, provider.connect(self._runtime.world)
            return clients[id(provider)][1]

    async def close(self) -> None:
        """Close the clients of the running scope; those of other, finished loops have nothing left to close."""
        scope = self._runtime.scope()
        with self._lock:
            clients = self._clients.pop(scope, {})
            for other in [other for other in self._clients if loop_closed(other)]:
                del self._clients[other]
        for _, client in clients.values():
            await self._runtime.close(client)

    def forget(self) -> None:
        """Drop every client without closing it: after a fork, the connections belong to the parent."""
        self._lock = threading.Lock()
        self._clients = weakref.WeakKeyDictionary()


_forgetful: weakref.WeakSet[Connections] = weakref.WeakSet()


def _after_fork() -> None:
    for connections in list(_forgetful):
        connections.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
