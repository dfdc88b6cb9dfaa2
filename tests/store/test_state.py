"""Shared state: what every store keeps, what stands on it, and which one is opened."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from llmrouter.errors import ConfigError
from llmrouter.policy.breaker import Admission, Blocked, Breaker, Circuit
from llmrouter.policy.leases import StateLeases
from llmrouter.policy.limits import Limiter, Limits, Scope, Subject
from llmrouter.policy.select import next_turn
from llmrouter.policy.shared import Record, SharedState, Step, key_of
from llmrouter.store.state import BackedState, MemoryState, open_state
from llmrouter.store.state_file import FileBackend
from tests.store.redis_server import RedisServer
from tests.store.state_records import NOW, fresh_key, get, put

Open: TypeAlias = Callable[[], SharedState]


@pytest.fixture(params=["memory", "file", pytest.param("redis", marks=pytest.mark.integration)])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the state, each time as another process would (but for memory); its clock is the test's."""
    opened: list[SharedState] = []
    memory = MemoryState()

    def open_one() -> SharedState:
        if request.param == "memory":
            return memory
        if request.param == "file":
            state = BackedState(FileBackend(tmp_path / "state"))
        else:
            from llmrouter.store.state_redis import RedisBackend

            server: RedisServer = request.getfixturevalue("redis_server")
            state = BackedState(RedisBackend(server.url, server_clock=False))
        opened.append(state)
        return state

    yield open_one
    for state in opened:
        state.close()


def test_what_one_process_keeps_the_other_finds(opening: Open, key: str) -> None:
    put(opening(), key, [1, {"a": 2.5}, None, "ü"])
    assert get(opening(), key) == [1, {"a": 2.5}, None, "ü"]


def test_a_record_that_nobody_kept_is_none(opening: Open, key: str) -> None:
    assert get(opening(), key) is None


def test_a_record_is_gone_after_its_time_or_when_it_is_removed(opening: Open, key: str) -> None:
    state = opening()
    put(state, key, 1, keep_s=0.05)
    time.sleep(0.1)  # Redis drops records by its own clock
    assert get(state, key, NOW + 0.1) is None
    put(state, key, 1)
    put(state, key, None)
    assert get(state, key) is None


def test_a_step_sees_and_changes_several_records_at_once(opening: Open, key: str) -> None:
    put(opening(), key + "a", 1)
    seen = opening().change((key + "a", key + "b"), lambda records, _: Step(records, (5, 6), 60.0), NOW)
    assert tuple(seen) == (1, None)
    assert (get(opening(), key + "a"), get(opening(), key + "b")) == (5, 6)


def test_a_step_without_records_changes_nothing(opening: Open, key: str) -> None:
    put(opening(), key, 1)
    assert opening().change((key,), lambda records, _: Step(records[0]), NOW) == 1
    assert get(opening(), key) == 1


def test_a_step_that_fails_leaves_the_record_as_it_was(opening: Open, key: str) -> None:
    state = opening()
    put(state, key, 1)

    def failing(_records: tuple[Record, ...], _now: float) -> Step[None]:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        state.change((key,), failing, NOW)
    assert get(state, key) == 1


