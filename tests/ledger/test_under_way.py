"""Attempts under way have a row too: a killed process leaves a trace of what it had asked for."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llmrouter.store.ledger import DELAY_S
from llmrouter.store.ledger_open import OPEN_AFTER_S
from llmrouter.store.ledger_row import MIGRATIONS, OPEN, UNDER_WAY, Row
from llmrouter.store.ledger_sqlite import SqliteRows
from llmrouter.store.sqlite_file import SqliteFile
from tests.chains import WORDS, Mode, ask, before, chain, each_mode, each_protocol
from tests.conftest import FaultServers
from tests.ledger.rows import opened, row, soon, stored
from tests.processes import Worker, worker
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI, Answer, Protocol
from tests.servers.replies import silence
from tests.worlds import Face

pytestmark = pytest.mark.timeout(120)  # a program that imports an SDK takes its time on a busy machine

SLOW: dict[str, Any] = {"deadline": "60s", "timeouts": {"attempt": "50s", "first_token": "50s", "idle": "50s"}}
PROMPT = "one two three four five six seven eight nine ten " * 20
BILLED = Answer("Here.", input_tokens=1000, output_tokens=200)
NANO = 1000 * 1_000 + 200 * 10_000  # PRICE of tests.chains


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


def config_of(ledger: Path, *servers: FaultServer, **route: Any) -> dict[str, Any]:
    return {**chain(*((OPENAI, server) for server in servers), **SLOW | route), "ledger": {"path": str(ledger)}}


def embedding(ledger: Path, server: FaultServer) -> dict[str, Any]:
    config = config_of(ledger, server)
    config["routes"]["r"]["model"] = "first/text-embedding-3-small"
    return config


def stalled() -> Any:
    """A stream of sixty words that falls silent after forty."""
    return OPENAI.stream(WORDS).stalled(before(OPENAI.chunks(WORDS), "w40"), 60)


def rows_in(path: Path) -> list[Row]:
    return stored(path) if path.exists() else []


def brief(path: Path) -> list[tuple[str, str]]:
    return [(each.provider, each.outcome) for each in rows_in(path)]


def opens(path: Path, number: int = 1) -> bool:
    """Whether so many attempts come to be open."""
    return soon(lambda: [each.outcome for each in rows_in(path)].count(OPEN) == number, seconds=30)


@contextmanager
def watched(path: Path) -> Iterator[set[str]]:
    """Give every state that the ledger is seen in while the block runs: its outcomes, in one text."""
    seen, over = {""}, threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            seen.add(" ".join(outcome for _, outcome in brief(path)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


# ------------------------------------------------------------------------------------------------ killed

SYNC = """
router = Router(config)
start()
{0}
"""
ASYNC = """
async def main():
    async with AsyncRouter(config) as router:
        start()
        {0}
asyncio.run(main())
"""
KILLED = {
    "chat": SYNC.format('router.chat("r", config["prompt"], metadata={"team": "shop"})'),
    "stream": SYNC.format('for text in router.stream("r", config["prompt"], metadata={"team": "shop"}): pass'),
    "embedding": SYNC.format('router.embed("r", [config["prompt"]], metadata={"team": "shop"})'),
    "async chat": ASYNC.format('await router.chat("r", config["prompt"], metadata={"team": "shop"})'),
    "async stream": ASYNC.format(
        'async for text in router.stream("r", config["prompt"], metadata={"team": "shop"}): pass'
    ),
    "async embedding": ASYNC.format('await router.embed("r", [config["prompt"]], metadata={"team": "shop"})'),
}


@contextmanager
def asking(lines: str, config: dict[str, Any]) -> Iterator[Worker]:
    """Run a program that knows the prompt; its other sections are the router's."""
    lines = lines.replace('config["prompt"]', repr(PROMPT))
    with worker(lines, config) as started:
        yield started


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
@pytest.mark.parametrize("what", KILLED)
def test_a_killed_process_leaves_a_row_of_what_it_had_asked_for(
    fault_server: FaultServers, ledger: Path, what: str, number: signal.Signals
) -> None:
    server = fault_server(stalled() if "stream" in what else silence(60))
    config = embedding(ledger, server) if "embedding" in what else config_of(ledger, server)
    with asking(KILLED[what], config) as started:
        assert opens(ledger)
        started.process.send_signal(number)
        assert started.ended() == -number
    (left,) = rows_in(ledger)
    assert (left.outcome, bool(left.estimated), left.route, left.provider) == (OPEN, True, "r", "first")
    assert 150 < left.uncached_tokens < 400
    assert (left.output_tokens, left.cost_nano) == (0, left.uncached_tokens * 1_000)
    assert left.tags == '{"team": "shop"}'


