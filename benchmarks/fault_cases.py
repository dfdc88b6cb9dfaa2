"""Sixteen faults of providers, each with what has to come of it: what `benchmarks.faults` runs.

A case is one function. It builds the servers, asks through the public calls of a router, and asserts; `chat` has to
return a whole answer wherever a rung can give one, `stream` may say that it broke, and neither may ever pass off half
an answer as a whole one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from llmrouter import (
    ContentFilterError,
    ContextLengthError,
    LLMRouterError,
    OverloadedError,
    RateLimitError,
    RequestTimeoutError,
    Restart,
    ServerError,
    StreamInterruptedError,
    Text,
)
from tests.servers.faults import FaultServer, Script
from tests.servers.http1 import Request
from tests.servers.protocols import ANTHROPIC, DONE, GOOGLE, OPENAI, Answer, Protocol
from tests.servers.replies import Reply, reset_before_headers, silence, spoiled, sse
from tests.worlds import Face, World

Mode: TypeAlias = Literal["chat", "stream"]

PROTOCOLS = (OPENAI, ANTHROPIC, GOOGLE)
MODES: tuple[Mode, ...] = ("chat", "stream")
WORLDS: tuple[World, ...] = ("sync", "async")
WORDS = " ".join(f"w{number:02}" for number in range(60))
FORTY = " ".join(WORDS.split()[:40])
PRICE = {"input": 1.0, "output": 10.0}  # USD per million tokens


@dataclass
class Cell:
    """One fault on one protocol, through one call, in one world. `scale` shrinks all times; 1: the public profile."""

    protocol: Protocol
    mode: Mode
    world: World
    scale: float
    folder: Path
    opened: ExitStack = field(default_factory=ExitStack)

    @property
    def other(self) -> Protocol:
        """Another protocol, for the fallback."""
        return PROTOCOLS[(PROTOCOLS.index(self.protocol) + 1) % len(PROTOCOLS)]

    def seconds(self, public: float) -> float:
        """Scale a time of the public profile."""
        return public * self.scale

    def server(self, script: Script) -> FaultServer:
        """Open a server that answers by `script`."""
        return self.opened.enter_context(FaultServer(script))

    @contextmanager
    def router(self, first: FaultServer, second: FaultServer | None = None, **route: Any) -> Iterator[Asker]:
        """Open a router: `first` in the cell's protocol, then `second` in another."""
        servers = [(self.protocol, first)] + ([(self.other, second)] if second is not None else [])
        names = ["first", "second"][: len(servers)]
        targets = [f"{name}/{protocol.model}" for name, (protocol, _) in zip(names, servers, strict=True)]
        config = {
            "version": 1,
            "providers": {
                name: protocol.provider(server.url) for name, (protocol, server) in zip(names, servers, strict=True)
            },
            "defaults": {
                "retry": {"attempts": 3, "initial": self.seconds(0.5), "max": self.seconds(20)},
                "timeouts": {"connect": 5, "attempt": self.seconds(25)},
                "deadline": self.seconds(90),
                "breaker": {"failures": 5, "window": self.seconds(60), "cooldown": self.seconds(30)},
            },
            "prices": {f"{name}/*": PRICE for name in names},
            "cache": {"dir": str(self.folder / "cache")},
            "ledger": {"path": str(self.folder / "usage.db")},
            "routes": {"r": {"model": targets[0], "fallbacks": targets[1:], **route}},
        }
        face = Face(self.world)
        try:
            with face.router(config) as router:
                yield Asker(face, router, self.mode)
        finally:
            left = face.close()
        assert not left, f"tasks left running: {left}"

    def watched(self) -> dict[str, Any]:
        """The limits that make `chat` stream underneath, so that it notices what a stream does."""
        return {"timeouts": {"first_token": self.seconds(10), "idle": self.seconds(10)}}


