"""Is a host there? Name, connection, TLS and one request without a key, within one limit for each probe."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

LIMIT_S: Final = 3.0
_HEAD_BYTES: Final = 16_384  # of an answer; no server needs more before its Date
_PORTS: Final = {"https": 443, "postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379}

KeyT = TypeVar("KeyT")


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of it. `failed` says which step went wrong and how, None when the host answered.

    `clock_s` is how far the host's clock is ahead of ours in seconds, None when it did not say.
    """

    place: str
    seconds: float
    failed: str | None = None
    clock_s: float | None = None


class _StepError(Exception):
    """A step that failed, in words."""


def probe_all(jobs: Mapping[KeyT, Callable[[], Probed]], limit_s: float = LIMIT_S) -> dict[KeyT, Probed]:
    """Run every job at the same time; one that outlives its limit (a name server may) is left behind, and told."""
    found: dict[KeyT, Probed] = {}

    def run(key: KeyT, job: Callable[[], Probed]) -> None:
        with suppress(Exception):  # what a probe did not foresee shows as no answer
            found[key] = job()

    threads = [threading.Thread(target=run, args=job, daemon=True, name="llmrouter-probe") for job in jobs.items()]
    for thread in threads:
        thread.start()
    until = time.monotonic() + limit_s + 0.5
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    silent = Probed("", limit_s, f"no answer within {limit_s:g}s")
    return {key: found.get(key, silent) for key in jobs}


def probe(url: str, proxy: str | None = None, ca_bundle: str | None = None, limit_s: float = LIMIT_S) -> Probed:
    """Reach the host of `url`, through `proxy` if there is one: name, TCP, TLS for https, and a HEAD without a key.

    Of a URL that is not HTTP (a database), only name and TCP.
    """
    parts = urlsplit(url)
    place, began = _place(parts), time.monotonic()
    until = began + limit_s
    try:
        clock = _reach(parts, proxy, ca_bundle, until)
    except _StepError as error:
        return Probed(place, time.monotonic() - began, str(error))
    return Probed(place, time.monotonic() - began, clock_s=clock)


def without_password(url: str) -> str:
    """Return a proxy's URL as it may be shown: scheme, host and port."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return f"{parts.scheme}://{_place(parts)}"


def _place(parts: SplitResult) -> str:
    port = _port(parts)
    return f"{parts.hostname}:{port}"


def _port(parts: SplitResult) -> int:
    with suppress(ValueError):
        if parts.port is not None:
            return parts.port
    return _PORTS.get(parts.scheme.partition("+")[0], 80)


def _reach(parts: SplitResult, proxy: str | None, ca_bundle: str | None, until: float) -> float | None:
    via = urlsplit(proxy) if proxy else None
    with _connected(via or parts, until, "the proxy " if via else "") as plain:
        if via is not None and via.scheme != "http":
            return None  # the proxy itself is there; TLS and SOCKS to it are left to the HTTP library
        if via is not None:
            _tunnel(plain, parts, via, until)
        if parts.scheme == "http":
            return _clock(plain, parts, until)
        if parts.scheme != "https":
            return None  # a database: that it listens is all that can be seen from outside
        with _secured(plain, parts, ca_bundle, until) as secure:
            return _clock(secure, parts, until)


def _connected(parts: SplitResult, until: float, whose: str) -> socket.socket:
    host, port = parts.hostname or "", _port(parts)
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _StepError(f"{whose}name {host} is not known (DNS: {_said(error)})") from None
    last: OSError = OSError("no address")
    for family, kind, protocol, _, address in addresses:
        opened = socket.socket(family, kind, protocol)
        try:
            opened.settimeout(_left(until))
            opened.connect(address)
        except OSError as error:
            opened.close()
            last = error
        else:
            return opened
    raise _StepError(f"{whose}{host}:{port} cannot be connected to (TCP: {_said(last)})")


def _secured(plain: socket.socket, parts: SplitResult, ca_bundle: str | None, until: float) -> ssl.SSLSocket:
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
        plain.settimeout(_left(until))
        return context.wrap_socket(plain, server_hostname=parts.hostname)
    except ssl.SSLCertVerificationError as error:
        raise _StepError(f"its certificate is not trusted (TLS: {error.verify_message})") from None
    except (OSError, ValueError) as error:
        raise _StepError(f"no secure connection (TLS: {_said(error)})") from None


def _tunnel(plain: socket.socket, parts: SplitResult, via: SplitResult, until: float) -> None:
    place = _place(parts)
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if via.username is not None:
        pair = f"{unquote(via.username)}:{unquote(via.password or '')}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}")
    status = _head(plain, lines, until).partition("\r\n")[0].split(" ")
    if len(status) < 2 or not status[1].startswith("2"):
        raise _StepError(f"the proxy refuses the connection (it says {' '.join(status[1:3]) or 'nothing'})")


def _clock(opened: socket.socket, parts: SplitResult, until: float) -> float | None:
    """Return how far the server's clock is ahead; a server that does not answer a bare HEAD is there all the same."""
    asked = ["HEAD / HTTP/1.1", f"Host: {_place(parts)}", "User-Agent: llmrouter-doctor", "Connection: close"]
    try:
        head = _head(opened, asked, until)
    except _StepError:
        return None
    now = time.time()
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "date":
            with suppress(ValueError):
                return parsedate_to_datetime(value.strip()).timestamp() - now
    return None


def _head(opened: socket.socket, lines: list[str], until: float) -> str:
    try:
        opened.settimeout(_left(until))
        opened.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b""
        while b"\r\n\r\n" not in received and len(received) < _HEAD_BYTES:
            opened.settimeout(_left(until))
            piece = opened.recv(4096)
            if not piece:
                break
            received += piece
    except OSError as error:
        raise _StepError(f"no answer (HTTP: {_said(error)})") from None
    return received.partition(b"\r\n\r\n")[0].decode("latin-1")


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {LIMIT_S:g}s"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
