"""Conversations over several turns: tools and their results, a change of provider on the way, structured output."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from llmrouter import Message, OutputInvalidError, Tool, ToolCall
from tests.chains import Mode, ask, chain, each_mode, each_protocol, failing, said
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, PROTOCOLS, Answer, Call, Protocol
from tests.worlds import Face

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
WEATHER = Tool("weather", "The weather of a city", {"type": "object", "properties": {"city": {"type": "string"}}})
SIGNATURE = "c2lnbmF0dXJl"  # what the servers sign thoughts with
# a call id that no provider accepts from another: too long, and with characters that Anthropic refuses
ODD_ID = "call/with:odd|characters " + "x" * 80


def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city.

    Args:
        city: its name
        days: how far ahead to look
    """
    return f"{city} in {days}"


# ------------------------------------------------------------------------------------------------ tools


@every_protocol
@each_mode
def test_a_tool_call_and_its_result_make_a_round(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server([protocol.reply(Answer("", calls=(Call(),))), protocol.reply("7 degrees.")])
    messages: list[Any] = [{"role": "user", "content": "How warm is it in Oslo?"}]
    with face.router(chain((protocol, server))) as router:
        asked = ask(face, router, mode, messages, tools=[WEATHER])
        [call] = asked.tool_calls
        messages += [asked.message, {"role": "tool", "tool_call_id": call.id, "content": "seven"}]
        reply = ask(face, router, mode, messages, tools=[WEATHER])
    assert (asked.finish_reason, call.name, call.arguments) == ("tool_calls", "weather", {"city": "Oslo"})
    assert reply.content == "7 degrees."
    again = said(server.requests[1])
    assert all(text in again for text in ("How warm", "weather", "Oslo", "seven"))


@every_protocol
def test_a_function_is_a_tool_with_the_schema_of_its_signature(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.reply(Answer("", calls=(Call(),))))
    with face.router(chain((protocol, server))) as router:
        [call] = ask(face, router, "chat", tools=[weather]).tool_calls
    sent = said(server.requests[0])
    assert all(
        text in sent for text in ("Tell the weather of a city.", "its name", "how far ahead", '"city"', '"days"')
    )
    assert weather(**call.arguments) == "Oslo in 1"


@each_protocol
@pytest.mark.parametrize("choice", ["auto", "required", "none", "weather"])
def test_a_tool_choice_reaches_the_wire(
    face: Face, fault_server: FaultServers, protocol: Protocol, choice: str
) -> None:
    server = fault_server(protocol.reply())
    with face.router(chain((protocol, server))) as router:
        ask(face, router, "chat", tools=[WEATHER], tool_choice=choice)
    body = server.requests[0].json
    wire = body.get("tool_choice", body.get("toolConfig"))
    words = {"auto": ("auto", "AUTO", "None"), "required": ("required", "any", "ANY"), "none": ("none", "NONE")}
    assert any(word in str(wire) for word in words.get(choice, (choice,)))


@pytest.mark.parametrize("protocol", [OPENAI, ANTHROPIC], ids=lambda protocol: protocol.name)
def test_arguments_that_are_no_json_raise_only_when_they_are_read(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.stream(Answer("", calls=(Call(arguments='{"city": "Os'),))))
    with face.router(chain((protocol, server))) as router:
        [call] = ask(face, router, "stream", tools=[WEATHER]).tool_calls
    assert call.arguments_json == '{"city": "Os'
    with pytest.raises(ValueError, match="weather"):
        _ = call.arguments


# ------------------------------------------------------------------------------------------------ a change of provider

THINKING = Answer("", calls=(Call(),), reasoning="A secret thought.")


def moved(face: Face, servers: dict[str, FaultServer], order: tuple[Protocol, ...]) -> list[Any]:
    """Let each provider in turn ask for the weather, and give it to them; return the conversation."""
    providers = {protocol.name: protocol.provider(servers[protocol.name].url) for protocol in order}
    messages: list[Any] = [{"role": "user", "content": "How warm is it?"}]
    with face.router({"providers": providers}) as router:
        for protocol in order:
            target = f"{protocol.name}/{protocol.model}"
            reply = face.chat(router, target, messages, tools=[WEATHER])
            messages.append(reply.message)
            messages += [Message("tool", "seven", tool_call_id=call.id) for call in reply.tool_calls]
    return messages


@pytest.fixture
def thinkers(fault_server: FaultServers) -> dict[str, FaultServer]:
    """A server for each protocol whose answers think, and call a tool."""
    return {protocol.name: fault_server(protocol.reply(THINKING)) for protocol in PROTOCOLS}


@pytest.mark.parametrize(
    "order",
    [(OPENAI, ANTHROPIC, GOOGLE), (ANTHROPIC, GOOGLE, OPENAI), (GOOGLE, OPENAI, ANTHROPIC)],
    ids=lambda order: "-".join(protocol.name for protocol in order),
)
def test_a_conversation_moves_between_providers_without_their_private_parts(
    face: Face, thinkers: dict[str, FaultServer], order: tuple[Protocol, ...]
) -> None:
    messages = moved(face, thinkers, order)
    for protocol in order:
        [request] = thinkers[protocol.name].requests
        assert "A secret thought." not in said(request)
        if protocol is not GOOGLE:  # Google wants a signature on every call, and has a dummy for foreign ones
            assert SIGNATURE not in said(request)
    last = said(thinkers[order[-1].name].requests[0])
    assert last.count("seven") == 2
    assert last.count("Oslo") == 2
    assert len(messages) == 7


@pytest.mark.parametrize("protocol", [ANTHROPIC, GOOGLE], ids=lambda protocol: protocol.name)
def test_what_is_private_goes_back_to_its_own_provider(
    face: Face, thinkers: dict[str, FaultServer], protocol: Protocol
) -> None:
    moved(face, thinkers, (protocol, protocol))
    first, second = thinkers[protocol.name].requests
    assert SIGNATURE not in said(first)
    assert SIGNATURE in said(second)


@each_protocol
def test_call_ids_of_others_are_made_fit(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply())
    call = ToolCall(ODD_ID, "weather", '{"city": "Oslo"}')
    messages = [
        Message("user", "How warm is it?"),
        Message("assistant", tool_calls=(call,)),
        Message("tool", "seven", tool_call_id=ODD_ID),
    ]
    with face.router(chain((protocol, server))) as router:
        ask(face, router, "chat", messages, tools=[WEATHER])
    if protocol is ANTHROPIC:
        _, asked, answered = server.requests[0].json["messages"]
        ids = {asked["content"][0]["id"], answered["content"][0]["tool_use_id"]}
        assert len(ids) == 1
        assert ids.pop().isalnum()


def test_a_fallback_gets_the_whole_conversation(face: Face, fault_server: FaultServers) -> None:
    first = fault_server([OPENAI.reply(Answer("", calls=(Call(),))), *[OPENAI.fails("overloaded")] * 3])
    second = fault_server(ANTHROPIC.reply("7 degrees."))
    messages: list[Any] = [{"role": "user", "content": "How warm is it?"}]
    with face.router(chain((OPENAI, first), (ANTHROPIC, second))) as router:
        asked = ask(face, router, "chat", messages, tools=[WEATHER])
        messages += [asked.message, {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "seven"}]
        reply = ask(face, router, "chat", messages, tools=[WEATHER])
    assert (reply.content, reply.target) == ("7 degrees.", "second/claude-haiku-5-5")
    kinds = [part["type"] for message in second.requests[0].json["messages"] for part in message["content"]]
    assert kinds == ["text", "tool_use", "tool_result"]


# ------------------------------------------------------------------------------------------------ structured output


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


ADA = '{"name": "Ada", "age": 36}'
BAD = '{"name": "Ada", "age": "old"}'


@every_protocol
@each_mode
def test_an_answer_is_parsed_into_the_model(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply(ADA))
    with face.router(chain((protocol, server))) as router:
        reply = ask(face, router, mode, schema=Person)
    assert reply.parsed == Person(name="Ada", age=36)
    assert json.loads(reply.content) == {"name": "Ada", "age": 36}
    assert '"age"' in said(server.requests[0])  # the schema went along


@each_protocol
@pytest.mark.parametrize("text", [f"```json\n{ADA}\n```", f"{ADA}\n\nI hope this helps!"], ids=["fences", "prose"])
def test_fences_and_trailing_prose_are_repaired_without_asking_again(
    face: Face, fault_server: FaultServers, protocol: Protocol, text: str
) -> None:
    server = fault_server(protocol.reply(text))
    with face.router(chain((protocol, server))) as router:
        assert ask(face, router, "chat", schema=Person).parsed == Person(name="Ada", age=36)
    assert len(server.requests) == 1


@each_protocol
def test_a_failing_answer_is_asked_for_once_more_with_what_was_wrong(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server([protocol.reply(BAD), protocol.reply(ADA)])
    with face.router(chain((protocol, server))) as router:
        reply = ask(face, router, "chat", schema=Person)
    assert reply.parsed == Person(name="Ada", age=36)
    again = said(server.requests[1])
    assert "old" in again
    assert "age" in again
    assert [attempt.outcome for attempt in reply.attempts] == ["failed", "ok"]


@each_protocol
def test_two_failing_answers_move_the_call_on(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    bad, good = fault_server(protocol.reply(BAD)), fault_server(ANTHROPIC.reply(ADA))
    with face.router(chain((protocol, bad), (ANTHROPIC, good))) as router:
        assert ask(face, router, "chat", schema=Person).parsed == Person(name="Ada", age=36)
    assert (len(bad.requests), len(good.requests)) == (2, 1)


@each_protocol
def test_at_the_end_the_error_has_the_answer_and_what_is_wrong_with_it(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.reply(BAD))
    with face.router(chain((protocol, server))) as router:
        error = failing(OutputInvalidError, face, router, "chat", schema=Person)
    assert len(server.requests) == 2
    assert error.output == BAD
    assert any("age" in problem for problem in error.problems)


def test_a_plain_schema_gives_plain_data(face: Face, fault_server: FaultServers) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    with face.router(chain((OPENAI, fault_server(OPENAI.reply('{"age": 36}'))))) as router:
        assert ask(face, router, "chat", schema=schema).parsed == {"age": 36}


def test_without_a_schema_nothing_is_parsed(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply(ADA))))) as router:
        assert ask(face, router, "chat").parsed is None


