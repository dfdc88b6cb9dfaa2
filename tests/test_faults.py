"""Sixteen faults of providers, on every protocol, through `chat` and `stream`, in both worlds.

All times are scaled down: tenths of a second stand for the seconds and minutes of real providers and real limits.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from llmrouter import (
    AllTargetsFailedError,
    ContentFilterError,
    ContextLengthError,
    OverloadedError,
    RateLimitError,
    RequestTimeoutError,
    Restart,
    StreamInterruptedError,
    Text,
)
from tests.chains import (
    WORDS,
    Mode,
    another_than,
    ask,
    before,
    broken_off,
    chain,
    each_mode,
    each_protocol,
    failing,
    outcomes,
    within,
)
from tests.conftest import FaultServers
from tests.servers.faults import by_model
from tests.servers.http1 import Request
from tests.servers.protocols import ANTHROPIC, DONE, GOOGLE, OPENAI, Answer, Protocol
from tests.servers.replies import Reply, reset_before_headers, silence, spoiled, sse
from tests.worlds import Face

WATCHED = {"timeouts": {"idle": "300ms", "first_token": "1s"}}  # makes `chat` stream underneath
FORTY = " ".join(WORDS.split()[:40])


def cut_at_forty(protocol: Protocol) -> Reply:
    """The stream of sixty words that breaks off after forty."""
    return protocol.stream(WORDS).cut_after(before(protocol.chunks(WORDS), "w40"))


# ------------------------------------------------------------------------------------------------ 1-4: statuses


@each_protocol
@each_mode
def test_a_rate_limit_with_its_wait_is_waited_for_once(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server([protocol.fails("rate_limit", retry_after=0.2), protocol.reply("Now.")])
    with face.router(chain((protocol, server))) as router:
        assert ask(face, router, mode).content == "Now."
    first, second = server.requests
    assert second.at - first.at >= 0.2


@each_protocol
@each_mode
def test_a_rate_limit_for_ever_ends_at_the_fallback_within_the_retries(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    limited, healthy = fault_server(protocol.fails("rate_limit")), fault_server(another_than(protocol).reply("Here."))
    with face.router(chain((protocol, limited), (another_than(protocol), healthy))) as router, within(1.5):
        reply = ask(face, router, mode)
    assert (reply.content, len(limited.requests), len(healthy.requests)) == ("Here.", 3, 1)


@each_protocol
@each_mode
def test_one_internal_error_is_retried_on_the_same_target(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server, spare = fault_server([protocol.fails("server"), protocol.reply("Again.")]), fault_server()
    with face.router(chain((protocol, server), (protocol, spare))) as router:
        assert ask(face, router, mode).content == "Again."
    assert (len(server.requests), len(spare.requests)) == (2, 0)


@each_protocol
@each_mode
def test_an_overload_for_ever_ends_at_the_fallback(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    busy, healthy = fault_server(protocol.fails("overloaded")), fault_server(another_than(protocol).reply("Here."))
    with face.router(chain((protocol, busy), (another_than(protocol), healthy))) as router:
        reply = ask(face, router, mode)
    assert outcomes(reply) == [*[("first", "failed")] * 3, ("second", "ok")]
    assert isinstance(reply.attempts[0].error, OverloadedError)


# ------------------------------------------------------------------------------------------------ 5-7: connections


@each_protocol
@each_mode
def test_a_connection_reset_before_the_headers_is_retried(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server([reset_before_headers(), protocol.reply("Again.")])
    with face.router(chain((protocol, server))) as router:
        assert ask(face, router, mode).content == "Again."
    assert len(server.requests) == 2


@each_protocol
@each_mode
def test_a_silent_target_is_asked_once_and_left_within_its_limit(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    silent, healthy = fault_server(silence(30)), fault_server(another_than(protocol).reply("Here."))
    config = chain((protocol, silent), (another_than(protocol), healthy), timeouts={"attempt": "300ms"})
    with face.router(config) as router, within(2.0):
        reply = ask(face, router, mode)
    assert (reply.content, len(silent.requests)) == ("Here.", 1)
    assert isinstance(reply.attempts[0].error, RequestTimeoutError)


@each_protocol
@each_mode
def test_a_first_token_that_is_late_moves_the_call_on(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    late = fault_server(protocol.stream(WORDS).stalled(before(protocol.chunks(WORDS), "w00"), 30))
    healthy = fault_server(another_than(protocol).reply("Here."))
    config = chain((protocol, late), (another_than(protocol), healthy), timeouts={"first_token": "300ms"})
    with face.router(config) as router, within(2.0):
        reply = ask(face, router, mode)
    assert (reply.content, len(late.requests)) == ("Here.", 1)
    assert reply.attempts[0].error.limit == "first_token"


# ------------------------------------------------------------------------------------------------ 8-11: streams


@each_protocol
def test_chat_over_a_stream_that_is_cut_returns_the_whole_answer(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    cut, healthy = fault_server(cut_at_forty(protocol)), fault_server(another_than(protocol).reply(WORDS))
    with face.router(chain((protocol, cut), (another_than(protocol), healthy), **WATCHED)) as router:
        assert ask(face, router, "chat").content == WORDS


@each_protocol
def test_a_stream_that_is_cut_raises_with_exactly_what_came(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server, spare = fault_server(cut_at_forty(protocol)), fault_server()
    with face.router(chain((protocol, server), (protocol, spare))) as router:
        received, error = broken_off(face, router)
    assert error.partial == received == FORTY
    assert (len(server.requests), len(spare.requests)) == (1, 0)


@each_protocol
def test_a_stream_that_is_cut_restarts_on_the_next_rung(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    cut, healthy = fault_server(cut_at_forty(protocol)), fault_server(another_than(protocol).reply(WORDS))
    config = chain((protocol, cut), (another_than(protocol), healthy), on_break="restart")
    with face.router(config) as router:
        events = face.events(router, "r", "hello")
    [restart] = [index for index, event in enumerate(events) if isinstance(event, Restart)]
    assert events[restart].target.startswith("second/")
    assert texts(events[:restart]) == FORTY
    assert texts(events[restart:]) == WORDS == events[-1].response.content


def texts(events: list[Any]) -> str:
    """The text of the events, joined."""
    return "".join(event.text for event in events if isinstance(event, Text))


@each_protocol
def test_plain_iteration_raises_where_a_restart_would_repeat_text(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    cut, healthy = fault_server(cut_at_forty(protocol)), fault_server(protocol.reply(WORDS))
    with face.router(chain((protocol, cut), (protocol, healthy), on_break="restart")) as router:
        received, error = broken_off(face, router)
    assert error.partial == received == FORTY
    assert not healthy.requests


@each_protocol
def test_a_stream_that_stalls_is_bounded_by_idle(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    stalled = protocol.stream(WORDS).stalled(before(protocol.chunks(WORDS), "w40"), 30)
    server = fault_server([stalled, protocol.reply("Alive.")])
    with face.router(chain((protocol, server), timeouts={"idle": "200ms"})) as router:
        with within(2.0), pytest.raises(StreamInterruptedError) as failure:
            face.events(router, "r", "hello")
        assert ask(face, router, "chat").content == "Alive."
    assert failure.value.partial == FORTY
    assert isinstance(failure.value.__cause__, RequestTimeoutError)
    assert failure.value.__cause__.limit == "idle"


@each_protocol
def test_chat_over_a_stream_that_stalls_moves_on(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    stalled = fault_server(protocol.stream(WORDS).stalled(before(protocol.chunks(WORDS), "w40"), 30))
    healthy = fault_server(another_than(protocol).reply(WORDS))
    config = chain((protocol, stalled), (another_than(protocol), healthy), timeouts={"idle": "200ms"})
    with face.router(config) as router, within(2.0):
        assert ask(face, router, "chat").content == WORDS
    assert len(stalled.requests) == 1


# ------------------------------------------------------------------------------------------------ 12: garbage


@each_protocol
@pytest.mark.parametrize("watched", [True, False], ids=["chat", "stream"])
def test_a_garbage_event_before_the_first_token_is_asked_again(
    face: Face, fault_server: FaultServers, protocol: Protocol, watched: bool
) -> None:
    chunks = protocol.chunks(WORDS)
    garbage = sse(spoiled(chunks, before(chunks, "w00")), protocol.headers)
    server = fault_server([garbage, protocol.reply(WORDS)])
    with face.router(chain((protocol, server), **(WATCHED if watched else {}))) as router:
        assert ask(face, router, "chat" if watched else "stream").content == WORDS
    assert len(server.requests) == 2


@each_protocol
def test_a_garbage_event_in_the_middle_never_passes_for_an_answer(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    chunks = protocol.chunks(WORDS)
    server = fault_server(sse(spoiled(chunks, before(chunks, "w40")), protocol.headers))
    with face.router(chain((protocol, server))) as router, pytest.raises(StreamInterruptedError) as failure:
        face.events(router, "r", "hello")
    assert failure.value.partial == FORTY


# ------------------------------------------------------------------------------------------------ 13: no [DONE]


@pytest.mark.parametrize("waits", [True, False], ids=["stays open", "closes"])
def test_a_stream_without_done_ends_with_its_finish_reason_and_usage(
    face: Face, fault_server: FaultServers, waits: bool
) -> None:
    chunks = OPENAI.chunks(Answer(WORDS, output_tokens=77))
    assert chunks.pop() == DONE
    reply = sse(chunks, OPENAI.headers)
    server = fault_server(reply.stalled(len(chunks), 30) if waits else reply)
    with face.router(chain((OPENAI, server))) as router, within(2.0):
        found = ask(face, router, "stream")
    assert (found.content, found.finish_reason, found.output_tokens) == (WORDS, "stop", 77)
    assert not found.usage.estimated


def test_a_stream_that_is_dropped_after_its_finish_reason_is_complete(face: Face, fault_server: FaultServers) -> None:
    chunks = OPENAI.chunks(Answer(WORDS, usage=False))[:-1]
    server = fault_server(sse(chunks, OPENAI.headers).without_last_chunk())
    with face.router(chain((OPENAI, server))) as router:
        found = ask(face, router, "stream")
    assert (found.content, found.finish_reason, found.usage.estimated) == (WORDS, "stop", True)


# ------------------------------------------------------------------------------------------------ 14, 15: refusals


@each_protocol
@each_mode
def test_a_prompt_that_is_too_long_is_not_sent_twice(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.fails("context_length"))
    with face.router(chain((protocol, server))) as router, pytest.raises(ContextLengthError):
        ask(face, router, mode)
    assert len(server.requests) == 1


@each_mode
def test_a_prompt_that_is_too_long_goes_only_to_larger_or_unknown_windows(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    server = fault_server(by_model(gpt_4o=OPENAI.fails("context_length"), gpt_4_1=OPENAI.reply("It fits.")))
    config = OPENAI.config(server.url, fallbacks=["openai/gpt-4", "openai/gpt-4.1"]) | {"defaults": {}}
    config["routes"]["r"]["model"] = "openai/gpt-4o"
    with face.router(config) as router:
        reply = ask(face, router, mode)
    assert reply.content == "It fits."
    assert server.models == ["gpt-4o", "gpt-4.1"]
    assert "window" in reply.attempts[1].reason


@each_mode
def test_a_prompt_that_is_too_long_goes_to_a_model_whose_window_is_unknown(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    long, healthy = fault_server(OPENAI.fails("context_length")), fault_server(ANTHROPIC.reply("It fits."))
    with face.router(chain((OPENAI, long), (ANTHROPIC, healthy))) as router:
        assert ask(face, router, mode).content == "It fits."


@each_protocol
@each_mode
def test_a_filtered_prompt_is_not_routed_around(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    blocking, spare = fault_server(protocol.fails("content_filter")), fault_server(protocol.reply())
    with face.router(chain((protocol, blocking), (protocol, spare))) as router:
        error = failing(ContentFilterError, face, router, mode)
    assert re.search("filter|block|prohibited", str(error), re.IGNORECASE)
    assert (len(blocking.requests), len(spare.requests)) == (1, 0)


# Anthropic ends a filtered answer with stop_reason "refusal", which is a refusal here.
@pytest.mark.parametrize("protocol", [OPENAI, GOOGLE], ids=lambda protocol: protocol.name)
@each_mode
def test_a_filtered_answer_raises_with_its_reason(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply(Answer("Well, you", finish="content_filter")))
    with face.router(chain((protocol, server))) as router, pytest.raises(ContentFilterError) as failure:
        ask(face, router, mode)
    assert failure.value.code in ("content_filter", "SAFETY")
    assert failure.value.partial == "Well, you"


# ------------------------------------------------------------------------------------------------ 16 and after


@each_protocol
@each_mode
def test_a_fallback_is_not_asked_to_continue_the_cut_answer(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    other = another_than(protocol)

    def strict(request: Request) -> Any:
        return other.fails("prefill") if "w05" in request.body.decode() else other.reply(WORDS)

    cut, healthy = fault_server(cut_at_forty(protocol)), fault_server(strict)
    config = chain((protocol, cut), (other, healthy), on_break="restart", **WATCHED)
    with face.router(config) as router:
        assert ask(face, router, mode).content == WORDS


@each_protocol
@each_mode
def test_after_a_failover_the_fallback_is_what_is_reported_and_billed(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    other = another_than(protocol)
    broken = fault_server(protocol.fails("server"))
    healthy = fault_server(other.reply(Answer("Here.", input_tokens=100, output_tokens=20)))
    with face.router(chain((protocol, broken), (other, healthy))) as router:
        reply = ask(face, router, mode)
        total = router.total_cost
    assert (reply.model, reply.target) == (other.model, f"second/{other.model}")
    assert (reply.input_tokens, reply.output_tokens) == (100, 20)
    assert reply.cost_usd == total == pytest.approx((100 * 1.0 + 20 * 10.0) / 1e6)
    assert [attempt.cost_usd for attempt in reply.attempts] == [None, None, None, reply.cost_usd]


@each_protocol
@each_mode
def test_when_all_are_down_the_error_tells_of_every_attempt(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    limited, busy = fault_server(protocol.fails("rate_limit")), fault_server(another_than(protocol).fails("overloaded"))
    with face.router(chain((protocol, limited), (another_than(protocol), busy))) as router:
        error = failing(AllTargetsFailedError, face, router, mode)
    assert outcomes(error) == [*[("first", "failed")] * 3, *[("second", "failed")] * 3]
    assert isinstance(error.__cause__, RateLimitError)
