"""What was spent under each limit in Redis, for many machines. Imports redis: see `store/opening.py`.

Reserving and settling are one script each, so that machines do not overshoot together; leases run by the server's
clock. What this machine spends is also written to its own book: while Redis is lost, limits hold on each machine
alone, and what is spent meanwhile is booked in Redis when it is back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from secrets import token_hex
from typing import Final, NamedTuple

from llmrouter.store.redis_link import LostError, RedisLink, RestingError
from llmrouter.store.spend import KEPT_S, Claim, Refused, SpendBook, Tally

_PREFIX: Final = "{llmrouter}:spend:1:"  # one hash slot, so that a step over several keys works on a cluster too

# For each claim there are two keys: an integer, what was spent; and a hash, "nano until" by reservation.
# Lua's numbers are exact up to nine million dollars, and are written out by '%.0f' so that none is rounded.
_STANDING: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function standing(key, own)
  local held, last, all = 0, 0, redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local nano, until_ms = string.match(all[i + 1], '^(%d+) (%d+)$')
    if not nano or tonumber(until_ms) <= now then redis.call('HDEL', key, all[i])
    elseif all[i] ~= own then
      held, last = held + tonumber(nano), math.max(last, tonumber(until_ms))
    end
  end
  return held, last
end
"""
# ARGV: the reservation, its nano-USD and its lease in milliseconds; then the ceiling of each claim.
# Returns nothing, or the place of the claim that has no room, and how it stands.
_RESERVE: Final = (
    _STANDING
    + """
local ends, lasts = now + tonumber(ARGV[3]), {}
for i = 1, #KEYS, 2 do
  local spent = redis.call('GET', KEYS[i]) or '0'
  local held, last = standing(KEYS[i + 1], ARGV[1])
  if tonumber(spent) + held + tonumber(ARGV[2]) > tonumber(ARGV[3 + (i + 1) / 2]) then
    return {(i - 1) / 2, spent, string.format('%.0f', held)}
  end
  lasts[i] = math.max(last, ends)
end
for i = 1, #KEYS, 2 do
  redis.call('HSET', KEYS[i + 1], ARGV[1], ARGV[2] .. string.format(' %.0f', ends))
  redis.call('PEXPIREAT', KEYS[i + 1], string.format('%.0f', lasts[i]))
end
return {}
"""
)
# The first key says that this was done: what is sent again, because nobody knows, counts once.
# ARGV: the reservation and its nano-USD; then, of each claim, the Unix milliseconds until which it is kept, or "".
_SETTLE: Final = """
if ARGV[2] ~= '0' and not redis.call('SET', KEYS[1], '', 'NX', 'PX', 3600000) then return 0 end
for i = 2, #KEYS, 2 do
  redis.call('HDEL', KEYS[i + 1], ARGV[1])
  if ARGV[2] ~= '0' then
    redis.call('INCRBY', KEYS[i], ARGV[2])
    local kept = ARGV[2 + i / 2]
    if kept ~= '' then redis.call('PEXPIREAT', KEYS[i], kept) end
  end
end
return 1
"""
_TALLY: Final = (
    _STANDING
    + """
local held = standing(KEYS[2], '')
return {redis.call('GET', KEYS[1]) or '0', string.format('%.0f', held)}
"""
)


class _Debt(NamedTuple):
    """What is to be booked in Redis, under the name of its reservation."""

    reservation: str
    claims: tuple[Claim, ...]
    nano: int


class RedisSpendBook:
    """The tallies in the Redis at `url`, and in `alone` while that is lost. Threads and processes may share it.

    Raises ValueError for a URL that is not one of Redis's.
    """

    def __init__(self, url: str, alone: SpendBook) -> None:
        self._link = RedisLink(url, "spend limits", "they hold on each machine alone")
        self._alone = alone
        client = self._link.client
        self._reserve_script = client.register_script(_RESERVE)
        self._settle_script = client.register_script(_SETTLE)
        self._tally_script = client.register_script(_TALLY)
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()  # guards the two below
        self._owed: dict[tuple[Claim, ...], int] = {}  # was never sent
        self._sent: list[_Debt] = []  # may have arrived

    def reserve(self, claims: Sequence[Claim], nano: int, lease_s: float, now: float) -> str | Refused:
        """See Book."""
        reservation = token_hex(8)
        arguments = [reservation, nano, int(lease_s * 1000), *(claim.ceiling for claim in claims)]
        try:
            self._pay()
            refusal = self._link.run(lambda: self._reserve_script(keys=_keys(claims), args=arguments))
        except LostError:
            return self._alone.reserve(claims, nano, lease_s, now)
        if not refusal:
            return reservation
        return Refused(int(refusal[0]), Tally(int(refusal[1]), int(refusal[2])))

    def settle(self, reservation: str, claims: Sequence[Claim], nano: int) -> None:
        """See Book."""
        self._alone.settle(reservation, claims, nano)
        debt = _Debt(reservation or token_hex(8), tuple(claims), nano)
        try:
            self._send(debt)
        except RestingError:
            self._owe(debt)
        except LostError:
            with self._mine():
                self._sent.append(debt)

    def tally(self, claim: Claim, now: float) -> Tally:
        """See Book."""
        try:
            self._pay()
            spent, reserved = self._link.run(lambda: self._tally_script(keys=_keys([claim])))
        except LostError:
            return self._alone.tally(claim, now)
        return Tally(int(spent), int(reserved))

    def close(self) -> None:
        """Book what is owed, if Redis is there, and close the connections; using the book again opens them again."""
        with suppress(LostError):
            self._pay()
        self._link.close()
        self._alone.close()

    def _send(self, debt: _Debt) -> None:
        keys = [f"{_PREFIX}settled:{debt.reservation}", *_keys(debt.claims)]
        kept = ("" if claim.ends is None else int((claim.ends + KEPT_S) * 1000) for claim in debt.claims)
        arguments = [debt.reservation, debt.nano, *kept]
        self._link.run(lambda: self._settle_script(keys=keys, args=arguments))

    def _owe(self, debt: _Debt) -> None:
        if debt.nano:  # else there is only a reservation to be freed, which lapses by itself
            with self._mine():
                self._owed[debt.claims] = self._owed.get(debt.claims, 0) + debt.nano

    def _pay(self) -> None:
        """Book what could not be booked before. Raises LostError."""
        if not (self._owed or self._sent):
            return
        with self._mine():
            self._sent += [_Debt(token_hex(8), claims, nano) for claims, nano in self._owed.items()]
            self._owed.clear()
            debts = tuple(self._sent)
        for debt in debts:  # another thread may do so too: each counts once
            self._send(debt)
            with self._mine(), suppress(ValueError):
                self._sent.remove(debt)

    def _mine(self) -> threading.Lock:
        """Return the lock; after a fork with nothing owed, because that is the parent's to pay."""
        if self._pid != os.getpid():
            self._begin()
        return self._lock


def _keys(claims: Sequence[Claim]) -> list[str]:
    names = (f"{claim.scope}:{claim.period}" for claim in claims)
    return [f"{_PREFIX}{kind}:{name}" for name in names for kind in ("spent", "reserved")]