@dataclass
class Asker:
    """A router of either world, asked by one mode."""

    face: Face
    router: Any
    mode: Mode

    def ask(self) -> Any:
        """Ask, and return the Response: of a stream, after its end."""
        if self.mode == "chat":
            return self.face.chat(self.router, "r", "hello")
        return self.face.events(self.router, "r", "hello")[-1].response

    def fails(self, expected: type[LLMRouterError]) -> Any:
        """Ask, and return the error, which has to be an `expected`."""
        try:
            reply = self.ask()
        except expected as error:
            return error
        raise AssertionError(f"{expected.__name__} was expected, but it answered {reply.content[:40]!r}")

    def broken(self) -> tuple[str, StreamInterruptedError]:
        """Read a stream's text until it breaks; return what was handed out, and the error."""
        received: list[str] = []
        with self.face.stream(self.router, "r", "hello") as stream:
            try:
                received.extend(stream)
            except StreamInterruptedError as error:
                return "".join(received), error
        raise AssertionError(f"a stream that broke ended as if it were whole, after {len(received)} pieces")


def _at(protocol: Protocol, word: str) -> int:
    """Return how many events of the sixty words come before the one with `word`."""
    return next(index for index, chunk in enumerate(protocol.chunks(WORDS)) if word.encode() in chunk)


def _cut(protocol: Protocol) -> Reply:
    return protocol.stream(WORDS).cut_after(_at(protocol, "w40"))


