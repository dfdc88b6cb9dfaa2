"""Several processes at once: one request for a question they share, one pace, and nothing that a dead one holds up."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter import Router
from llmrouter.store import lease_file
from tests.chains import chain
from tests.conftest import FaultServers
from tests.processes import Worker, worker, workers
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI
from tests.servers.replies import silence
from tests.store.redis_server import RedisServer, require_redis

LONG = os.environ.get("LLMROUTER_LONG_TESTS") == "1"  # read before the tests' environment is cleared
HOUR: dict[str, Any] = {"cache": {"ttl": "1h"}, "deadline": "30s", "timeouts": {"attempt": "25s"}}

pytestmark = pytest.mark.timeout(120)


def asked(server: FaultServer) -> int:
    return len(server.requests)


def all_heard(started: list[Worker]) -> list[Any]:
    """Let all go at once; return what each tells."""
    for each in started:
        each.go()
    return [each.heard() for each in started]


# ------------------------------------------------------------------------------------------------ one flight

SAME = """
router = Router(config)
start()
with ThreadPoolExecutor(16) as pool:
    replies = list(pool.map(lambda _: router.chat("r", "the same question"), range(16)))
tell([[reply.content, reply.cached] for reply in replies])
router.close()
"""


def test_eight_processes_of_sixteen_threads_make_one_request(fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.complete("One for all.").after(0.5))
    with workers(SAME, chain((OPENAI, server), **HOUR), 8) as started:
        found = [reply for replies in all_heard(started) for reply in replies]
    assert Counter(content for content, _ in found) == {"One for all.": 128}
    assert [cached for _, cached in found].count(False) == 1
    assert asked(server) == 1


STREAMS = """
async def main():
    async with AsyncRouter(config) as router:
        start()
        async def read():
            return "".join([text async for text in router.stream("r", "the same question")])
        tell(await asyncio.gather(*(read() for _ in range(8))))
asyncio.run(main())
"""


def test_streams_of_several_processes_make_one_request(fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.stream("One for all.").delayed(0.05))
    with workers(STREAMS, chain((OPENAI, server), **HOUR), 3) as started:
        found = [text for texts in all_heard(started) for text in texts]
    assert found == ["One for all."] * 24
    assert asked(server) == 1


# ------------------------------------------------------------------------------------------------ one pace

PACE = """
router = Router(config)
start()
with ThreadPoolExecutor(8) as pool:
    replies = list(pool.map(lambda number: router.chat("r", f"question {number}").content, range(10)))
tell(replies)
router.close()
"""


def test_four_processes_keep_one_limit_together(fault_server: FaultServers) -> None:
    limited, spare = fault_server(OPENAI.reply("Limited.")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, limited), (OPENAI, spare))
    config["providers"]["first"]["limits"] = {"requests_per_minute": 15}
    with workers(PACE, config, 4) as started:
        found = Counter(content for contents in all_heard(started) for content in contents)
    assert found == {"Limited.": 15, "Spare.": 25}
    assert asked(limited) == 15


STEADY = """
router = Router(config)
start()
until = time.monotonic() + 130
answered = 0
while time.monotonic() < until:
    answered += router.chat("r", "hello").content == "Limited."
tell(answered)
"""


@pytest.mark.skipif(not LONG, reason="takes 140 s; set LLMROUTER_LONG_TESTS=1")
@pytest.mark.timeout(240)
def test_no_minute_ever_sees_more_than_the_limit(fault_server: FaultServers) -> None:
    limited, spare = fault_server(OPENAI.reply("Limited.")), fault_server(OPENAI.complete("Spare.").after(0.2))
    config = chain((OPENAI, limited), (OPENAI, spare))
    config["providers"]["first"]["limits"] = {"requests_per_minute": 60}
    with workers(STEADY, config, 4) as started:
        all_heard(started)
    times = sorted(request.at for request in limited.requests)
    assert len(times) > 120
    assert max(sum(1 for at in times if begin <= at < begin + 60) for begin in times) <= 60


SLOTS = """
router = Router(config)
start()
with ThreadPoolExecutor(4) as pool:
    tell([reply.content for reply in pool.map(lambda number: router.chat("r", f"question {number}"), range(4))])
