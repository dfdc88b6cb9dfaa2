"""Shared state in Redis, for many machines. Imports redis: import this module only when `state.url` is set.

A record is its version and its JSON text. A step is taken here, over the records as this process last saw them, and
sent as compare-and-set of all of them: one round trip where nobody else changed them meanwhile, two where somebody
did. The time is that of the Redis server, so that machines whose clocks differ agree.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import redis

from llmrouter.policy.shared import Record, Step, Stepper, new_owner
from llmrouter.store.lost import StateLostError
from llmrouter.store.redis_link import connect, shown

T = TypeVar("T")

_PREFIX: Final = "{llmrouter}:1:"  # one hash slot, so that a step over several keys works on a cluster too
_GIVE_UP_S: Final = 0.5  # for a record that others keep changing
_REST_S: Final = 2.0
_SEEN_AT_MOST: Final = 4096

# ARGV: for each key the expected version, the new text ("=" leaves it, "" removes it) and its milliseconds to live.
# Returns the server's time, and the current texts if any version differs; then nothing was changed.
_COMPARE_AND_SET: Final = """
local time = redis.call('TIME')
local texts, same = {}, true
for i, key in ipairs(KEYS) do
  texts[i] = redis.call('GET', key) or ''
  local version = string.match(texts[i], '^[^ ]*')
  if version ~= ARGV[3 * i - 2] then same = false end
end
if not same then return {time[1], time[2], texts} end
for i, key in ipairs(KEYS) do
  local text = ARGV[3 * i - 1]
  if text == '' then redis.call('DEL', key)
  elseif text ~= '=' then redis.call('SET', key, text, 'PX', ARGV[3 * i]) end
end
return {time[1], time[2]}
"""

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class _Seen(NamedTuple):
    """A record as it was last seen; version "" stands for none."""

    version: str
    record: Record


_NONE: Final = _Seen("", None)


class RedisBackend:
    """Records in the Redis at `url`. Raises ValueError for a URL that is not one of Redis's."""

    def __init__(self, url: str, *, server_clock: bool = True) -> None:
        self.name = shown(url)
        # The version of what somebody else wrote is sent back as it came, or it would never be replaced.
        self._client = connect(url, decode_responses=True, encoding_errors="surrogateescape")
        self._script = self._client.register_script(_COMPARE_AND_SET)
        self._seen: dict[str, _Seen] = {}
        self._server_clock = server_clock
        self._ahead_s = 0.0  # how far the server's clock is ahead of ours
        self._synchronised = not server_clock

    def change(self, keys: tuple[str, ...], step: Stepper[T], now: float) -> T:
        """See Backend."""
        if not self._synchronised:
            self._synchronise()
        started = time.monotonic()
        while True:
            known = [self._seen.get(key, _NONE) for key in keys]
            done = step(tuple([each.record for each in known]), now + self._ahead_s)
            if self._send(keys, known, done):
                return done.result
            if time.monotonic() - started > _GIVE_UP_S:
                raise StateLostError("others change it without end", 0.0)

    def read(self, key: str, step: Callable[[Record, float], T], now: float) -> T:
        """See Backend."""
        return self.change((key,), lambda records, at: Step(step(records[0], at)), now)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, keys: tuple[str, ...], known: list[_Seen], done: Step[Any]) -> bool:
        """Have the server compare and set; return whether it did. Notes what it said in either case."""
        if done.records is None:
            fresh = known
            texts = ["="] * len(keys)
        else:
            fresh = [_NONE if record is None else _Seen(new_owner(), record) for record in done.records]
            texts = [f"{each.version} {_encode(each.record)}" if each.version else "" for each in fresh]
        milliseconds = max(1, int(done.keep_s * 1000))
        arguments: list[str | int] = []
        for each, text in zip(known, texts, strict=True):
            arguments += each.version, text, milliseconds
        answer = self._run([_PREFIX + key for key in keys], arguments)
        if len(answer) > 2:
            fresh = [_parsed(text) for text in answer[2]]
        for key, each in zip(keys, fresh, strict=True):
            self._note(key, each)
        return len(answer) == 2

    def _run(self, keys: list[str], arguments: list[str | int]) -> list[Any]:
        asked = time.time()
        try:
            try:
                answer: list[Any] = self._script(keys=keys, args=arguments)
            except redis.TimeoutError:
                raise
            except redis.ConnectionError:  # an idle connection that the server closed: one more try, on a new one
                asked = time.time()
                answer = self._script(keys=keys, args=arguments)
        except (redis.RedisError, OSError) as error:
            raise StateLostError(f"Redis does not answer ({type(error).__name__})", _REST_S) from error
        if self._server_clock:
            self._ahead_s = int(answer[0]) + int(answer[1]) / 1e6 - (asked + time.time()) / 2
        return answer

    def _synchronise(self) -> None:
        self._run([], [])
        self._synchronised = True

    def _note(self, key: str, seen: _Seen) -> None:
        """Remember a record. Forgetting them all costs each key one more round trip."""
        if not seen.version:
            self._seen.pop(key, None)
            return
        if len(self._seen) >= _SEEN_AT_MOST:
            self._seen.clear()
        self._seen[key] = seen


def _parsed(text: str) -> _Seen:
    version, _, value = text.partition(" ")
    try:
        return _Seen(version, json.loads(value)) if version else _NONE
    except (ValueError, RecursionError):  # not ours; the next step replaces it
        return _Seen(version, None)
