"""Records of a shared state, written and read as they are."""

from __future__ import annotations

import time
from itertools import count

from llmrouter.policy.shared import Record, SharedState, Step

NOW = 1_800_000_000.0
_KEYS = count()


def fresh_key(what: str) -> str:
    """Return a key that no other test uses, in this run or another."""
    return f"{what}-{next(_KEYS)}-{time.time_ns()}"


def put(state: SharedState, key: str, record: Record, now: float = NOW, keep_s: float = 60.0) -> None:
    state.change((key,), lambda _records, _now: Step(None, (record,), keep_s), now)


def get(state: SharedState, key: str, now: float = NOW) -> Record:
    return state.read(key, lambda record, _now: record, now)
