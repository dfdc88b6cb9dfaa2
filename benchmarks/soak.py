"""A long run of everything at once: `python -m benchmarks.soak [--minutes 10]`.

Threads and tasks chat, stream, leave streams, ask for structured output and for cached answers, against servers (in a
process of their own) that misbehave at random in every way they know. At the end nothing may be left: no call that
hung, no half answer that passed for a whole one, no connection, task or thread; and the memory has to be flat, from the
moment when everything that has a bound (what is remembered of token counts) is full.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmarks.fault_cases import WORDS
from llmrouter import AsyncRouter, LLMRouterError, Router
from tests.servers.faults import FaultServer, Step
from tests.servers.http1 import Request
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, Protocol
from tests.servers.replies import html, reset_before_headers, silence, spoiled, sse

DEADLINE_S: Final = 4.0
COLLECT_EVERY: Final = 20  # seconds
REMEMBERED: Final = 40_000  # token counts: some 160 bytes each, of which a router keeps 4 MiB
LATE_S: Final = 2.0  # beyond all limits of a call, on a machine that is busy with the servers as well
WHOLE: Final = '{"words": 60}'
SCHEMA: Final = {
    "type": "object",
    "properties": {"words": {"type": "integer"}},
    "required": ["words"],
    "additionalProperties": False,
}


# ------------------------------------------------------------------------------------------------ servers


def faulty(protocol: Protocol) -> Any:
    """Return a script that answers well six times out of ten, and else in some way that it should not."""
    chunks, dice = protocol.chunks(WORDS), random.Random(protocol.name)
    middle = len(chunks) // 2
    cut = protocol.stream(WORDS).cut_after(middle)
    faults: Sequence[Step] = (
        protocol.fails("rate_limit", 0.05),
        protocol.fails("rate_limit"),
        protocol.fails("server"),
        protocol.fails("overloaded"),
        reset_before_headers(),
        silence(2),
        protocol.stream(WORDS).after(2),
        protocol.stream(WORDS).stalled(middle, 2),
        cut,
        cut.reset_after(middle),
        sse(spoiled(chunks, middle), protocol.headers),
        sse(chunks[:-2], protocol.headers),
        protocol.fails("content_filter"),
        protocol.fails("context_length"),
        html(),
        protocol.complete(WORDS).cut_after_bytes(100),
    )

    def answer(request: Request) -> Step:
        if dice.random() < 0.6:
            return protocol.reply(WHOLE if b"json" in request.body else WORDS)
        return dice.choice(faults)

    return answer


def serve() -> None:
    """Run the servers until standard input ends; print their addresses."""
    with FaultServer() as first, FaultServer() as second, FaultServer() as third:
        for server, protocol in ((first, OPENAI), (second, ANTHROPIC), (third, GOOGLE)):
            server.script(faulty(protocol))
        print(first.url, second.url, third.url, flush=True)
        while sys.stdin.readline():
            for server in (first, second, third):  # what it remembers would fill the memory
                server.requests.clear()
                server.early_closes.clear()


# ------------------------------------------------------------------------------------------------ load


@dataclass
class Tally:
    """What came of all calls."""

    outcomes: Counter[str] = field(default_factory=Counter)
    truncated: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)  # errors that are not ours
    late: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, started: float, found: str | BaseException) -> None:
        """Count one call."""
        taken = time.monotonic() - started
        with self.lock:
            self.slowest_s = max(self.slowest_s, taken)
            if taken > DEADLINE_S + LATE_S:
                self.late.append(f"{what} took {taken:.1f}s")
            if isinstance(found, LLMRouterError):
                self.outcomes[f"{what} {type(found).__name__}"] += 1
            elif isinstance(found, BaseException):
                self.foreign.append(f"{what}: {found!r}")
            elif found not in (WORDS, WHOLE):
                self.truncated.append(f"{what}: {len(found)} characters")
            else:
                self.outcomes[f"{what} ok"] += 1


def config_of(urls: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return routes over the three servers, with short limits, a cache, and breakers that let most calls through."""
    rungs = list(zip(("first", "second", "third"), (OPENAI, ANTHROPIC, GOOGLE), urls, strict=True))
    targets = [f"{name}/{protocol.model}" for name, protocol, _ in rungs]
    chain = {"model": targets[0], "fallbacks": targets[1:]}
    return {
        "version": 1,
        "providers": {name: protocol.provider(url) for name, protocol, url in rungs},
        "cache": {"dir": str(folder / "cache"), "size_limit": "8MiB"},
        "ledger": {"path": str(folder / "usage.db")},
        "defaults": {
            "retry": {"attempts": 2, "initial": "10ms", "max": "50ms"},
            "timeouts": {"connect": "1s", "attempt": "1500ms", "first_token": "700ms", "idle": "700ms", "total": "3s"},
            "deadline": DEADLINE_S,
            "breaker": {"failures": 20, "window": "10s", "cooldown": "300ms"},
        },
        "routes": {
            "plain": chain,
            "cached": chain | {"cache": {"ttl": "2s", "stale_if_error": "5s"}},
            "hedged": chain | {"hedge": {"after": "200ms", "max_extra": "50%"}, "on_break": "restart"},
            "narrow": chain | {"limits": {"concurrency": 4}},
        },
    }


