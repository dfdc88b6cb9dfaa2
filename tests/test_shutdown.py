"""Calls that are cut short from outside: cancelled tasks, Ctrl-C, generators let go, interpreters that end, forks.

Whatever cuts a call short, its connection is closed, its attempt is in the ledger, its locks are free, nothing is said
on stderr that is not a traceback the user asked for, and the process ends promptly.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmrouter import AsyncRouter, Router
from llmrouter.store.ledger_row import TABLE
from tests.chains import WORDS, before, chain, within
from tests.conftest import FaultServers
from tests.processes import worker
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI
from tests.servers.replies import silence

pytestmark = pytest.mark.timeout(90)

SLOW: dict[str, Any] = {"deadline": "60s", "timeouts": {"attempt": "50s", "first_token": "50s", "idle": "50s"}}
NOISE = ("never retrieved", "was never awaited", "ResourceWarning", "Task was destroyed", "Exception ignored")


def stalled() -> Any:
    """A stream of sixty words that falls silent after forty."""
    return OPENAI.stream(WORDS).stalled(before(OPENAI.chunks(WORDS), "w40"), 60)


def outcomes(ledger: Path) -> list[str]:
    """The outcomes in the ledger, by attempt."""
    with sqlite3.connect(ledger) as connection:
        rows = [row[0] for row in connection.execute(f"SELECT outcome FROM {TABLE} ORDER BY rowid")]
    connection.close()
    return rows


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


def config_of(server: FaultServer, ledger: Path, **route: Any) -> dict[str, Any]:
    config = chain((OPENAI, server), **SLOW | route)
    config["ledger"] = {"path": str(ledger)}
    return config


def gone(server: FaultServer) -> bool:
    """Whether every client has left the server."""
    return server.wait_for(lambda s: s.open_connections == 0, 3.0)


# ------------------------------------------------------------------------------------------------ tasks


async def _read(router: AsyncRouter) -> None:
    async for _ in router.stream("r", "hello"):
        pass


def test_a_cancelled_chat_closes_its_connection_and_is_booked(fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server(silence(60))

    async def cancelled() -> None:
        async with AsyncRouter(config_of(server, ledger)) as router:
            task = asyncio.create_task(router.chat("r", "hello"))
            await asyncio.to_thread(server.wait_for, lambda s: len(s.requests) == 1, 5.0)
            task.cancel()
            with within(1.0), pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.wait_for, lambda s: len(s.early_closes) == 1)

    asyncio.run(cancelled())
    assert outcomes(ledger) == ["cancelled"]


def test_a_cancelled_stream_closes_its_connection_and_is_booked(fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server(stalled())

    async def cancelled() -> None:
        async with AsyncRouter(config_of(server, ledger)) as router:
            task = asyncio.create_task(_read(router))
            await asyncio.to_thread(server.wait_for, lambda s: len(s.requests) == 1, 5.0)
            await asyncio.sleep(0.2)
            task.cancel()
            with within(1.0), pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.wait_for, lambda s: len(s.early_closes) == 1)

    asyncio.run(cancelled())
    assert outcomes(ledger) == ["cancelled"]


@pytest.mark.parametrize("mode", ["chat", "stream"])
def test_an_anyio_scope_that_ends_takes_the_call_with_it(fault_server: FaultServers, ledger: Path, mode: str) -> None:
    server = fault_server(silence(60) if mode == "chat" else stalled())

    async def scoped() -> None:
        async with AsyncRouter(config_of(server, ledger)) as router:
            with anyio.move_on_after(1.0) as scope:
                await (router.chat("r", "hello") if mode == "chat" else _read(router))
            assert scope.cancelled_caught
            assert await asyncio.to_thread(server.wait_for, lambda s: len(s.early_closes) == 1)

    asyncio.run(scoped())
    assert outcomes(ledger) == ["cancelled"]


def test_a_cancelled_leader_leaves_its_followers_an_answer(fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server([silence(60), OPENAI.reply("Here.")])

    async def led() -> str:
        async with AsyncRouter(config_of(server, ledger, cache={"ttl": "1h"})) as router:
            leader = asyncio.create_task(router.chat("r", "hello"))
            await asyncio.to_thread(server.wait_for, lambda s: len(s.requests) == 1, 5.0)
            follower = asyncio.create_task(router.chat("r", "hello"))
            await asyncio.sleep(0.1)
            leader.cancel()
            with within(3.0):
                return (await follower).content

    assert asyncio.run(led()) == "Here."


def test_a_cancelled_wait_for_room_leaves_its_place_in_the_queue(fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server(lambda request: OPENAI.reply("Here.")(request).after(0.3))

    async def queued() -> None:
        async with AsyncRouter(config_of(server, ledger, limits={"concurrency": 1})) as router:
            first = asyncio.create_task(router.chat("r", "one"))
            await asyncio.to_thread(server.wait_for, lambda s: len(s.requests) == 1, 5.0)
            waiting = [asyncio.create_task(router.chat("r", f"waits {n}")) for n in range(5)]
            await asyncio.sleep(0.1)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await first
            with within(0.9):  # 0.3 s for the answer; a ticket left behind would cost a second
                await router.chat("r", "two")

    asyncio.run(queued())
    assert len(server.requests) == 2


# ------------------------------------------------------------------------------------------------ generators


def test_a_generator_that_is_let_go_closes_its_stream(fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server(stalled())

    def texts(router: Router) -> Any:
        yield from router.stream("r", "hello")

    with Router(config_of(server, ledger)) as router:
        reading = texts(router)
        assert next(reading) == "w00"
        reading.close()  # raises GeneratorExit where it stands
        assert server.wait_for(lambda s: len(s.early_closes) == 1)
    assert outcomes(ledger) == ["abandoned"]


def test_an_async_generator_that_is_let_go_closes_its_stream(fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server(stalled())

    async def left() -> None:
        async with AsyncRouter(config_of(server, ledger)) as router:

            async def texts() -> Any:
                async with router.stream("r", "hello") as stream:
                    async for text in stream:
                        yield text

            reading = texts()
            assert await anext(reading) == "w00"
            await reading.aclose()
            assert await asyncio.to_thread(server.wait_for, lambda s: len(s.early_closes) == 1)

    asyncio.run(left())
    assert outcomes(ledger) == ["abandoned"]


# ------------------------------------------------------------------------------------------------ Ctrl-C

SYNC = """
router = Router(config)
start()
try:
    {call}
