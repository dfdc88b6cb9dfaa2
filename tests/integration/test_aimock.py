"""Routes against aimock, in both worlds and all three protocols: somebody else's idea of what the providers send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmrouter.errors import OverloadedError, RateLimitError, ServerError, StreamInterruptedError
from tests.servers.aimock import Aimock
from tests.worlds import Face

pytestmark = pytest.mark.integration

TARGETS = {
    "openai": "openai/gpt-6-luna",
    "anthropic": "anthropic/claude-haiku-5-5",
    "google": "google/gemini-3.8-flash",
}
PARIS = "The capital of France is Paris, on the Seine."
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
each_kind = pytest.mark.parametrize("kind", TARGETS)


@pytest.fixture
def config(aimock: Aimock, request: pytest.FixtureRequest) -> dict[str, Any]:
    """One route per provider, named like it; `chain` asks OpenAI first, then Anthropic."""
    providers = {kind: aimock.provider(kind, test=request.node.name) for kind in TARGETS}
    routes: dict[str, Any] = {kind: {"model": target} for kind, target in TARGETS.items()}
    routes["chain"] = {"model": TARGETS["openai"], "fallbacks": [TARGETS["anthropic"]]}
    retry = {"attempts": 2, "initial": "10ms"}
    return {"version": 1, "providers": providers, "defaults": {"retry": retry, "deadline": "10s"}, "routes": routes}


@each_kind
def test_a_question_is_answered(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router:
        reply = face.chat(router, kind, "What is the capital of France?")
    assert (reply.content, reply.finish_reason) == (PARIS, "stop")


@each_kind
def test_a_stream_gives_the_same_text(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router:
        pieces = face.text(router, kind, "What is the capital of France?")
    assert len(pieces) > 1
    assert "".join(pieces) == PARIS


@each_kind
def test_usage_is_what_the_provider_reports(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router:
        reply = face.chat(router, kind, "count the tokens")
    assert (reply.input_tokens, reply.output_tokens, reply.usage.estimated) == (120, 30, False)


@each_kind
def test_a_streams_usage_is_what_the_provider_reports(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router, face.stream(router, kind, "count the tokens") as stream:
        assert "".join(stream) == "Counted."
        assert (stream.response.input_tokens, stream.response.output_tokens) == (120, 30)


@each_kind
def test_an_answer_cut_at_its_limit_says_so(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router:
        assert face.chat(router, kind, "cut short").finish_reason == "length"


@each_kind
def test_a_tool_call_and_its_result_make_a_round(face: Face, config: dict[str, Any], kind: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "one tool"}]
    with face.router(config) as router:
        asked = face.chat(router, kind, messages, tools=[WEATHER])
        [call] = asked.tool_calls
        messages += [asked.message, {"role": "tool", "tool_call_id": call.id, "content": "7 degrees"}]
        reply = face.chat(router, kind, messages, tools=[WEATHER])
    assert (asked.finish_reason, call.name, call.arguments) == ("tool_calls", "weather", {"city": "Oslo"})
    assert reply.content == "It is 7 degrees in Oslo."


@each_kind
def test_two_tool_calls_come_at_once_also_in_a_stream(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router:
        done = face.events(router, kind, "two tools", tools=[WEATHER])[-1]
    assert [call.arguments["city"] for call in done.response.tool_calls] == ["Oslo", "Rome"]


@each_kind
def test_a_structured_answer_is_parsed(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router:
        reply = face.chat(router, kind, "a person as JSON", schema=PERSON)
    assert reply.parsed == {"name": "Ada", "age": 36} == json.loads(reply.content)


@each_kind
def test_a_rate_limit_that_passes_is_waited_for(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router:
        reply = face.chat(router, kind, "limited once")
    assert reply.content == "Allowed now."
    assert [attempt.outcome for attempt in reply.attempts] == ["failed", "ok"]
    assert reply.attempts[1].waited_s >= 1.0  # what Retry-After asked for


@each_kind
def test_a_rate_limit_beyond_the_deadline_is_not_waited_for(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router, pytest.raises(RateLimitError) as failure:
        face.chat(router, kind, "always limited")
    assert failure.value.retry_after == 30


@each_kind
@pytest.mark.parametrize(("question", "error"), [("internal error", ServerError), ("overloaded", OverloadedError)])
def test_a_failing_server_is_asked_as_often_as_the_route_says(
    face: Face, config: dict[str, Any], aimock: Aimock, kind: str, question: str, error: type[Exception]
) -> None:
    with face.router(config) as router, pytest.raises(error):
        face.chat(router, kind, question)
    assert len(aimock.journal(config["providers"][kind]["headers"]["x-test-id"])) == 2


@each_kind
def test_a_stream_that_breaks_off_never_ends_cleanly(face: Face, config: dict[str, Any], kind: str) -> None:
    with face.router(config) as router, pytest.raises(StreamInterruptedError):
        face.text(router, kind, "broken off")


def test_the_next_rung_answers_when_the_first_cannot(face: Face, config: dict[str, Any]) -> None:
    config["providers"]["openai"]["base_url"] += "/nowhere"
    with face.router(config) as router:
        reply = face.chat(router, "chain", "What is the capital of France?")
    assert (reply.content, reply.target) == (PARIS, TARGETS["anthropic"])


def test_embeddings_come_in_order(face: Face, config: dict[str, Any]) -> None:
    config["routes"]["embed"] = {"model": "openai/text-embedding-3-small"}
    with face.router(config) as router:
        found = face.embed(router, "embed", ["two numbers", "two numbers"])
    assert found.vectors == [[0.25, -0.5]] * 2