@contextmanager
def _takes(least: float, most: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    taken = time.monotonic() - started
    assert least <= taken <= most, f"took {taken:.2f}s, expected {least:.2f}s to {most:.2f}s"


def _is(what: str, found: Any, expected: Any) -> None:
    assert found == expected, f"{what}: {found!r}, expected {expected!r}"


# ------------------------------------------------------------------------------------------------ 1-4: statuses


def rate_limited_once(cell: Cell) -> None:
    """429 with Retry-After 2, once: waited for, two requests, the fallback is not asked"""
    server = cell.server([cell.protocol.fails("rate_limit", cell.seconds(2)), cell.protocol.reply("Now.")])
    spare = cell.server(())
    with cell.router(server, spare, retry={"attempts": 3}) as asker:
        _is("answer", asker.ask().content, "Now.")
    first, second = server.requests
    assert second.at - first.at >= cell.seconds(2) * 0.99, f"asked again after {second.at - first.at:.2f}s"
    _is("requests to the fallback", len(spare.requests), 0)


def rate_limited_for_ever(cell: Cell) -> None:
    """429 for ever: three requests, then the fallback's whole answer, each attempt listed"""
    limited, healthy = cell.server(cell.protocol.fails("rate_limit")), cell.server(cell.other.reply(WORDS))
    with cell.router(limited, healthy) as asker:
        reply = asker.ask()
    _is("answer", reply.content, WORDS)
    _is("requests", len(limited.requests), 3)
    _is("errors", [type(each.error) for each in reply.attempts], [*[RateLimitError] * 3, type(None)])


def failed_once(cell: Cell) -> None:
    """500 once: asked again on the same target, the fallback is not asked"""
    server, spare = cell.server([cell.protocol.fails("server"), cell.protocol.reply(WORDS)]), cell.server(())
    with cell.router(server, spare) as asker:
        _is("answer", asker.ask().content, WORDS)
    _is("requests", (len(server.requests), len(spare.requests)), (2, 0))


def overloaded_for_ever(cell: Cell) -> None:
    """503 for ever: three requests, then the fallback's whole answer"""
    busy, healthy = cell.server(cell.protocol.fails("overloaded")), cell.server(cell.other.reply(WORDS))
    with cell.router(busy, healthy) as asker:
        reply = asker.ask()
    _is("answer", reply.content, WORDS)
    _is("errors", [type(each.error) for each in reply.attempts], [*[OverloadedError] * 3, type(None)])


# ------------------------------------------------------------------------------------------------ 5-7: connections


def reset(cell: Cell) -> None:
    """connection reset before the headers: asked again on the same target"""
    server = cell.server([reset_before_headers(), cell.protocol.reply(WORDS)])
    with cell.router(server) as asker:
        _is("answer", asker.ask().content, WORDS)
    _is("requests", len(server.requests), 2)


def silent(cell: Cell) -> None:
    """accepted, then silence: asked once, left at its limit, the fallback answers within the deadline"""
    dead, healthy = cell.server(silence(300)), cell.server(cell.other.reply(WORDS))
    limit = cell.seconds(20 if cell.mode == "stream" else 25)  # first_token 20s holds for a stream
    route = {"timeouts": {"first_token": cell.seconds(20)}} if cell.mode == "stream" else {}
    with cell.router(dead, healthy, **route) as asker, _takes(limit * 0.95, limit + 3):
        reply = asker.ask()
    _is("answer", reply.content, WORDS)
    _is("requests", len(dead.requests), 1)
    _is("error", type(reply.attempts[0].error), RequestTimeoutError)


def late(cell: Cell) -> None:
    """first token after 20 s where 10 s are allowed: left after 10 s, the fallback answers"""
    slow = cell.protocol.stream(WORDS).stalled(_at(cell.protocol, "w00"), cell.seconds(20))
    server, healthy = cell.server(slow), cell.server(cell.other.reply(WORDS))
    bounds = cell.seconds(10) * 0.95, cell.seconds(10) + 3
    with cell.router(server, healthy, **cell.watched()) as asker, _takes(*bounds):
        reply = asker.ask()
    _is("answer", reply.content, WORDS)
    _is("limit", getattr(reply.attempts[0].error, "limit", None), "first_token")


# ------------------------------------------------------------------------------------------------ 8-11: streams


def cut(cell: Cell) -> None:
    """cut after 40 of 60 words: chat gives the fallback's sixty; a stream raises with exactly the forty"""
    server, healthy = cell.server(_cut(cell.protocol)), cell.server(cell.other.reply(WORDS))
    with cell.router(server, healthy, **cell.watched()) as asker:
        if cell.mode == "chat":
            _is("answer", asker.ask().content, WORDS)
            return
        received, error = asker.broken()
    _is("received and partial", (received, error.partial), (FORTY, FORTY))


def stalled(cell: Cell) -> None:
    """silence of 30 s after 40 words: noticed after `idle` (10 s); then as a cut"""
    stalls = cell.protocol.stream(WORDS).stalled(_at(cell.protocol, "w40"), cell.seconds(30))
    server, healthy = cell.server(stalls), cell.server(cell.other.reply(WORDS))
    bounds = cell.seconds(10) * 0.95, cell.seconds(10) + 3
    with cell.router(server, healthy, **cell.watched()) as asker, _takes(*bounds):
        if cell.mode == "chat":
            _is("answer", asker.ask().content, WORDS)
            return
        received, error = asker.broken()
    _is("received and partial", (received, error.partial), (FORTY, FORTY))


def garbage(cell: Cell) -> None:
    """an event that is no JSON: before the first word asked again; after it never a whole answer"""
    chunks = cell.protocol.chunks(WORDS)
    early = sse(spoiled(chunks, _at(cell.protocol, "w00")), cell.protocol.headers)
    amid = sse(spoiled(chunks, _at(cell.protocol, "w40")), cell.protocol.headers)
    server, healthy = cell.server([early, cell.protocol.reply(WORDS), amid]), cell.server(cell.other.reply(WORDS))
    with cell.router(server, healthy, retry={"attempts": 2}, **cell.watched()) as asker:
        _is("answer", asker.ask().content, WORDS)
        _is("requests", (len(server.requests), len(healthy.requests)), (2, 0))
        server.script(amid)
        if cell.mode == "chat":
            _is("answer", asker.ask().content, WORDS)
            return
        received, error = asker.broken()
    _is("received and partial", (received, error.partial), (FORTY, FORTY))


def without_end(cell: Cell) -> None:
    """no [DONE], or no terminal event: whole where the finish reason came, else never a whole answer"""
    chunks = cell.protocol.chunks(Answer(WORDS, output_tokens=77))
    has_done = chunks[-1] == DONE
    whole = sse(chunks[:-1] if has_done else chunks, cell.protocol.headers).without_last_chunk()
    server, healthy = cell.server(whole), cell.server(cell.other.reply(WORDS))
    with cell.router(server, healthy, **cell.watched()) as asker:
        reply = asker.ask()
        _is("answer", (reply.content, reply.finish_reason, reply.output_tokens), (WORDS, "stop", 77))
        _is("provider", reply.target.partition("/")[0], "first")
        server.script(sse(chunks[: _at(cell.protocol, "w59") + 1], cell.protocol.headers))  # ends cleanly, unfinished
        if cell.mode == "chat":
            _is("provider", asker.ask().target.partition("/")[0], "second")
            return
        received, error = asker.broken()
    _is("received and partial", (received, error.partial), (WORDS, WORDS))


# ------------------------------------------------------------------------------------------------ 12, 13: refusals


def too_long(cell: Cell) -> None:
    """context length exceeded: never sent again to the same target; a window that is unknown may answer"""
    server, other = cell.server(cell.protocol.fails("context_length")), cell.server(cell.other.reply(WORDS))
    with cell.router(server, other) as asker:
        _is("answer", asker.ask().content, WORDS)
    _is("requests", len(server.requests), 1)
    alone = cell.server(cell.protocol.fails("context_length"))
    with cell.router(alone) as asker:
        asker.fails(ContextLengthError)
    _is("requests", len(alone.requests), 1)


def filtered(cell: Cell) -> None:
    """content filter: raised at once, one request, not routed around"""
    server, spare = cell.server(cell.protocol.fails("content_filter")), cell.server(cell.other.reply(WORDS))
    with cell.router(server, spare) as asker:
        asker.fails(ContentFilterError)
    _is("requests", (len(server.requests), len(spare.requests)), (1, 0))


# ------------------------------------------------------------------------------------------------ 14-16


def prefill(cell: Cell) -> None:
    """cut stream, and a fallback that rejects assistant prefill: it is asked the question anew, and answers whole"""
    other = cell.other

    def strict(request: Request) -> Any:
        return other.fails("prefill") if b"w05" in request.body else other.reply(WORDS)

    server, healthy = cell.server(_cut(cell.protocol)), cell.server(strict)
    with cell.router(server, healthy, on_break="restart", **cell.watched()) as asker:
        if cell.mode == "chat":
            _is("answer", asker.ask().content, WORDS)
            return
        events = asker.face.events(asker.router, "r", "hello")
    restarts = [index for index, event in enumerate(events) if isinstance(event, Restart)]
    _is("restarts", len(restarts), 1)
    text = "".join(event.text for event in events[restarts[0] :] if isinstance(event, Text))
    _is("answer", (text, events[-1].response.content), (WORDS, WORDS))


def down_for_a_minute(cell: Cell) -> None:
    """primary down 60 s, a call every 4 s: every call answered, at most 3 probes, back within 30 s of recovery"""
    server, healthy = cell.server(cell.protocol.fails("server")), cell.server(cell.other.reply("Spare."))
    every, recovery = cell.seconds(4), cell.seconds(60)
    with cell.router(server, healthy) as asker:
        started, back, opened_with = time.monotonic(), None, 0
        for number in range(40):
            time.sleep(max(0.0, started + number * every - time.monotonic()))
            asked = time.monotonic() - started
            if asked >= recovery:
                server.script(cell.protocol.reply("Back."))
            content = asker.ask().content
            assert content in ("Back.", "Spare."), content
            if number == 2:
                opened_with = len(server.requests)
            if content == "Back.":
                back = asked - recovery
                break
    assert back is not None, "never back"
    assert back <= cell.seconds(30) + (0 if cell.scale == 1 else every), f"back {back:.1f}s after the recovery"
    assert opened_with <= 6, f"{opened_with} requests until it was left alone"
    probes = len(server.requests) - opened_with
    assert probes <= 3, f"{probes} probes"


def accounted(cell: Cell) -> None:
    """after a failover the answer's model, tokens and cost are the fallback's; the ledger agrees"""
    server = cell.server(cell.protocol.fails("server"))
    healthy = cell.server(cell.other.reply(Answer("Here.", input_tokens=100, output_tokens=20)))
    with cell.router(server, healthy) as asker:
        reply = asker.ask()
        _is("total cost", round(asker.router.total_cost, 9), 0.0003)
        asker.face.run(asker.router.close)
        rows = asker.face.run(asker.router.usage, by="target").rows
    _is("answer", (reply.target, reply.input_tokens, reply.output_tokens), (f"second/{cell.other.model}", 100, 20))
    _is("cost", round(reply.cost_usd or 0.0, 9), 0.0003)
    _is("errors", [type(each.error) for each in reply.attempts], [*[ServerError] * 3, type(None)])
    _is("ledger", {row.key: round(row.cost_usd or 0.0, 9) for row in rows}[reply.target], 0.0003)


CASES: tuple[Callable[[Cell], None], ...] = (
    rate_limited_once,
    rate_limited_for_ever,
    failed_once,
    overloaded_for_ever,
    reset,
    silent,
    late,
    cut,
    stalled,
    garbage,
    without_end,
    too_long,
    filtered,
    prefill,
    down_for_a_minute,
    accounted,
)
