"""A replay fails to order: cut, stalled or refused, as a provider would."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter.cassettes import Fault, use_cassette
from llmrouter.errors import (
    InvalidRequestError,
    OverloadedError,
    RateLimitError,
    RequestTimeoutError,
    StreamInterruptedError,
)
from tests.conftest import FaultServers
from tests.servers.protocols import ANTHROPIC, OPENAI, PROTOCOLS, Protocol
from tests.worlds import Face

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
FILE = Path("answers.yaml")
TEXT = "One two three four five six seven eight."


@pytest.fixture
def config(face: Face, fault_server: FaultServers) -> dict[str, Any]:
    """A chat and a stream of route `r` are recorded, and of its fallback `other`."""
    first, second = fault_server(OPENAI.reply(TEXT)), fault_server(ANTHROPIC.reply("The other one."))
    file = OPENAI.config(first.url, retry={"attempts": 2})
    file["providers"]["anthropic"] = ANTHROPIC.provider(second.url)
    with use_cassette(FILE, "once"), face.router(file) as router:
        for route in ("r", ANTHROPIC.target):
            face.chat(router, route, "hello")
            face.text(router, route, "hello")
    file["routes"]["r"]["fallbacks"] = [ANTHROPIC.target]
    return file


def test_a_status_once_is_retried(face: Face, config: dict[str, Any]) -> None:
    with use_cassette(FILE, fault=Fault(status=429, retry_after=5)), face.router(config) as router:
        started = time.monotonic()
        reply = face.chat(router, "r", "hello")
    assert reply.content == TEXT
    assert isinstance(reply.attempts[0].error, RateLimitError)
    assert reply.attempts[0].error.retry_after == 5
    assert time.monotonic() - started < 4  # what it asked to wait for takes no time in a replay


def test_a_status_for_one_target_alone_makes_the_chain_go_on(face: Face, config: dict[str, Any]) -> None:
    fault = Fault(status=503, times=None, target="openai/gpt-6-luna")
    with use_cassette(FILE, fault=fault), face.router(config) as router:
        reply = face.chat(router, "r", "hello")
    assert reply.content == "The other one."
    assert [type(attempt.error) for attempt in reply.attempts[:2]] == [OverloadedError] * 2


def test_a_cut_stream_gives_what_came_before_the_cut(face: Face, config: dict[str, Any]) -> None:
    with (
        use_cassette(FILE, fault=Fault(cut_after=3)),
        face.router(config) as router,
        pytest.raises(StreamInterruptedError) as failure,
    ):
        face.text(router, "r", "hello")
    assert TEXT.startswith(failure.value.partial)
    assert 0 < len(failure.value.partial) < len(TEXT)


def test_a_stream_cut_before_its_first_event_is_asked_for_again(face: Face, config: dict[str, Any]) -> None:
    with use_cassette(FILE, fault=Fault(cut_after=0)), face.router(config) as router:
        assert "".join(face.text(router, "r", "hello")) == TEXT


def test_a_stalled_stream_fails_at_once_as_its_limit_would_make_it(face: Face, config: dict[str, Any]) -> None:
    with use_cassette(FILE, fault=Fault(stall_after=3)), face.router(config) as router:
        started = time.monotonic()
        with pytest.raises(StreamInterruptedError, match="idle limit"):
            face.text(router, "r", "hello")
    assert time.monotonic() - started < 4


def test_a_stall_before_the_first_event_makes_the_chain_go_on(face: Face, config: dict[str, Any]) -> None:
    with (
        use_cassette(FILE, fault=Fault(stall_after=0)),
        face.router(config) as router,
        face.stream(router, "r", "hello") as stream,
    ):
        assert "".join(stream) == "The other one."
        assert isinstance(stream.response.attempts[0].error, RequestTimeoutError)


@each_protocol
def test_every_protocols_stream_can_be_cut(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    file = protocol.config(fault_server(protocol.reply(TEXT)).url, retry={"attempts": 1})
    with use_cassette(FILE, "once"), face.router(file) as router:
        whole = face.text(router, "r", "hello")
    events = _body().count("\n\n")
    with (
        use_cassette(FILE, fault=Fault(cut_after=events // 2)),
        face.router(file) as router,
        pytest.raises(StreamInterruptedError),
    ):
        face.text(router, "r", "hello")
    assert len(whole) > 1


def test_a_fault_may_come_in_the_middle_of_a_test(face: Face, config: dict[str, Any]) -> None:
    with use_cassette(FILE, repeats=True) as cassette, face.router(config) as router:
        assert face.chat(router, "r", "hello").content == TEXT
        cassette.inject(Fault(status=500, times=2))
        assert face.chat(router, "r", "hello").content == "The other one."
        assert face.chat(router, "r", "hello").content == TEXT


def test_a_fault_does_not_count_as_unused(face: Face, config: dict[str, Any]) -> None:
    with (
        use_cassette(FILE, fault=Fault(cut_after=3)) as cassette,
        face.router(config) as router,
        pytest.raises(StreamInterruptedError),
    ):
        face.text(router, "r", "hello")
    assert len(cassette.unused) == 3  # of four: the one that was cut is used


@pytest.mark.parametrize("wrong", [{}, {"status": 429, "cut_after": 1}, {"status": 200}, {"cut_after": -1}], ids=str)
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="Fault"):
        Fault(**wrong)


# ------------------------------------------------------------------------------------------------ pieces and time


def _recorded() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["interactions"][0]["response"]
    return found


def _body() -> str:
    return str(_recorded()["body"]["string"])


def test_a_stream_keeps_its_pieces_and_their_delays(face: Face, fault_server: FaultServers) -> None:
    file = OPENAI.config(fault_server(OPENAI.stream(TEXT).delayed(0.05)).url)
    with use_cassette(FILE, "once"), face.router(file) as router:
        face.text(router, "r", "hello")
    timing = _recorded()["timing"]
    assert sum(timing["sizes"]) == len(_body().encode())
    assert len(timing["sizes"]) > 3
    assert max(timing["delays_ms"]) >= 40


def test_a_replay_takes_no_time_unless_it_is_asked_for(face: Face, fault_server: FaultServers) -> None:
    file = OPENAI.config(fault_server(OPENAI.stream(TEXT).delayed(0.05)).url)
    with use_cassette(FILE, "once"), face.router(file) as router:
        face.text(router, "r", "hello")
    recorded_s = sum(_recorded()["timing"]["delays_ms"]) / 1000
    took = {}
    for realtime in (False, True):
        with use_cassette(FILE, realtime=realtime), face.router(file) as router:
            started = time.monotonic()
            face.text(router, "r", "hello")
            took[realtime] = time.monotonic() - started
    assert took[True] >= recorded_s * 0.9
    assert took[True] - took[False] > recorded_s / 2


def test_a_slow_replay_in_real_time_meets_the_limits_of_its_route(face: Face, fault_server: FaultServers) -> None:
    file = OPENAI.config(fault_server(OPENAI.reply(TEXT)).url)
    with use_cassette(FILE, "once"), face.router(file) as router:
        face.text(router, "r", "hello")
    file["routes"]["r"]["timeouts"] = {"idle": "200ms"}
    with use_cassette(FILE, realtime=True, fault=Fault(stall_after=3)), face.router(file) as router:
        started = time.monotonic()
        with pytest.raises(StreamInterruptedError, match="idle limit"):
            face.text(router, "r", "hello")
    assert 0.15 < time.monotonic() - started < 3


def test_a_stream_that_broke_while_it_was_recorded_breaks_in_the_replay(face: Face, fault_server: FaultServers) -> None:
    file = OPENAI.config(fault_server(OPENAI.stream(TEXT).cut_after(4)).url)
    for mode in ("once", "none"):
        with (
            use_cassette(FILE, mode),
            face.router(file) as router,
            pytest.raises(StreamInterruptedError) as failure,
        ):
            face.text(router, "r", "hello")
        assert TEXT.startswith(failure.value.partial)
        assert failure.value.partial


def test_a_stream_that_is_left_early_is_recorded_as_far_as_it_was_read(face: Face, fault_server: FaultServers) -> None:
    file = OPENAI.config(fault_server(OPENAI.stream(TEXT).delayed(0.05)).url)
    with (
        use_cassette(FILE, "once") as cassette,
        face.router(file) as router,
        face.stream(router, "r", "hello") as stream,
    ):
        first = next(iter(stream))
    assert cassette.recorded == 1
    with use_cassette(FILE), face.router(file) as router, face.stream(router, "r", "hello") as stream:
        assert next(iter(stream)) == first
