"""What a call pays for its row in the ledger: `python -m benchmarks.ledger`.

The time that the recorder takes inside whole calls, which answer at once from memory: of calls in a row, and of calls
after a pause, when the processor has forgotten us. How much of the latter is not ours shows in a function that does
nothing, called after the same pause.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.own import canned_router
from benchmarks.rounds import Sample
from llmrouter.pipeline.observer import Recorder

PAUSE_S: Final = 0.3  # longer than the ledger gathers rows
MOST_US: Final = 15.0


class _Timing:
    """A recorder that takes the time of another."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.taken: list[float] = []
        self._sent_s = 0.0  # what the beginning of the same call took

    def sent(self, *facts: Any) -> None:
        """See Recorder."""
        started = time.perf_counter()
        self._recorder.sent(*facts)
        self._sent_s = time.perf_counter() - started

    def record(self, *facts: Any) -> None:
        """See Recorder."""
        started = time.perf_counter()
        self._recorder.record(*facts)
        self.taken.append(self._sent_s + time.perf_counter() - started)


def rows(folder: Path, *, calls: int, pauses: int) -> dict[str, Sample]:
    """Return what the ledger takes of a call, in a row and after a pause, and what nothing at all takes then."""
    with canned_router(folder) as router:
        recorder = router._pipeline.recorder
        assert recorder is not None
        timing = router._pipeline.recorder = _Timing(recorder)

        def made(number: int, pause_s: float) -> Sample:
            timing.taken.clear()
            for each in range(number):
                time.sleep(pause_s)
                router.chat("plain", f"question {each}", metadata={"team": "search"})
            return Sample.of(timing.taken)

        made(calls, 0.0)
        return {
            "calls in a row": made(calls, 0.0),
            "after a pause": made(pauses, PAUSE_S),
            "nothing at all, after a pause": Sample.of([_after_pause(_nothing) for _ in range(pauses)]),
        }


def _after_pause(call: Callable[[], None]) -> float:
    time.sleep(PAUSE_S)
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _nothing() -> None:
    """Do nothing."""


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        for name, sample in rows(Path(folder), calls=5_000, pauses=50).items():
            print(f"{name:32} median {sample.median * 1e6:6.1f} us   p95 {sample.p95 * 1e6:6.1f} us")


if __name__ == "__main__":
    main()
