"""Fixtures for shared state: a redis-server, and what the library warns of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger

from tests.store.redis_server import RedisServer, require_redis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running redis-server that all tests of the session share; use keys of your own."""
    require_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A redis-server for this test alone, not started yet."""
    require_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the library logs, from INFO up."""
    lines: list[str] = []
    logger.enable("llmrouter")
    sink = logger.add(lines.append, level="INFO", format="{level} {message}")
    yield lines
    logger.remove(sink)
    logger.disable("llmrouter")
