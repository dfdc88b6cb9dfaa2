"""Breakers and limits on the way of a call: who is asked, who waits, and who goes on to the next rung."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from llmrouter import RateLimitError, ServerError
from llmrouter.pipeline.call import Call
from llmrouter.pipeline.rung import Ready
from llmrouter.pipeline.target_guards import BreakerGuard, LimitGuard
from llmrouter.policy.breaker import Breaker, BreakerSettings, Circuit
from llmrouter.policy.learned import Learned
from llmrouter.policy.limits import Limiter, Limits, Scope, Subject
from llmrouter.store.state import MemoryState
from tests.chains import Mode, ask, chain, each_mode, failing, within
from tests.conftest import FaultServers
from tests.servers.faults import Step
from tests.servers.http1 import Request
from tests.servers.protocols import OPENAI, Answer
from tests.worlds import Face

QUICK = BreakerSettings(failures=3, window_s=60.0, cooldown_s=0.2)


@contextmanager
def guarded(face: Face, config: Any, breaker: BreakerSettings = QUICK, limits: Limits | None = None) -> Iterator[Any]:
    """Open a router whose targets have breakers, and whose provider `first` has limits."""
    state = MemoryState()
    narrow = Scope.of(Subject("provider first", "limits-first", limits or Limits()))

    def circuit(_call: Call, prepared: Ready) -> Circuit:
        return Circuit(prepared.rung.target, prepared.rung.target, breaker)

    def scope(_call: Call, prepared: Ready) -> Scope:
        return narrow if prepared.rung.target.startswith("first/") else Scope()

    with face.router(config) as router:
        pipeline = router._pipeline
        pipeline.guards = (
            BreakerGuard(Breaker(state), circuit),
            LimitGuard(Limiter(state), Learned(), scope, pipeline.counter),
        )
        yield router


# ------------------------------------------------------------------------------------------------ failing targets


@each_mode
def test_a_target_that_keeps_failing_is_left_alone_and_tried_again_by_one_request(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    down, healthy = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Here."))
    with guarded(face, chain((OPENAI, down), (OPENAI, healthy))) as router:
        for _ in range(5):
            assert ask(face, router, mode).content == "Here."
        assert len(down.requests) == 3
        time.sleep(0.25)
        for _ in range(3):
            assert ask(face, router, mode).content == "Here."
        assert len(down.requests) == 4
        down.script(OPENAI.reply("Back."))
        time.sleep(0.25)
        assert ask(face, router, mode).content == "Back."
        assert ask(face, router, mode).content == "Back."


def test_the_skipped_rung_says_why(face: Face, fault_server: FaultServers) -> None:
    down, healthy = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Here."))
    with guarded(face, chain((OPENAI, down), (OPENAI, healthy)), BreakerSettings(failures=3)) as router:
        ask(face, router, "chat")
        attempt = ask(face, router, "chat").attempts[0]
    assert attempt.outcome == "skipped"
    assert "its breaker is open after 3 failures, next probe in 30.0s" in attempt.reason


@each_mode
def test_the_only_rung_is_asked_even_when_its_breaker_is_open(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    down = fault_server(OPENAI.fails("server"))
    with guarded(face, chain((OPENAI, down))) as router:
        for _ in range(3):
            failing(ServerError, face, router, mode)
    assert len(down.requests) == 9


def test_a_stream_that_its_reader_leaves_counts_as_answered(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("one two three four"))
    with guarded(face, chain((OPENAI, server)), limits=Limits(concurrency=1)) as router:
        for _ in range(5):
            with face.stream(router, "r", "hello") as stream:
                next(iter(stream))
        assert ask(face, router, "chat").content == "one two three four"


def test_all_callers_of_a_target_wait_as_long_as_it_asked_one_of_them(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.fails("rate_limit", 0.4), OPENAI.reply("Here.")])
    spare = fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, server), (OPENAI, spare), retry={"attempts": 1})
    with guarded(face, config) as router:
        assert ask(face, router, "chat").content == "Spare."
        started = time.monotonic()
        assert ask(face, router, "chat").content == "Here."
        assert time.monotonic() - started > 0.3


def test_callers_who_cannot_wait_so_long_go_to_the_next_rung_at_once(face: Face, fault_server: FaultServers) -> None:
    server, spare = fault_server(OPENAI.fails("rate_limit", 60)), fault_server(OPENAI.reply("Spare."))
    with guarded(face, chain((OPENAI, server), (OPENAI, spare))) as router, within(2):
        for _ in range(4):
            assert ask(face, router, "chat").content == "Spare."
    assert len(server.requests) == 1


def test_a_lone_target_that_asked_for_a_minute_is_asked_all_the_same(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.fails("rate_limit", 60))
    with guarded(face, chain((OPENAI, server))) as router, within(2):
        failing(RateLimitError, face, router, "chat")
        failing(RateLimitError, face, router, "chat")
    assert len(server.requests) == 2


# ------------------------------------------------------------------------------------------------ limits


def test_a_full_minute_spills_over_to_the_next_rung(face: Face, fault_server: FaultServers) -> None:
    limited, spare = fault_server(OPENAI.reply("First.")), fault_server(OPENAI.reply("Spare."))
    with guarded(face, chain((OPENAI, limited), (OPENAI, spare)), limits=Limits(requests_per_minute=2)) as router:
        found = [ask(face, router, "chat").content for _ in range(5)]
    assert found == ["First."] * 2 + ["Spare."] * 3


def test_tokens_that_an_answer_did_not_take_are_free_for_the_next(face: Face, fault_server: FaultServers) -> None:
    limited = fault_server(OPENAI.reply(Answer("Here.", input_tokens=5, output_tokens=5)))
    spare = fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, limited), (OPENAI, spare), params={"max_tokens": 80})
    with guarded(face, config, limits=Limits(tokens_per_minute=100)) as router:
        found = [ask(face, router, "chat").content for _ in range(3)]
    assert found == ["Here."] * 2 + ["Spare."]  # 10 tokens each; 20 and a new 90 do not fit


def test_calls_at_once_never_exceed_the_limit_and_all_get_their_answer(face: Face, fault_server: FaultServers) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def counted(_request: Request) -> Step:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return OPENAI.reply("Here.")

    server = fault_server(counted)
    with guarded(face, chain((OPENAI, server)), limits=Limits(concurrency=2)) as router:
        found = face.at_once([partial(router.chat, "r", f"question {number}") for number in range(10)])
    assert [reply.content for reply in found] == ["Here."] * 10
    assert most <= 2


def test_a_failed_attempt_frees_its_slot(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.fails("bad_request"), OPENAI.reply("Here.")])
    with guarded(face, chain((OPENAI, server)), limits=Limits(concurrency=1)) as router:
        with pytest.raises(Exception, match="temperature"):
            ask(face, router, "chat")
        assert ask(face, router, "chat").content == "Here."
