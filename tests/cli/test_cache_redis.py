"""`llmrouter cache` where the file names a Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter import Router
from tests.chains import chain
from tests.cli.conftest import Cli
from tests.conftest import FaultServers
from tests.servers.protocols import OPENAI
from tests.store.redis_server import RedisServer, require_redis

pytestmark = pytest.mark.integration


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    require_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


def test_the_cache_command_works_on_the_redis_of_the_file(
    cli: Cli, fault_server: FaultServers, redis_server: RedisServer, tmp_path: Path
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply("Here."))), cache="1h")
    config["state"] = {"url": redis_server.url.replace("//", "//default:hunter2@")}
    (tmp_path / "routes.yaml").write_text(json.dumps(config))
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.config_set("requirepass", "hunter2")
    with Router(config) as router:
        router.chat("r", "one")
        router.chat("r", "two")
    found = cli("cache", "stats")
    assert found.stdout.startswith(f"redis at 127.0.0.1:{redis_server.port}\n2 entries, ")
    assert "hunter2" not in found.stdout + found.stderr
    assert json.loads(cli("cache", "stats", "--json").stdout)["size_limit"] is None
    assert cli("cache", "prune").stdout == "removed 0 entries\n"
    assert cli("cache", "clear").stdout == "removed 2 entries\n"
    assert "\n0 entries, " in cli("cache", "stats").stdout
