"""Breakers and limits as the file sets them: who is asked, what `status` and `explain` show, what attempts tell."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import pytest

from llmrouter import AllTargetsFailedError, LimitExceededError, Router, ServerError
from tests.chains import Mode, ask, chain, each_mode, failing, outcomes, within
from tests.conftest import FaultServers
from tests.servers.faults import Step
from tests.servers.http1 import Request
from tests.servers.protocols import OPENAI, Answer
from tests.worlds import Face

QUICK = {"failures": 3, "window": "60s", "cooldown": "400ms"}


def target(name: str) -> str:
    return f"{name}/{OPENAI.model}"


# ------------------------------------------------------------------------------------------------ targets that fail


@each_mode
def test_a_primary_that_is_down_is_left_alone_probed_and_taken_back(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    found = []
    with face.router(chain((OPENAI, down), (OPENAI, spare), breaker=QUICK)) as router:
        started, recovered, back = time.monotonic(), False, None
        while back is None and time.monotonic() - started < 10:
            if not recovered and time.monotonic() - started > 1.0:
                while_down, recovered = len(down.requests), True
                down.script(OPENAI.reply("Back."))
                recovery = time.monotonic()
            found.append(ask(face, router, mode).content)
            back = time.monotonic() if found[-1] == "Back." else None
            time.sleep(0.01)
    assert set(found) == {"Spare.", "Back."}
    assert 3 <= while_down <= 3 + 3  # one probe for each 400 ms
    assert back is not None
    assert back - recovery < 0.4 + 0.5


def test_many_calls_at_once_send_one_probe(face: Face, fault_server: FaultServers) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    with face.router(chain((OPENAI, down), (OPENAI, spare), breaker=QUICK)) as router:
        ask(face, router, "chat")
        down.script(OPENAI.fails("server").after(0.3))
        time.sleep(0.45)
        replies = face.at_once([partial(router.chat, "r", f"question {number}") for number in range(16)])
    assert {reply.content for reply in replies} == {"Spare."}
    assert len(down.requests) == 3 + 1


@each_mode
def test_a_chain_of_one_is_never_blocked(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    down = fault_server(OPENAI.fails("server"))
    with face.router(chain((OPENAI, down), breaker=QUICK, retry={"attempts": 1})) as router:
        for _ in range(6):
            failing(ServerError, face, router, mode)
        down.script(OPENAI.reply("Back."))
        assert ask(face, router, mode).content == "Back."
    assert len(down.requests) == 7


def test_when_all_breakers_are_open_the_last_rung_is_asked(face: Face, fault_server: FaultServers) -> None:
    first, second = fault_server(OPENAI.fails("server")), fault_server(OPENAI.fails("server"))
    with face.router(chain((OPENAI, first), (OPENAI, second), breaker=QUICK | {"cooldown": "1m"})) as router:
        failing(AllTargetsFailedError, face, router, "chat")
        error = failing(AllTargetsFailedError, face, router, "chat")
    assert (len(first.requests), len(second.requests)) == (3, 6)
    assert outcomes(error)[0] == ("first", "skipped")
    assert "is left alone: its breaker is open after 3 failures" in str(error)


def test_the_breaker_can_be_turned_off(face: Face, fault_server: FaultServers) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    with face.router(chain((OPENAI, down), (OPENAI, spare), breaker=False)) as router:
        for _ in range(4):
            ask(face, router, "chat")
    assert len(down.requests) == 12


def test_routes_share_the_breaker_of_a_target(face: Face, fault_server: FaultServers) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, down), (OPENAI, spare), breaker=QUICK | {"cooldown": "1m"})
    config["routes"]["other"] = config["routes"]["r"]
    with face.router(config) as router:
        ask(face, router, "chat")
        assert face.chat(router, "other", "hello").attempts[0].outcome == "skipped"
    assert len(down.requests) == 3


def test_errors_of_the_callers_own_making_open_nothing(face: Face, fault_server: FaultServers) -> None:
    server, spare = fault_server(OPENAI.fails("bad_request")), fault_server(OPENAI.reply("Spare."))
    with face.router(chain((OPENAI, server), (OPENAI, spare), breaker=QUICK)) as router:
        for _ in range(5):
            failing(Exception, face, router, "chat")
        assert router.status()[target("first")].phase == "closed"
    assert len(server.requests) == 5


# ------------------------------------------------------------------------------------------------ what is shown


def test_status_tells_of_each_target(face: Face, fault_server: FaultServers) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    with face.router(chain((OPENAI, down), (OPENAI, spare), breaker=QUICK)) as router:
        assert {name: str(state) for name, state in router.status().items()} == {
            target("first"): "closed",
            target("second"): "closed",
        }
        ask(face, router, "chat")
        opened = router.status()[target("first")]
        time.sleep(0.45)
        waiting = router.status()[target("first")]
    assert (opened.phase, opened.failures) == ("open", 3)
    assert 0 < opened.retry_in_s <= 0.4
    assert str(waiting) == "half-open, the next call is a probe"


def test_explain_shows_an_open_breaker(face: Face, fault_server: FaultServers) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    with face.router(chain((OPENAI, down), (OPENAI, spare), breaker=QUICK | {"cooldown": "1m"})) as router:
        assert "breaker" not in str(router.explain("r", "hello"))
        ask(face, router, "chat")
        plan = router.explain("r", "hello")
    assert plan.rungs[0].breaker.phase == "open"
    assert "breaker open after 3 failures, next probe in" in str(plan)


def test_the_attempts_of_a_call_tell_whom_it_left_alone(face: Face, fault_server: FaultServers) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    with face.router(chain((OPENAI, down), (OPENAI, spare), breaker=QUICK | {"cooldown": "1m"})) as router:
        ask(face, router, "chat")
        skipped, answered = ask(face, router, "chat").attempts
    assert (skipped.outcome, answered.outcome) == ("skipped", "ok")
    assert skipped.reason.startswith(f"{target('first')} is left alone: its breaker is open after 3 failures")


# ------------------------------------------------------------------------------------------------ limits


def test_a_route_over_its_minute_spills_to_a_rung_of_another_provider(face: Face, fault_server: FaultServers) -> None:
    first, spare = fault_server(OPENAI.reply("First.")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, first), (OPENAI, spare))
    config["providers"]["first"]["limits"] = {"requests_per_minute": 2}
    with face.router(config) as router, within(3.0):
        found = [ask(face, router, "chat") for _ in range(4)]
    assert [reply.content for reply in found] == ["First.", "First.", "Spare.", "Spare."]
    assert "2 requests a minute is full for another" in found[-1].attempts[0].reason


def test_a_lone_target_over_its_minute_raises_at_once_where_waiting_does_not_fit(
    face: Face, fault_server: FaultServers
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply("First."))), limits={"requests_per_minute": 1})
    with face.router(config) as router, within(2.0):
        ask(face, router, "chat")
        error = failing(LimitExceededError, face, router, "chat")
    assert 50 < (error.retry_after or 0) < 63


def most_at_once(seconds: float) -> tuple[Any, list[int]]:
    """Return a script that takes `seconds`, and a list that grows with how many requests ran at once."""
    lock, running, seen = threading.Lock(), [0], [0]

    def counted(_request: Request) -> Step:
        with lock:
            running[0] += 1
            seen.append(running[0])
        time.sleep(seconds)
        with lock:
            running[0] -= 1
        return OPENAI.reply("Here.")

    return counted, seen


@each_mode
def test_concurrency_is_kept_and_everybody_is_served_within_the_deadline(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    del mode
    script, seen = most_at_once(0.05)
    config = chain((OPENAI, fault_server(script)), limits={"concurrency": 2})
    with face.router(config) as router, within(4.0):
        replies = face.at_once([partial(router.chat, "r", f"question {number}") for number in range(12)])
    assert [reply.content for reply in replies] == ["Here."] * 12
    assert max(seen) == 2


def test_streams_hold_their_place_until_they_end(face: Face, fault_server: FaultServers) -> None:
    server, spare = fault_server(OPENAI.reply("one two three")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, server), (OPENAI, spare), deadline="1s")
    config["providers"]["first"]["limits"] = {"concurrency": 1}
    with face.router(config) as router:
        with face.stream(router, "r", "hello") as stream:
            reading = iter(stream)
            next(reading)
            assert ask(face, router, "chat").content == "Spare."
        assert ask(face, router, "chat").content == "one two three"


def test_a_request_that_never_fits_is_refused_before_it_is_sent(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("Here."))
    config = chain((OPENAI, server), limits={"tokens_per_minute": 100})
    with face.router(config) as router, within(2.0):
        error = failing(LimitExceededError, face, router, "chat", "word " * 500)
    assert "can never be met" in str(error)
    assert not server.requests


def test_tokens_are_booked_as_they_were_used(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply(Answer("Here.", input_tokens=10, output_tokens=10)))
    spare = fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, server), (OPENAI, spare), params={"max_tokens": 50})
    config["providers"]["first"]["limits"] = {"tokens_per_minute": 100}
    with face.router(config) as router:
        found = [ask(face, router, "chat").content for _ in range(4)]
    assert found == ["Here.", "Here.", "Here.", "Spare."]  # 20 each; 60 and a new 50-odd do not fit


def test_routers_of_one_process_share_limits(face: Face, fault_server: FaultServers) -> None:
    server, spare = fault_server(OPENAI.reply("First.")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, server), (OPENAI, spare))
    config["providers"]["first"]["limits"] = {"requests_per_minute": 3}
    with face.router(config) as router, Router(config) as other:
        found = [ask(face, router, "chat").content for _ in range(2)]
        found += [other.chat("r", "hello").content for _ in range(2)]
        found.append(ask(face, router, "chat").content)
    assert found == ["First."] * 3 + ["Spare."] * 2


@pytest.mark.parametrize(("shared", "asked"), [({}, 6), ({"state": {"url": "file:"}}, 3)], ids=["alone", "shared"])
def test_routers_share_breakers_where_the_file_says_so(
    face: Face, fault_server: FaultServers, shared: dict[str, Any], asked: int
) -> None:
    down, spare = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Spare."))
    config = chain((OPENAI, down), (OPENAI, spare), breaker=QUICK | {"cooldown": "1m"}) | shared
    with face.router(config) as router, Router(config) as other:
        ask(face, router, "chat")
        assert other.chat("r", "hello").content == "Spare."
        assert other.status()[target("first")].phase == "open"
    assert len(down.requests) == asked
