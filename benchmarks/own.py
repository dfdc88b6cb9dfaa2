"""What llmrouter does itself: no network, and canned answers or a Python function as the provider."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from benchmarks.contenders import MODEL, SYSTEM, question
from benchmarks.rounds import Sample, Turn, alternate, awaited, timed
from llmrouter import AsyncRouter, Router
from llmrouter.providers.base import WireCall, WireReply
from llmrouter.providers.openai import OpenAIProvider

_TARGET: Final = "python/benchmarks.own:answer"
_CANNED: Final = f"openai/{MODEL}"
_BODY: Final = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "A short answer."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 45, "completion_tokens": 5, "total_tokens": 50},
}  # fmt: skip
_REPLY: Final = WireReply(_BODY, {"content-type": "application/json", "x-request-id": "req-1"})
_WORDS: Final = "The committee met again on Tuesday to discuss 17 proposals, none of which was new (see page 4). "


def answer(messages: Any, **params: Any) -> str:  # noqa: ARG001 - what a target is called with
    """The provider: answers at once."""
    return "A short answer."


class _Canned:
    """In place of an SDK's client: the answer is there at once, so that what is left is the router's own work."""

    def send(self, call: WireCall) -> WireReply:  # noqa: ARG002 - the seam's signature
        return _REPLY

    def close(self) -> None: ...


class _CannedAsync:
    """The same for an event loop."""

    async def send(self, call: WireCall) -> WireReply:  # noqa: ARG002
        return _REPLY

    async def close(self) -> None: ...


@contextmanager
def _without_network() -> Iterator[None]:
    """Let the OpenAI provider, with all of its codec, have canned answers."""

    def connect(_provider: OpenAIProvider, world: str) -> Any:
        return _Canned() if world == "sync" else _CannedAsync()

    with patch.object(OpenAIProvider, "connect", connect):
        yield


def _config(folder: Path, target: str) -> dict[str, Any]:
    full = {
        "model": target,
        "fallbacks": ["python/benchmarks.own:none"],
        "system": SYSTEM,
        "params": {"temperature": 0.2, "max_tokens": 400},
        "token_budget": {"input": "200k", "output": 400},
        "retry": {"attempts": 3},
    }
    chain = [f"python/benchmarks.own:none_{number}" for number in range(19)]
    return {
        "version": 1,
        "cache": {"dir": str(folder)},
        "providers": {"openai": {"api_key": "bench"}},
        "prices": {"openai/*": {"input": 0.1, "output": 0.5}},
        "routes": {
            "plain": {"model": target},
            "full": full,
            "cached": {**full, "cache": {"ttl": "24h"}},
            "long": {**full, "fallbacks": chain},
        },
    }


def work(folder: Path, *, rounds: int, calls: int) -> dict[str, Sample]:
    """Return what a call costs beside its request, by kind."""
    with ExitStack() as opened:
        opened.enter_context(_without_network())
        router = opened.enter_context(Router(_config(folder / "sync", _CANNED)))
        runner = opened.enter_context(asyncio.Runner())
        asynchronous = AsyncRouter(_config(folder / "async", _CANNED))
        try:
            turns = {
                "sync, plain route": timed(lambda: router.chat("plain", question())),
                "sync, retry + fallback + budget": timed(lambda: router.chat("full", question())),
                "sync, and a cache miss": timed(lambda: router.chat("cached", question())),
                "async, plain route": awaited(runner, lambda: asynchronous.chat("plain", question())),
                "async, retry + fallback + budget": awaited(runner, lambda: asynchronous.chat("full", question())),
                "explain": timed(lambda: router.explain("full", question())),
            }
            return alternate(turns, rounds=rounds, calls=calls)
        finally:
            runner.run(asynchronous.close())


@contextmanager
def canned_router(folder: Path) -> Iterator[Router]:
    """Open a router with the route `plain`, whose provider has canned answers."""
    with _without_network(), Router(_config(folder, _CANNED)) as router:
        yield router


def growth(folder: Path, *, rounds: int, calls: int) -> dict[str, Sample]:
    """Return a call's own work as its prompt, its history and its chain grow."""
    with Router(_config(folder, _TARGET)) as router:
        turns: dict[str, Turn] = {}
        for size in (1, 10, 100):
            text = _text(size * 1000)
            turns[f"{size} KB of prompt, new each time"] = timed(_asking(router, "full", text))
        for length in (2, 20, 200):
            turns[f"{length} messages of 200 characters, all but the last known"] = timed(_conversing(router, length))
        turns["chain of 2"] = timed(lambda: router.chat("full", question()))
        turns["chain of 20"] = timed(lambda: router.chat("long", question()))
        return alternate(turns, rounds=rounds, calls=calls)


def _asking(router: Router, route: str, text: str) -> Callable[[], Any]:
    return lambda: router.chat(route, question() + text)


def _conversing(router: Router, length: int) -> Callable[[], Any]:
    turns = [{"role": ("user", "assistant")[i % 2], "content": _text(200) + str(i)} for i in range(length - 1)]
    return lambda: router.chat("full", [*turns, {"role": "user", "content": question()}])


def _text(characters: int) -> str:
    return (_WORDS * (characters // len(_WORDS) + 1))[:characters]


def tokens(*, rounds: int, calls: int) -> dict[str, Sample]:
    """Return what counting 100 KB of prose costs: a text that was never seen, and one that was."""
    text = _text(100_000)
    with Router({"version": 1, "routes": {"r": {"model": _TARGET}}}) as router:
        turns = {
            "100 KB, first time": timed(lambda: router.count_tokens("openai/gpt-6-luna", question() + text)),
            "100 KB, again": timed(lambda: router.count_tokens("openai/gpt-6-luna", text)),
        }
        return alternate(turns, rounds=rounds, calls=calls)


def hits(folder: Path, *, rounds: int, calls: int) -> dict[str, Sample]:
    """Return what an answer from the cache costs, beside a bare diskcache that holds the same bytes."""
    import diskcache  # type: ignore[import-untyped]  # ships no types

    with Router(_config(folder / "router", _TARGET)) as router, diskcache.Cache(str(folder / "bare")) as bare:
        router.chat("cached", "again and again")
        router._pipeline.cache.close()  # what waits in memory goes to disk
        bare["key"] = b"x" * 600
        turns = {
            "diskcache, bare get": timed(lambda: bare["key"]),
            "llmrouter, cache hit": timed(lambda: router.chat("cached", "again and again")),
        }
        return alternate(turns, rounds=rounds, calls=calls)


# ------------------------------------------------------------------------------------------------ memory and processor


def endurance(base: str, folder: Path, *, calls: int) -> dict[str, float]:
    """Return how much memory 10,000 calls leave behind (MB), and the processor time of one (ms), over real HTTP."""
    from benchmarks.contenders import config

    with Router(config(base, folder)) as router, _collected():
        for _ in range(max(200, calls // 4)):  # pools, caches and the allocator fill up first
            router.chat("openai-bare", question())
        gc.collect()
        before, started = _rss_mb(), time.process_time()
        for _ in range(calls):
            router.chat("openai-bare", question())
        spent = time.process_time() - started
        gc.collect()
        grown = _rss_mb() - before
    return {"mb_per_10000_calls": grown * 10_000 / calls, "cpu_ms_per_call": spent / calls * 1000, "calls": calls}


@contextmanager
def _collected() -> Iterator[None]:
    gc.collect()
    yield


def _rss_mb() -> float:
    with Path("/proc/self/status").open(encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
