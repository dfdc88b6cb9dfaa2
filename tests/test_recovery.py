"""What is lost in the middle, a Redis, a state file, a cache, costs a warning and no call; and it is taken up again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from llmrouter import disable_logging, enable_logging
from llmrouter.store import state_file
from tests.chains import ask, chain, within
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI
from tests.store.redis_server import RedisServer, require_redis
from tests.worlds import Face

QUICK = {"failures": 3, "cooldown": "1m"}


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The warnings and errors that are logged."""
    found: list[str] = []
    enable_logging("WARNING", lambda message: found.append(str(message)))
    yield found
    disable_logging()
    logger.complete()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A real Redis, started."""
    require_redis()
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def limited(first: FaultServer, spare: FaultServer, **top: Any) -> dict[str, Any]:
    """A chain with a breaker, a limit on its first provider, and a spare."""
    config = chain((OPENAI, first), (OPENAI, spare), breaker=QUICK) | top
    config["providers"]["first"]["limits"] = {"requests_per_minute": 50, "concurrency": 5}
    return config


def test_a_redis_that_is_killed_costs_one_warning_and_no_call(
    face: Face, fault_server: FaultServers, redis: RedisServer, lines: list[str]
) -> None:
    server, spare = fault_server(OPENAI.reply("First.")), fault_server(OPENAI.reply("Spare."))
    with face.router(limited(server, spare, state={"url": redis.url})) as router:
        assert ask(face, router, "chat").content == "First."
        redis.stop()
        with within(5.0):
            found = {ask(face, router, mode).content for mode in ("chat", "stream") for _ in range(5)}
    lost = [line for line in lines if "shared state" in line]
    assert found == {"First."}
    assert len(lost) == 1
    assert "this process goes on alone until it is back" in lost[0]


def test_without_its_redis_a_process_keeps_breakers_by_itself(
    face: Face, fault_server: FaultServers, redis: RedisServer
) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    redis.stop()
    with face.router(limited(down, spare, state={"url": redis.url})) as router:
        for _ in range(3):
            assert ask(face, router, "chat").content == "Spare."
        assert router.status()[f"first/{OPENAI.model}"].phase == "open"
    assert len(down.requests) == 3


def test_a_redis_that_comes_back_is_used_again(
    face: Face, fault_server: FaultServers, redis: RedisServer, lines: list[str]
) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    config = limited(down, spare, state={"url": redis.url})
    with face.router(config) as router:
        redis.stop()
        ask(face, router, "chat")
        redis.start()
        time.sleep(2.1)  # how long a lost Redis is left alone
        ask(face, router, "chat")
        with face.router(config) as other:
            assert other.status()[f"first/{OPENAI.model}"].phase == "open"


@pytest.mark.parametrize("how", ["garbage", "removed", "directory"])
def test_a_state_file_that_is_damaged_costs_no_call(
    face: Face, fault_server: FaultServers, lines: list[str], tmp_path: Path, how: str
) -> None:
    server, spare = fault_server(OPENAI.reply("First.")), fault_server(OPENAI.reply("Spare."))
    folder = tmp_path / "state"
    with face.router(limited(server, spare, cache={"dir": str(folder)})) as router:
        ask(face, router, "chat")
        for file in folder.glob("state.db*"):
            if how == "garbage":
                file.write_bytes(b"not a database at all" * 400)
            else:
                file.unlink()
                if how == "directory":
                    file.mkdir()
        time.sleep(1.1)  # how often the file is looked for
        found = {ask(face, router, "chat").content for _ in range(5)}
    assert found == {"First."}
    assert len([line for line in lines if "shared state" in line]) <= 1


def test_where_no_state_file_can_be_made_a_breaker_stays_open(
    face: Face, fault_server: FaultServers, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "_REST_S", 0.05)
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    (tmp_path / "file").write_text("no folder")
    config = chain((OPENAI, down), (OPENAI, spare), breaker={"failures": 3, "cooldown": "1m"})
    with face.router(config | {"cache": {"dir": str(tmp_path / "file")}}) as router:
        for _ in range(3):
            assert ask(face, router, "chat").content == "Spare."
            time.sleep(0.1)
        assert router.status()[f"first/{OPENAI.model}"].phase == "open"
    assert len(down.requests) == 3
    assert len([line for line in lines if "shared state" in line]) == 1


def test_a_target_is_taken_back_after_each_of_several_failures(face: Face, fault_server: FaultServers) -> None:
    server, spare = fault_server(), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, server), (OPENAI, spare), breaker={"failures": 3, "cooldown": "150ms"})
    with face.router(config) as router:
        for _ in range(3):
            server.script(OPENAI.fails("server"))
            assert ask(face, router, "chat").content == "Spare."
            assert router.status()[f"first/{OPENAI.model}"].phase == "open"
            server.script(OPENAI.reply("Back."))
            time.sleep(0.2)
            assert ask(face, router, "chat").content == "Back."
            assert router.status()[f"first/{OPENAI.model}"].phase == "closed"
