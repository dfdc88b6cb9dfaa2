"""What each call leaves in the ledger, whichever way it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llmrouter import AllTargetsFailedError, ConfigError, Router
from llmrouter.store.ledger_row import Row
from tests.chains import WORDS, Mode, ask, before, chain, each_mode, each_protocol, failing
from tests.conftest import FaultServers
from tests.ledger.rows import ALL, soon, start, stored
from tests.servers.protocols import OPENAI, Answer, Protocol
from tests.servers.replies import silence
from tests.worlds import Face

BILLED = Answer("Here.", input_tokens=1000, output_tokens=200)
NANO = 1000 * 1_000 + 200 * 10_000  # PRICE: $1 in, $10 out, for a million tokens


def rows_of(router: Any) -> list[Row]:
    """Return what the router's ledger holds, in the order of calls."""
    return sorted(router._accounts.ledger.read(ALL), key=lambda row: (row.time, row.call, row.number))


def brief(rows: Sequence[Row]) -> list[tuple[str, str, int | None]]:
    return [(row.provider, row.outcome, row.cost_nano) for row in rows]


@each_protocol
@each_mode
def test_an_answer_is_one_row(face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode) -> None:
    with face.router(chain((protocol, fault_server(protocol.reply(BILLED))))) as router:
        reply = ask(face, router, mode, metadata={"team": "search", "run": 7})
        (row,) = rows_of(router)
        process = router._accounts._recorder.process
    assert (row.route, row.target, row.provider) == ("r", f"first/{protocol.model}", "first")
    assert (row.outcome, row.error, row.number, row.process) == ("ok", None, 0, process)
    assert (row.uncached_tokens, row.output_tokens, row.cost_nano) == (1000, 200, NANO)
    assert round(reply.cost_usd * 1e9) == NANO
    assert row.request_id == reply.request_id
    assert not row.estimated
    assert 0 < row.seconds < 5
    assert json.loads(row.tags or "") == {"team": "search", "run": 7}


@each_mode
def test_each_attempt_is_a_row_and_skipped_rungs_are_none(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    failing_server, healthy = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply(BILLED))
    config = chain((OPENAI, "http://127.0.0.1:1"), (OPENAI, failing_server), (OPENAI, healthy))
    config["providers"]["first"].pop("api_key")
    with face.router(config) as router:
        ask(face, router, mode)
        rows = rows_of(router)
    assert brief(rows) == [*[("second", "failed", 0)] * 3, ("third", "ok", NANO)]
    assert [row.error for row in rows] == [*["ServerError"] * 3, None]
    assert [row.number for row in rows] == [1, 2, 3, 4]
    assert len({row.call for row in rows}) == 1
    assert rows[0].waited == 0 < rows[1].waited


def test_an_unknown_price_is_null_and_never_zero(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply(BILLED))))
    del config["prices"]
    with face.router(config) as router:
        assert ask(face, router, "chat").cost_usd is None
        assert brief(rows_of(router)) == [("first", "ok", None)]


@each_mode
def test_a_cached_answer_costs_nothing_and_tells_what_it_saved(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply(BILLED))), cache="1h")) as router:
        for _ in range(2):
            ask(face, router, mode)
        asked, cached = rows_of(router)
    assert (asked.cost_nano, asked.saved_nano, asked.cached) == (NANO, None, False)
    assert (cached.outcome, cached.cost_nano, cached.saved_nano, cached.cached) == ("cached", 0, NANO, True)
    assert not cached.stale


@pytest.mark.parametrize("key", ["plain", "nested"])
def test_metadata_is_kept_as_it_was_when_the_call_ended(face: Face, fault_server: FaultServers, key: str) -> None:
    nested = {"team": "search"}
    metadata: dict[str, Any] = {"team": "search"} if key == "plain" else {"of": nested}
    with face.router(chain((OPENAI, fault_server(OPENAI.reply())))) as router:
        ask(face, router, "chat", metadata=metadata)
        expected = json.dumps(metadata)
        metadata["team"] = nested["team"] = "ads"
        (row,) = rows_of(router)
    assert row.tags == expected


def test_a_stale_answer_is_marked(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.complete(BILLED), OPENAI.fails("quota")])
    cache = {"ttl": "10ms", "stale_if_error": "1h"}
    with face.router(chain((OPENAI, server), cache=cache)) as router:
        ask(face, router, "chat")
        assert soon(lambda: bool(ask(face, router, "chat").stale))
        rows = rows_of(router)
    assert [(row.outcome, row.stale) for row in rows[-2:]] == [("failed", False), ("cached", True)]


