"""What we want to hold, as ratios within one run, and whether a run held it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.ledger import MOST_US


def shown(value: float) -> str:
    """Return a number as people read it: three digits that count, all of them where there are more."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Target(NamedTuple):
    """One promise: what was found, what was wanted, and whether less or more is better."""

    name: str
    found: float
    wanted: float
    most: bool  # the wanted value is the most there may be; else the least

    @property
    def held(self) -> bool:
        return self.found <= self.wanted if self.most else self.found >= self.wanted


def targets(run: Mapping[str, Any]) -> Iterator[Target]:
    """Give the targets that `run` can say something about."""

    def ms(section: str, name: str, value: str = "median_ms") -> float:
        return float(run[section][name][value])

    def call(ours: str, theirs: str) -> float:
        return ms("one call", ours) / ms("one call", theirs)

    yield Target("blocking chat, everything on / openai SDK", call("llmrouter, openai", "openai SDK"), 0.75, True)
    yield Target("the same without cache / openai SDK", call("llmrouter, openai, no cache", "openai SDK"), 0.75, True)
    yield Target(
        "blocking chat, everything on / anthropic SDK", call("llmrouter, anthropic", "anthropic SDK"), 0.85, True
    )
    yield Target(
        "blocking chat, everything on / google-genai", call("llmrouter, google", "google-genai SDK"), 1.15, True
    )
    crowd = run["many at once"].get("64", {})
    for name, least in (("openai SDK", 2.5), ("LiteLLM Router", 5.0)):
        if name in crowd:
            for ours in ("llmrouter, openai", "llmrouter, openai, no cache"):
                ratio = crowd[ours]["calls_per_s"] / crowd[name]["calls_per_s"]
                yield Target(f"64 at once, {ours.removeprefix('llmrouter, ')} / {name}", ratio, least, False)
    sdk, stream = "openai SDK", "llmrouter, openai"
    yield Target("stream of 200 / openai SDK", ms("stream of 200", stream) / ms("stream of 200", sdk), 0.15, True)
    first = ms("stream of 200", stream, "first_ms") / ms("stream of 200", sdk, "first_ms")
    yield Target("its first piece / openai SDK", first, 1.0, True)
    hit = ms("cache", "llmrouter, cache hit") / ms("cache", "diskcache, bare get")
    yield Target("cache hit / bare diskcache get", hit, 12, True)
    for world in ("sync", "async"):
        own = ms("own work", f"{world}, retry + fallback + budget") * 1000
        yield Target(f"own work of a call, {world}, us", own, 60, True)
    for name in ("calls in a row", "after a pause"):
        yield Target(f"the ledger's part of a call, {name}, us", ms("ledger", name) * 1000, MOST_US, True)
    footprint = run["footprint"]
    for name, most in (
        ("import llmrouter, ms over it", 60),
        ("import llmrouter, MB over it", 15),
        ("llmrouter --help, ms", 250),
        ("Router from a file of 500 routes, ms", 300),
    ):
        yield Target(name, footprint[name], most, True)
    yield Target("MB that 10,000 calls leave behind", run["endurance"]["mb_per_10000_calls"], 1.0, True)