def test_what_was_lost_is_in_the_reports_of_the_next_process(
    face: Face, fault_server: FaultServers, ledger: Path
) -> None:
    server = fault_server(silence(60))
    config = config_of(ledger, server)
    with asking(KILLED["chat"], config) as started:
        assert opens(ledger)
        started.kill()
    (left,) = rows_in(ledger)
    server.script(OPENAI.reply(BILLED))
    with face.router(config) as router:
        ask(face, router, "chat")
        told, lost = router.usage(by="outcome"), router.usage(by="target", outcome=OPEN)
    assert [(each.key, each.calls, each.attempts) for each in told.rows] == [("ok", 1, 1), (OPEN, 1, 1)]
    assert (told.total.open_attempts, told.total.failed_calls) == (1, 0)
    assert told.total.cost_nano == NANO + (left.cost_nano or 0)
    assert lost.total.cost_nano == left.cost_nano
    assert "1 attempt open: under way, or lost with their process" in str(told)


def test_an_attempt_has_its_row_within_half_a_second(fault_server: FaultServers, ledger: Path) -> None:
    assert OPEN_AFTER_S + DELAY_S < 0.5
    with asking(KILLED["chat"], config_of(ledger, fault_server(silence(60)))) as started:
        assert opens(ledger)
        (found,) = rows_in(ledger)
        assert time.time() - found.time < 5.0  # and so it is not the deadline that wrote it
        started.kill()
    assert OPEN_AFTER_S <= found.seconds < 5.0


def test_both_attempts_of_a_hedge_have_a_row(fault_server: FaultServers, ledger: Path) -> None:
    servers = fault_server(silence(60)), fault_server(silence(60))
    with asking(KILLED["chat"], config_of(ledger, *servers, hedge={"after": "50ms"})) as started:
        assert opens(ledger, 2)
        started.kill()
    rows = rows_in(ledger)
    assert len({each.call for each in rows}) == 1
    assert sorted(each.provider for each in rows) == ["first", "second"]


