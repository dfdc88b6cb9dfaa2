"""Every wait has its limit: connect, attempt, first token, idle, total, and the call's one deadline over all.

Limits are tenths of a second here. What a limit costs beyond itself (threads, sockets, a busy machine) is allowed
half a second, as the contract does for the deadline.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import pytest

from llmrouter import (
    AllTargetsFailedError,
    DeadlineExceededError,
    InvalidRequestError,
    OverloadedError,
    RequestTimeoutError,
    StreamInterruptedError,
)
from llmrouter.providers.openai import OpenAIProvider
from tests.chains import WORDS, Mode, ask, before, broken_off, chain, each_mode, each_protocol, failing, within
from tests.conftest import FaultServers
from tests.servers.faults import unanswered_port
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, Protocol
from tests.servers.replies import Reply, recut, silence, sse
from tests.worlds import Face

QUICK: dict[str, Any] = {"timeouts": {"attempt": "300ms"}}


def slow(protocol: Protocol) -> dict[str, Reply]:
    """Answers of which every single byte comes soon, and the whole never."""
    whole = protocol.complete()
    return {"slow headers": whole.slow_head(0.05), "trickling body": whole.trickled(0.05)}


# ------------------------------------------------------------------------------------------------ one attempt


@each_protocol
@pytest.mark.parametrize("way", ["slow headers", "trickling body"])
def test_an_answer_that_trickles_is_bounded_by_the_attempts_limit(
    face: Face, fault_server: FaultServers, protocol: Protocol, way: str
) -> None:
    server = fault_server(slow(protocol)[way])
    with face.router(chain((protocol, server), **QUICK)) as router, within(1.5):
        error = failing(RequestTimeoutError, face, router, "chat")
    assert (error.limit, error.target) == ("attempt", f"first/{protocol.model}")
    assert server.wait_for(lambda s: len(s.early_closes) == 1)


@pytest.fixture(scope="module", autouse=True)
def _sdks_are_imported() -> None:
    """Import every SDK before the clock runs: that takes a second on a busy machine, once in a process."""
    for name in ("openai", "anthropic", "google.genai"):
        importlib.import_module(name)


@each_protocol
def test_a_stream_whose_headers_trickle_is_bounded(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.stream().slow_head(0.05))
    with face.router(chain((protocol, server), timeouts={"first_token": "300ms"})) as router, within(1.5):
        error = failing(RequestTimeoutError, face, router, "stream")
    assert error.limit == "first_token"


@pytest.fixture
def imported_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported the SDK yet, which takes most of a second on a busy machine."""
    connect = OpenAIProvider.connect

    def slowly(self: OpenAIProvider, world: Any) -> Any:
        time.sleep(0.6)
        return connect(self, world)

    monkeypatch.setattr(OpenAIProvider, "connect", slowly)


@each_mode
@pytest.mark.usefixtures("imported_slowly")
def test_importing_an_sdk_takes_its_time_from_the_attempt(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    rungs = (OPENAI, fault_server(silence(60))), (ANTHROPIC, fault_server(ANTHROPIC.reply("Spare.")))
    config = chain(*rungs, timeouts={"attempt": "1s"} if mode == "chat" else {"first_token": "1s"}, deadline="20s")
    with face.router(config) as router, within(1.4):
        assert ask(face, router, mode).content == "Spare."


@pytest.mark.usefixtures("imported_slowly")
def test_importing_an_sdk_leaves_half_of_the_attempt_to_the_provider(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.complete("Here.").after(0.2))), timeouts={"attempt": "600ms"})
    with face.router(config) as router:
        assert ask(face, router, "chat").content == "Here."


@pytest.mark.usefixtures("imported_slowly")
def test_importing_an_sdk_takes_its_time_from_the_deadline(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(silence(60))), deadline="1s", retry={"attempts": 1})
    with face.router(config) as router, within(1.3):
        failing(RequestTimeoutError, face, router, "chat")


