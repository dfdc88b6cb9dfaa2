"""When the same target is asked again, how long is waited before, and that nobody but the router retries."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable

import pytest

from llmrouter import APIConnectionError, QuotaError, RateLimitError, RequestTimeoutError, ServerError
from tests.chains import ask, chain, each_protocol, failing, outcomes, within
from tests.conftest import FaultServers
from tests.servers.faults import refused_port
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, PROTOCOLS, Failure, Protocol
from tests.servers.replies import Reply, broken_json, close_before_headers, empty, json_reply, reset_before_headers
from tests.worlds import Face

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
ONCE = {"retry": {"attempts": 1}}

# ------------------------------------------------------------------------------------------------ SDK retries are off


@every_protocol
@pytest.mark.parametrize("kind", ["rate_limit", "server", "overloaded"])
def test_a_failure_makes_exactly_one_request(
    face: Face, fault_server: FaultServers, protocol: Protocol, kind: Failure
) -> None:
    server = fault_server(protocol.fails(kind).with_headers(x_should_retry="true"))
    with face.router(protocol.config(server.url, **ONCE)) as router:
        failing(RateLimitError if kind == "rate_limit" else ServerError, face, router, "chat")
    assert len(server.requests) == 1


@every_protocol
def test_a_reset_makes_exactly_one_request(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(reset_before_headers())
    with face.router(protocol.config(server.url, **ONCE)) as router:
        failing(APIConnectionError, face, router, "chat")
    assert len(server.requests) == 1


@every_protocol
def test_a_stream_that_is_refused_makes_exactly_one_request(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.fails("rate_limit"))
    with face.router(protocol.config(server.url, **ONCE)) as router:
        failing(RateLimitError, face, router, "stream")
    assert len(server.requests) == 1


# ------------------------------------------------------------------------------------------------ how long to wait


def http_date(seconds: float) -> str:
    """The time so many seconds from now, as HTTP writes it: in whole seconds."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def limited(**headers: str) -> Reply:
    """OpenAI's 429 with these headers."""
    return OPENAI.fails("rate_limit").with_headers(**headers)


TOLD: dict[str, tuple[Protocol, Callable[[], Reply], float]] = {
    "Retry-After in seconds": (OPENAI, lambda: limited(retry_after="60"), 60),
    "Retry-After as a date": (OPENAI, lambda: limited(retry_after=http_date(60)), 60),
    "retry-after-ms": (OPENAI, lambda: limited(retry_after_ms="60000"), 60),
    "both, of which ms is finer": (OPENAI, lambda: limited(retry_after="61", retry_after_ms="60500"), 60.5),
    "Retry-After of Anthropic": (ANTHROPIC, lambda: ANTHROPIC.fails("rate_limit", 60), 60),
    "RetryInfo of Gemini": (GOOGLE, lambda: GOOGLE.fails("rate_limit", 60.5), 60.5),
}


@pytest.mark.parametrize("form", TOLD)
def test_a_wait_beyond_the_deadline_is_told_and_not_waited(face: Face, fault_server: FaultServers, form: str) -> None:
    protocol, reply, seconds = TOLD[form]
    server = fault_server(reply())
    with face.router(chain((protocol, server))) as router, within(2.0):
        error = failing(RateLimitError, face, router, "chat")
    assert error.retry_after == pytest.approx(seconds, abs=1.5 if "date" in form else 0.001)
    assert len(server.requests) == 1


def test_a_wait_beyond_the_deadline_goes_to_the_next_rung_at_once(face: Face, fault_server: FaultServers) -> None:
    limited, healthy = fault_server(OPENAI.fails("rate_limit", 4)), fault_server(ANTHROPIC.reply("Here."))
    with face.router(chain((OPENAI, limited), (ANTHROPIC, healthy))) as router, within(2.0):
        assert ask(face, router, "chat").content == "Here."  # 4s fit the deadline of 5s, but not half of it
    assert len(limited.requests) == 1


@pytest.mark.parametrize("reply", [limited(retry_after_ms="150"), GOOGLE.fails("rate_limit", 0.15)])
def test_a_short_wait_is_kept_to_the_millisecond(face: Face, fault_server: FaultServers, reply: Reply) -> None:
    protocol = OPENAI if "retry-after-ms" in reply.headers else GOOGLE
    server = fault_server([reply, protocol.reply("Now.")])
    with face.router(chain((protocol, server))) as router, within(2.0):
        found = ask(face, router, "chat")
    first, second = server.requests
    assert 0.15 <= second.at - first.at < 0.6
    assert found.attempts[1].waited_s == pytest.approx(0.15)