def test_the_batches_of_an_embedding_that_are_over_are_not_lost(fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server([OPENAI.embeds(tokens=30), silence(60)])
    program = SYNC.format('router.embed("r", ["text"] * 3000)')
    with worker(program, embedding(ledger, server)) as started:
        assert opens(ledger)
        started.kill()
    ended, lost = sorted(rows_in(ledger), key=lambda each: each.place)
    assert (ended.outcome, ended.cost_nano) == ("ok", 30_000)
    assert lost.outcome == OPEN


def test_an_interpreter_that_ends_leaves_rows_of_what_had_just_begun(fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server(silence(60))
    program = SYNC.format(
        'for _ in range(3): threading.Thread(target=router.chat, args=("r", "hello"), daemon=True).start()\n'
        "sys.stdin.readline()"
    )
    with worker(program, config_of(ledger, server)) as started:
        assert server.wait_for(lambda s: len(s.requests) == 3, 30.0)
        started.go()
        assert started.ended() == 0
    assert brief(ledger) == [("first", OPEN)] * 3
    assert not started.said.strip(), started.said


@pytest.mark.parametrize("pause_s", [0.0, 1.5], ids=["before the row", "after the row"])
def test_a_forked_child_writes_and_takes_away_nothing_of_its_parents(
    fault_server: FaultServers, ledger: Path, pause_s: float
) -> None:
    server = fault_server(silence(60))
    program = SYNC.format(
        f"""threading.Thread(target=router.chat, args=("r", "hello"), daemon=True).start()
sys.stdin.readline()
time.sleep({pause_s})
if os.fork() == 0:
    router.usage()
    sys.exit(0)
os.wait()
tell(os.getpid())
time.sleep(60)"""
    )
    with worker(program, config_of(ledger, server)) as started:
        assert server.wait_for(lambda s: len(s.requests) == 1, 30.0)
        started.go()
        parent = started.heard()
        assert opens(ledger)
        started.kill()
    assert [each.process.rpartition(":")[2] for each in rows_in(ledger)] == [str(parent)]


# ------------------------------------------------------------------------------------------------ and not killed


@each_protocol
@each_mode
def test_a_call_that_ends_after_all_is_counted_once(
    face: Face, fault_server: FaultServers, ledger: Path, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(lambda request: protocol.reply(BILLED)(request).after(1.2))
    config = {**chain((protocol, server), **SLOW), "ledger": {"path": str(ledger)}}
    with face.router(config) as router, watched(ledger) as seen:
        reply = ask(face, router, mode)
        total, (left,) = router.usage().total, rows_in(ledger)
    assert seen >= {"", OPEN}
    assert (left.outcome, left.cost_nano) == ("ok", NANO)
    assert (total.calls, total.attempts, total.open_attempts) == (1, 1, 0)
    assert total.cost_nano == round(reply.cost_usd * 1e9) == NANO


def test_an_embedding_that_ends_after_all_is_counted_once(face: Face, fault_server: FaultServers, ledger: Path) -> None:
    server = fault_server(lambda request: OPENAI.embeds(tokens=30)(request).after(1.2))
    with face.router(embedding(ledger, server)) as router, watched(ledger) as seen:
        face.embed(router, "r", ["a"])
        total = router.usage().total
    assert OPEN in seen
    assert (total.attempts, total.open_attempts, total.cost_nano) == (1, 0, 30_000)


def test_a_stream_is_open_as_long_as_somebody_holds_it(face: Face, fault_server: FaultServers, ledger: Path) -> None:
    with face.router(config_of(ledger, fault_server(stalled()))) as router:
        with face.stream(router, "r", "hello") as stream:
            reading = iter(stream)  # held: a generator that is let go closes the stream
            next(reading)
            assert opens(ledger)
            time.sleep(3 * DELAY_S)
            assert router.usage().total.open_attempts == 1
        assert [each.outcome for each in router.ledger.read()] == ["abandoned"]
        assert router.usage().total.cost_nano == round(router.total_cost * 1e9)


def test_a_failed_attempt_is_over_while_the_next_is_under_way(
    face: Face, fault_server: FaultServers, ledger: Path
) -> None:
    late_failure = fault_server(lambda _: OPENAI.fails("quota").after(0.8))
    healthy = fault_server(lambda request: OPENAI.reply(BILLED)(request).after(1.2))
    with face.router(config_of(ledger, late_failure, healthy)) as router:
        with watched(ledger) as seen:
            ask(face, router, "chat")
        rows = sorted(router.ledger.read(), key=lambda each: each.place)
    assert {OPEN, f"failed {OPEN}"} <= {" ".join(sorted(each.split())) for each in seen}
    assert [(each.outcome, each.cost_nano) for each in rows] == [("failed", 0), ("ok", NANO)]


def test_a_hedge_that_lost_is_not_open_any_more(face: Face, fault_server: FaultServers, ledger: Path) -> None:
    silent = fault_server(silence(60))
    healthy = fault_server(lambda request: OPENAI.reply(BILLED)(request).after(1.0))
    with face.router(config_of(ledger, silent, healthy, hedge={"after": "50ms"})) as router:
        with watched(ledger) as seen:
            ask(face, router, "chat")
        rows = router.ledger.read()
        total = router.total_cost
    assert f"{OPEN} {OPEN}" in seen
    assert sorted(each.outcome for each in rows) == ["cancelled", "ok"]
    assert sum(each.cost_nano or 0 for each in rows) == round(total * 1e9)


def test_only_the_call_that_asks_is_open_and_not_those_that_wait_for_its_answer(
    face: Face, fault_server: FaultServers, ledger: Path
) -> None:
    server = fault_server(lambda request: OPENAI.reply(BILLED)(request).after(1.2))
    with face.router(config_of(ledger, server, cache="1h")) as router:
        with watched(ledger) as seen:
            face.at_once([partial(router.chat, "r", "hello")] * 3)
        outcomes = sorted(each.outcome for each in router.ledger.read())
    assert OPEN in seen
    assert f"{OPEN} {OPEN}" not in seen
    assert outcomes == ["cached", "cached", "ok"]


@each_mode
def test_a_call_that_is_over_soon_is_never_open(
    face: Face, fault_server: FaultServers, ledger: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmrouter.store.ledger_open.OPEN_AFTER_S", 30.0)  # however slow this machine is
    with face.router(config_of(ledger, fault_server(OPENAI.reply(BILLED)))) as router:
        for number in range(5):
            ask(face, router, mode, f"question {number}")
            assert not router.ledger._writer._openings.young
        router.ledger.flush()
        assert not router.ledger._writer._openings
        assert brief(ledger) == [("first", "ok")] * 5


# ------------------------------------------------------------------------------------------------ the ledger's part

KEY = ("c1", 0)
UNFINISHED = row(outcome=OPEN)


def longer_ago() -> float:
    return time.monotonic() - 2 * OPEN_AFTER_S


def test_what_has_lasted_gets_a_row_until_it_is_over(ledger: Path) -> None:
    books = opened(ledger)
    books.begin(KEY, longer_ago(), lambda: UNFINISHED)
    assert soon(lambda: rows_in(ledger) == [UNFINISHED])
    books.add_made(lambda: [row()], [KEY])
    assert books.read() == [row()]
    books.close()


def test_what_has_just_begun_has_no_row_yet(ledger: Path) -> None:
    books = opened(ledger)
    books.begin(KEY, time.monotonic() + 30, lambda: UNFINISHED)
    assert books.read() == []
    books.close()


def test_a_ledger_that_is_closed_writes_what_has_just_begun(ledger: Path) -> None:
    books = opened(ledger)
    books.begin(KEY, time.monotonic(), lambda: UNFINISHED)
    books.close()
    assert rows_in(ledger) == [UNFINISHED]
    books.add_made(lambda: [row()], [KEY])
    books.close()
    assert rows_in(ledger) == [row()]


def test_a_beginning_wakes_the_thread(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmrouter.store.ledger._WATCHFUL_S", 0.0)
    books = opened(ledger)
    for number in range(3):
        assert number == 0 or soon(lambda: books._writer._asleep)
        books.begin(("c", number), longer_ago(), partial(row, outcome=OPEN, number=number))
        assert soon(lambda: len(rows_in(ledger)) == number + 1)  # noqa: B023
    books.close()


def test_an_end_that_comes_while_the_store_is_away_leaves_no_open_row(
    ledger: Path, warnings: list[str], impatient: None
) -> None:
    books = opened(ledger)
    books.add(row(call="c0"))
    books.flush()
    other = sqlite3.connect(ledger, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    books.begin(KEY, longer_ago(), lambda: UNFINISHED)
    assert soon(lambda: bool(warnings))
    books.add_made(lambda: [row()], [KEY])
    books.flush()
    other.execute("ROLLBACK")
    other.close()
    assert soon(lambda: rows_in(ledger) == [row(call="c0"), row()])
    books.close()


def test_a_row_that_cannot_be_made_holds_up_no_other(ledger: Path, warnings: list[str]) -> None:
    books = opened(ledger)
    books.begin(KEY, longer_ago(), lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    books.add(row(number=1))
    assert books.read() == [row(number=1)]
    books.close()
    assert len(warnings) == 1


def test_a_file_of_an_older_version_gets_its_second_table(ledger: Path) -> None:
    older = SqliteFile(ledger, MIGRATIONS[:1], busy_s=1.0)
    older.connection()
    older.close()
    rows = SqliteRows(ledger)
    rows.write([row()], [UNFINISHED._replace(number=1)])
    rows.close()
    assert [each.outcome for each in rows_in(ledger)] == ["ok", OPEN]


def test_the_table_of_attempts_only_ever_grows(ledger: Path) -> None:
    rows = SqliteRows(ledger)
    rows.write([], [UNFINISHED])
    rows.write([row()], (), [KEY])
    rows.close()
    with sqlite3.connect(ledger) as connection:
        left = connection.execute(f"SELECT count(*) FROM {UNDER_WAY}").fetchone()
    connection.close()
    assert left == (0,)
    assert rows_in(ledger) == [row()]
