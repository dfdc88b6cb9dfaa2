"""Leases: one holder at a time under a name, across processes, for as long as the holder lives.

The single flight of several processes stands on them: whoever gets the lease on a cache key asks, the others look
into the cache every `POLL_S` seconds until the answer is there or the lease is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from llmrouter.policy.shared import Record, SharedState, Step, new_owner

POLL_S: Final = 0.03  # between two looks of a follower: a fraction of the fastest answer, and 30 cheap reads a second


class Lease(Protocol):
    """What this process holds under a name, until it gives it back."""

    def give_back(self, now: float) -> None:
        """Free the name for others; a lease that was lost stays with its new holder."""
        ...


class Leases(Protocol):
    """Gives leases. Nothing here raises for the state of the store. `now` is in seconds of the wall clock."""

    def take(self, key: str, now: float) -> Lease | None:
        """Return the lease on `key`, or None while somebody else holds it."""
        ...

    def close(self) -> None:
        """Let go of files and connections; using the leases again opens them again."""
        ...


class StateLeases:
    """Leases in a shared state. What is held is renewed by the state's heartbeat, and lapses when its process dies."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    def take(self, key: str, now: float) -> Lease | None:
        """See Leases."""
        state = self._state
        if state.read(key, _taken, now):  # a follower asks often, and reading disturbs nobody
            return None
        owner = new_owner()
        if not state.change((key,), partial(_take, owner, state.lease_s), now):
            return None
        return _StateLease(state, key, owner, state.hold(partial(self._renew, key, owner)))

    def close(self) -> None:
        """Do nothing: the state is closed by whoever opened it."""

    def _renew(self, key: str, owner: str, now: float) -> bool:
        return self._state.change((key,), partial(_renew, owner, self._state.lease_s), now)


@dataclass(frozen=True, slots=True)
class _StateLease:
    state: SharedState
    key: str
    owner: str
    held: object

    def give_back(self, now: float) -> None:
        self.state.drop(self.held)
        self.state.change((self.key,), partial(_give_back, self.owner), now)


def _taken(record: Record, now: float) -> bool:
    return record is not None and bool(record[1] > now)


def _take(owner: str, lease_s: float, records: tuple[Record, ...], now: float) -> Step[bool]:
    if _taken(records[0], now):
        return Step(False)
    return Step(True, ([owner, now + lease_s],), lease_s)


def _renew(owner: str, lease_s: float, records: tuple[Record, ...], now: float) -> Step[bool]:
    """Renew what is still ours; what was given back meanwhile stays free."""
    record = records[0]
    if not _taken(record, now) or record[0] != owner:
        return Step(False)
    return Step(True, ([owner, now + lease_s],), lease_s)


def _give_back(owner: str, records: tuple[Record, ...], now: float) -> Step[None]:
    record = records[0]
    if not _taken(record, now) or record[0] != owner:
        return Step(None)
    return Step(None, (None,))