def test_waits_without_jitter_grow_as_the_file_says(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([*[OPENAI.fails("server")] * 3, OPENAI.reply()])
    retry = {"attempts": 4, "initial": "20ms", "max": "50ms", "jitter": "none"}
    with face.router(chain((OPENAI, server), retry=retry)) as router:
        reply = ask(face, router, "chat")
    assert [attempt.waited_s for attempt in reply.attempts] == pytest.approx([0.0, 0.02, 0.04, 0.05])


# ------------------------------------------------------------------------------------------------ what is asked again


@each_protocol
@pytest.mark.parametrize("reply", [broken_json(), empty(), close_before_headers()], ids=["cut JSON", "empty", "closed"])
def test_a_broken_answer_is_asked_for_again(
    face: Face, fault_server: FaultServers, protocol: Protocol, reply: Reply
) -> None:
    server = fault_server([reply, protocol.reply("Whole.")])
    with face.router(chain((protocol, server))) as router:
        assert ask(face, router, "chat").content == "Whole."


def test_a_refused_connection_is_tried_as_often_as_the_route_says(face: Face) -> None:
    with refused_port() as port, face.router(chain((OPENAI, f"http://127.0.0.1:{port}"))) as router:
        error = failing(APIConnectionError, face, router, "chat")
    assert error.target == "first/gpt-6-luna"


@every_protocol
def test_a_quota_is_never_retried(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.fails("quota"))
    with face.router(chain((protocol, server))) as router:
        failing(QuotaError, face, router, "chat")
    assert len(server.requests) == 1


def test_a_payment_that_is_required_is_a_quota(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(json_reply({"error": {"message": "Insufficient credits", "code": 402}}, 402))
    with face.router(chain((OPENAI, server))) as router:
        error = failing(QuotaError, face, router, "chat")
    assert (error.status, len(server.requests)) == (402, 1)


@pytest.mark.parametrize("kind", ["authentication", "permission", "not_found", "bad_request"])
@each_protocol
def test_what_cannot_get_better_is_not_retried(
    face: Face, fault_server: FaultServers, protocol: Protocol, kind: Failure
) -> None:
    server = fault_server(protocol.fails(kind))
    with face.router(chain((protocol, server))) as router, pytest.raises(Exception, match="first/"):
        ask(face, router, "chat")
    assert len(server.requests) == 1


def test_a_rung_may_have_retries_of_its_own(face: Face, fault_server: FaultServers) -> None:
    once, often = fault_server(OPENAI.fails("server")), fault_server([*[OPENAI.fails("server")] * 4, OPENAI.reply()])
    config = chain((OPENAI, once), (OPENAI, often))
    config["routes"]["r"]["model"] = {"model": "first/gpt-6-luna", "retry": {"attempts": 1}}
    config["routes"]["r"]["fallbacks"] = [{"model": "second/gpt-6-luna", "retry": {"attempts": 5}}]
    with face.router(config) as router:
        reply = ask(face, router, "chat")
    assert outcomes(reply) == [("first", "failed"), *[("second", "failed")] * 4, ("second", "ok")]


def test_on_can_make_a_retried_error_move_on(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.fails("overloaded"))
    with face.router(chain((OPENAI, server), on={"overloaded": "next"})) as router:
        failing(ServerError, face, router, "chat")
    assert len(server.requests) == 1


def test_on_for_a_class_holds_for_its_subclasses(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.fails("overloaded"))
    with face.router(chain((OPENAI, server), on={"server": "stop"})) as router:
        failing(ServerError, face, router, "chat")
    assert len(server.requests) == 1


def test_on_can_make_a_silent_target_be_asked_again(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.complete().after(30), OPENAI.reply("Second.")])
    config = chain((OPENAI, server), on={"timeout": "retry"}, timeouts={"attempt": "150ms"})
    with face.router(config) as router, within(2.0):
        reply = ask(face, router, "chat")
    assert reply.content == "Second."
    assert isinstance(reply.attempts[0].error, RequestTimeoutError)