@each_mode
@pytest.mark.usefixtures("imported_slowly")
def test_importing_an_sdk_is_not_waited_for_beyond_the_deadline(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    server = fault_server(OPENAI.reply("Imported."))
    with face.router(chain((OPENAI, server))) as router:
        with within(0.55):
            failing(DeadlineExceededError, face, router, mode, deadline="200ms")
        assert ask(face, router, mode).content == "Imported."


@pytest.mark.usefixtures("imported_slowly")
def test_importing_an_sdk_for_vectors_is_not_waited_for_beyond_the_deadline(
    face: Face, fault_server: FaultServers
) -> None:
    config = chain((OPENAI, fault_server()), deadline="200ms")
    config["routes"]["r"]["model"] = "first/text-embedding-3-small"
    with face.router(config) as router, within(0.55), pytest.raises(DeadlineExceededError):
        face.embed(router, "r", ["hello"])


@pytest.mark.parametrize("limits", [{"deadline": "300ms"}, {"timeouts": {"first_token": "300ms"}}], ids=str)
def test_a_pool_without_a_free_connection_is_bounded_too(
    face: Face, fault_server: FaultServers, limits: dict[str, Any]
) -> None:
    server = fault_server(OPENAI.stream(WORDS).stalled(before(OPENAI.chunks(WORDS), "w05"), 30))
    config = chain((OPENAI, server), retry={"attempts": 1}, **limits)
    config["providers"]["first"]["pool"] = {"max_connections": 1}
    with face.router(config) as router, face.stream(router, "r", "hello") as stream:
        reading = iter(stream)
        next(reading)
        with within(1.5):
            failing(RequestTimeoutError, face, router, "stream")


@each_mode
@pytest.mark.usefixtures("lost_names")
def test_a_name_that_nobody_resolves_is_bounded_by_connect(face: Face, mode: Mode) -> None:
    config = chain((OPENAI, "http://lost.invalid"), timeouts={"connect": "200ms"})
    with face.router(config) as router, within(1.5):
        error = failing(RequestTimeoutError, face, router, mode)
    assert error.limit == "connect"


@each_protocol
def test_a_connection_that_is_never_accepted_is_bounded_by_connect(face: Face, protocol: Protocol) -> None:
    with unanswered_port() as port:
        config = chain((protocol, f"http://127.0.0.1:{port}"), timeouts={"connect": "150ms"})
        with face.router(config) as router, within(1.5):
            error = failing(RequestTimeoutError, face, router, "chat")
    assert error.limit == "connect"


def test_the_error_of_a_limit_tells_its_seconds(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server(silence(30))), **QUICK)) as router:
        error = failing(RequestTimeoutError, face, router, "chat")
    assert error.seconds == pytest.approx(0.3)
    assert "0.3s" in str(error)


def test_a_target_that_answers_within_the_limit_is_waited_for(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.complete("Late.").after(0.2))
    with face.router(chain((OPENAI, server), timeouts={"attempt": "1s"})) as router:
        assert ask(face, router, "chat").content == "Late."


@each_protocol
def test_a_stream_may_be_longer_than_the_attempt_and_the_deadline(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.stream(WORDS).delayed(0.01))
    with face.router(chain((protocol, server), deadline="300ms", timeouts={"attempt": "300ms"})) as router:
        assert ask(face, router, "stream").content == WORDS


