"""What it costs to be there: imports, start-up, memory, and loading a file. Each is measured in fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

_RSS: Final = "[print(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS')]"
_LOAD: Final = (
    "import sys, time; from llmrouter import Router; t = time.perf_counter(); Router(sys.argv[1]); "
    "print((time.perf_counter() - t) * 1000)"
)
_HIT: Final = (
    "import sys, time; t = time.perf_counter(); from llmrouter import Router; r = Router(sys.argv[1]); "
    "r.chat('r', 'hello'); print((time.perf_counter() - t) * 1000); r.close()"
)


def footprint(repeats: int) -> dict[str, float]:
    """Return milliseconds and megabytes, by what costs them."""
    with tempfile.TemporaryDirectory() as folder:
        ten, many, one = (_file(Path(folder), routes) for routes in (10, 500, 1))
        _printed(_HIT, one)  # now its answer is in the cache
        bare, base = _seconds(["-c", "pass"], repeats), _median("", repeats, then=_RSS)
        found = {
            "bare interpreter, ms": bare,
            "import llmrouter, ms over it": _seconds(["-c", "import llmrouter"], repeats) - bare,
            "from llmrouter import Router, ms over it": _seconds(["-c", "from llmrouter import Router"], repeats)
            - bare,
            "llmrouter --help, ms": _seconds(["-m", "llmrouter", "--help"], repeats),
            "import llmrouter, MB over it": (_median("import llmrouter; ", repeats, then=_RSS) - base) / 1024,
            "import openai, ms over it": _seconds(["-c", "import openai"], repeats) - bare,
            "Router from a file of 10 routes, ms": _median(_LOAD, repeats, ten),
            "Router from a file of 500 routes, ms": _median(_LOAD, repeats, many),
            "first call of a process, answered by the cache, ms": _median(_HIT, repeats, one),
        }
    return {name: round(value, 2) for name, value in found.items()}


def _file(folder: Path, routes: int) -> str:
    path = folder / f"{routes}.yaml"
    targets = ("openai/gpt-6-luna", "anthropic/claude-haiku-5-5", "google/gemini-3.8-flash")
    lines = ["version: 1", f"cache: {{ dir: {folder} }}", "routes:"]
    if routes == 1:
        lines.append("  r: { model: python/llmrouter.offline:summarize, cache: 24h }")
    for number in range(routes if routes > 1 else 0):
        first, *others = targets[number % 3 :] + targets[: number % 3]
        lines += [
            f"  route-{number}:",
            f"    model: {first}",
            f"    fallbacks: [{', '.join(others)}]",
            "    system: Answer in one short paragraph.",
            "    params: { temperature: 0.2, max_tokens: 400 }",
            "    token_budget: { input: 8k, output: 400 }",
            "    cache: { ttl: 24h }",
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def _seconds(arguments: list[str], repeats: int) -> float:
    """Return the median milliseconds of a process of this interpreter."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def _median(program: str, repeats: int, argument: str = "", *, then: str = "") -> float:
    return statistics.median(_printed(program + then, argument) for _ in range(repeats))


def _printed(program: str, argument: str) -> float:
    done = subprocess.run([sys.executable, "-c", program, argument], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])
