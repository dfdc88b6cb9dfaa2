"""The state in Redis: atomic for many machines, by one clock, and no call is lost with it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

pytest.importorskip("redis")

from llmrouter.policy.select import next_turn
from llmrouter.policy.shared import Record, Step
from llmrouter.store import state_redis
from llmrouter.store.state import BackedState
from llmrouter.store.state_redis import RedisBackend
from tests.store.redis_server import RedisServer

pytestmark = pytest.mark.integration


@pytest.fixture
def state(own_redis: RedisServer) -> Iterator[BackedState]:
    own_redis.start()
    state = BackedState(RedisBackend(own_redis.url))
    yield state
    state.close()


def turn(state: BackedState) -> int:
    return next_turn(state, "turn", time.time())


def warnings(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("WARNING")]


def clock(state: BackedState, now: float) -> float:
    """Return the time that steps see."""
    return state.change(("clock",), lambda _records, at: Step(at), now)


def test_the_time_is_the_servers_whatever_this_machine_says(
    state: BackedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() - 5000.0)
    clock(state, time.time())
    assert clock(state, time.time()) == pytest.approx(true(), abs=0.5)


def test_a_redis_lost_in_the_middle_costs_one_warning_and_no_call(
    own_redis: RedisServer, state: BackedState, said: list[str]
) -> None:
    assert [turn(state), turn(state)] == [0, 1]
    own_redis.stop()
    started = time.monotonic()
    assert [turn(state) for _ in range(50)] == list(range(50))
    assert time.monotonic() - started < 1
    assert len(warnings(said)) == 1


def test_a_redis_that_comes_back_is_used_again(
    own_redis: RedisServer, state: BackedState, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_redis, "_REST_S", 0.1)
    turn(state)
    own_redis.stop()
    turn(state)
    own_redis.start()
    time.sleep(0.2)
    assert turn(state) == 0  # it kept nothing, and what was counted alone is of no use
    other = BackedState(RedisBackend(own_redis.url))
    assert turn(other) == 1
    other.close()
    assert any("is back" in line for line in said)


def test_a_redis_that_restarted_between_two_calls_is_not_even_noticed(
    own_redis: RedisServer, state: BackedState, said: list[str]
) -> None:
    turn(state)
    own_redis.stop()
    own_redis.start()
    assert turn(state) == 0
    assert not said


def test_a_redis_that_never_was_there_costs_one_warning_without_its_password(
    own_redis: RedisServer, said: list[str]
) -> None:
    state = BackedState(RedisBackend(f"redis://me:hunter2@127.0.0.1:{own_redis.port}/0"))
    assert [turn(state), turn(state)] == [0, 1]
    state.close()
    (line,) = warnings(said)
    assert "hunter2" not in line
    assert f"127.0.0.1:{own_redis.port}" in line


def test_a_record_somebody_else_wrote_counts_as_none(
    own_redis: RedisServer, state: BackedState, said: list[str]
) -> None:
    import redis

    client = redis.Redis.from_url(own_redis.url)
    for text in (b"\xff\xfe", b"", b"version not-json", b"no-space", b" "):
        client.set("{llmrouter}:1:turn", text)
        assert turn(state) == 0
        assert turn(state) == 1
    client.close()
    assert not warnings(said)


def test_an_uncontended_change_takes_one_round_trip(own_redis: RedisServer, state: BackedState) -> None:
    import redis

    client = redis.Redis.from_url(own_redis.url)
    turn(state)
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    for _ in range(10):
        turn(state)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] - before == 10
    client.close()


def test_records_are_dropped_by_redis_itself(own_redis: RedisServer, state: BackedState) -> None:
    def kept_briefly(_records: tuple[Record, ...], _now: float) -> Step[None]:
        return Step(None, ([1],), 0.05)

    state.change(("brief",), kept_briefly, time.time())
    time.sleep(0.1)
    assert state.read("brief", lambda record, _: record, time.time()) is None