@each_protocol
def test_a_stream_that_trickles_is_bounded_until_its_first_token(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    bytewise = recut(protocol.chunks(WORDS), 1)
    server = fault_server(sse(bytewise, protocol.headers).delayed(0.05))
    with face.router(chain((protocol, server), timeouts={"first_token": "300ms"})) as router, within(1.5):
        error = failing(RequestTimeoutError, face, router, "stream")
    assert error.limit == "first_token"


@each_protocol
def test_a_stream_that_trickles_after_its_first_token_is_bounded_by_total(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    chunks = protocol.chunks(WORDS)
    start = before(chunks, "w01")
    server = fault_server(sse([*chunks[:start], *recut(chunks[start:], 1)], protocol.headers).delayed(0.02))
    with face.router(chain((protocol, server), timeouts={"total": "500ms", "idle": "250ms"})) as router, within(2.5):
        _, error = broken_off(face, router)
    assert isinstance(error.__cause__, RequestTimeoutError)
    assert error.__cause__.limit == "total"


@each_protocol
def test_a_whole_stream_is_bounded_by_total(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.stream(WORDS).delayed(0.02))
    with face.router(chain((protocol, server), timeouts={"total": "300ms"})) as router, within(2.0):
        received, error = broken_off(face, router)
    assert received
    assert error.partial == received
    assert isinstance(error.__cause__, RequestTimeoutError)
    assert error.__cause__.limit == "total"


def test_time_that_the_reader_takes_is_not_idle_time(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.stream("Hello from afar."))
    with face.router(chain((OPENAI, server), timeouts={"idle": "100ms"})) as router:
        pieces = []
        for piece in face.stream(router, "r", "hello"):
            pieces.append(piece)
            time.sleep(0.15)
    assert "".join(pieces) == "Hello from afar."


def test_a_first_token_that_is_late_is_not_waited_for_twice(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.stream(WORDS).stalled(before(OPENAI.chunks(WORDS), "w00"), 30))
    with face.router(chain((OPENAI, server), timeouts={"first_token": "150ms"})) as router:
        failing(RequestTimeoutError, face, router, "stream")
    assert len(server.requests) == 1


# ------------------------------------------------------------------------------------------------ the whole call


@each_protocol
@each_mode
def test_a_dead_primary_costs_one_attempt_and_no_more_than_its_limit(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    dead, healthy = fault_server(silence(30)), fault_server(protocol.reply("Here."))
    with face.router(chain((protocol, dead), (protocol, healthy), **QUICK)) as router, within(1.5):
        assert ask(face, router, mode).content == "Here."
    assert len(dead.requests) == 1


@each_mode
def test_three_dead_targets_end_within_the_deadline(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    rungs = [(protocol, fault_server(silence(30))) for protocol in (OPENAI, ANTHROPIC, GOOGLE)]
    config = chain(*rungs, deadline="600ms", timeouts={"attempt": "10s", "first_token": "10s"})
    with face.router(config) as router, within(1.6), pytest.raises(
        (AllTargetsFailedError, DeadlineExceededError)
    ) as failure:  # fmt: skip
        ask(face, router, mode)
    assert [len(server.requests) for _, server in rungs] == [1, 1, 1]  # each had its share of the time
    for name in ("first/", "second/", "third/"):
        assert name in str(failure.value)
    assert "RequestTimeoutError" in str(failure.value)
    assert isinstance(failure.value.__cause__, RequestTimeoutError)
    assert failure.value.__cause__.target == "first/gpt-6-luna"


def test_waits_for_retries_are_part_of_the_deadline(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.fails("overloaded", retry_after=0.15))
    config = chain((OPENAI, server), deadline="400ms", retry={"attempts": 50})
    with face.router(config) as router, within(0.9), pytest.raises((OverloadedError, DeadlineExceededError)):
        ask(face, router, "chat")
    assert len(server.requests) <= 3


def test_a_deadline_that_has_passed_starts_no_attempt(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server))) as router:
        failing(DeadlineExceededError, face, router, "chat", deadline="10ms")
    assert not server.requests


@each_protocol
@each_mode
def test_limits_longer_than_any_clock_are_no_limits(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply("Here."))
    timeouts = dict.fromkeys(("connect", "attempt", "first_token", "idle", "total"), "99999999d")
    with face.router(chain((protocol, server), deadline=1e300, timeouts=timeouts)) as router:
        assert ask(face, router, mode).content == "Here."


@each_mode
def test_a_call_may_bring_its_own_deadline(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    server = fault_server(silence(30))
    with face.router(chain((OPENAI, server))) as router, within(1.5):
        failing(RequestTimeoutError, face, router, mode, deadline=0.2)


@pytest.mark.parametrize("timeout", [0.2, "200ms", {"attempt": "200ms"}, {"first_token": 0.2}])
def test_a_call_may_bring_its_own_timeouts(face: Face, fault_server: FaultServers, timeout: Any) -> None:
    server = fault_server(silence(30))
    with face.router(chain((OPENAI, server))) as router, within(1.5):
        failing(RequestTimeoutError, face, router, "chat", timeout=timeout)


@pytest.mark.parametrize(
    "options", [{"timeout": "soon"}, {"timeout": {"patience": 1}}, {"timeout": -1}, {"deadline": "later"}]
)
def test_a_limit_that_is_none_is_an_invalid_request(face: Face, fault_server: FaultServers, options: Any) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server))) as router:
        error = failing(InvalidRequestError, face, router, "chat", **options)
    assert next(iter(options)) in str(error)
    assert not server.requests


def test_a_stream_that_breaks_at_once_is_no_clean_end(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.stream(WORDS).cut_after(before(OPENAI.chunks(WORDS), "w01")))
    with face.router(chain((OPENAI, server))) as router:
        error = failing(StreamInterruptedError, face, router, "stream")
    assert error.partial == "w00"
