"""Which rung is next, what stops the walk, and what is told at its end."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from llmrouter import (
    AllTargetsFailedError,
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    LengthError,
    LLMRouterError,
    MalformedResponseError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RefusalError,
    ServerError,
    UnsupportedError,
)
from tests.chains import SHORT, Mode, ask, chain, each_mode, each_protocol, failing, outcomes
from tests.conftest import FaultServers
from tests.servers.faults import refused_port
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, PROTOCOLS, Answer, Failure, Protocol
from tests.servers.replies import broken_json
from tests.worlds import Face

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
CLASSES: dict[Failure, type[ProviderError]] = {
    "rate_limit": RateLimitError,
    "quota": QuotaError,
    "server": ServerError,
    "overloaded": OverloadedError,
    "context_length": ContextLengthError,
    "content_filter": ContentFilterError,
    "bad_request": BadRequestError,
    "authentication": AuthenticationError,
    "permission": PermissionDeniedError,
    "not_found": ModelNotFoundError,
}
STOPPING: set[Failure] = {"content_filter", "bad_request"}

# ------------------------------------------------------------------------------------------------ classes


@every_protocol
@pytest.mark.parametrize("kind", CLASSES)
def test_a_failure_has_its_class_and_target(
    face: Face, fault_server: FaultServers, protocol: Protocol, kind: Failure
) -> None:
    server = fault_server(protocol.fails(kind))
    with face.router(chain((protocol, server), retry={"attempts": 1})) as router:
        error = failing(ProviderError, face, router, "chat")
    assert type(error) is CLASSES[kind]
    assert error.target == f"first/{protocol.model}"
    assert error.message in str(error)


@each_protocol
@pytest.mark.parametrize("kind", sorted(CLASSES.keys() - STOPPING))
def test_most_failures_end_at_the_next_rung(
    face: Face, fault_server: FaultServers, protocol: Protocol, kind: Failure
) -> None:
    failed, healthy = fault_server(protocol.fails(kind)), fault_server(OPENAI.reply("Here."))
    with face.router(chain((protocol, failed), (OPENAI, healthy))) as router:
        assert ask(face, router, "chat").content == "Here."


@each_protocol
@pytest.mark.parametrize("kind", sorted(STOPPING))
@each_mode
def test_what_the_request_itself_caused_stops_at_the_first_rung(
    face: Face, fault_server: FaultServers, protocol: Protocol, kind: Failure, mode: Mode
) -> None:
    failed, spare = fault_server(protocol.fails(kind)), fault_server(OPENAI.reply("Here."))
    with face.router(chain((protocol, failed), (OPENAI, spare))) as router:
        failing(CLASSES[kind], face, router, mode)
    assert (len(failed.requests), len(spare.requests)) == (1, 0)


@each_mode
def test_a_bad_request_on_a_fallback_moves_on(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    broken, picky = fault_server(OPENAI.fails("server")), fault_server(ANTHROPIC.fails("bad_request"))
    healthy = fault_server(GOOGLE.reply("Here."))
    with face.router(chain((OPENAI, broken), (ANTHROPIC, picky), (GOOGLE, healthy))) as router:
        assert ask(face, router, mode).content == "Here."
    assert len(picky.requests) == 1


def test_a_bad_request_on_the_last_rung_leaves_the_first_error_as_the_cause(
    face: Face, fault_server: FaultServers
) -> None:
    broken, picky = fault_server(OPENAI.fails("server")), fault_server(ANTHROPIC.fails("bad_request"))
    with face.router(chain((OPENAI, broken), (ANTHROPIC, picky))) as router:
        error = failing(AllTargetsFailedError, face, router, "chat")
    assert isinstance(error.__cause__, ServerError)
    assert "BadRequestError" in str(error)


# ------------------------------------------------------------------------------------------------ on:


@pytest.mark.parametrize("kind", sorted(STOPPING))
def test_on_can_route_around_what_stops(face: Face, fault_server: FaultServers, kind: Failure) -> None:
    failed, healthy = fault_server(OPENAI.fails(kind)), fault_server(ANTHROPIC.reply("Here."))
    with face.router(chain((OPENAI, failed), (ANTHROPIC, healthy), on={kind: "next"})) as router:
        assert ask(face, router, "chat").content == "Here."


@pytest.mark.parametrize("kind", ["authentication", "server", "rate_limit", "not_found"])
def test_on_can_stop_what_moves_on(face: Face, fault_server: FaultServers, kind: Failure) -> None:
    failed, spare = fault_server(OPENAI.fails(kind)), fault_server(ANTHROPIC.reply("Here."))
    with face.router(chain((OPENAI, failed), (ANTHROPIC, spare), on={kind: "stop"})) as router:
        failing(CLASSES[kind], face, router, "chat")
    assert (len(failed.requests), len(spare.requests)) == (1, 0)


@pytest.mark.parametrize("protocol", [OPENAI, ANTHROPIC], ids=lambda protocol: protocol.name)  # Gemini has none
@each_mode
def test_a_refusal_is_an_answer_by_default(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply(Answer("I would rather not.", finish="refusal")))
    with face.router(chain((protocol, server))) as router:
        reply = ask(face, router, mode)
    assert (reply.finish_reason, reply.content) == ("refusal", "I would rather not.")


def test_on_can_make_a_refusal_a_failure(face: Face, fault_server: FaultServers) -> None:
    refusing = fault_server(ANTHROPIC.reply(Answer("I would rather not.", finish="refusal")))
    healthy = fault_server(OPENAI.reply("Gladly."))
    with face.router(chain((ANTHROPIC, refusing), (OPENAI, healthy), on={"refusal": "next"})) as router:
        reply = ask(face, router, "chat")
    assert reply.content == "Gladly."
    assert isinstance(reply.attempts[0].error, RefusalError)
    assert reply.attempts[0].cost_usd > 0  # it was billed


@each_protocol
def test_on_can_make_an_answer_that_was_cut_a_failure(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    cut, whole = fault_server(protocol.reply(Answer("Once upon", finish="length"))), fault_server(OPENAI.reply("All."))
    with face.router(chain((protocol, cut), (OPENAI, whole), on={"length": "next"})) as router:
        reply = ask(face, router, "chat")
    assert reply.content == "All."
    assert isinstance(reply.attempts[0].error, LengthError)
    assert reply.attempts[0].error.partial == "Once upon"


def test_on_can_stop_at_an_answer_that_was_cut(face: Face, fault_server: FaultServers) -> None:
    server, spare = fault_server(OPENAI.reply(Answer("Once upon", finish="length"))), fault_server()
    with face.router(chain((OPENAI, server), (OPENAI, spare), on={"length": "stop"})) as router:
        assert failing(LengthError, face, router, "chat").partial == "Once upon"


# ------------------------------------------------------------------------------------------------ skipped rungs


def test_a_rung_without_a_key_is_skipped_with_its_reason(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(ANTHROPIC.reply("Here."))
    config = chain((ANTHROPIC, server))
    config["routes"]["r"] = {"model": "openai/gpt-6-luna", "fallbacks": ["first/claude-haiku-5-5"]}
    with face.router(config) as router:
        reply = ask(face, router, "chat")
    assert outcomes(reply) == [("openai", "skipped"), ("first", "ok")]
    assert "OPENAI_API_KEY" in reply.attempts[0].reason


@each_mode
def test_a_chain_without_any_key_names_the_variables(face: Face, mode: Mode) -> None:
    routes = {
        "r": {"model": "openai/gpt-6-luna", "fallbacks": ["anthropic/claude-haiku-5-5", "google/gemini-3.8-flash"]}
    }
    with face.router({"routes": routes}) as router:
        error = failing(AuthenticationError, face, router, mode)
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        assert variable in str(error)


IMAGE = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}
]


def test_a_rung_that_cannot_see_is_skipped_for_images(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("A cat."))
    config = OPENAI.config(server.url, fallbacks=["openai/gpt-4o"])
    config["routes"]["r"]["model"] = "openai/gpt-4"
    with face.router(config) as router:
        reply = ask(face, router, "chat", IMAGE)
    assert reply.attempts[0].outcome == "skipped"
    assert "images" in reply.attempts[0].reason
    assert server.models == ["gpt-4o"]


def test_a_chain_in_which_nobody_can_see_says_so(face: Face, fault_server: FaultServers) -> None:
    config = OPENAI.config(fault_server().url)
    config["routes"]["r"]["model"] = "openai/gpt-4"
    with face.router(config) as router:
        assert "images" in str(failing(UnsupportedError, face, router, "chat", IMAGE))


# ------------------------------------------------------------------------------------------------ at the end


def test_a_chain_of_one_raises_its_own_error(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.fails("overloaded"))))) as router:
        error = failing(OverloadedError, face, router, "chat")
    assert (error.status, error.target) == (503, "first/gpt-6-luna")


@each_mode
def test_the_table_of_a_spent_chain_is_in_the_message(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    broken = fault_server(OPENAI.fails("server"))
    with refused_port() as port:
        config = chain((OPENAI, broken), (ANTHROPIC, f"http://127.0.0.1:{port}"), retry={"attempts": 1})
        with face.router(config) as router:
            error = failing(AllTargetsFailedError, face, router, mode)
    head, first, second = str(error).splitlines()[1:]
    assert head.split() == ["target", "error", "seconds", "waited"]
    assert "first/gpt-6-luna" in first
    assert "ServerError" in first
    assert "second/claude-haiku-5-5" in second
    assert "APIConnectionError" in second
    assert [type(attempt.error) for attempt in error.attempts] == [ServerError, APIConnectionError]


def test_skipped_rungs_stand_in_the_table_too(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.fails("server"))))
    config["routes"]["r"]["fallbacks"] = ["anthropic/claude-haiku-5-5"]
    with face.router(config) as router:
        error = failing(AllTargetsFailedError, face, router, "chat")
    assert "ANTHROPIC_API_KEY" in str(error)


def test_one_broken_call_does_not_disturb_the_next(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([broken_json(), OPENAI.reply("Fine.")])
    with face.router(chain((OPENAI, server), retry={"attempts": 1})) as router:
        failing(MalformedResponseError, face, router, "chat")
        assert ask(face, router, "chat").content == "Fine."


def test_the_order_of_the_file_is_the_order_of_the_chain(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(lambda request: OPENAI.reply("Me.") if request.model == "gpt-4.1" else OPENAI.fails("server"))
    config = OPENAI.config(server.url, fallbacks=["openai/gpt-4o", "openai/gpt-4.1"], retry={"attempts": 1})
    with face.router(config | {"defaults": SHORT}) as router:
        assert ask(face, router, "chat").target == "openai/gpt-4.1"
    assert server.models == ["gpt-6-luna", "gpt-4o", "gpt-4.1"]


# ------------------------------------------------------------------------------------------------ errors travel


def caught(face: Face, fault_server: FaultServers, protocol: Protocol, kind: Failure) -> ProviderError:
    """The error of a one-rung chain that failed in this way."""
    with face.router(chain((protocol, fault_server(protocol.fails(kind, 60))), retry={"attempts": 1})) as router:
        return failing(ProviderError, face, router, "chat")


def fields(error: Any) -> dict[str, Any]:
    """What an error carries, attempts by their text."""
    return {name: repr(value) for name, value in vars(error).items()} | {"str": str(error), "type": type(error)}


@each_protocol
@pytest.mark.parametrize("kind", ["rate_limit", "context_length", "authentication"])
@pytest.mark.parametrize("travel", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_error_travels_with_all_its_fields(
    face: Face, fault_server: FaultServers, protocol: Protocol, kind: Failure, travel: Any
) -> None:
    error = caught(face, fault_server, protocol, kind)
    assert fields(travel(error)) == fields(error)
    assert error.body
    assert error.status is not None


def test_the_error_of_a_spent_chain_pickles_with_its_attempts(face: Face, fault_server: FaultServers) -> None:
    rungs = [(protocol, fault_server(protocol.fails("overloaded"))) for protocol in (OPENAI, ANTHROPIC)]
    with face.router(chain(*rungs)) as router:
        error = failing(AllTargetsFailedError, face, router, "chat")
    back: LLMRouterError = pickle.loads(pickle.dumps(error))
    assert fields(back) == fields(error)
