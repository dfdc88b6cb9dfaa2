"""A plan tells what a call would do, and touches no network to know it."""

from __future__ import annotations

import socket
from typing import Any, NoReturn

import pytest

from llmrouter import InvalidRequestError, Plan, Router
from tests.chains import chain
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI
from tests.worlds import Face

NOWHERE = "http://127.0.0.1:9"
ALL = ((OPENAI, NOWHERE), (ANTHROPIC, NOWHERE), (GOOGLE, NOWHERE))


@pytest.fixture(autouse=True)
def _no_socket(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on no socket may be made."""
    face.run(int)  # the event loop needs sockets of its own: it is there now

    def forbidden(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("explain may not reach for the network")

    monkeypatch.setattr(socket.socket, "__init__", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)


def plan_of(face: Face, config: Any, messages: Any = "hello", **options: Any) -> Plan:
    """The plan of route `r`."""
    with face.router(config) as router:
        plan: Plan = face.run(router.explain, "r", messages, **options)
        return plan


def test_each_rung_has_its_target_and_tokens(face: Face) -> None:
    plan = plan_of(face, chain(*ALL), "hello " * 100)
    assert [rung.target.partition("/")[0] for rung in plan.rungs] == ["first", "second", "third"]
    for rung in plan.rungs:
        assert rung.usable
        assert rung.tokens is not None
        assert 90 < rung.tokens.tokens < 300
    assert [rung.tokens.exact for rung in plan.rungs if rung.tokens] == [True, False, False]


def test_the_worst_case_is_bounded_by_the_deadline(face: Face) -> None:
    plan = plan_of(face, chain(*ALL, deadline="30s", timeouts={"attempt": "20s"}))
    assert plan.deadline_s == 30
    assert 0 < plan.worst_seconds <= 30
    assert all(0 < rung.worst_seconds <= 30 for rung in plan.rungs)


def test_one_attempt_costs_at_most_its_limit(face: Face) -> None:
    plan = plan_of(face, chain(ALL[0], retry={"attempts": 1}, timeouts={"attempt": "2s"}))
    assert plan.worst_seconds == pytest.approx(2.0)


def test_the_worst_cost_counts_every_attempt_and_the_longest_answer(face: Face) -> None:
    plan = plan_of(face, chain(ALL[0], params={"max_tokens": 1000}))
    [rung] = plan.rungs
    assert rung.attempts == 3
    assert rung.tokens is not None
    assert rung.worst_usd == pytest.approx(3 * (rung.tokens.tokens * 1.0 + 1000 * 10.0) / 1e6)
    assert plan.worst_usd == rung.worst_usd


def test_an_unknown_price_is_none_and_not_nothing(face: Face) -> None:
    config = chain(ALL[0])
    del config["prices"]
    plan = plan_of(face, config)
    assert plan.worst_usd is None
    assert "unknown" in str(plan).lower() or "?" in str(plan)


def test_a_rung_that_would_be_skipped_says_why(face: Face) -> None:
    plan = plan_of(face, {"routes": {"r": {"model": "openai/gpt-6-luna"}}})
    [rung] = plan.rungs
    assert not rung.usable
    assert "OPENAI_API_KEY" in str(rung.reason)


def test_what_would_be_trimmed_is_told(face: Face) -> None:
    turns = [
        {"role": "user", "content": "old " * 300},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "new"},
    ]
    plan = plan_of(face, chain(ALL[0], token_budget={"input": 100}), turns)
    assert plan.rungs[0].trim is not None
    assert plan.rungs[0].trim.messages_dropped == 2
    assert "trimmed" in str(plan)


def test_the_cache_key_is_there_only_with_a_cache(face: Face) -> None:
    assert plan_of(face, chain(ALL[0])).rungs[0].cache_key is None
    cached = plan_of(face, chain(*ALL, cache={"ttl": "1h"}))
    keys = {rung.cache_key for rung in cached.rungs}
    assert None not in keys
    assert len(keys) == 3
    assert not any(rung.cache_hit for rung in cached.rungs)


def test_a_plan_prints_as_a_table(face: Face) -> None:
    lines = str(plan_of(face, chain(*ALL))).splitlines()
    assert lines[0].startswith("route r: deadline 5s")
    assert lines[1].split()[:3] == ["#", "target", "tokens"]
    assert [line.split()[1] for line in lines[3:]] == [rung.target for rung in plan_of(face, chain(*ALL)).rungs]


def test_a_plan_of_a_mistaken_call_is_the_same_mistake(face: Face) -> None:
    with pytest.raises(InvalidRequestError):
        plan_of(face, chain(ALL[0]), [3])


def test_a_route_as_an_object_explains_itself(face: Face) -> None:
    with Router(chain(ALL[0])) as router:
        assert router.route("r").explain("hello").route == "r"
