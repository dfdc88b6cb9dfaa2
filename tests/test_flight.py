"""Identical calls at the same time make one request, in threads and in tasks."""

from __future__ import annotations

import asyncio
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from llmrouter import AuthenticationError, OverloadedError
from tests.chains import WORDS, ask, chain, each_protocol, within
from tests.conftest import FaultServers
from tests.servers.protocols import ANTHROPIC, OPENAI, Protocol
from tests.worlds import Face

HOUR: dict[str, Any] = {"cache": {"ttl": "1h"}}
MANY = {"sync": 16, "async": 64}


@each_protocol
def test_many_identical_calls_make_one_request(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.complete("One for all.").after(0.3))
    with face.router(chain((protocol, server), **HOUR)) as router:
        replies = face.at_once([partial(router.chat, "r", "hello")] * MANY[face.world])
        total = router.total_cost
    assert {reply.content for reply in replies} == {"One for all."}
    assert len(server.requests) == 1
    assert total == sum(reply.cost_usd for reply in replies) > 0
    assert [reply.cached for reply in replies].count(False) == 1


def test_different_calls_do_not_wait_for_each_other(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.complete().after(0.1))
    with face.router(chain((OPENAI, server), **HOUR)) as router:
        face.at_once([partial(router.chat, "r", f"hello {n}") for n in range(8)])
    assert len(server.requests) == 8


def test_without_a_cache_nobody_waits_for_somebody_else(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.complete().after(0.1))
    with face.router(chain((OPENAI, server))) as router:
        face.at_once([partial(router.chat, "r", "hello")] * 8)
    assert len(server.requests) == 8


def test_a_call_that_bypasses_the_cache_asks_for_itself(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.complete().after(0.1))
    with face.router(chain((OPENAI, server), **HOUR)) as router:
        face.at_once([partial(router.chat, "r", "hello", cache="bypass")] * 4)
    assert len(server.requests) == 4


# ------------------------------------------------------------------------------------------------ errors


def test_an_error_is_shared_as_copies_that_do_not_pile_up(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.fails("authentication").after(0.3))
    with face.router(chain((OPENAI, server), **HOUR)) as router:
        errors = face.at_once([partial(router.chat, "r", "hello")] * MANY[face.world])
    assert {type(error) for error in errors} == {AuthenticationError}
    assert len({id(error) for error in errors}) == len(errors)
    assert len(server.requests) == 1
    assert max(len(traceback.extract_tb(error.__traceback__)) for error in errors) < 25
    assert {error.status for error in errors} == {401}


def test_those_who_share_an_error_share_the_fallbacks_answer_too(face: Face, fault_server: FaultServers) -> None:
    broken, healthy = (
        fault_server(OPENAI.fails("quota").after(0.2)),
        fault_server(ANTHROPIC.complete("Here.").after(0.2)),
    )
    with face.router(chain((OPENAI, broken), (ANTHROPIC, healthy), **HOUR)) as router:
        replies = face.at_once([partial(router.chat, "r", "hello")] * 8)
    assert {reply.content for reply in replies} == {"Here."}
    assert (len(broken.requests), len(healthy.requests)) == (1, 1)


def test_a_failure_is_not_remembered(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.fails("overloaded"), OPENAI.reply("Fine.")])
    with face.router(chain((OPENAI, server), retry={"attempts": 1}, **HOUR)) as router:
        with pytest.raises(OverloadedError):
            ask(face, router, "chat")
        assert ask(face, router, "chat").content == "Fine."


# ------------------------------------------------------------------------------------------------ leaders that leave


def test_a_follower_takes_over_from_a_leader_that_was_cancelled(fault_server: FaultServers) -> None:
    face = Face("async")
    server = fault_server([OPENAI.complete().after(30), OPENAI.reply("Taken over.")])
    with face.router(chain((OPENAI, server), **HOUR)) as router:

        async def race() -> list[Any]:
            leader = asyncio.ensure_future(router.chat("r", "hello"))
            await asyncio.sleep(0.2)
            followers = [asyncio.ensure_future(router.chat("r", "hello")) for _ in range(5)]
            await asyncio.sleep(0.05)
            leader.cancel()
            return await asyncio.gather(*followers)

        replies = face.run(race)
    assert {reply.content for reply in replies} == {"Taken over."}
    assert len(server.requests) == 2
    assert not face.close()


def test_a_follower_that_is_cancelled_disturbs_nobody(fault_server: FaultServers) -> None:
    face = Face("async")
    server = fault_server(OPENAI.complete("Undisturbed.").after(0.4))
    with face.router(chain((OPENAI, server), **HOUR)) as router:

        async def race() -> list[Any]:
            calls = [asyncio.ensure_future(router.chat("r", "hello")) for _ in range(6)]
            await asyncio.sleep(0.15)
            for follower in calls[2:4]:
                follower.cancel()
            return await asyncio.gather(*calls, return_exceptions=True)

        outcomes = face.run(race)
    assert [type(outcome).__name__ for outcome in outcomes[2:4]] == ["CancelledError"] * 2
    assert {outcome.content for outcome in (*outcomes[:2], *outcomes[4:])} == {"Undisturbed."}
    assert len(server.requests) == 1
    assert not face.close()


def test_a_follower_takes_over_from_a_stream_that_was_left(fault_server: FaultServers) -> None:
    face = Face("sync")
    server = fault_server([OPENAI.stream(WORDS).stalled(9, 30), OPENAI.reply("Taken over.")])
    with face.router(chain((OPENAI, server), **HOUR)) as router, ThreadPoolExecutor(1) as pool:
        stream = router.stream("r", "hello")
        next(stream)
        follower = pool.submit(router.chat, "r", "hello")
        threading.Event().wait(0.1)
        assert not follower.done()
        stream.close()
        assert follower.result(5).content == "Taken over."


@each_protocol
def test_nobody_waits_for_a_stream_that_they_hold_open_themselves(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.reply(WORDS))
    with face.router(chain((protocol, server), **HOUR)) as router:

        def inside() -> Any:
            with router.stream("r", "hello") as outer:
                next(outer)
                return router.chat("r", "hello")

        async def inside_async() -> Any:
            async with router.stream("r", "hello") as outer:
                await anext(outer)
                return await router.chat("r", "hello")

        with within(1.5):
            assert face.run(inside if face.world == "sync" else inside_async).content == WORDS


def test_a_follower_waits_no_longer_than_its_own_deadline(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.complete("Late.").after(0.8))
    with face.router(chain((OPENAI, server), **HOUR)) as router:
        patient, hasty = partial(router.chat, "r", "hello"), partial(router.chat, "r", "hello", deadline=0.3)
        outcomes = face.at_once([patient, later(face, hasty)])
    assert outcomes[0].content == "Late."
    assert type(outcomes[1]).__name__ in ("DeadlineExceededError", "RequestTimeoutError")


def later(face: Face, call: Any) -> Any:
    """The same call, a tenth of a second later."""
    if face.world == "sync":

        def blocking() -> Any:
            threading.Event().wait(0.1)
            return call()

        return blocking

    async def waiting() -> Any:
        await asyncio.sleep(0.1)
        return await call()

    return waiting
