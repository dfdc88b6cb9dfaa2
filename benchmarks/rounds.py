"""Measuring side by side: rounds in which every contender has its turn, in an order that changes.

A shared machine is slower one minute than the next. What holds in one run are ratios between contenders whose turns
alternate; medians over all turns leave out what interrupted a few of them.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Turn: TypeAlias = Callable[[int], Sequence[float]]  # makes n calls, returns what each took in seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """What one contender's calls took; seconds."""

    median: float
    p95: float
    calls: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))], len(ordered))


def alternate(turns: Mapping[str, Turn], *, rounds: int, calls: int) -> dict[str, Sample]:
    """Give every contender `rounds` turns of `calls` calls, after one turn to warm up."""
    values: dict[str, list[float]] = {name: [] for name in turns}
    names = list(turns)
    for each in range(rounds + 1):
        random.shuffle(names)
        for name in names:
            taken = turns[name](calls)
            if each > 0:
                values[name].extend(taken)
    return {name: Sample.of(values[name]) for name in turns}


def timed(call: Callable[[], Any]) -> Turn:
    """Return a turn that times each call."""

    def turn(calls: int) -> list[float]:
        taken = []
        for _ in range(calls):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
        return taken

    return turn


def reported(call: Callable[[], float]) -> Turn:
    """Return a turn of calls that say themselves what they took."""
    return lambda calls: [call() for _ in range(calls)]


def awaited(runner: asyncio.Runner, call: Callable[[], Awaitable[Any]]) -> Turn:
    """Return a turn that times each call on the runner's loop, one after another."""

    async def made(calls: int) -> list[float]:
        taken = []
        for _ in range(calls):
            started = time.perf_counter()
            await call()
            taken.append(time.perf_counter() - started)
        return taken

    return lambda calls: runner.run(made(calls))


def crowded(runner: asyncio.Runner, call: Callable[[], Awaitable[Any]], at_once: int) -> Turn:
    """Return a turn in which `at_once` tasks share the calls; it reports the seconds a call, once a turn."""

    async def made(calls: int) -> list[float]:
        left = iter(range(calls))

        async def worker() -> None:
            for _ in left:
                await call()

        started = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(at_once)))
        return [(time.perf_counter() - started) / calls]

    return lambda calls: runner.run(made(calls))
