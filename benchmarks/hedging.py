"""What a hedge buys and costs: `python -m benchmarks.hedging [--calls 1000]`.

A loopback server answers most requests quickly and a few very late, as providers do; the same calls are made without a
hedge and with it, the second rung being another target with a tail of its own. Prints p50, p99 and the extra requests.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks.fault_cases import WORLDS
from llmrouter import AsyncRouter, Router
from tests.servers.faults import FaultServer
from tests.servers.http1 import Request
from tests.servers.protocols import ANTHROPIC, OPENAI, Protocol
from tests.servers.replies import Reply

USUAL_S: Final = (0.02, 0.06)
TAIL_S: Final = 1.0
TAIL: Final = 0.03  # of the requests are so late
AT_ONCE: Final = 8
AFTER: Final = "150ms"
SHARES: Final = (None, "5%", "10%")  # of extra calls, at most; None is no hedge


def tailed(protocol: Protocol, seed: int) -> Callable[[Request], Reply]:
    """Return a script that answers quickly, but for the tail."""
    dice = random.Random(seed)

    def answer(request: Request) -> Reply:
        late = dice.random() < TAIL
        return protocol.reply("Here.")(request).after(TAIL_S if late else dice.uniform(*USUAL_S))

    return answer


def measured(world: str, config: dict[str, Any], calls: int) -> list[float]:
    """Return the seconds of each of `calls` calls, `AT_ONCE` at a time."""
    if world == "sync":
        with Router(config) as router, ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda _: router.chat("r", "warm"), range(AT_ONCE)))
            return list(pool.map(lambda number: _timed(router, number), range(calls)))
    return asyncio.run(_measured(config, calls))


def _timed(router: Router, number: int) -> float:
    started = time.monotonic()
    router.chat("r", f"question {number}")
    return time.monotonic() - started


async def _measured(config: dict[str, Any], calls: int) -> list[float]:
    room = asyncio.Semaphore(AT_ONCE)

    async with AsyncRouter(config) as router:

        async def timed(number: int) -> float:
            async with room:
                started = time.monotonic()
                await router.chat("r", f"question {number}")
                return time.monotonic() - started

        await asyncio.gather(*map(timed, range(AT_ONCE)))
        return list(await asyncio.gather(*map(timed, range(calls))))


def row(world: str, share: str | None, calls: int) -> str:
    """Measure once; return a row of the table."""
    with FaultServer(tailed(OPENAI, 1)) as first, FaultServer(tailed(ANTHROPIC, 2)) as second:
        with tempfile.TemporaryDirectory() as folder:
            config: dict[str, Any] = {
                "version": 1,
                "providers": {"one": OPENAI.provider(first.url), "two": ANTHROPIC.provider(second.url)},
                "cache": {"dir": str(Path(folder) / "cache")},
                "ledger": {"path": str(Path(folder) / "usage.db")},
                "routes": {"r": {"model": f"one/{OPENAI.model}", "fallbacks": [f"two/{ANTHROPIC.model}"]}},
            }
            if share is not None:
                config["routes"]["r"]["hedge"] = {"after": AFTER, "max_extra": share}
            seconds = measured(world, config, calls)
        asked, extra = len(first.requests), len(second.requests)
    cuts = statistics.quantiles(seconds, n=100)
    name = "off" if share is None else f"after {AFTER}, at most {share}"
    extra_share = f"{extra} ({100 * extra / asked:.1f} %)"
    return f"| {world} | {name} | {1000 * cuts[49]:.0f} ms | {1000 * cuts[98]:.0f} ms | {extra_share} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hedging", description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    calls = parser.parse_args().calls
    print(f"{calls} calls, {AT_ONCE} at a time; {100 * TAIL:.0f} % of the requests take {TAIL_S:g}s\n")
    print("| world | hedge | p50 | p99 | extra requests |")
    print("| --- | --- | --- | --- | --- |")
    for world in WORLDS:
        for share in SHARES:
            print(row(world, share, calls), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
