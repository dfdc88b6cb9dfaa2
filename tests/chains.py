"""Chains for tests: one provider entry for each rung, short limits, and one way to ask by `chat` or by `stream`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, TypeVar

import anthropic  # noqa: F401  (the SDKs are imported here, so that no test's short limits pass during an import)
import google.genai  # noqa: F401
import openai  # noqa: F401
import pytest

from llmrouter import StreamInterruptedError
from tests.servers.facts import Protocol
from tests.servers.faults import FaultServer
from tests.servers.http1 import Request
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI
from tests.worlds import Face

ErrorT = TypeVar("ErrorT", bound=BaseException)
Mode: TypeAlias = Literal["chat", "stream"]
Rung: TypeAlias = tuple[Protocol, FaultServer | str]

THREE = (OPENAI, ANTHROPIC, GOOGLE)
NAMES = ("first", "second", "third", "fourth")
SHORT: dict[str, Any] = {
    "retry": {"attempts": 3, "initial": "5ms", "max": "20ms"},
    "timeouts": {"attempt": "2s", "connect": "1s"},
    "deadline": "5s",
}
PRICE = {"input": 1.0, "output": 10.0}  # USD per million tokens
WORDS = " ".join(f"w{number:02}" for number in range(60))

each_protocol = pytest.mark.parametrize("protocol", THREE, ids=lambda protocol: protocol.name)
each_mode = pytest.mark.parametrize("mode", ["chat", "stream"])


def another_than(protocol: Protocol) -> Protocol:
    """Return another protocol, for the rung that follows."""
    return THREE[(THREE.index(protocol) + 1) % 3]


def chain(*rungs: Rung, **route: Any) -> dict[str, Any]:
    """Return a configuration whose route `r` asks `first/...`, then `second/...`, each at its own server or URL."""
    urls = [server if isinstance(server, str) else server.url for _, server in rungs]
    named = [(name, protocol, url) for name, (protocol, _), url in zip(NAMES, rungs, urls, strict=False)]
    model, *fallbacks = (f"{name}/{protocol.model}" for name, protocol, _ in named)
    return {
        "version": 1,
        "providers": {name: protocol.provider(url) for name, protocol, url in named},
        "defaults": SHORT,
        "prices": {f"{name}/*": PRICE for name, _, _ in named},
        "routes": {"r": {"model": model, "fallbacks": fallbacks, **route}},
    }


def ask(face: Face, router: Any, mode: Mode, messages: Any = "hello", **options: Any) -> Any:
    """Ask route `r` and return the Response, of a stream the one at its end."""
    if mode == "chat":
        return face.chat(router, "r", messages, **options)
    return face.events(router, "r", messages, **options)[-1].response


def failing(
    expected: type[ErrorT], face: Face, router: Any, mode: Mode, messages: Any = "hello", **options: Any
) -> ErrorT:
    """Ask route `r`, which has to fail with `expected`; return the error."""
    with pytest.raises(expected) as failure:
        ask(face, router, mode, messages, **options)
    return failure.value


def broken_off(face: Face, router: Any, **options: Any) -> tuple[str, StreamInterruptedError]:
    """Iterate a stream of route `r`, which has to break; return the text that was handed out, and the error."""
    received: list[str] = []
    with face.stream(router, "r", "hello", **options) as stream, pytest.raises(StreamInterruptedError) as failure:
        received.extend(stream)
    return "".join(received), failure.value


def outcomes(reply: Any) -> list[tuple[str, str]]:
    """Return the attempts of a response or error as (provider, outcome)."""
    return [(attempt.target.partition("/")[0], attempt.outcome) for attempt in reply.attempts]


def before(chunks: list[bytes], text: str) -> int:
    """Return how many events of a stream come before the one that holds `text`."""
    return next(index for index, chunk in enumerate(chunks) if text.encode() in chunk)


def said(request: Request) -> str:
    """Return a request's body as text, for looking something up in it."""
    return request.body.decode()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail when the block takes longer; where more runs on this machine than it has processors for, in proportion."""
    started = time.monotonic()
    yield
    taken = time.monotonic() - started
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert taken < seconds * crowd, f"took {taken:.2f}s, {seconds * crowd:.2f}s allowed"