except KeyboardInterrupt:
    tell("interrupted")
{after}
"""
ASYNC = """
async def main():
    async with AsyncRouter(config) as router:
        start()
        {call}
try:
    asyncio.run(main())
except KeyboardInterrupt:
    tell("interrupted")
"""
CALLS = {
    "chat": SYNC.format(call='router.chat("r", "hello")', after="router.close()"),
    "stream": SYNC.format(call='[text for text in router.stream("r", "hello")]', after="router.close()"),
    "without close": SYNC.format(call='router.chat("r", "hello")', after=""),
    "async chat": ASYNC.format(call='await router.chat("r", "hello")'),
    "async stream": ASYNC.format(call='[text async for text in router.stream("r", "hello")]'),
}


@pytest.mark.parametrize("hedged", [False, True], ids=["", "hedged"])
@pytest.mark.parametrize("lines", CALLS.values(), ids=CALLS)
def test_ctrl_c_ends_a_stalled_call_at_once(fault_server: FaultServers, ledger: Path, lines: str, hedged: bool) -> None:
    script = stalled() if "text for text" in lines or "async for text" in lines else silence(60)
    server, second = fault_server(script), fault_server(silence(60))
    config = config_of(server, ledger)
    if hedged:
        config = chain((OPENAI, server), (OPENAI, second), hedge={"after": "50ms"}, **SLOW) | {
            "ledger": config["ledger"]
        }
    with worker(lines, config) as started:
        assert server.wait_for(lambda s: len(s.requests) == 1, 10.0)
        time.sleep(0.4)
        started.interrupt()
        with within(4.0):
            assert started.heard() == "interrupted"
            assert started.ended(4.0) == 0
    assert gone(server)
    assert not [noise for noise in NOISE if noise in started.said], started.said
    assert not started.said.strip(), started.said
    assert "cancelled" in outcomes(ledger)


# ------------------------------------------------------------------------------------------------ the end

ENDS = {
    "threads": """
        router = Router(config)
        start()
        for number in range(4):
            threading.Thread(target=router.chat, args=("r", f"question {number}"), daemon=True).start()
        sys.stdin.readline()
    """,
    "a stream held open": """
        router = Router(config)
        start()
        stream = router.stream("r", "hello")
        reading = iter(stream)
        threading.Thread(target=lambda: next(reading, None), daemon=True).start()
        sys.stdin.readline()
    """,
    "tasks": """
        async def main():
            async with AsyncRouter(config) as router:
                start()
                tasks = [asyncio.create_task(router.chat("r", f"question {number}")) for number in range(4)]
                await asyncio.to_thread(sys.stdin.readline)
        asyncio.run(main())
    """,
    "sys.exit in a call": """
        router = Router(config)
        start()
        signal.signal(signal.SIGUSR1, lambda *_: sys.exit(0))
        threading.Thread(target=lambda: (sys.stdin.readline(), os.kill(os.getpid(), signal.SIGUSR1))).start()
        router.chat("r", "hello")
    """,
}


@pytest.mark.parametrize("lines", ENDS.values(), ids=ENDS)
def test_an_interpreter_ends_promptly_and_quietly_with_calls_in_flight(
    fault_server: FaultServers, ledger: Path, lines: str
) -> None:
    server = fault_server(silence(60))
    with worker(lines, config_of(server, ledger)) as started:
        assert server.wait_for(lambda s: len(s.requests) >= 1, 10.0)
        time.sleep(0.3)
        started.go()
        with within(5.0):
            assert started.ended(5.0) == 0
    assert gone(server)
    assert not started.said.strip(), started.said


WRITTEN = """
router = Router(config)
start()
router.chat("r", "hello")
"""


def test_the_ledger_and_the_cache_are_written_by_a_program_that_closes_nothing(
    fault_server: FaultServers, ledger: Path
) -> None:
    server = fault_server(OPENAI.reply("Here."))
    config = config_of(server, ledger, cache={"ttl": "1h"})
    with worker(WRITTEN, config) as started:
        assert started.ended() == 0
    assert not started.said.strip(), started.said
    assert outcomes(ledger) == ["ok"]
    with Router(config) as router:
        assert router.chat("r", "hello").cached
    assert len(server.requests) == 1


# ------------------------------------------------------------------------------------------------ fork

FORKS = """
router = Router(config)
start()
stop = threading.Event()
def busy(number):
    turn = 0
    while not stop.is_set():
        turn += 1
        router.chat("r", f"question {number} {turn}")
threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
time.sleep(0.5)
children = []
for number in range(8):
    time.sleep(0.03)
    child = os.fork()
    if child == 0:
        try:
            import faulthandler; faulthandler.dump_traceback_later(8)
            answered = [router.chat("r", f"child {number} {turn}").content for turn in range(2)]
            router.close()
            os._exit(0 if answered == ["Here."] * 2 else 3)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(2)
    children.append(child)
until = time.monotonic() + 20
left, statuses = set(children), []
while left and time.monotonic() < until:
    for child in list(left):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            left.discard(child)
            statuses.append(os.waitstatus_to_exitcode(status))
    time.sleep(0.02)
for child in left:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
stop.set()
for thread in threads:
    thread.join()
tell([statuses, len(left)])
router.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "plain"])
def test_children_forked_while_threads_ask_can_ask_too(fault_server: FaultServers, ledger: Path, cached: bool) -> None:
    server = fault_server(OPENAI.reply("Here."))
    more = {"cache": {"ttl": "1h"}, "limits": {"concurrency": 50}} if cached else {}
    with worker(FORKS, config_of(server, ledger, **more)) as started:
        statuses, stuck = started.heard()
        assert started.ended() == 0
    assert (statuses, stuck) == ([0] * 8, 0), started.said


def test_a_child_does_not_wait_for_a_flight_of_its_parent(fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server([silence(60), OPENAI.reply("Here.")])
    lines = """
    router = Router(config)
    start()
    ask = lambda: router.chat("r", "same", cache="refresh")  # which no lease on the cache's entry holds up
    threading.Thread(target=ask, daemon=True).start()
    time.sleep(1.0)
    child = os.fork()
    if child == 0:
        started = time.monotonic()
        found = ask().content
        os._exit(0 if found == "Here." and time.monotonic() - started < 3 else 3)
    tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    with worker(lines, config_of(server, ledger, cache={"ttl": "1h"}, deadline="20s")) as started:
        assert started.heard() == 0


def test_signals_are_left_to_the_program() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with Router({"version": 1, "routes": {}}):
        assert {number: signal.getsignal(number) for number in before} == before
