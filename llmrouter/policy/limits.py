"""Limits: requests and tokens a minute, and requests at once, reserved before anything is sent.

Why neither `limits` nor `pyrate-limiter` does this is told in docs/reliability.md, "Limits".

A minute is a window that slides in steps of a second. What is reserved counts until a full minute *and a second* have
passed, so that requests which take unequal time to arrive do not add up to more than the limit at the provider.
Whoever finds a limit full queues: nobody who came later gets ahead of a waiter, and a waiter who is gone for longer
than `TICKET_S` loses its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from llmrouter.errors import LimitExceededError
from llmrouter.policy.shared import Record, SharedState, Step, new_owner

WINDOW_S: Final = 60
MARGIN_S: Final = 1  # for requests that arrive later than others
TICKET_S: Final = 1.0  # how late a waiter may be before the next one is let through
LONGEST_SLEEP_S: Final = 1.0  # a waiter looks again at least this often: others may have given up
_POLL_S: Final = 0.02  # for a slot: nobody knows when one is freed
_LONGEST_POLL_S: Final = 0.25
_LIVE_SLOTS: Final = WINDOW_S + MARGIN_S  # a slot counts while it is at most so many seconds old
_KEEP_S: Final = float(2 * _LIVE_SLOTS)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the file allows; None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is limited: a provider, or a route. `key` names its record, and so who shares it; `name` is for errors."""

    name: str
    key: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Scope:
    """All subjects of one rung: decided when the file is loaded, so that a call only has to count."""

    subjects: tuple[Subject, ...] = ()
    keys: tuple[str, ...] = ()
    slots: bool = False  # whether any of them limits how many run at once
    tokens: int | None = None  # the narrowest limit on tokens; None: tokens need not be counted

    @classmethod
    def of(cls, *subjects: Subject) -> Scope:
        """Return the scope of `subjects`; those without any limit are left out."""
        limited = tuple(subject for subject in subjects if subject.limits != Limits())
        slots = any(subject.limits.concurrency is not None for subject in limited)
        weighed = [most for subject in limited if (most := subject.limits.tokens_per_minute) is not None]
        return cls(limited, tuple(subject.key for subject in limited), slots, min(weighed, default=None))


class Reservation(NamedTuple):  # made for each attempt: a frozen dataclass takes four times as long
    """Leave to send one request, or a place in the queue.

    `wait_s` is 0 where it may be sent now; else the seconds until the limits have room for it (infinite: they never
    will, because it is larger than a limit), and `sleep_s` how long to sleep before asking again. `queued` says that
    its place is kept; where it is not, it would have to wait longer than it may. `full` names what it waits for.
    """

    id: str
    scope: Scope
    tokens: int
    wait_s: float = 0.0
    sleep_s: float = 0.0
    queued: bool = False
    full: str = ""
    slot: int = 0
    held: object = None

    @property
    def granted(self) -> bool:
        """Whether the request may be sent."""
        return self.wait_s <= 0

    def error(self) -> LimitExceededError:
        """Return this, not granted, as the error that ends the rung."""
        if math.isinf(self.wait_s):
            return LimitExceededError(f"{self.full} can never be met: the request needs {self.tokens} tokens")
        error = LimitExceededError(f"{self.full} is full for another {self.wait_s:.1f}s")
        error.retry_after = self.wait_s
        return error


_NOTHING: Final = Reservation("", Scope(), 0)


