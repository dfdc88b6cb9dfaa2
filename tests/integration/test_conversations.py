"""One conversation over several turns and several providers, against aimock, in both worlds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter import Message, Response
from llmrouter.cassettes import use_cassette
from tests.servers.aimock import Aimock
from tests.worlds import Face

pytestmark = pytest.mark.integration

TARGETS = {
    "openai": "openai/gpt-6-luna",
    "responses": "responses/gpt-6-luna",
    "anthropic": "anthropic/claude-haiku-5-5",
    "google": "google/gemini-3.8-flash",
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
DEGREES = {"Oslo": "7 degrees", "Rome": "21 degrees"}
THOUGHTS = ("I need the weather of both.", "Twenty-one less seven is fourteen.", "I can count again.")
# How many fields only their own provider can read are in a turn with a thought and calls. aimock signs no thoughts for
# Gemini, so there is nothing that Gemini would want back; in Chat the thought itself is what goes back.
PRIVATE = {"openai": 1, "responses": 1, "anthropic": 2, "google": 0}
PRIVATE_FIELDS = ("signature", "data", "encrypted_content", "reasoning_content")
PARIS = "The capital of France is Paris, on the Seine."

each_first = pytest.mark.parametrize("first", TARGETS)
each_then = pytest.mark.parametrize("then", TARGETS)
each_mode = pytest.mark.parametrize("mode", ["chat", "stream"])


@pytest.fixture
def config(aimock: Aimock, request: pytest.FixtureRequest) -> dict[str, Any]:
    """One route per provider, named like it."""
    test = request.node.name
    providers = {name: aimock.provider(name, test=test) for name in TARGETS if name != "responses"}
    providers["responses"] = aimock.provider("openai", test=test, api="responses")
    routes = {name: {"model": target} for name, target in TARGETS.items()}
    return {"version": 1, "providers": providers, "defaults": {"deadline": "10s"}, "routes": routes}


def _say(face: Face, router: Any, mode: str, route: str, messages: list[Any]) -> Response:
    """Ask `route` for the next turn, and append it."""
    if mode == "chat":
        reply = face.chat(router, route, messages, tools=[WEATHER])
    else:
        reply = face.events(router, route, messages, tools=[WEATHER])[-1].response
    messages.append(reply.message)
    assert isinstance(reply, Response)
    return reply


def _look_up(messages: list[Any], reply: Response) -> None:
    """Append the results of the calls that the model asks for."""
    messages.extend(
        {"role": "tool", "tool_call_id": call.id, "content": DEGREES[call.arguments["city"]]}
        for call in reply.tool_calls
    )


@each_mode
@each_then
@each_first
def test_a_conversation_moves_on_between_a_call_and_its_result(
    face: Face, config: dict[str, Any], first: str, then: str, mode: str
) -> None:
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "two tools"}]
    with face.router(config) as router:
        asked = _say(face, router, mode, first, messages)
        _look_up(messages, asked)
        compared = _say(face, router, mode, then, messages)
        messages.append({"role": "user", "content": "What is the capital of France?"})
        back = _say(face, router, mode, first, messages)
    assert [call.arguments for call in asked.tool_calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert len({call.id for call in asked.tool_calls}) == 2
    assert (compared.content, compared.target) == ("Oslo is colder than Rome.", TARGETS[then])
    assert (back.content, back.finish_reason) == (PARIS, "stop")


@each_mode
@each_then
@each_first
def test_a_conversation_of_three_turns_moves_on(
    face: Face, config: dict[str, Any], first: str, then: str, mode: str
) -> None:
    messages: list[Any] = [{"role": "user", "content": "two tools"}]
    with face.router(config) as router:
        _look_up(messages, _say(face, router, mode, first, messages))
        _say(face, router, mode, first, messages)
        messages.append({"role": "user", "content": "What is the capital of France?"})
        assert _say(face, router, mode, first, messages).content == PARIS
        messages.append({"role": "user", "content": "count the tokens"})
        counted = _say(face, router, mode, then, messages)
    assert (counted.content, counted.input_tokens, counted.target) == ("Counted.", 120, TARGETS[then])


def _private(message: Message, origin: str) -> list[str]:
    """Return what only `origin` can read: signatures, hidden and encrypted thoughts."""
    data = message.private_for(origin) or []
    blocks = data if isinstance(data, list) else [data]
    return [block[name] for block in blocks for name in PRIVATE_FIELDS if name in block]


def _sent(path: Path) -> list[str]:
    """Return the bodies of the requests in a cassette: aimock's own journal leaves private parts out."""
    return [each["request"]["body"] for each in yaml.safe_load(path.read_text("utf-8"))["interactions"]]


@each_mode
@each_then
@each_first
def test_thoughts_go_back_to_their_provider_and_to_no_other(
    face: Face, config: dict[str, Any], first: str, then: str, mode: str, tmp_path: Path
) -> None:
    tape, messages = tmp_path / "sent.yaml", [{"role": "user", "content": "weigh both cities"}]
    with use_cassette(tape, "all"), face.router(config) as router:
        asked = _say(face, router, mode, first, messages)
        _look_up(messages, asked)
        compared = _say(face, router, mode, first, messages)
        messages.append({"role": "user", "content": "Are you sure about that?"})
        other = _say(face, router, mode, then, messages)
        messages.append({"role": "user", "content": "Really sure about that?"})
        back = _say(face, router, mode, first, messages)
    assert (asked.reasoning, compared.reasoning, other.reasoning, back.reasoning) == (*THOUGHTS, THOUGHTS[2])
    secrets = _private(asked.message, first)
    assert len(secrets) == PRIVATE[first]
    _, to_first, to_then, to_first_again = _sent(tape)
    assert all(secret in to_first and secret in to_first_again for secret in secrets)
    if then != first:
        known = [*secrets, *_private(compared.message, first), *THOUGHTS]
        assert not [each for each in known if each in to_then]
        assert not [each for each in _private(other.message, then) if each in to_first_again]
