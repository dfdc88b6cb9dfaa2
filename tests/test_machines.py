"""Machines that share a Redis, each with folders of its own: one cache, one request, one budget; and Redis lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llmrouter import BudgetExceededError, ConfigError, Router
from tests.chains import Mode, ask, chain, each_mode
from tests.conftest import FaultServers
from tests.processes import workers
from tests.servers.protocols import OPENAI, Answer
from tests.store.redis_server import RedisServer
from tests.worlds import Face

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

HOUR: dict[str, Any] = {"cache": {"ttl": "1h"}, "deadline": "30s", "timeouts": {"attempt": "25s"}}
BILLED = Answer("Here.", input_tokens=10, output_tokens=4500)  # $0.04501 of the $0.05 that it may cost

# Each process is a machine of its own: no folder is shared.
MACHINE = """
here = config.pop("folder") + "/" + str(os.getpid())
config["cache"], config["ledger"] = {"dir": here + "/cache"}, {"path": here + "/usage.db"}
router = Router(config)
start()
"""


@pytest.fixture
def redis_server(own_redis: RedisServer) -> RedisServer:
    """A Redis in which nothing is cached yet."""
    own_redis.start()
    return own_redis


def warned(said: list[str]) -> list[str]:
    return [line.removeprefix("WARNING ") for line in said if line.startswith("WARNING ")]


def shared(config: dict[str, Any], redis: RedisServer, folder: Path) -> dict[str, Any]:
    return config | {"state": {"url": redis.url}, "folder": str(folder)}


ONE = """
reply = router.chat("r", "the same question")
tell([reply.content, reply.cached])
router.close()
"""


def test_an_answer_of_one_machine_is_a_hit_on_another(
    fault_server: FaultServers, redis_server: RedisServer, tmp_path: Path
) -> None:
    server = fault_server(OPENAI.reply("One for all."))
    config = shared(chain((OPENAI, server), **HOUR), redis_server, tmp_path)
    with workers(MACHINE + ONE, config, 2) as machines:
        told = []
        for each in machines:
            each.go()
            told.append(each.heard())
            assert each.ended() == 0
    assert told == [["One for all.", False], ["One for all.", True]]
    assert len(server.requests) == 1


MANY = """
with ThreadPoolExecutor(4) as pool:
    replies = list(pool.map(lambda _: router.chat("r", "the same question"), range(4)))
tell([[reply.content, reply.cached] for reply in replies])
router.close()
"""


def test_four_machines_make_one_request_for_the_same_question(
    fault_server: FaultServers, redis_server: RedisServer, tmp_path: Path
) -> None:
    server = fault_server(OPENAI.complete("One for all.").after(0.5))
    config = shared(chain((OPENAI, server), **HOUR), redis_server, tmp_path)
    with workers(MACHINE + MANY, config, 4) as machines:
        for each in machines:
            each.go()
        found = [tuple(reply) for each in machines for reply in each.heard()]
    assert Counter(found) == {("One for all.", True): 15, ("One for all.", False): 1}
    assert len(server.requests) == 1


SPENDING = """
def cost(number):
    try:
        return round(router.chat("r", f"hello {os.getpid()} {number}").cost_usd * 1e9)
    except BudgetExceededError:
        return 0
with ThreadPoolExecutor(8) as pool:
    tell(list(pool.map(cost, range(12))))
router.close()
"""


def test_four_machines_stay_within_one_spend_limit(
    fault_server: FaultServers, redis_server: RedisServer, tmp_path: Path
) -> None:
    server = fault_server(OPENAI.complete(BILLED).after(0.05))
    route = {"params": {"max_tokens": 4990}, "spend_limit": {"usd": 1}, "deadline": "30s"}
    with workers(MACHINE + SPENDING, shared(chain((OPENAI, server), **route), redis_server, tmp_path), 4) as machines:
        for each in machines:
            each.go()
        costs = [cost for each in machines for cost in each.heard() if cost]
    assert sum(costs) <= 10**9
    assert len(costs) == len(server.requests)
    assert 10 < len(costs) < 48  # there was room for some, and not for all


@each_mode
def test_a_redis_lost_in_the_middle_costs_warnings_and_no_call(
    face: Face, fault_server: FaultServers, redis_server: RedisServer, said: list[str], mode: Mode
) -> None:
    server = fault_server(OPENAI.stream("Here.") if mode == "stream" else OPENAI.reply("Here."))
    config = chain((OPENAI, server), **HOUR, spend_limit={"usd": 1}, params={"max_tokens": 100})
    config["providers"]["first"]["limits"] = {"requests_per_minute": 100}
    config["state"] = {"url": redis_server.url.replace("//", "//:hunter2@")}
    import redis

    with redis.Redis.from_url(redis_server.url) as client:
        client.config_set("requirepass", "hunter2")
    with face.router(config) as router:
        assert ask(face, router, mode, "one").content == "Here."
        assert ask(face, router, mode, "one").cached
        assert not warned(said)
        redis_server.stop()
        assert ask(face, router, mode, "two").content == "Here."
        assert ask(face, router, mode, "two").cached
        assert ask(face, router, mode, "three").content == "Here."
        (standing,) = router.spending()
        assert standing.spent_usd == pytest.approx(router.total_cost)
        assert standing.reserved_usd == 0
    assert len(server.requests) == 3
    assert {line.split(" in ")[0].split(" redis ")[0] for line in warned(said)} == {
        "cache",
        "shared state",
        "spend limits",
    }
    assert "hunter2" not in "".join(said)


def test_a_limit_is_refused_by_what_another_machine_has_spent(
    face: Face, fault_server: FaultServers, redis_server: RedisServer, tmp_path: Path
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply(BILLED))), params={"max_tokens": 4990}, spend_limit={"usd": 0.06})
    config["state"] = {"url": redis_server.url}
    with Router(config | {"ledger": {"path": str(tmp_path / "elsewhere" / "usage.db")}}) as other:
        other.chat("r", "hello")
    with face.router(config) as router, pytest.raises(BudgetExceededError, match=r"\$0\.045"):
        ask(face, router, "chat")


def test_an_address_that_is_none_of_rediss_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match="not a Redis address") as refused:
        Router({"state": {"url": "http://me:hunter2@localhost"}})
    assert "hunter2" not in str(refused.value)