KINDS: Final = ("chat", "stream", "leave", "schema", "cached", "hedged", "narrow")


def _question(kind: str, dice: random.Random) -> str:
    return f"{'json ' if kind == 'schema' else ''}question {dice.randrange(12 if kind == 'cached' else 10**9)}"


def _route(kind: str) -> str:
    return kind if kind in ("cached", "hedged", "narrow") else "plain"


def blocking(router: Router, tally: Tally, until: float, seed: int) -> None:
    """Ask from a thread until `until`."""
    dice = random.Random(seed)
    while time.monotonic() < until:
        kind, started = dice.choice(KINDS), time.monotonic()
        question = _question(kind, dice)
        found: str | BaseException
        try:
            if kind == "stream" or (kind == "cached" and dice.random() < 0.5):
                found = "".join(router.stream(_route(kind), question))
            elif kind == "leave":
                with router.stream("plain", question) as stream:
                    next(iter(stream), None)
                found = WORDS
            else:
                options: dict[str, Any] = {"schema": SCHEMA} if kind == "schema" else {}
                found = router.chat(_route(kind), question, **options).content
        except Exception as error:  # noqa: BLE001 - every error is counted
            found = error
        tally.note(f"sync {kind}", started, found)


async def awaiting(router: AsyncRouter, tally: Tally, until: float, seed: int) -> None:
    """Ask from a task until `until`; now and then the task that asks is cancelled."""
    dice = random.Random(seed)
    while time.monotonic() < until:
        kind, started = dice.choice((*KINDS, "cancel")), time.monotonic()
        question = _question(kind, dice)
        found: str | BaseException
        try:
            if kind == "stream" or (kind == "cached" and dice.random() < 0.5):
                found = "".join([text async for text in router.stream(_route(kind), question)])
            elif kind == "leave":
                async with router.stream("plain", question) as stream:
                    await anext(aiter(stream), None)
                found = WORDS
            elif kind == "cancel":
                task = asyncio.ensure_future(router.chat("plain", question))
                await asyncio.sleep(dice.random() * 0.05)
                task.cancel()
                await asyncio.wait({task})
                found = WORDS if task.cancelled() else task.exception() or WORDS
            else:
                options: dict[str, Any] = {"schema": SCHEMA} if kind == "schema" else {}
                found = (await router.chat(_route(kind), question, **options)).content
        except Exception as error:  # noqa: BLE001 - every error is counted
            found = error
        tally.note(f"async {kind}", started, found)


# ------------------------------------------------------------------------------------------------ what is left


