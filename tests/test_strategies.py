"""Where in the chain a call starts, for each strategy: proved by who was asked, over many calls."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest

from tests.chains import ask, chain, each_mode, outcomes
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI
from tests.worlds import Face


@pytest.fixture
def three(fault_server: FaultServers) -> list[FaultServer]:
    """Three healthy servers that tell who they are."""
    return [fault_server(OPENAI.reply(name)) for name in ("one", "two", "three")]


def chosen(servers: list[FaultServer], strategy: str, weights: tuple[float, ...] = (), **route: Any) -> dict[str, Any]:
    """A chain of these servers that begins as `strategy` says."""
    config = chain(*((OPENAI, server) for server in servers), strategy=strategy, **route)
    found = config["routes"]["r"]
    if weights:
        first, *others = (
            {"model": model, "weight": weight}
            for model, weight in zip([found["model"], *found["fallbacks"]], weights, strict=True)
        )
        found.update(model=first, fallbacks=others)
    return config


def asked(servers: list[FaultServer]) -> list[int]:
    return [len(server.requests) for server in servers]


# ------------------------------------------------------------------------------------------------ priority, turns


def test_without_a_strategy_every_call_starts_with_the_first(face: Face, three: list[FaultServer]) -> None:
    with face.router(chosen(three, "priority")) as router:
        for _ in range(6):
            ask(face, router, "chat")
    assert asked(three) == [6, 0, 0]


def test_turns_are_given_out_evenly(face: Face, three: list[FaultServer]) -> None:
    with face.router(chosen(three, "round_robin")) as router:
        found = [ask(face, router, "chat").content for _ in range(9)]
    assert found == ["one", "two", "three"] * 3


def test_turns_are_even_for_calls_at_once_too(face: Face, three: list[FaultServer]) -> None:
    with face.router(chosen(three, "round_robin")) as router:
        face.at_once([partial(router.chat, "r", f"question {number}") for number in range(12)])
    assert asked(three) == [4, 4, 4]


@each_mode
def test_whoever_starts_the_others_are_its_fallbacks(face: Face, three: list[FaultServer], mode: Any) -> None:
    three[1].script(OPENAI.fails("quota"))
    with face.router(chosen(three, "round_robin", breaker=False)) as router:
        replies = [ask(face, router, mode) for _ in range(3)]
    assert [reply.content for reply in replies] == ["one", "one", "three"]
    assert outcomes(replies[1]) == [("second", "failed"), ("first", "ok")]


def test_no_call_starts_with_a_target_whose_breaker_is_open(face: Face, three: list[FaultServer]) -> None:
    three[1].script(OPENAI.fails("server"))
    config = chosen(three, "round_robin", breaker={"failures": 3, "cooldown": "1m"})
    with face.router(config) as router:
        replies = [ask(face, router, "chat") for _ in range(8)]
    assert len(three[1].requests) == 3
    assert all(outcomes(reply) in ([("first", "ok")], [("third", "ok")]) for reply in replies[2:])


def test_no_call_starts_with_a_target_that_has_no_key(face: Face, three: list[FaultServer]) -> None:
    config = chosen(three, "round_robin")
    config["providers"]["first"]["api_key"] = "${KEY_THAT_IS_NOT_SET}"
    with face.router(config) as router:
        found = Counter(ask(face, router, "chat").content for _ in range(6))
    assert found == {"two": 3, "three": 3}


# ------------------------------------------------------------------------------------------------ weighted


def test_weights_hold_over_many_prompts(face: Face, three: list[FaultServer]) -> None:
    with face.router(chosen(three, "weighted", (6.0, 3.0, 1.0))) as router:
        for number in range(200):
            ask(face, router, "chat", f"question {number}")
    first, second, third = asked(three)
    assert 95 <= first <= 145
    assert 35 <= second <= 85
    assert 5 <= third <= 40


def test_a_session_stays_with_its_target(face: Face, three: list[FaultServer]) -> None:
    with face.router(chosen(three, "weighted", (1.0, 1.0, 1.0))) as router:
        for session in range(12):
            found = {ask(face, router, "chat", f"turn {turn}", session=f"s{session}").content for turn in range(3)}
            assert len(found) == 1
    assert all(asked(three))


def test_a_conversation_without_a_session_stays_by_its_beginning(face: Face, three: list[FaultServer]) -> None:
    with face.router(chosen(three, "weighted", (1.0, 1.0, 1.0))) as router:
        for number in range(6):
            turns: list[dict[str, str]] = [{"role": "user", "content": f"conversation {number}"}]
            found = set()
            for turn in range(3):
                found.add(ask(face, router, "chat", turns).content)
                turns += [{"role": "assistant", "content": "Well."}, {"role": "user", "content": f"turn {turn}"}]
            assert len(found) == 1


def test_when_a_sticky_target_is_down_its_sessions_move_and_no_others(face: Face, three: list[FaultServer]) -> None:
    config = chosen(three, "weighted", (1.0, 1.0, 1.0), breaker={"failures": 3, "cooldown": "1m"})
    with face.router(config) as router:
        before = {s: ask(face, router, "chat", session=f"s{s}").content for s in range(15)}
        three[0].script(OPENAI.fails("server"))
        after = {s: ask(face, router, "chat", session=f"s{s}").content for s in range(15)}
    assert "one" in before.values()
    assert "one" not in after.values()
    assert {s: found for s, found in before.items() if found != "one"}.items() <= after.items()


def test_weight_nought_is_a_mere_fallback(face: Face, three: list[FaultServer]) -> None:
    with face.router(chosen(three, "weighted", (0.0, 1.0, 0.0))) as router:
        for number in range(10):
            ask(face, router, "chat", f"question {number}")
    assert asked(three) == [0, 10, 0]


# ------------------------------------------------------------------------------------------------ cheapest, fastest


def priced(config: dict[str, Any], *prices: tuple[float, float] | None) -> dict[str, Any]:
    """Give the rungs prices, in USD per million tokens of prompt and answer; None: unknown."""
    names = ("first", "second", "third")
    config["prices"] = {
        f"{name}/*": {"input": price[0], "output": price[1]}
        for name, price in zip(names, prices, strict=False)
        if price is not None
    }
    return config


@each_mode
def test_the_cheapest_for_this_request_is_asked(face: Face, three: list[FaultServer], mode: Any) -> None:
    config = priced(chosen(three, "cheapest"), (2.0, 2.0), (1.0, 10.0), (10.0, 0.5))
    with face.router(config) as router:
        found = [
            ask(face, router, mode, "word " * 3000, max_tokens=10).content,  # the prompt is what costs
            ask(face, router, mode, "short", max_tokens=4000).content,  # the answer is what costs
            ask(face, router, mode, "word " * 1000, max_tokens=1000).content,
        ]
    assert found == ["two", "three", "one"]


def test_an_unknown_price_is_dearer_than_any_other(face: Face, fault_server: FaultServers) -> None:
    servers = [fault_server(OPENAI.reply(name)) for name in ("one", "two")]
    config = priced(chosen(servers, "cheapest"), None, (500.0, 500.0))
    config["routes"]["r"]["model"] = "first/a-model-that-nobody-knows"
    with face.router(config) as router:
        assert ask(face, router, "chat").content == "two"


@each_mode
def test_the_fastest_gets_most_calls_once_all_are_known(face: Face, fault_server: FaultServers, mode: Any) -> None:
    def paced(name: str, seconds: float) -> Any:
        return lambda request: OPENAI.reply(name)(request).after(seconds)

    servers = [fault_server(paced("one", 0.12)), fault_server(paced("two", 0.005)), fault_server(paced("three", 0.12))]
    with face.router(chosen(servers, "fastest")) as router:
        found = [ask(face, router, mode).content for _ in range(24)]
    assert set(found) == {"one", "two", "three"}  # each was tried
    assert Counter(found)["two"] >= 14
    assert set(found[10:]) == {"two"}


def test_a_target_that_becomes_slow_loses_its_place(face: Face, fault_server: FaultServers) -> None:
    servers = [fault_server(OPENAI.reply("one")), fault_server(lambda r: OPENAI.reply("two")(r).after(0.08))]
    with face.router(chosen(servers, "fastest")) as router:
        for _ in range(8):
            ask(face, router, "chat")
        servers[0].script(lambda request: OPENAI.reply("one")(request).after(0.3))
        found = [ask(face, router, "chat").content for _ in range(12)]
    assert found[-5:] == ["two"] * 5


def test_a_failing_target_is_not_the_fastest_however_quickly_it_fails(face: Face, fault_server: FaultServers) -> None:
    servers = [fault_server(OPENAI.fails("quota")), fault_server(lambda r: OPENAI.reply("two")(r).after(0.05))]
    with face.router(chosen(servers, "fastest", breaker=False)) as router:
        found = [ask(face, router, "chat") for _ in range(12)]
    assert {reply.content for reply in found} == {"two"}
    assert len(servers[0].requests) <= 3


def test_strategies_hold_across_protocols(face: Face, fault_server: FaultServers) -> None:
    rungs = [(protocol, fault_server(protocol.reply(protocol.name))) for protocol in (OPENAI, ANTHROPIC, GOOGLE)]
    with face.router(chain(*rungs, strategy="round_robin")) as router:
        found = [ask(face, router, "chat").content for _ in range(6)]
    assert found == ["openai", "anthropic", "google"] * 2