def test_a_refusal_is_not_held_against_the_schema(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply(Answer("I would rather not.", finish="refusal")))
    with face.router(chain((OPENAI, server))) as router:
        reply = ask(face, router, "chat", schema=Person)
    assert (reply.finish_reason, reply.parsed) == ("refusal", None)
    assert len(server.requests) == 1


@each_mode
def test_a_cached_answer_is_parsed_again(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply(ADA))), cache={"ttl": "1h"})) as router:
        ask(face, router, mode, schema=Person)
        reply = ask(face, router, mode, schema=Person)
    assert (reply.cached, reply.parsed) == (True, Person(name="Ada", age=36))


def test_the_schema_of_the_route_may_be_a_file(face: Face, fault_server: FaultServers, tmp_path: Any) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    (tmp_path / "person.json").write_text(json.dumps(schema))
    with face.router(chain((OPENAI, fault_server(OPENAI.reply('{"age": 36}'))), schema="person.json")) as router:
        assert ask(face, router, "chat").parsed == {"age": 36}


# ------------------------------------------------------------------------------------------------ continuing an answer


@each_protocol
def test_a_conversation_that_ends_with_the_assistant_is_continued(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.reply(" and so on."))
    messages = [{"role": "user", "content": "Tell me."}, {"role": "assistant", "content": "Once upon a time"}]
    with face.router(chain((protocol, server))) as router:
        assert ask(face, router, "chat", messages).content == " and so on."
    assert "Once upon a time" in said(server.requests[0])
