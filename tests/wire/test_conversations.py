"""What a conversation looks like to each provider that it passes through: own private parts, and ids that fit."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from llmrouter import Response
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import PROTOCOLS, Answer, Call, Protocol
from tests.worlds import Face

TOOLS: Final = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}},
    {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}},
]
TWO_CALLS: Final = Answer(
    calls=(Call(id="call_one"), Call("clock", {"zone": "CET"}, "call_two")), reasoning="I need both of them."
)
SIGNED: Final = {"anthropic": "c2lnbmF0dXJl", "google": "c2lnbmF0dXJl"}  # what these servers want to have back
PAIRS: Final = [(first, then) for first in PROTOCOLS for then in PROTOCOLS]

each_pair = pytest.mark.parametrize(
    ("first", "then"), PAIRS, ids=[f"{first.name}-{then.name}" for first, then in PAIRS]
)
each_mode = pytest.mark.parametrize("mode", ["chat", "stream"])


def _config(first: Protocol, then: Protocol, one: FaultServer, two: FaultServer) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": {"one": first.provider(one.url), "two": then.provider(two.url)},
        "prices": {"one/*": {"input": 1, "output": 1}, "two/*": {"input": 1, "output": 1}},
        "routes": {"one": {"model": f"one/{first.model}"}, "two": {"model": f"two/{then.model}"}},
    }


def _say(face: Face, router: Any, mode: str, route: str, messages: list[Any]) -> Response:
    if mode == "chat":
        reply = face.chat(router, route, messages, tools=TOOLS)
    else:
        reply = face.events(router, route, messages, tools=TOOLS)[-1].response
    messages.append(reply.message)
    assert isinstance(reply, Response)
    return reply


def _named(body: Any, keys: tuple[str, ...], kinds: tuple[str, ...]) -> list[str]:
    """Return the ids under `keys` in the objects whose `type` is one of `kinds` (empty: in every object)."""
    if isinstance(body, list):
        return [found for item in body for found in _named(item, keys, kinds)]
    if not isinstance(body, dict):
        return []
    here = [body[key] for key in keys if key in body and (not kinds or body.get("type") in kinds)]
    return here + [found for value in body.values() for found in _named(value, keys, kinds)]


def _calls_and_results(protocol: Protocol, body: Any) -> tuple[list[str], list[str]]:
    """Return the ids of the calls in a request, and those that its results name."""
    if protocol.name == "openai":
        return _named(body["messages"], ("id",), ("function",)), _named(body["messages"], ("tool_call_id",), ())
    if protocol.name == "responses":
        calls = _named(body["input"], ("call_id",), ("function_call",))
        return calls, _named(body["input"], ("call_id",), ("function_call_output",))
    if protocol.name == "anthropic":
        calls = _named(body["messages"], ("id",), ("tool_use",))
        return calls, _named(body["messages"], ("tool_use_id",), ("tool_result",))
    parts = [part for content in body["contents"] for part in content["parts"]]
    return (
        [part["functionCall"]["id"] for part in parts if "functionCall" in part],
        [part["functionResponse"]["id"] for part in parts if "functionResponse" in part],
    )


@each_mode
@each_pair
def test_a_conversation_keeps_its_ids_and_its_secrets(
    face: Face, fault_server: FaultServers, first: Protocol, then: Protocol, mode: str
) -> None:
    one = fault_server([first.reply(TWO_CALLS), first.reply("Back again.")])
    two = fault_server([then.reply("Seven degrees at noon."), then.reply("Still so.")])
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
    with face.router(_config(first, then, one, two)) as router:
        asked = _say(face, router, mode, "one", messages)
        messages += [{"role": "tool", "tool_call_id": call.id, "content": call.name} for call in asked.tool_calls]
        assert _say(face, router, mode, "two", messages).content == "Seven degrees at noon."
        messages.append({"role": "user", "content": "Sure?"})
        assert _say(face, router, mode, "two", messages).content == "Still so."
        messages.append({"role": "user", "content": "And now?"})
        assert _say(face, router, mode, "one", messages).content == "Back again."
    for protocol, request in ((then, two.requests[0]), (then, two.requests[1]), (first, one.requests[1])):
        calls, results = _calls_and_results(protocol, request.json)
        assert len(calls) == 2
        assert calls == results
    secret = SIGNED.get(first.name)
    if secret is not None:
        assert secret in json.dumps(one.requests[1].json)
        assert all(secret not in json.dumps(request.json) for request in two.requests)
    assert all("I need both" not in json.dumps(request.json) for request in two.requests)