def rss_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def sockets() -> int:
    """Return how many sockets this process has open."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:  # the descriptor with which the folder is being read
            continue
    return found


@dataclass(frozen=True)
class Memory:
    """The memory after `minutes`: resident (MiB), and what is in use after a collection, which is taken now and then.

    In use are blocks of Python's own allocator (thousands), and MiB of the C library's (None where it does not tell).
    They grow only when something is kept; the resident memory also when the C library's allocator, which has an arena
    for each of several threads, cannot put what it has free to use.
    """

    minutes: float
    resident: float
    blocks: float | None = None
    allocated: float | None = None


class _MallInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and newer, in bytes; see mallinfo(3)."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def allocated_mib() -> float | None:
    """Return what the C library's allocator has given out, None where it does not tell."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    mallinfo.restype = _MallInfo
    found = mallinfo()
    return float(found.uordblks + found.hblkhd) / 2**20


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Return the slope of a straight line through `samples` (least squares)."""
    count = len(samples)
    mean_x, mean_y = sum(x for x, _ in samples) / count, sum(y for _, y in samples) / count
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


def sampled(samples: list[Memory], server: Any, until: float) -> None:
    """Take the memory once a second, now and then after a collection, and have the servers forget."""
    started = time.monotonic()
    while time.monotonic() < until:
        time.sleep(1.0)
        minutes, resident = (time.monotonic() - started) / 60, rss_mib()
        if len(samples) % COLLECT_EVERY:
            samples.append(Memory(minutes, resident))
        else:
            gc.collect()
            samples.append(Memory(minutes, resident, sys.getallocatedblocks() / 1000, allocated_mib()))
        server.stdin.write("\n")
        server.stdin.flush()


def filled(router: Router | AsyncRouter) -> None:
    """Have `router` remember as many token counts as it ever will."""
    for number in range(REMEMBERED):
        router.count_tokens("openai/gpt-6-luna", f"one of many {number}")


def soak(minutes: float, folder: Path, server: Any) -> int:
    """Run the load and judge what is left; return the exit status."""
    urls = server.stdout.readline().split()
    config, tally, before = config_of(urls, folder), Tally(), sockets()
    until = time.monotonic() + 60 * minutes
    samples: list[Memory] = []
    sampling = threading.Thread(target=sampled, args=(samples, server, until))
    sampling.start()

    async def tasks() -> list[str]:
        async with AsyncRouter(config) as router:
            filled(router)
            await asyncio.gather(*(awaiting(router, tally, until, seed) for seed in range(8)))
        await asyncio.sleep(0.5)
        return [repr(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]

    left: list[str] = []
    loop = threading.Thread(target=lambda: left.extend(asyncio.run(tasks())))
    with Router(config) as router:
        filled(router)
        threads = [threading.Thread(target=blocking, args=(router, tally, until, seed)) for seed in range(100, 106)]
        for thread in (*threads, loop):
            thread.start()
        for thread in (*threads, loop):
            thread.join(60 * minutes + 30)
        hung = [thread.name for thread in (*threads, loop) if thread.is_alive()]
    sampling.join()
    gc.collect()
    time.sleep(2.0)  # threads that idle end by themselves
    return _judged(tally, samples, {"hung": hung, "tasks": left, "sockets": sockets() - before, "threads": _others()})


def _others() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]


def _judged(tally: Tally, samples: Sequence[Memory], left: dict[str, Any]) -> int:
    total = sum(tally.outcomes.values())
    answered = sum(count for name, count in tally.outcomes.items() if name.endswith(" ok"))
    print(f"calls                {total}, of which {answered} answered")
    print(f"slowest call         {tally.slowest_s:.2f}s (deadline {DEADLINE_S:g}s, streams up to 3s more)")
    for name, found in (("late", tally.late), ("truncated", tally.truncated), ("not our error", tally.foreign)):
        print(f"{name:20} {len(found)} {found[:3] if found else ''}")
    for name, value in left.items():
        print(f"left over: {name:9} {value}")
    _tell_of_memory(samples)
    for name, count in sorted(tally.outcomes.items()):
        print(f"  {name:42} {count}")
    return 1 if tally.truncated or tally.foreign or tally.late or any(left.values()) else 0


def _tell_of_memory(samples: Sequence[Memory]) -> None:
    half = samples[len(samples) // 2 :]
    print(f"resident memory      {samples[0].resident:.1f} to {samples[-1].resident:.1f} MiB")
    print(f"  slope, second half {slope([(each.minutes, each.resident) for each in half]):+.2f} MiB a minute")
    print("in use after collections, second half")
    for name, unit in (("blocks", "thousand"), ("allocated", "MiB")):
        found = [(each.minutes, value) for each in half if (value := getattr(each, name)) is not None]
        if found:
            print(f"  {name:18} {found[0][1]:,.1f} to {found[-1][1]:,.1f} {unit}, {slope(found):+.2f} a minute")


def main() -> int:
    """Run for as long as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    command = [sys.executable, "-m", "benchmarks.soak", "--serve"]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            return soak(options.minutes, Path(folder), server)
        finally:
            server.communicate()


if __name__ == "__main__":
    sys.exit(main())
