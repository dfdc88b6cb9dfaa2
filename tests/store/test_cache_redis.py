"""The cache in Redis: seen by every machine, dropped by Redis itself, and on disk while Redis is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis")

from llmrouter.store import cache_redis, redis_link
from llmrouter.store.behind import WriteBehind
from llmrouter.store.cache import DiskCache
from llmrouter.store.cache_redis import PREFIX, RedisCache
from tests.store.redis_server import RedisServer

pytestmark = pytest.mark.integration


@pytest.fixture
def server(own_redis: RedisServer) -> RedisServer:
    own_redis.start()
    return own_redis


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    import redis

    opened = redis.Redis.from_url(server.url)
    yield opened
    opened.close()


@pytest.fixture
def cache(server: RedisServer, tmp_path: Path) -> Iterator[RedisCache]:
    opened = RedisCache(server.url, DiskCache(tmp_path / "cache"))
    yield opened
    opened.close()


def value_of(cache: RedisCache, key: str) -> bytes | None:
    found = cache.get(key)
    return None if found is None else found.value


def warnings(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("WARNING")]


def test_another_machine_finds_what_one_has_stored(server: RedisServer, cache: RedisCache, tmp_path: Path) -> None:
    assert cache.get("k") is None
    assert cache.set("k", b"\x00answer\xff", 60.0)
    other = RedisCache(server.url, DiskCache(tmp_path / "elsewhere"))
    found = other.get("k")
    other.close()
    assert found is not None
    assert (found.value, found.fresh) == (b"\x00answer\xff", True)
    assert found.age_s < 5
    assert not (tmp_path / "cache").exists()


def test_an_entry_past_its_time_is_kept_for_as_long_as_it_may_be_stale(cache: RedisCache) -> None:
    cache.set("k", b"x", 0.05, 0.3)
    time.sleep(0.1)
    found = cache.get("k")
    assert found is not None
    assert not found.fresh
    time.sleep(0.3)
    assert cache.get("k") is None


def test_without_a_time_to_live_an_entry_stays(cache: RedisCache, client: Any) -> None:
    cache.set("forever", b"x", None)
    cache.set("an hour", b"x", 3600.0)
    assert client.pttl(PREFIX + "forever") == -1
    assert 3_590_000 < client.pttl(PREFIX + "an hour") <= 3_600_000
    assert not cache.set("never", b"x", 0.0)


def test_what_somebody_else_wrote_is_a_miss(cache: RedisCache, client: Any, said: list[str]) -> None:
    for blob in (b"", b"LLR", b"LLR0" + bytes(30), b"cos\nsystem\n(S'id'\ntR."):
        client.set(PREFIX + "k", blob)
        assert cache.get("k") is None
    assert not said


def test_a_value_beyond_bounds_is_refused_with_one_warning(
    cache: RedisCache, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_redis, "_LARGEST_VALUE", 100)
    assert cache.set("k", bytes(100), 60.0)
    assert not cache.set("k", bytes(101), 60.0)
    assert not cache.set("k", bytes(101), 60.0)
    (line,) = warnings(said)
    assert "101 bytes is not cached" in line


def test_only_its_own_keys_are_counted_and_cleared(cache: RedisCache, client: Any) -> None:
    client.set("somebody else's", "stays")
    for number in range(1200):
        cache.set(f"k{number}", b"x" * 80, 60.0)
    found = cache.stats()
    assert (found.entries, found.bytes, found.size_limit) == (1200, 1200 * 100, None)
    assert cache.prune() == 0
    assert cache.delete("k0")
    assert not cache.delete("k0")
    assert cache.clear() == 1199
    assert cache.stats().entries == 0
    assert client.get("somebody else's") == b"stays"


def test_while_redis_is_lost_answers_are_kept_on_disk(
    server: RedisServer, cache: RedisCache, said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(redis_link, "REST_S", 0.2)
    cache.set("before", b"x", 60.0)
    server.stop()
    started = time.monotonic()
    assert cache.get("before") is None
    assert cache.set("meanwhile", b"y", 60.0)
    assert [value_of(cache, "meanwhile") for _ in range(50)] == [b"y"] * 50
    assert time.monotonic() - started < 1
    assert cache.stats().directory == tmp_path / "cache"
    server.start()
    time.sleep(0.3)
    assert cache.set("after", b"z", 60.0)
    assert value_of(cache, "after") == b"z"
    assert cache.clear() == 2  # the outage's entry on disk too
    assert len(warnings(said)) == 1
    assert any("Redis is back" in line for line in said)


def test_a_redis_that_restarted_between_two_calls_is_not_even_noticed(
    server: RedisServer, cache: RedisCache, said: list[str]
) -> None:
    cache.set("k", b"x", 60.0)
    server.stop()
    server.start()
    assert cache.get("k") is None
    assert not said


def test_a_redis_that_hangs_costs_one_short_wait(server: RedisServer, cache: RedisCache, client: Any) -> None:
    cache.set("k", b"x", 60.0)
    client.execute_command("CLIENT", "PAUSE", 1500, "ALL")
    started = time.monotonic()
    assert [cache.get("k") for _ in range(20)] == [None] * 20
    assert time.monotonic() - started < 0.7


def test_the_password_of_a_redis_that_refuses_it_is_not_shown(
    server: RedisServer, said: list[str], tmp_path: Path
) -> None:
    cache = RedisCache(server.url.replace("//", "//me:hunter2@"), DiskCache(tmp_path))
    assert cache.get("k") is None
    assert "hunter2" not in str(cache.stats())
    cache.close()
    (line,) = warnings(said)
    assert "hunter2" not in line
    assert f"127.0.0.1:{server.port}" in line


def test_other_machines_see_an_answer_before_its_lease_is_given_back(cache: RedisCache, client: Any) -> None:
    seen: list[bool] = []
    behind = WriteBehind(cache)
    behind.set("k", b"x", 60.0, 0.0, lambda: seen.append(bool(client.exists(PREFIX + "k"))))
    behind.close()
    assert seen == [True]
