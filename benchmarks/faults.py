"""The scorecard of faults: `python -m benchmarks.faults [--fast] [--only NAME]`.

Each of sixteen faults, on three protocols, through `chat` and `stream`, in the sync and the async world: 192 runs
against loopback servers that misbehave to order. The times are the real ones, and the runs go on side by side, so that
the whole takes a few minutes; `--fast` scales all times down. Exits with 1 unless every run passes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.fault_cases import CASES, MODES, PROTOCOLS, WORLDS, Cell

FAST = 0.05  # of the public profile's times
_PROCESSES = 2
_AT_ONCE = {"fast": 4, "full": 32}  # runs of one process; short limits need an idle machine, long ones do not


@dataclass(frozen=True)
class Place:
    """Which run it is: indexes into cases, protocols, modes and worlds, so that processes can be told."""

    case: int
    protocol: int
    mode: int
    world: int


@dataclass(frozen=True)
class Score:
    """What came of one run; `said` None: it passed."""

    place: Place
    seconds: float
    said: str | None


def run(place: Place, scale: float) -> Score:
    """Make one run."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        cell = Cell(PROTOCOLS[place.protocol], MODES[place.mode], WORLDS[place.world], scale, Path(folder))
        said = None
        with cell.opened:
            try:
                CASES[place.case](cell)
            except Exception as error:  # noqa: BLE001 - every way to fail is a failure on the card
                said = f"{type(error).__name__}: {error}"
    return Score(place, time.monotonic() - started, said)


def run_share(places: Sequence[Place], scale: float, at_once: int) -> list[Score]:
    """Make the runs of one process."""
    import anthropic  # noqa: F401 - imported before the clocks run, as in a service that has answered before
    import google.genai  # noqa: F401
    import openai  # noqa: F401

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda place: run(place, scale), places))


def run_all(places: Sequence[Place], scale: float, at_once: int) -> list[Score]:
    """Make all runs, shared out to processes."""
    shares = [places[number::_PROCESSES] for number in range(_PROCESSES)]
    with ProcessPoolExecutor(_PROCESSES) as pool:
        futures = [pool.submit(run_share, share, scale, at_once) for share in shares if share]
        return [score for future in futures for score in future.result()]


def card(scores: Iterable[Score]) -> Iterator[str]:
    """Give the scorecard line by line: a row for each fault; a cell counts the worlds, sync and async, that pass."""
    found = {score.place: score for score in scores}
    columns = list(product(range(len(PROTOCOLS)), range(len(MODES))))
    heads = [f"{PROTOCOLS[protocol].name} {MODES[mode]}" for protocol, mode in columns]
    yield "| # | fault: what has to come of it | " + " | ".join(heads) + " | slowest |"
    yield "| --- | --- |" + " --- |" * (len(heads) + 1)
    for number, case in enumerate(CASES):
        rows = [[found.get(Place(number, *column, world)) for world in range(len(WORLDS))] for column in columns]
        scored = [[score for score in row if score is not None] for row in rows]
        if not any(scored):
            continue
        cells = [f"{sum(score.said is None for score in row)}/{len(row)}" for row in scored]
        slowest = max(score.seconds for row in scored for score in row)
        yield f"| {number + 1} | {case.__doc__} | " + " | ".join(cells) + f" | {slowest:.1f}s |"


def main() -> int:
    """Run what the command line says and print the card; return the exit status."""
    options = _options()
    started = time.monotonic()
    kind = "fast" if options.fast else "full"
    cases = [number for number, case in enumerate(CASES) if options.only in (None, case.__name__)]
    places = [Place(*each) for each in product(cases, range(len(PROTOCOLS)), range(len(MODES)), range(len(WORLDS)))]
    places.sort(key=lambda place: CASES[place.case].__name__ != "down_for_a_minute")  # the longest first
    scores = run_all(places, FAST if options.fast else 1.0, _AT_ONCE[kind])
    print("\n".join(card(scores)))
    failures = [score for score in scores if score.said is not None]
    for score in failures:
        place = score.place
        where = f"{PROTOCOLS[place.protocol].name} {MODES[place.mode]} {WORLDS[place.world]}"
        print(f"\nFAIL {CASES[place.case].__name__}, {where}, after {score.seconds:.1f}s\n  {score.said}")
    taken = time.monotonic() - started
    print(f"\n{len(scores) - len(failures)} of {len(scores)} pass, {kind} times, {taken:.0f}s")
    return 1 if failures or not scores else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--fast", action="store_true", help=f"scale all times by {FAST}")
    parser.add_argument("--only", help="one case, by the name of its function")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
