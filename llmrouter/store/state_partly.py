"""Records that a process keeps to itself until they concern all, as those of breakers.

What a healthy target answered is nobody else's business, and is counted in memory. A target that is to be left alone
is told to the other processes of the machine, and from then on its record is everybody's: who probes, how that went.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeVar

from llmrouter.policy.shared import Record, Records, Step, Stepper
from llmrouter.store.state import MemoryState

T = TypeVar("T")

LOOK_EVERY_S: Final = 0.25  # for what others have told: a read of a file, if there is one
_BEYOND_S: Final = 900.0  # by which what another told may be worth keeping longer than mine
_MOST_LOOKS: Final = 1024  # that are remembered; beyond, all are looked for anew


class PartlyShared:
    """Each record in this process's memory while it concerns nobody else, in `common` while it does."""

    def __init__(
        self,
        common: Records,
        concerns_all: Callable[[Record, float], bool],
        united: Callable[[Record, Record], Record],
        scope: Callable[[], str],
    ) -> None:
        """Share with those who have the same `scope()`; `united` makes one record of mine and theirs."""
        self._common = common
        self._concerns_all, self._united = concerns_all, united
        self._scope = scope
        self._start(scope())

    def _start(self, scope: str) -> None:
        self._started = scope
        self._own = MemoryState()
        self._given: set[str] = set()  # the keys of those that are in common
        self._looked: dict[str, float] = {}

    def change(self, keys: tuple[str, ...], step: Stepper[T], now: float) -> T:
        """See Records; takes one key."""
        (key,) = keys
        self._keep_to_scope()
        if self._is_given(key, now):
            taken = self._common.change((self._named(key),), self._while_common(step), now)
            if taken is not None:
                return taken.result
            self._given.discard(key)  # somebody else has settled it
        taken = self._own.change(keys, _told(step), now)
        if taken.records is not None and self._concerns_all(taken.records[0], now):
            self._give(key, taken, now)
        return taken.result

    def read(self, key: str, step: Callable[[Record, float], T], now: float) -> T:
        """See Records."""
        if self._is_given(key, now):

            def seen(record: Record, at: float) -> tuple[T, bool]:
                return step(record, at), self._concerns_all(record, at)

            result, still_common = self._common.read(self._named(key), seen, now)
            if still_common:
                return result
            self._given.discard(key)
        return self._own.read(key, step, now)

    def _keep_to_scope(self) -> None:
        """Forget everything where a new scope has begun. A target that answers pays for that four times a second."""
        scope = self._scope()
        if scope != self._started:
            self._start(scope)

    def _is_given(self, key: str, now: float) -> bool:
        if key not in self._given and 0.0 <= now - self._looked.get(key, -math.inf) < LOOK_EVERY_S:
            return False  # a clock that was set back looks again
        self._keep_to_scope()
        if key in self._given:
            return True
        if len(self._looked) >= _MOST_LOOKS:
            self._looked.clear()
        self._looked[key] = now
        if not self._common.read(self._named(key), self._concerns_all, now):
            return False
        self._given.add(key)
        return True

    def _while_common(self, step: Stepper[T]) -> Stepper[Step[T] | None]:
        """Return `step` for the common record; it comes to None where that concerns nobody any more."""

        def taken(records: tuple[Record, ...], now: float) -> Step[Step[T] | None]:
            if not self._concerns_all(records[0], now):
                return Step(None)
            done = step(records, now)
            return Step(done, done.records, done.keep_s)

        return taken

    def _give(self, key: str, taken: Step[T], now: float) -> None:
        mine = taken.records[0] if taken.records is not None else None

        def told(records: tuple[Record, ...], at: float) -> Step[None]:
            if not self._concerns_all(records[0], at):
                return Step(None, (mine,), taken.keep_s)
            return Step(None, (self._united(mine, records[0]),), taken.keep_s + _BEYOND_S)

        self._common.change((self._named(key),), told, now)
        self._given.add(key)
        self._own.change((key,), lambda _records, _now: Step(None, (None,)), now)

    def _named(self, key: str) -> str:
        return f"{key}-{self._started}"


def _told(step: Stepper[T]) -> Stepper[Step[T]]:
    """Return `step` with all that it came to as its result."""

    def taken(records: tuple[Record, ...], now: float) -> Step[Step[T]]:
        done = step(records, now)
        return Step(done, done.records, done.keep_s)

    return taken
