"""The learned factor of each model: how many of its own tokens one counted (o200k_base) token stands for.

A factor starts at the family's prior and follows what providers report: a mean weighted by prompt size that forgets
old prompts, so that it converges within a few calls and follows a tokenizer that changes under the same name.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loguru import logger

from llmrouter import forks
from llmrouter.files import write_whole
from llmrouter.tokens.families import family_of

FILE_NAME: Final = "token_factors.json"

_MARGIN: Final = 1.02  # an estimate errs on the high side: a prompt that is too long costs a failed request
_PRIOR_WEIGHT: Final = 500.0  # counted tokens that the prior is worth
_MOST_WEIGHT: Final = 4_000  # one huge prompt must not outvote all others
_LEAST_COUNTED: Final = 64  # below it, a provider's fixed overhead hides the factor
_KEEP: Final = 0.97  # what each new prompt leaves of the weight of the old ones
_LOWEST, _HIGHEST = 0.25, 8.0  # outside of these a report is no token count
_SURE_AFTER: Final = 8  # reports, from which on a single one counts for at most twice or half the factor
_LEARN_EVERY: Final = 16  # prompts, from then on: counting them all would only say the same again


@dataclass(slots=True)
class _Learned:
    counted: float = 0.0
    reported: float = 0.0
    reports: int = 0


class Factors:
    """The factors of all targets, kept in `<directory>/token_factors.json`; None keeps them in memory.

    The file is read on first use and written at most every `write_every` seconds, and by `flush()`. Processes that
    share it overwrite each other whole, the last one wins: they learn the same thing. A file that cannot be read or
    written costs one warning, never a call.
    """

    def __init__(self, directory: str | Path | None = None, *, write_every: float = 60.0) -> None:
        self._path = Path(directory).expanduser() / FILE_NAME if directory is not None else None
        self._write_every = write_every
        self._learned: dict[str, _Learned] | None = None
        self._prompts: dict[str, int] = {}  # of this process, by target
        self._lock = forks.lock()
        self._unwritten = False
        self._next_write = time.monotonic() + write_every
        self._warned = False

    def factor(self, target: str) -> float:
        """Return the model's tokens per counted token."""
        with self._lock:
            return self._factor(target)

    def estimate(self, target: str, counted: int) -> int:
        """Return the expected tokens for `counted` ones, a little on the high side."""
        return math.ceil(round(counted * self.factor(target) * _MARGIN, 6))

    def due(self, target: str) -> bool:
        """Whether to count a prompt only to `learn` from it: each at first, later now and then."""
        with self._lock:
            prompts = self._prompts[target] = self._prompts.get(target, -1) + 1
            return prompts < _SURE_AFTER or prompts % _LEARN_EVERY == 0

    def learn(self, target: str, counted: int, reported: int) -> None:
        """Take in one report of `reported` tokens for a prompt of `counted` ones; senseless ones are ignored."""
        if counted < _LEAST_COUNTED or not _LOWEST <= reported / counted <= _HIGHEST:
            return
        with self._lock:
            factor = self._factor(target)
            known = self._known().setdefault(target, _Learned())
            ratio = reported / counted
            if known.reports >= _SURE_AFTER:
                ratio = min(max(ratio, factor / 2), factor * 2)
            weight = min(counted, _MOST_WEIGHT)
            known.counted = known.counted * _KEEP + weight
            known.reported = known.reported * _KEEP + weight * ratio
            known.reports += 1
            self._unwritten = True
        if time.monotonic() >= self._next_write:
            self.flush()

    def flush(self) -> None:
        """Write what was learned since the last time. Never raises."""
        with self._lock:
            self._next_write = time.monotonic() + self._write_every
            if self._path is None or not self._unwritten:
                return
            self._unwritten = False
            text = json.dumps({target: _row(known) for target, known in self._known().items()}, indent=1)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._path, text)
        except OSError as error:
            self._warn("write", error)

    def _factor(self, target: str) -> float:
        prior = family_of(target).prior
        known = self._known().get(target)
        if known is None:
            return prior
        return (prior * _PRIOR_WEIGHT + known.reported) / (_PRIOR_WEIGHT + known.counted)

    def _known(self) -> dict[str, _Learned]:
        if self._learned is None:
            self._learned = self._read()
        return self._learned

    def _read(self) -> dict[str, _Learned]:
        if self._path is None:
            return {}
        try:
            rows = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(target): _learned(row) for target, row in rows.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            self._warn("read", error)
            return {}

    def _warn(self, verb: str, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("cannot {} {}: {}; token factors are learned anew in each process", verb, self._path, error)


def _row(known: _Learned) -> dict[str, float]:
    return {"counted": round(known.counted, 3), "reported": round(known.reported, 3), "reports": known.reports}


def _learned(row: dict[str, Any]) -> _Learned:
    learned = _Learned(float(row["counted"]), float(row["reported"]), int(row["reports"]))
    sane = 0 < learned.counted < math.inf and _LOWEST <= learned.reported / learned.counted <= _HIGHEST
    if not sane:
        raise ValueError(f"not a learned factor: {row}")
    return learned