"""


def test_slots_are_counted_over_all_processes(fault_server: FaultServers) -> None:
    running, most = [0], [0]

    def counted(_request: Any) -> Any:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.1)
        running[0] -= 1
        return OPENAI.reply("Here.")

    config = chain((OPENAI, fault_server(counted)), limits={"concurrency": 2}, deadline="20s")
    with workers(SLOTS, config, 3) as started:
        found = [content for contents in all_heard(started) for content in contents]
    assert found == ["Here."] * 12
    assert most[0] <= 2


# ------------------------------------------------------------------------------------------------ killed processes

HOLDING = """
router = Router(config)
start()
router.chat("r", "the same question")
"""


def _seconds_held_up(server: FaultServer, config: Any) -> float:
    """How long a call waits for a process that is killed while it asks the same question."""
    with worker(HOLDING, config) as holder, Router(config) as router, ThreadPoolExecutor(1) as pool:
        assert server.wait_for(lambda s: len(s.requests) == 1, 10.0)
        waiting = pool.submit(router.chat, "r", "the same question")
        time.sleep(1.0)
        assert asked(server) == 1  # it waits for the living
        holder.kill()
        killed = time.monotonic()
        assert waiting.result().content == "Here."
        return time.monotonic() - killed


@pytest.mark.skipif(not lease_file.supported(), reason="no open file description locks here")
def test_a_killed_process_frees_its_flights_at_once(fault_server: FaultServers) -> None:
    server = fault_server([silence(60), OPENAI.reply("Here.")])
    assert _seconds_held_up(server, chain((OPENAI, server), **HOUR)) < 2.0
    assert asked(server) == 2


def test_a_killed_process_holds_up_a_slot_for_ten_seconds_at_most(fault_server: FaultServers) -> None:
    server = fault_server([silence(60), OPENAI.reply("Here.")])
    config = chain((OPENAI, server), **HOUR | {"cache": False, "limits": {"concurrency": 1}})
    assert 5.0 < _seconds_held_up(server, config) < 11.5  # the lease, and the polls of those who wait
    assert asked(server) == 2


def test_with_redis_a_killed_process_holds_up_its_flights_for_ten_seconds_at_most(
    fault_server: FaultServers, own_redis: RedisServer
) -> None:
    own_redis.start()
    server = fault_server([silence(60), OPENAI.reply("Here.")])
    config = chain((OPENAI, server), **HOUR) | {"state": {"url": own_redis.url}}
    assert 5.0 < _seconds_held_up(server, config) < 11.5
    assert asked(server) == 2


PROBING = """
import llmrouter.policy.breaker as breaker
breaker.PROBE_LEASE_S = 1.5
router = Router(config)
start()
router.chat("r", "the probe")
"""


def test_a_killed_probe_makes_room_for_the_next_when_its_lease_is_over(
    fault_server: FaultServers, breakers: dict[str, Any]
) -> None:
    server, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, server), (OPENAI, spare), breaker={"failures": 3, "cooldown": "50ms"}, **HOUR)
    config["routes"]["r"]["cache"] = False
    config |= breakers
    with Router(config) as router:
        assert router.chat("r", "hello").content == "Spare."
        server.script([silence(60), OPENAI.reply("Back.")])
        time.sleep(0.1)
        with worker(PROBING, config) as prober:
            assert server.wait_for(lambda s: len(s.requests) == 4, 10.0)
            prober.kill()
        assert router.chat("r", "hello").content == "Spare."  # nobody else probes while the lease runs
        time.sleep(1.6)
        assert router.chat("r", "hello").content == "Back."


# ------------------------------------------------------------------------------------------------ shared breakers

FAILING = """
router = Router(config)
start()
tell(router.chat("r", "hello").content)
tell({target: state.phase for target, state in router.status().items()})
router.close()
"""


@pytest.fixture
def file_state() -> dict[str, str]:
    """`state:` in a file."""
    return {"url": "file:"}


@pytest.fixture
def redis_state(tmp_path: Path) -> Iterator[dict[str, str]]:
    """`state:` in a real Redis."""
    require_redis()
    server = RedisServer(tmp_path)
    server.start()
    yield {"url": server.url}
    server.stop()


@pytest.fixture(params=["file", "redis"])
def shared(request: pytest.FixtureRequest) -> dict[str, str]:
    """`state:` for the file, in a file and in a real Redis."""
    found: dict[str, str] = request.getfixturevalue(f"{request.param}_state")
    return found


@pytest.fixture(params=["default", "file", "redis"])
def breakers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """`state:` as in `shared`, or none."""
    if request.param == "default":
        return {}
    return {"state": request.getfixturevalue(f"{request.param}_state")}


def test_what_one_process_learned_of_a_target_holds_for_another(
    fault_server: FaultServers, breakers: dict[str, Any]
) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, down), (OPENAI, spare), breaker={"failures": 3, "cooldown": "1m"}) | breakers
    for _ in range(2):
        with worker(FAILING, config) as started:
            assert started.heard() == "Spare."
            assert started.heard()[f"first/{OPENAI.model}"] == "open"
    assert asked(down) == 3


STEADILY = """
router = Router(config)
start()
for _ in range(4):
    tell(router.chat("r", "hello").content)
    sys.stdin.readline()
