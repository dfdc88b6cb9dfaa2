"""Puts a run's numbers into `docs/performance.md`: `python -m benchmarks.page benchmarks.json docs/performance.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.targets import shown, targets

_BEGIN: Final = "<!-- numbers: begin (python -m benchmarks.page) -->"
_END: Final = "<!-- numbers: end -->"


def write(run: Mapping[str, Any], page: Path) -> None:
    """Replace the numbers between the page's two marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n\n{_numbers(run)}\n{_END}{after}", encoding="utf-8")


def _numbers(run: Mapping[str, Any]) -> str:
    machine = run["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    load = "/".join(f"{each:.1f}" for each in machine["load"])
    parts = [
        f"CPython {machine['python']}, {machine['system']}, {machine['processors']} processors, load {load}.",
        f"{packages}.",
        *(f"Not in this run: {name} ({why})." for name, why in machine["missing"].items()),
        "### What we want to hold\n",
        _rows(
            ("", "wanted", "found", ""),
            (
                (each.name, f"{'≤' if each.most else '≥'} {each.wanted:g}", shown(each.found), _held(each.held))
                for each in targets(run)
            ),
        ),
        "### One call after another, blocking, ms\n",
        _timed(run["one call"], "openai SDK"),
        "### One call after another, asyncio, ms\n",
        _timed(run["many at once"]["alone"], "openai SDK"),
        "### Many calls at once, asyncio, calls a second\n",
        _crowds(run["many at once"]),
    ]
    for title in ("stream of 200", "stream of 200, an HTTP chunk each", "stream of 200, a packet each"):
        parts += [f"### {title.capitalize()}, ms\n", _streamed(run[title])]
    for title in ("own work", "ledger", "growth", "cache", "token counting"):
        parts += [f"### {title.capitalize()}, µs\n", _short(run[title])]
    both = {**run["endurance"], **run["footprint"]}
    parts += ["### Being there\n", _rows(("", ""), ((name, shown(value)) for name, value in both.items()))]
    return "\n".join(parts)


def _held(held: bool) -> str:
    return "held" if held else "**missed**"


def _timed(section: Mapping[str, Any], reference: str) -> str:
    unit = section[reference]["median_ms"]
    found = ((name, each["median_ms"], each["p95_ms"], each["median_ms"] / unit) for name, each in section.items())
    return _rows(
        ("", "median", "p95", f"/ {reference}"), ((n, f"{m:.3f}", f"{p:.3f}", f"{r:.2f}") for n, m, p, r in found)
    )


def _crowds(section: Mapping[str, Any]) -> str:
    sizes = [size for size in section if size != "alone"]
    rows = ((name, *(f"{section[size][name]['calls_per_s']:,}" for size in sizes)) for name in section[sizes[0]])
    return _rows(("", *(f"{size} at once" for size in sizes)), rows)


def _streamed(section: Mapping[str, Any]) -> str:
    rows = (
        (name, *(f"{each[key]:.2f}" for key in ("first_ms", "median_ms", "cpu_ms"))) for name, each in section.items()
    )
    return _rows(("", "first piece", "whole", "processor"), rows)


def _short(section: Mapping[str, Any]) -> str:
    rows = ((name, *(f"{each[key] * 1000:,.0f}" for key in ("median_ms", "p95_ms"))) for name, each in section.items())
    return _rows(("", "median", "p95"), rows)


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows)) + "\n"


if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
