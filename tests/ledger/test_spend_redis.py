"""Spend limits in Redis: as with the file, over machines; and while Redis is lost, on each machine alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis")

from llmrouter.store import redis_link
from llmrouter.store.spend import Claim, Refused, SpendBook, Tally
from llmrouter.store.spend_redis import RedisSpendBook
from tests.store.redis_server import RedisServer, require_redis

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    require_redis()
    opened = RedisServer(tmp_path_factory.mktemp("redis"))
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture
def book(server: RedisServer, tmp_path: Path) -> Iterator[RedisSpendBook]:
    opened = RedisSpendBook(server.url, SpendBook(tmp_path / "one"))
    yield opened
    opened.close()


@pytest.fixture
def elsewhere(server: RedisServer, tmp_path: Path) -> Iterator[RedisSpendBook]:
    """The book of another machine."""
    opened = RedisSpendBook(server.url, SpendBook(tmp_path / "two"))
    yield opened
    opened.close()


def claim(ceiling: int = 100, scope: str = "route:r", *, ends: float | None = None) -> Claim:
    return Claim(scope, "day 2026-11-20", ends or time.time() + 3600, ceiling)


def now() -> float:
    return time.time()


def reserved(found: str | Refused) -> str:
    assert isinstance(found, str)
    return found


def test_a_reservation_is_refused_where_another_machine_has_left_no_room(
    book: RedisSpendBook, elsewhere: RedisSpendBook
) -> None:
    first = reserved(book.reserve([claim()], 60, 30, now()))
    assert elsewhere.reserve([claim()], 50, 30, now()) == Refused(0, Tally(0, 60))
    book.settle(first, [claim()], 20)
    reserved(elsewhere.reserve([claim()], 50, 30, now()))
    assert book.tally(claim(), now()) == elsewhere.tally(claim(), now()) == Tally(20, 50)


def test_when_one_limit_refuses_nothing_is_reserved_under_the_others(book: RedisSpendBook) -> None:
    assert book.reserve([claim(100), claim(10, "all")], 50, 30, now()) == Refused(1, Tally(0, 0))
    assert book.tally(claim(), now()) == Tally(0, 0)


def test_a_reservation_that_nobody_settles_lapses_after_its_lease(book: RedisSpendBook) -> None:
    late = reserved(book.reserve([claim()], 100, 0.2, now()))
    assert isinstance(book.reserve([claim()], 1, 30, now()), Refused)
    time.sleep(0.25)
    reserved(book.reserve([claim()], 90, 30, now()))
    book.settle(late, [claim()], 10)  # it was only slow: what it spent counts all the same
    assert book.tally(claim(), now()) == Tally(10, 90)


def test_what_was_spent_survives_the_restart_of_a_process(
    server: RedisServer, book: RedisSpendBook, tmp_path: Path
) -> None:
    book.settle(reserved(book.reserve([claim()], 80, 30, now())), [claim()], 70)
    book.close()
    again = RedisSpendBook(server.url, SpendBook(tmp_path / "one"))
    assert again.tally(claim(), now()) == Tally(70, 0)
    again.close()


def test_large_sums_lose_nothing(book: RedisSpendBook) -> None:
    large = 5 * 10**15 + 1  # five million dollars and a billionth of one
    first = reserved(book.reserve([claim(2 * large)], large, 30, now()))
    assert book.tally(claim(), now()) == Tally(0, large)
    book.settle(first, [claim()], large)
    assert book.tally(claim(), now()) == Tally(large, 0)


def test_sums_go_when_their_period_is_long_over(server: RedisServer, book: RedisSpendBook) -> None:
    ended = claim(ends=now() - 86_400 + 0.3)
    total = claim(scope="all")._replace(period="total", ends=None)
    for each in (ended, total):
        book.settle(reserved(book.reserve([each], 5, 0.1, now())), [each], 5)
    assert book.tally(ended, now()).spent == 5
    time.sleep(0.4)
    assert book.tally(ended, now()).spent == 0
    assert book.tally(total, now()).spent == 5


def test_a_settlement_that_arrives_twice_counts_once(book: RedisSpendBook, elsewhere: RedisSpendBook) -> None:
    first = reserved(book.reserve([claim()], 60, 30, now()))
    book.settle(first, [claim()], 20)
    elsewhere.settle(first, [claim()], 20)
    assert book.tally(claim(), now()) == Tally(20, 0)


def test_while_redis_is_lost_a_limit_holds_on_this_machine_and_is_made_good_later(
    server: RedisServer, book: RedisSpendBook, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "REST_S", 0.2)
    book.settle(reserved(book.reserve([claim()], 30, 30, now())), [claim()], 30)
    under_way = reserved(book.reserve([claim()], 10, 30, now()))
    server.stop()
    book.settle(under_way, [claim()], 10)
    assert book.reserve([claim()], 70, 30, now()) == Refused(0, Tally(40, 0))  # what it spent before counts
    book.settle(reserved(book.reserve([claim()], 50, 30, now())), [claim()], 45)
    assert book.tally(claim(), now()) == Tally(85, 0)
    server.start()
    time.sleep(0.3)
    assert book.tally(claim(), now()) == Tally(55, 0)  # the server kept nothing; what was spent meanwhile is booked
    assert len(warnings) == 1
    assert "hold on each machine alone" in warnings[0]


def test_a_redis_that_was_lost_does_not_show_its_password(
    server: RedisServer, tmp_path: Path, warnings: list[str]
) -> None:
    book = RedisSpendBook(server.url.replace("//", "//me:hunter2@"), SpendBook(tmp_path))
    reserved(book.reserve([claim()], 60, 30, now()))
    assert isinstance(book.reserve([claim()], 60, 30, now()), Refused)
    book.close()
    (line,) = warnings
    assert "hunter2" not in line


def test_a_forked_process_counts_in_the_same_place(book: RedisSpendBook) -> None:
    book.settle("", [claim()], 1)
    pid = os.fork()
    if pid == 0:
        book.settle("", [claim()], 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    book.settle("", [claim()], 1)
    assert book.tally(claim(), now()) == Tally(3, 0)


def test_a_damaged_reservation_holds_nothing(server: RedisServer, book: RedisSpendBook) -> None:
    import redis

    client: Any = redis.Redis.from_url(server.url)
    client.hset("{llmrouter}:spend:1:reserved:route:r:day 2026-11-20", "somebody", "not ours")
    client.close()
    assert book.tally(claim(), now()) == Tally(0, 0)