def test_threads_of_several_states_lose_no_count(opening: Open, key: str) -> None:
    states = [opening() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        turns = list(pool.map(lambda number: next_turn(states[number % 4], key, NOW), range(400)))
    assert sorted(turns) == list(range(400))


def test_a_state_can_be_used_again_after_it_was_closed(opening: Open, key: str) -> None:
    state = opening()
    put(state, key, 1)
    state.close()
    assert get(state, key) == 1


# ------------------------------------------------------------------------------------------------ what stands on it


def test_processes_keep_one_limit_together(opening: Open, key: str) -> None:
    where = Scope.of(Subject("p", key, Limits(requests_per_minute=60, tokens_per_minute=10_000)))
    limiters = [Limiter(opening()) for _ in range(4)]
    granted = [limiters[number % 4].reserve(where, 100, NOW + number / 10).granted for number in range(200)]
    assert sum(granted) == 60
    assert limiters[0].reserve(where, 100, NOW + 62).granted


def test_slots_are_counted_and_freed_across_processes(opening: Open, key: str) -> None:
    where = Scope.of(Subject("p", key, Limits(concurrency=1)))
    one, other = Limiter(opening()), Limiter(opening())
    running = one.reserve(where, 0, NOW)
    assert running.granted
    assert not other.reserve(where, 0, NOW).granted
    one.settle(running, NOW)
    assert other.reserve(where, 0, NOW).granted


def test_processes_share_a_breaker_and_its_one_probe(opening: Open, key: str) -> None:
    circuit, one, other = Circuit("a/x", key), Breaker(opening()), Breaker(opening())
    for _ in range(5):
        one.failed(Admission(circuit), ConnectionErrorOfOurs, NOW)
    assert isinstance(other.allow(circuit, NOW), Blocked)
    probes = [each.allow(circuit, NOW + 30) for each in (other, one, other)]
    assert [isinstance(found, Admission) for found in probes] == [True, False, False]
    assert isinstance(probes[0], Admission)
    other.succeeded(probes[0], NOW + 31)
    assert one.state(circuit, NOW + 31).phase == "closed"


def _connection_error() -> Exception:
    from llmrouter.errors import APIConnectionError

    return APIConnectionError("refused")


ConnectionErrorOfOurs = _connection_error()


@pytest.mark.parametrize("garbage", [17, "text", [], {}, [1], [None, None, None, None], {"a": []}], ids=json.dumps)
def test_a_record_that_makes_no_sense_counts_as_none(tmp_path: Path, key: str, garbage: Record) -> None:
    state = BackedState(FileBackend(tmp_path))
    put(state, key, garbage)
    circuit, where = Circuit("a/x", key), Scope.of(Subject("p", key, Limits(1, 1, 1)))
    assert isinstance(Breaker(state).allow(circuit, NOW), Admission)
    put(state, key, garbage)
    assert Limiter(state).reserve(where, 1, NOW).granted
    put(state, key, garbage)
    StateLeases(state).take(key, NOW)
    state.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.floats(0, 9), st.integers(0, 60), st.sampled_from(["keep", "settle", "cancel", "queue"])),
        max_size=25,
    )
)
def test_every_store_decides_alike(opening: Open, steps: list[tuple[float, int, str]]) -> None:
    """The same events lead to the same answers as in memory, two processes taking turns."""
    key = fresh_key("alike")
    where = Scope.of(Subject("p", key, Limits(3, 100, 2)), Subject("r", key + "r", Limits(tokens_per_minute=90)))
    here, there = Limiter(MemoryState()), [Limiter(opening()), Limiter(opening())]
    now = NOW
    for number, (later, tokens, ends) in enumerate(steps):
        now += later
        patience_s = 100.0 if ends == "queue" else 0.0
        expected = here.reserve(where, tokens, now, patience_s=patience_s)
        found = there[number % 2].reserve(where, tokens, now, patience_s=patience_s)
        assert (found.wait_s, found.sleep_s, found.queued, found.full) == (
            expected.wait_s, expected.sleep_s, expected.queued, expected.full
        )  # fmt: skip
        if ends == "cancel" or found.queued:
            here.cancel(expected, now)
            there[1 - number % 2].cancel(found, now)
        elif found.granted:
            used = tokens // 2 if ends == "settle" else None
            here.settle(expected, now, tokens=used)
            there[1 - number % 2].settle(found, now, tokens=used)


def test_memory_does_not_grow_with_records_that_expired() -> None:
    state = MemoryState()
    for number in range(20_000):
        put(state, f"k{number}", 1, NOW + number, keep_s=10.0)
    assert len(state._records) < 2000


def test_the_heartbeat_thread_ends_when_nothing_is_held(tmp_path: Path) -> None:
    state = BackedState(FileBackend(tmp_path), beat_s=0.02)
    lease = StateLeases(state).take("k", time.time())
    assert lease is not None
    lease.give_back(time.time())
    until = time.monotonic() + 5
    while any(thread.name == "llmrouter-leases" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert StateLeases(state).take("k", time.time()) is not None  # and it starts anew
    state.close()


def test_closing_ends_the_heartbeat_at_once(tmp_path: Path) -> None:
    state = BackedState(FileBackend(tmp_path))
    StateLeases(state).take("k", time.time())
    state.close()
    assert not any(thread.name == "llmrouter-leases" for thread in threading.enumerate())


# ------------------------------------------------------------------------------------------------ opening


def test_without_an_address_or_a_folder_it_is_memory() -> None:
    assert isinstance(open_state(None, None), MemoryState)


def test_opening_touches_no_disk(tmp_path: Path) -> None:
    open_state(None, tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_an_address_that_is_none_of_redis_is_a_mistake_of_the_file_and_shows_no_password() -> None:
    pytest.importorskip("redis")
    with pytest.raises(ConfigError, match="redis://localhost") as caught:
        open_state("http://me:hunter2@localhost", None)
    assert "hunter2" not in str(caught.value)


def test_keys_tell_every_part_apart() -> None:
    keys = {key_of("b", *parts) for parts in [("a", "b"), ("ab",), ("ab", None), (None, "ab"), (b"a", "b ")]}
    assert len(keys) == 5
