"""`python -m benchmarks`: everything in one run, as a table, a JSON file and a chart."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks import ledger, own, rivals
from benchmarks.contenders import async_calls, logged_call, streaming, sync_calls, sync_streams
from benchmarks.footprint import footprint
from benchmarks.rivals import Rivals
from benchmarks.rounds import Sample, alternate, awaited, crowded, reported, timed
from benchmarks.server import CHUNKED, TRICKLE, serving
from benchmarks.targets import targets

_PACKAGES: Final = ("openai", "anthropic", "google-genai", "httpx2", "aiohttp", "diskcache")
_CROWDS: Final = (1, 8, 64, 256)


def main() -> None:
    options = _options()
    started = time.monotonic()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        base = opened.enter_context(serving())
        others = opened.enter_context(rivals.running(base))
        run = _run(options.fast, base, folder, others)
    run["seconds"] = round(time.monotonic() - started)
    options.out.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    _show(run)
    if options.chart is not None:
        from benchmarks.chart import draw

        print("\n".join(f"wrote {path}" for path in draw(run, options.chart)))
    print(f"wrote {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What a call costs, side by side.")
    parser.add_argument("--fast", action="store_true", help="a smoke test: few rounds, numbers without meaning")
    parser.add_argument("--out", type=Path, default=Path("benchmarks.json"), help="where the numbers go")
    parser.add_argument("--chart", type=Path, help="a folder for performance.svg and .png (extra: bench)")
    return parser.parse_args()


def _run(fast: bool, base: str, folder: Path, others: Rivals | None) -> dict[str, Any]:
    rounds, calls = (1, 5) if fast else (30, 25)
    inner = {"rounds": 1 if fast else 15, "calls": 10 if fast else 200}
    return {
        "machine": _machine(others),
        "one call": _one_call(base, folder / "one", others, rounds, calls),
        "many at once": _many(base, folder / "many", others, 1 if fast else 6, 64 if fast else 256),
        "stream of 200": _streams(base, folder / "streams", 1 if fast else 25, 2 if fast else 4),
        "stream of 200, an HTTP chunk each": _streams(
            streaming(base, CHUNKED), folder / "chunked", 1 if fast else 15, 2 if fast else 4
        ),
        "stream of 200, a packet each": _streams(streaming(base, TRICKLE), folder / "slow", 1 if fast else 3, 1),
        "own work": _listed(own.work(folder / "own", **inner)),
        "ledger": _listed(ledger.rows(folder / "ledger", calls=calls * 40, pauses=2 if fast else 50)),
        "growth": _listed(own.growth(folder / "growth", rounds=inner["rounds"], calls=inner["calls"] // 10)),
        "cache": _listed(own.hits(folder / "hits", **inner)),
        "token counting": _listed(own.tokens(rounds=2, calls=1 if fast else 10)),
        "endurance": own.endurance(base, folder / "long", calls=200 if fast else 20_000),
        "footprint": footprint(1 if fast else 9),
    }


def _machine(others: Rivals | None) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "packages": {name: version(name) for name in _PACKAGES},
        "missing": {"other routers": f"set {rivals.VARIABLE}"} if others is None else others.missing,
    }


def _one_call(base: str, folder: Path, others: Rivals | None, rounds: int, calls: int) -> dict[str, Any]:
    with ExitStack() as opened:
        turns = {name: timed(call) for name, call in sync_calls(base, folder, opened).items()}
        if others is not None:
            turns |= {name: others.turn(name) for name in others.names}
        found = alternate(turns, rounds=rounds, calls=calls)
    with ExitStack() as opened:
        logged, stderr = logged_call(base, folder / "log", opened), sys.stderr
        with Path(os.devnull).open("w", encoding="utf-8") as sys.stderr:
            found |= alternate({"llmrouter, openai, no cache, log on": timed(logged)}, rounds=rounds, calls=calls)
        sys.stderr = stderr
    from llmrouter import disable_logging

    disable_logging()
    return _listed(found)


def _many(base: str, folder: Path, others: Rivals | None, rounds: int, calls: int) -> dict[str, Any]:
    found = {}
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        contenders = runner.run(async_calls(base, folder, opened))
        alone = {name: awaited(runner, call) for name, call in contenders.items()}
        found["alone"] = _listed(alternate(alone, rounds=rounds * 2, calls=min(calls, 50)))
        for crowd in _CROWDS:
            turns = {name: crowded(runner, call, crowd) for name, call in contenders.items()}
            if others is not None:
                turns |= {name: others.turn(name, crowd) for name in others.names if "sync" not in name}
            measured = alternate(turns, rounds=rounds, calls=calls)
            found[str(crowd)] = {name: {"calls_per_s": round(1 / each.median)} for name, each in measured.items()}
        runner.run(opened.aclose())
    return found


def _streams(base: str, folder: Path, rounds: int, calls: int) -> dict[str, Any]:
    with ExitStack() as opened:
        readers = sync_streams(base, folder, opened)
        firsts: dict[str, list[float]] = {name: [] for name in readers}
        processor: dict[str, list[float]] = {name: [] for name in readers}

        def reading(name: str) -> float:
            before = time.process_time()
            first, whole = readers[name]()
            firsts[name].append(first)
            processor[name].append(time.process_time() - before)
            return whole

        turns = {name: reported(lambda name=name: reading(name)) for name in readers}  # type: ignore[misc]
        found = _listed(alternate(turns, rounds=rounds, calls=calls))
    for name, each in found.items():
        each["first_ms"] = round(Sample.of(firsts[name]).median * 1000, 4)
        each["cpu_ms"] = round(Sample.of(processor[name]).median * 1000, 4)
    return found


def _listed(samples: dict[str, Sample]) -> dict[str, Any]:
    return {
        name: {"median_ms": round(each.median * 1000, 4), "p95_ms": round(each.p95 * 1000, 4), "calls": each.calls}
        for name, each in samples.items()
    }


# ------------------------------------------------------------------------------------------------ showing


def _show(run: dict[str, Any]) -> None:
    print(f"{run['machine']}\n")
    for title, section in run.items():
        if title not in ("machine", "many at once", "seconds"):
            print(_table(title, section))
    crowds = run["many at once"]
    print(_table("one at a time, asyncio", crowds["alone"]))
    names = crowds["1"]
    rows = {name: {f"{crowd} at once": crowds[str(crowd)][name]["calls_per_s"] for crowd in _CROWDS} for name in names}
    print(_table("calls per second, asyncio", rows))
    print("targets")
    for each in targets(run):
        sign = "<=" if each.most else ">="
        print(f"  {'held  ' if each.held else 'MISSED'}  {each.name:60} {each.found:9.3g}  {sign} {each.wanted:g}")


def _table(title: str, section: dict[str, Any]) -> str:
    lines = [title]
    for name, values in section.items():
        told = values if isinstance(values, dict) else {"": values}
        lines.append(f"  {name:52}" + "".join(f"  {key} {value:<10g}" for key, value in told.items()))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
