"""What a call costs, counted and not timed: Python and C function calls, the same on a busy machine and on an idle one.

A change that makes a call do a fifth more than `cost_of_a_call.json` says fails here. Where that is worth it, say so
in the commit and write the new costs down:

    python -m tests.test_cost_of_a_call
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from llmrouter import AsyncRouter, Router
from llmrouter.observe.log import disable_logging
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.providers.base import Codec
from llmrouter.providers.google_genai import GoogleCodec
from llmrouter.providers.openai_chat import ChatCodec
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, Protocol

COSTS = Path(__file__).with_name("cost_of_a_call.json")
ROOM = 1.2
WORDS = " ".join(f"w{number:03}" for number in range(200))
CODECS: dict[str, tuple[Codec, Protocol]] = {
    "openai": (ChatCodec("p"), OPENAI),
    "anthropic": (MessagesCodec("p", sampling=True), ANTHROPIC),
    "google": (GoogleCodec("p"), GOOGLE),
}
_numbers = count()


def answer(messages: Any, **params: Any) -> str:
    return "An answer of some length, so that there is something to count."


async def answer_async(messages: Any, **params: Any) -> str:
    return answer(messages)


def config(folder: Path, function: str) -> dict[str, Any]:
    """Return a route with everything on, and the same with a cache."""
    full = {
        "model": f"python/{__spec__.name if __spec__ else __name__}:{function}",
        "fallbacks": ["python/llmrouter.offline:summarize"],
        "system": "You are a helpful assistant that answers in one short paragraph.",
        "params": {"temperature": 0.2, "max_tokens": 400},
        "token_budget": {"input": "8k", "output": 400},
        "retry": {"attempts": 3},
    }
    return {
        "version": 1,
        "cache": {"dir": str(folder / "cache")},
        "ledger": {"path": str(folder / "usage.db")},
        "routes": {"full": full, "cached": {**full, "cache": "24h"}},
    }


def question() -> str:
    """Return a prompt that was not asked before, always of one length."""
    return f"What is question number {next(_numbers):06} about, and why would anybody ask it?"


class Counter:
    """Counts the functions that this thread calls, written in Python or in C."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Counter:
        sys.setprofile(self._event)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _event(self, frame: Any, event: str, arg: Any) -> None:  # noqa: ARG002 - what setprofile calls
        if event in ("call", "c_call"):
            self.calls += 1


def cost(call: Callable[[], Any]) -> int:
    """Return the fewest function calls among a few: caches are warm then, and no timer has come due."""
    return min(_counted(call) for _ in range(8))


def _counted(call: Callable[[], Any]) -> int:
    with Counter() as counter:
        call()
    return counter.calls


async def async_cost(call: Callable[[], Awaitable[Any]]) -> int:
    counts = []
    for _ in range(8):
        with Counter() as counter:
            await call()
        counts.append(counter.calls)
    return min(counts)


def decoded(codec: Codec, stream: bytes) -> None:
    decoder = codec.decoder({"content-type": "text/event-stream"})
    decoder.feed(stream)
    decoder.finish()


def costs(folder: Path) -> dict[str, int]:
    """Return what each thing costs now, in function calls."""
    disable_logging()  # as it is until a program asks for it: another test may have
    found: dict[str, int] = {}
    with Router(config(folder, "answer")) as router:
        found["chat"] = cost(lambda: router.chat("full", question()))
        found["chat, cache miss"] = cost(lambda: router.chat("cached", question()))
        found["chat, cache hit"] = cost(lambda: router.chat("cached", "always the same"))
        found["stream"] = cost(lambda: list(router.stream("full", question())))
        found["explain"] = cost(lambda: router.explain("full", question()))
    found["chat, async"] = asyncio.run(_chat_async(folder))
    for name, (codec, protocol) in CODECS.items():
        found[f"decode a stream, {name}"] = cost(partial(decoded, codec, b"".join(protocol.chunks(WORDS))))
    return found


async def _chat_async(folder: Path) -> int:
    async with AsyncRouter(config(folder / "async", "answer_async")) as router:
        return await async_cost(lambda: router.chat("full", question()))


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    return costs(tmp_path_factory.mktemp("costs"))


@pytest.mark.parametrize("name", sorted(json.loads(COSTS.read_text(encoding="utf-8"))))
def test_a_call_does_not_come_to_cost_more(name: str, now: dict[str, int]) -> None:
    written = json.loads(COSTS.read_text(encoding="utf-8"))[name]
    assert now[name] <= written * ROOM, (
        f"{name}: {now[name]} function calls, {written} were written down; if that is worth it, "
        "run python -m tests.test_cost_of_a_call"
    )


def test_calls_leave_no_memory_behind(tmp_path: Path) -> None:
    with ExitStack() as opened:
        router = opened.enter_context(Router(config(tmp_path, "answer")))
        for _ in range(200):
            router.chat("full", question())
        router.usage()  # which has the ledger's queue written
        tracemalloc.start()
        opened.callback(tracemalloc.stop)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(1000):
            router.chat("full", question())
        router.usage()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    # Texts that were counted are remembered, up to 4 MB: some 300 bytes for each of these.
    assert (after - before) / 1000 < 600


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        COSTS.write_text(json.dumps(costs(Path(made)), indent=1) + "\n", encoding="utf-8")