class Limiter:
    """The limits of all routes and providers, in one shared state. Times (`now`) are seconds of the wall clock."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    def reserve(
        self, scope: Scope, tokens: int, now: float, *, patience_s: float = 0.0, waiting: Reservation | None = None
    ) -> Reservation:
        """Reserve one request of `tokens` tokens with all subjects of `scope` at once, or with none of them.

        A reservation that is not granted but `queued` is asked for again, as `waiting`, after its `sleep_s`. One whose
        wait is longer than `patience_s` is not queued. Hand what was granted or queued to `settle` or `cancel`.
        """
        if not scope.subjects:
            return _NOTHING
        asked = waiting if waiting is not None else Reservation(new_owner(), scope, tokens)
        found = self._state.change(scope.keys, partial(_reserve, asked, patience_s, self._state.lease_s), now)
        if scope.slots and found.wait_s <= 0:
            return found._replace(held=self._state.hold(partial(self._renew, found)))
        return found

    def standing(self, subject: Subject, now: float) -> tuple[int, int, int]:
        """Return the requests and tokens of the last minute that count for `subject`, and the requests under way."""
        return self._state.read(subject.key, _standing, now)

    def settle(self, reservation: Reservation, now: float, *, tokens: int | None = None) -> None:
        """End a request that was sent: free its slots and book the `tokens` it really took; None: as reserved."""
        self._end(reservation, 0 if tokens is None else tokens - reservation.tokens, 0, now)

    def cancel(self, reservation: Reservation, now: float) -> None:
        """Give everything back: nothing was sent, or nobody waits for it any more. May be called on any."""
        if reservation.granted:
            self._end(reservation, -reservation.tokens, -1, now)
        elif reservation.queued:
            self._state.change(reservation.scope.keys, partial(_leave, reservation.id), now)

    def _end(self, reservation: Reservation, tokens: int, requests: int, now: float) -> None:
        scope = reservation.scope
        if scope.slots:
            self._state.drop(reservation.held)
        if scope.subjects and (tokens or requests or scope.slots):
            self._state.change(scope.keys, partial(_end, reservation, tokens, requests), now)

    def _renew(self, reservation: Reservation, now: float) -> None:
        self._state.change(reservation.scope.keys, partial(_renew, reservation.id, self._state.lease_s), now)


# ------------------------------------------------------------------------------------------------ steps

# A record is [requests, tokens, running, queue]. The first two are windows: [total, [[second, amount], ...]], oldest
# first. `running` maps the id of each request under way to the end of its lease. `queue` holds [id, until, tokens].

_EMPTY: Final[Any] = ([0, []], [0, []], {}, [])


class _Room(NamedTuple):
    """What a request has to wait for: the seconds until there is room, when to look again, and which limit it is."""

    wait_s: float
    poll_s: float
    full: str


def _reserve(
    asked: Reservation, patience_s: float, lease_s: float, records: tuple[Record, ...], now: float
) -> Step[Reservation]:
    second, until = int(now), now + lease_s
    current, rooms, taken = [], [], []
    worst: _Room | None = None
    for place, subject in enumerate(asked.scope.subjects):  # each zip would cost as much as a limit
        record = _current(records[place], second, now)
        room = _room(subject, record, asked, now)
        current.append(record)
        rooms.append(room)
        if room is None:
            taken.append(_granted(subject, record, asked, second, until))
        elif worst is None or room > worst:
            worst = room
    if worst is None:
        granted = Reservation(asked.id, asked.scope, asked.tokens, slot=second)
        return Step(granted, tuple(taken), _kept_s(taken, now) if asked.scope.slots else _KEEP_S)
    queued = worst.wait_s <= patience_s
    sleep_s = min(worst.poll_s, LONGEST_SLEEP_S)
    found = asked._replace(wait_s=worst.wait_s, sleep_s=sleep_s, queued=queued, full=worst.full)
    if not queued and not asked.queued:
        return Step(found)
    until = now + sleep_s + TICKET_S
    kept = [
        _queued(record, found, until if queued and room is not None else None)
        for record, room in zip(current, rooms, strict=True)
    ]
    return Step(found, tuple(kept), _kept_s(kept, now))


def _standing(record: Record, now: float) -> tuple[int, int, int]:
    requests, tokens, running, _ = _current(record, int(now), now)
    return requests[0], tokens[0], len(running)


def _kept_s(records: Sequence[Record], now: float) -> float:
    """Return how long `records` matter: while anything in their windows counts, and while a lease runs."""
    leases = [max(record[2].values()) for record in records if record is not None and record[2]]
    return max(_KEEP_S, max(leases) - now) if leases else _KEEP_S


def _current(record: Record, second: int, now: float) -> Any:
    """Return the record without what no longer counts."""
    if record is None:
        return _EMPTY
    requests, tokens, running, queue = record
    if running and min(running.values()) <= now:
        running = {owner: until for owner, until in running.items() if until > now}
    if queue and min(ticket[1] for ticket in queue) <= now:
        queue = [ticket for ticket in queue if ticket[1] > now]
    return _slid(requests, second), _slid(tokens, second), running, queue


def _slid(window: Any, second: int) -> Any:
    """Return the window without the seconds that have left it, or that are yet to come: a clock that was set back."""
    slots = window[1]
    oldest = second - _LIVE_SLOTS
    if not slots or (slots[0][0] >= oldest and slots[-1][0] <= second + 2):
        return window
    kept = [slot for slot in slots if oldest <= slot[0] <= second + 2]
    return [sum(slot[1] for slot in kept), kept]


def _room(subject: Subject, record: Any, asked: Reservation, now: float) -> _Room | None:
    """Return what the request has to wait for; None: there is room now."""
    requests, tokens, running, queue = record
    limits = subject.limits
    ahead, ahead_tokens = _ahead(queue, asked.id) if queue else (0, 0)
    found = None
    if limits.requests_per_minute is not None:
        wait_s = _wait_s(requests, limits.requests_per_minute, 1, ahead, now)
        if wait_s:
            found = _Room(wait_s, wait_s, f"{subject.name}: {limits.requests_per_minute} requests a minute")
    if limits.tokens_per_minute is not None and asked.tokens:
        wait_s = _wait_s(tokens, limits.tokens_per_minute, asked.tokens, ahead_tokens, now)
        if wait_s and (found is None or wait_s > found.wait_s):
            found = _Room(wait_s, wait_s, f"{subject.name}: {limits.tokens_per_minute} tokens a minute")
    if limits.concurrency is not None and found is None:
        behind = len(running) + ahead - limits.concurrency
        if behind >= 0:
            poll_s = min(_POLL_S * (1 + behind), _LONGEST_POLL_S)
            found = _Room(poll_s, poll_s, f"{subject.name}: {limits.concurrency} requests at once")
    return found


def _ahead(queue: list[Any], own: str) -> tuple[int, int]:
    """Return how many requests, and of how many tokens, are before this one in the queue."""
    requests = tokens = 0
    for ticket in queue:
        if ticket[0] == own:
            break
        requests += 1
        tokens += ticket[2]
    return requests, tokens


def _wait_s(window: Any, limit: int, need: int, ahead: int, now: float) -> float:
    """Return the seconds until `window` has room for `need`, after `ahead` that are to go first."""
    total, slots = window
    over = total + ahead + need - limit
    if over <= 0:
        return 0.0
    if need > limit:
        return math.inf
    for second, amount in slots:
        over -= amount
        if over <= 0:
            return float(max(second + _LIVE_SLOTS + 1 - now, 0.001))
    rounds = 1 + (over - 1) // limit  # those ahead fill whole windows by themselves
    last = slots[-1][0] if slots else int(now)
    return float(last + (_LIVE_SLOTS + 1) * (1 + rounds) - now)


def _granted(subject: Subject, record: Any, asked: Reservation, second: int, until: float) -> Record:
    requests, tokens, running, queue = record
    limits = subject.limits
    if limits.requests_per_minute is not None:
        requests = _added(requests, second, 1)
    if limits.tokens_per_minute is not None and asked.tokens:
        tokens = _added(tokens, second, asked.tokens)
    if limits.concurrency is not None:
        running = {**running, asked.id: until}
    if queue:
        queue = [ticket for ticket in queue if ticket[0] != asked.id]
    return requests, tokens, running, queue


def _added(window: Any, second: int, amount: int) -> Any:
    """Return the window with `amount` more in `second`; never less than none."""
    total, slots = window
    if slots and slots[-1][0] == second:
        return _amended(window, len(slots) - 1, amount)
    place = len(slots)
    while place and slots[place - 1][0] > second:  # another machine's clock is a little ahead
        place -= 1
    if place and slots[place - 1][0] == second:
        return _amended(window, place - 1, amount)
    return [total + amount, [*slots[:place], [second, amount], *slots[place:]]]


def _amended(window: Any, place: int, amount: int) -> Any:
    total, slots = window
    second, before = slots[place]
    after = max(0, before + amount)
    changed = slots.copy()
    changed[place] = [second, after]
    return [total + after - before, changed]


def _queued(record: Any, asked: Reservation, until: float | None) -> Record:
    """Return the record with this request in the queue, at its old place if it has one; None: without it."""
    requests, tokens, running, queue = record
    places = [place for place, ticket in enumerate(queue) if ticket[0] == asked.id]
    if until is None:
        return requests, tokens, running, [ticket for ticket in queue if ticket[0] != asked.id]
    ticket = [asked.id, until, asked.tokens]
    place = places[0] if places else len(queue)
    return requests, tokens, running, [*queue[:place], ticket, *queue[place + 1 :]]


def _leave(own: str, records: tuple[Record, ...], now: float) -> Step[None]:
    kept = [None if record is None else _without(record, own) for record in records]
    return Step(None, tuple(kept), _kept_s(kept, now))


def _without(record: Any, own: str) -> Record:
    requests, tokens, running, queue = record
    return requests, tokens, running, [ticket for ticket in queue if ticket[0] != own]


def _end(reservation: Reservation, tokens: int, requests: int, records: tuple[Record, ...], now: float) -> Step[None]:
    second = int(now)
    kept = [
        None if record is None else _ended(subject, _current(record, second, now), reservation, tokens, requests)
        for subject, record in zip(reservation.scope.subjects, records, strict=True)
    ]
    return Step(None, tuple(kept), _kept_s(kept, now))


def _ended(subject: Subject, record: Any, reservation: Reservation, tokens: int, requests: int) -> Record:
    counted, weighed, running, queue = record
    if requests and subject.limits.requests_per_minute is not None:
        counted = _corrected(counted, reservation.slot, requests)
    if tokens and subject.limits.tokens_per_minute is not None:
        weighed = _corrected(weighed, reservation.slot, tokens)
    if reservation.id in running:
        running = {owner: until for owner, until in running.items() if owner != reservation.id}
    return counted, weighed, running, queue


def _corrected(window: Any, second: int, amount: int) -> Any:
    """Return the window with what was booked in `second` put right; nothing where it has left the window."""
    for place, slot in enumerate(window[1]):
        if slot[0] == second:
            return _amended(window, place, amount)
    return window


def _renew(own: str, lease_s: float, records: tuple[Record, ...], now: float) -> Step[None]:
    """Renew the slots that are still held; one that was freed meanwhile stays free."""
    kept = [
        record if record is None or own not in record[2] else _renewed(record, own, now + lease_s) for record in records
    ]
    return Step(None, tuple(kept), _kept_s(kept, now))


def _renewed(record: Any, own: str, until: float) -> Record:
    requests, tokens, running, queue = record
    return requests, tokens, {**running, own: until}, queue
