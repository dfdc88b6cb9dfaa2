"""Shared state among real processes: nothing is lost, and what a killed one held is freed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from llmrouter.policy.breaker import Blocked, Breaker, Circuit
from llmrouter.policy.leases import StateLeases
from llmrouter.policy.limits import Limiter, Limits, Scope, Subject
from llmrouter.policy.shared import SharedState
from llmrouter.store.state import open_state
from tests.store.redis_server import RedisServer

_PRELUDE = """
    import sys, time
    from pathlib import Path
    from llmrouter.policy.breaker import *
    from llmrouter.policy.leases import StateLeases
    from llmrouter.policy.limits import Limiter, Limits, Scope, Subject
    from llmrouter.policy.select import next_turn
    from llmrouter.store.state import open_state
    where, key = sys.argv[1:]
    redis = where if where.startswith("redis") else None
    state = open_state(redis, None if redis else Path(where))
"""


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.integration)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where several processes meet."""
    if request.param == "file":
        return str(tmp_path / "state")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


def meet(place: str) -> SharedState:
    redis = place if place.startswith("redis") else None
    return open_state(redis, None if redis else Path(place))


def run(script: str, place: str, key: str) -> subprocess.Popen[str]:
    source = textwrap.dedent(_PRELUDE) + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", source, place, key], stdout=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=40)
    assert process.returncode == 0
    return out


def test_four_processes_at_once_never_get_more_than_the_limit(place: str, key: str) -> None:
    script = """
        scope = Scope.of(Subject("p", key, Limits(requests_per_minute=60)))
        limiter = Limiter(state)
        print(sum(limiter.reserve(scope, 0, time.time()).granted for _ in range(200)))
        state.close()
    """
    processes = [run(script, place, key) for _ in range(4)]
    assert sum(int(finished(process)) for process in processes) == 60


def test_four_processes_at_once_lose_no_change(place: str, key: str) -> None:
    script = "print([next_turn(state, key, time.time()) for _ in range(250)]); state.close()"
    processes = [run(script, place, key) for _ in range(4)]
    turns = [turn for process in processes for turn in json.loads(finished(process))]
    assert sorted(turns) == list(range(1000))


def test_a_living_holder_keeps_its_lease_and_a_killed_one_frees_it_after_its_length(place: str, key: str) -> None:
    script = """
        from llmrouter.store import state as rooms
        state._heartbeat._period_s = 0.2
        state.lease_s = 0.8
        assert StateLeases(state).take(key, time.time())
        print("held", flush=True)
        time.sleep(60)
    """
    holder = run(script, place, key)
    state = meet(place)
    leases = StateLeases(state)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            assert leases.take(key, time.time()) is None
            time.sleep(0.05)
        holder.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        while (lease := leases.take(key, time.time())) is None:
            assert time.monotonic() - killed < 5
            time.sleep(0.02)
        assert time.monotonic() - killed < 1.5
        lease.give_back(time.time())
    finally:
        holder.kill()
        holder.communicate()
        state.close()


def test_a_killed_process_frees_its_slots_after_their_lease(place: str, key: str) -> None:
    script = """
        state.lease_s = 0.5
        scope = Scope.of(Subject("p", key, Limits(concurrency=1)))
        assert Limiter(state).reserve(scope, 0, time.time()).granted
        print("running", flush=True)
        time.sleep(60)
    """
    holder = run(script, place, key)
    state = meet(place)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "running\n"
        holder.kill()
        killed = time.monotonic()
        limiter, where = Limiter(state), Scope.of(Subject("p", key, Limits(concurrency=1)))
        while not (found := limiter.reserve(where, 0, time.time())).granted:
            assert time.monotonic() - killed < 5
            time.sleep(0.02)
        limiter.settle(found, time.time())
    finally:
        holder.kill()
        holder.communicate()
        state.close()


def test_a_breaker_that_one_process_opened_is_open_for_the_next(place: str, key: str) -> None:
    script = """
        from llmrouter.errors import ServerError
        for _ in range(5):
            Breaker(state).failed(Admission(Circuit("a/x", key)), ServerError("down"), time.time())
        state.close()
    """
    finished(run(script, place, key))
    state = meet(place)
    assert isinstance(Breaker(state).allow(Circuit("a/x", key), time.time()), Blocked)
    state.close()


def test_a_forked_process_counts_on_without_disturbing_its_parent(place: str, key: str) -> None:
    script = """
        import os
        next_turn(state, key, time.time())
        children = []
        for _ in range(4):
            child = os.fork()
            if not child:
                for _ in range(50):
                    next_turn(state, key, time.time())
                os._exit(0)
            children.append(child)
        for _ in range(50):
            next_turn(state, key, time.time())
        assert all(os.waitpid(child, 0)[1] == 0 for child in children)
        print(next_turn(state, key, time.time()))
        state.close()
    """
    assert finished(run(script, place, key)) == "251\n"