@each_protocol
def test_what_the_providers_prompt_cache_saved_is_told(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    config = chain((protocol, fault_server(protocol.reply(Answer("Here.", input_tokens=1000, cache_read=800)))))
    config["prices"] = {"first/*": {"input": 1.0, "output": 10.0, "cache_read": 0.1}}
    with face.router(config) as router:
        ask(face, router, "chat")
        (row,) = rows_of(router)
    assert (row.uncached_tokens, row.cache_read_tokens) == (200, 800)
    assert row.prompt_cache_nano == 800 * 900


@each_protocol
@each_mode
def test_a_call_that_fails_leaves_its_attempts(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    servers = [fault_server(protocol.fails("quota")) for _ in range(2)]
    with face.router(chain((protocol, servers[0]), (protocol, servers[1]))) as router:
        failing(AllTargetsFailedError, face, router, mode)
        assert brief(rows_of(router)) == [("first", "failed", 0), ("second", "failed", 0)]


@each_protocol
def test_an_abandoned_stream_leaves_an_estimated_row(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.stream(WORDS).stalled(before(protocol.chunks(WORDS), "w20"), 30))
    with face.router(chain((protocol, server))) as router:
        with face.stream(router, "r", "hello") as stream:
            next(iter(stream))
        (row,) = rows_of(router)
        total = router.total_cost
    assert row.outcome == "abandoned"
    assert row.estimated or row.uncached_tokens > 0
    assert row.cost_nano == round(total * 1e9) > 0


@each_protocol
@each_mode
def test_a_cancelled_task_leaves_a_row(fault_server: FaultServers, protocol: Protocol, mode: Mode) -> None:
    face = Face("async")
    with face.router(chain((protocol, fault_server(silence(30))))) as router:

        async def asked() -> None:
            if mode == "chat":
                await router.chat("r", "hello")
            async for _ in router.stream("r", "hello"):
                pass

        async def cancelled() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asked(), 0.3)

        face.run(cancelled)
        (row,) = rows_of(router)
    assert (row.outcome, row.estimated) == ("cancelled", True)
    assert row.cost_nano
    assert not face.close()


def test_a_broken_stream_and_what_came_after_it_are_two_rows(face: Face, fault_server: FaultServers) -> None:
    chunks = OPENAI.chunks(WORDS)
    cut, healthy = (
        fault_server(OPENAI.stream(WORDS).cut_after(before(chunks, "w10"))),
        fault_server(OPENAI.reply(BILLED)),
    )
    with face.router(chain((OPENAI, cut), (OPENAI, healthy), on_break="restart")) as router:
        ask(face, router, "stream")
        rows = rows_of(router)
    assert [(row.provider, row.outcome, row.error) for row in rows] == [
        ("first", "failed", "APIConnectionError"),
        ("second", "ok", None),
    ]
    assert rows[0].estimated
    assert rows[0].cost_nano


def test_each_batch_of_an_embedding_is_a_row(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.embeds(tokens=30))))
    config["routes"]["r"]["model"] = "first/text-embedding-3-small"
    with face.router(config) as router:
        face.embed(router, "r", ["a", "b"])
        assert brief(rows_of(router)) == [("first", "ok", 30_000)]


KILLED = """
import json, sys
from llmrouter import Router
Router(json.loads(sys.argv[1])).chat("r", "hello")
"""


@pytest.mark.timeout(120)  # a program that imports an SDK takes its time on a busy machine
def test_a_killed_process_leaves_the_attempts_that_were_over_and_the_one_that_was_not(
    tmp_path: Path, fault_server: FaultServers
) -> None:
    path = tmp_path / "usage.db"
    failed, silent = fault_server(OPENAI.fails("quota")), fault_server(silence(90))
    limits: dict[str, Any] = {"deadline": "90s", "timeouts": {"attempt": "80s"}}
    config = {**chain((OPENAI, failed), (OPENAI, silent), **limits), "ledger": {"path": str(path)}}
    with start(KILLED, json.dumps(config)) as process:
        assert soon(lambda: path.exists() and len(stored(path)) == 2, seconds=90)
        process.send_signal(signal.SIGKILL)
    over, lost = sorted(stored(path), key=lambda row: row.place)
    assert brief([over]) == [("first", "failed", 0)]
    assert (lost.call, lost.provider, lost.outcome) == (over.call, "second", "open")


# ------------------------------------------------------------------------------------------------ the file's section


def test_ledger_false_keeps_none(face: Face, fault_server: FaultServers, tmp_path: Path) -> None:
    config = {**chain((OPENAI, fault_server(OPENAI.reply()))), "ledger": False}
    with face.router(config) as router:
        ask(face, router, "chat")
        with pytest.raises(ConfigError, match="ledger: false"):
            router.usage()
        assert "ledger: false" in router.summary()
    assert not list(tmp_path.rglob("usage.db"))


def test_a_router_that_was_not_called_leaves_no_file(tmp_path: Path) -> None:
    with Router({"version": 1}) as router:
        assert router.usage().rows == ()
    assert not list(tmp_path.rglob("*.db"))


def test_a_reload_moves_on_to_the_ledger_that_the_file_names_now(fault_server: FaultServers, tmp_path: Path) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply())))
    file = tmp_path / "routes.yaml"
    with Router(_written(file, config, tmp_path / "one.db")) as router:
        router.chat("r", "hello")
        _written(file, config, tmp_path / "two.db")
        assert router.reload()
        router.chat("r", "hello")
    assert [len(stored(tmp_path / name)) for name in ("one.db", "two.db")] == [1, 1]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files here")
def test_a_reload_closes_what_the_file_names_no_more(fault_server: FaultServers, tmp_path: Path) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply())), spend_limit={"usd": 1}, params={"max_tokens": 100})
    file = tmp_path / "routes.yaml"
    with Router(_written(file, config, tmp_path / "one" / "usage.db")) as router:
        router.chat("r", "hello")
        assert opened_in(tmp_path / "one")
        _written(file, config, tmp_path / "two" / "usage.db")
        assert router.reload()
        assert not opened_in(tmp_path / "one")


def opened_in(folder: Path) -> list[str]:
    """The files of a folder that this process has open."""
    files = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    return [file for file in files if file.startswith(str(folder.resolve()))]


def _written(file: Path, config: dict[str, Any], ledger: Path) -> Path:
    file.write_text(json.dumps({**config, "ledger": {"path": str(ledger)}}))  # JSON is YAML
    return file