"""


def test_of_all_processes_one_probes_and_its_answer_closes_the_breaker_for_all(
    fault_server: FaultServers, breakers: dict[str, Any]
) -> None:
    first, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, first), (OPENAI, spare), breaker={"failures": 3, "cooldown": "1500ms"}) | breakers
    with workers(STEADILY, config, 4) as started:
        started[0].go()
        assert started[0].heard() == "Spare."  # three failures
        for each in started[1:]:
            each.go()
        assert [each.heard() for each in started[1:]] == ["Spare."] * 3
        assert asked(first) == 3
        first.script(OPENAI.complete("First.").after(0.5))
        time.sleep(1.6)
        assert sorted(all_heard(started)) == ["First.", "Spare.", "Spare.", "Spare."]
        assert asked(first) == 4
        assert all_heard(started) == ["First."] * 4


def test_failures_are_told_to_others_when_they_have_opened_a_breaker(fault_server: FaultServers) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, down), (OPENAI, spare), breaker={"failures": 4, "cooldown": "1m"})  # a call makes three
    with workers(STEADILY, config, 2) as started:
        assert all_heard(started) == ["Spare."] * 2
        assert asked(down) == 6
        started[0].go()
        assert started[0].heard() == "Spare."  # the fourth
        time.sleep(0.3)  # the other looks four times a second
        started[1].go()
        assert started[1].heard() == "Spare."
        assert asked(down) == 7


@pytest.mark.parametrize("reason", ["another file", "another scope", "another account"])
def test_a_breaker_is_not_shared_for_want_of(
    reason: str, fault_server: FaultServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, down), (OPENAI, spare), breaker={"failures": 3, "cooldown": "1m"})
    config["providers"]["first"]["api_key"] = "${ACCOUNT:-one}"
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(config))
    for name, scope, account in (("one", "a", "one"), _differing(reason)):
        monkeypatch.setenv("LLMROUTER_BREAKER_SCOPE", scope)
        monkeypatch.setenv("ACCOUNT", account)
        with worker(FAILING, str(tmp_path / f"{name}.yaml")) as started:
            assert started.heard() == "Spare."
            assert started.heard()[f"first/{OPENAI.model}"] == "open"
    assert asked(down) == 6


def _differing(reason: str) -> tuple[str, str, str]:
    different = reason.removeprefix("another ")
    return (
        "two" if different == "file" else "one",
        "b" if different == "scope" else "a",
        "two" if different == "account" else "one",
    )


def test_two_routers_of_one_process_have_breakers_of_their_own(fault_server: FaultServers) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, down), (OPENAI, spare), breaker={"failures": 3, "cooldown": "1m"})
    for _ in range(2):
        with Router(config) as router:
            assert router.chat("r", "hello").content == "Spare."
    assert asked(down) == 6


def test_limits_hold_over_whoever_shares_the_state(fault_server: FaultServers, shared: dict[str, str]) -> None:
    limited, spare = fault_server(OPENAI.reply("Limited.")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, limited), (OPENAI, spare)) | {"state": shared}
    config["providers"]["first"]["limits"] = {"requests_per_minute": 7}
    with workers(PACE, config, 2) as started:
        found = Counter(content for contents in all_heard(started) for content in contents)
    assert found == {"Limited.": 7, "Spare.": 13}
    assert asked(limited) == 7
