"""Refuses the internet while a test replays: what slips past the cassette must not reach a provider unnoticed."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from llmrouter.cassettes.matching import CassetteMissError


@contextmanager
def only_private(advice: str) -> Iterator[None]:
    """Refuse connections to public addresses. This machine and its private network stay: databases live there."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def checked(opened: socket.socket, address: Any) -> None:
        if opened.family in (socket.AF_INET, socket.AF_INET6) and _is_public(str(address[0])):
            raise CassetteMissError(
                f"a connection to {address[0]} port {address[1]} was refused: this test replays a cassette, and the "
                f"request went past it\n{advice}"
            )

    def checked_connect(opened: socket.socket, address: Any) -> None:
        checked(opened, address)
        connect(opened, address)

    def checked_connect_ex(opened: socket.socket, address: Any) -> int:
        checked(opened, address)
        return connect_ex(opened, address)

    with (
        patch.object(socket.socket, "connect", checked_connect),
        patch.object(socket.socket, "connect_ex", checked_connect_ex),
    ):
        yield


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_global
    except ValueError:  # a name, which the system would look up while connecting
        return host != "localhost" and any(_is_public(str(found[4][0])) for found in socket.getaddrinfo(host, None))
