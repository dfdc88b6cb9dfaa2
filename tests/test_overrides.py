"""What one call may change: parameters, chain, limits, prompt; and what a mistaken call is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmrouter import ConfigError, ContextLengthError, InvalidRequestError, LLMRouterError, RouteNotFoundError, Router
from tests.chains import SHORT, Mode, ask, chain, each_mode, each_protocol, failing, said
from tests.conftest import FaultServers
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, Protocol
from tests.worlds import Face

MODELS = {"openai": "gpt-4.1", "anthropic": "claude-sonnet-4-5", "google": "gemini-3.8-flash"}  # all take a temperature
# where each protocol has its parameters on the wire: the option, its value, how to find it in the body
OPENAI_WIRE: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    "temperature": (0.7, lambda body: body["temperature"], 0.7),
    "top_p": (0.9, lambda body: body["top_p"], 0.9),
    "max_tokens": (99, lambda body: body["max_tokens"], 99),
    "stop": ("END", lambda body: body["stop"], ["END"]),
    "seed": (7, lambda body: body["seed"], 7),
}
ANTHROPIC_WIRE: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    "temperature": (0.7, lambda body: body["temperature"], 0.7),
    "max_tokens": (99, lambda body: body["max_tokens"], 99),
    "stop": (["END", "FIN"], lambda body: body["stop_sequences"], ["END", "FIN"]),
}
GOOGLE_WIRE: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    "temperature": (0.7, lambda body: body["generationConfig"]["temperature"], 0.7),
    "top_p": (0.9, lambda body: body["generationConfig"]["topP"], 0.9),
    "max_tokens": (99, lambda body: body["generationConfig"]["maxOutputTokens"], 99),
    "stop": ("END", lambda body: body["generationConfig"]["stopSequences"], ["END"]),
    "seed": (7, lambda body: body["generationConfig"]["seed"], 7),
}
WIRE = {"openai": OPENAI_WIRE, "anthropic": ANTHROPIC_WIRE, "google": GOOGLE_WIRE}
OVERRIDES = [(protocol, name) for protocol in (OPENAI, ANTHROPIC, GOOGLE) for name in WIRE[protocol.name]]


def one(protocol: Protocol, server: Any, **route: Any) -> dict[str, Any]:
    """A chain of one rung whose model takes every parameter."""
    config = chain((protocol, server), **route)
    config["routes"]["r"]["model"] = f"first/{MODELS[protocol.name]}"
    return config


# ------------------------------------------------------------------------------------------------ parameters


@pytest.mark.parametrize(("protocol", "name"), OVERRIDES, ids=[f"{p.name}-{name}" for p, name in OVERRIDES])
def test_a_parameter_of_the_call_reaches_the_wire(
    face: Face, fault_server: FaultServers, protocol: Protocol, name: str
) -> None:
    given, find, expected = WIRE[protocol.name][name]
    server = fault_server(protocol.reply())
    with face.router(one(protocol, server, params={"temperature": 0.1, "max_tokens": 50})) as router:
        ask(face, router, "chat", **{name: given})
    assert find(server.requests[0].json) == expected


@each_protocol
def test_an_override_holds_for_its_call_alone(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply())
    with face.router(one(protocol, server, params={"max_tokens": 50})) as router:
        ask(face, router, "chat", max_tokens=99)
        ask(face, router, "chat")
    changed, plain = (WIRE[protocol.name]["max_tokens"][1](request.json) for request in server.requests)
    assert (changed, plain) == (99, 50)


@each_protocol
@each_mode
def test_extra_passes_through_and_is_merged_with_the_files(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply())
    with face.router(one(protocol, server, params={"extra": {"x_file": 1, "x_both": {"a": 1}}})) as router:
        ask(face, router, mode, extra={"x_call": [2], "x_both": {"b": 2}})
    body = server.requests[0].json
    assert (body["x_file"], body["x_call"], body["x_both"]) == (1, [2], {"b": 2})


@each_protocol
def test_metadata_and_session_stay_out_of_the_question(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.reply())
    with face.router(one(protocol, server)) as router:
        ask(face, router, "chat", metadata={"customer": "c-1234"})
    assert "c-1234" not in said(server.requests[0])


def test_a_rungs_own_parameters_stand_over_the_routes(face: Face, fault_server: FaultServers) -> None:
    broken, healthy = fault_server(OPENAI.fails("server")), fault_server(GOOGLE.reply())
    config = chain((OPENAI, broken), (GOOGLE, healthy), params={"temperature": 0.9, "max_tokens": 50})
    config["routes"]["r"]["fallbacks"] = [{"model": "second/gemini-3.8-flash", "params": {"temperature": 0}}]
    with face.router(config) as router:
        ask(face, router, "chat")
    settings = healthy.requests[0].json["generationConfig"]
    assert (settings["temperature"], settings["maxOutputTokens"]) == (0, 50)


def test_the_output_budget_caps_what_a_call_asks_for(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(one(OPENAI, server, token_budget={"output": 60})) as router:
        ask(face, router, "chat", max_tokens=500)
        ask(face, router, "chat", max_tokens=20)
        ask(face, router, "chat")
    assert [request.json["max_tokens"] for request in server.requests] == [60, 20, 60]


# ------------------------------------------------------------------------------------------------ the system prompt

SYSTEM: dict[str, tuple[dict[str, Any], list[Any], set[str]]] = {
    "the route's": ({}, [], {"From the route."}),
    "the conversation's over the route's": ({}, [{"role": "system", "content": "From the chat."}], {"From the chat."}),
    "the call's over the route's": ({"system": "From the call."}, [], {"From the call."}),
}


@each_protocol
@pytest.mark.parametrize("case", SYSTEM)
def test_the_nearest_system_prompt_counts(
    face: Face, fault_server: FaultServers, protocol: Protocol, case: str
) -> None:
    options, before, expected = SYSTEM[case]
    server = fault_server(protocol.reply())
    with face.router(one(protocol, server, system="From the route.")) as router:
        ask(face, router, "chat", [*before, {"role": "user", "content": "hello"}], **options)
    prompts = {"From the route.", "From the chat.", "From the call."}
    assert {prompt for prompt in prompts if prompt in said(server.requests[0])} == expected


# ------------------------------------------------------------------------------------------------ the chain


@each_mode
def test_a_call_may_bring_its_own_fallbacks(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    broken, healthy = fault_server(OPENAI.fails("server")), fault_server(ANTHROPIC.reply("Here."))
    config = chain((OPENAI, broken), (ANTHROPIC, healthy))
    config["routes"]["r"]["fallbacks"] = []
    with face.router(config) as router:
        assert ask(face, router, mode, fallbacks=["second/claude-haiku-5-5"]).content == "Here."
        assert ask(face, router, mode, fallbacks=[{"model": "second/claude-haiku-5-5"}]).content == "Here."


def test_a_call_may_ask_for_no_fallbacks(face: Face, fault_server: FaultServers) -> None:
    broken, spare = fault_server(OPENAI.fails("server")), fault_server()
    with face.router(chain((OPENAI, broken), (ANTHROPIC, spare))) as router:
        failing(Exception, face, router, "chat", fallbacks=[])
    assert not spare.requests


def test_fallbacks_that_are_no_targets_are_a_clear_mistake(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server()))) as router:
        error = failing(LLMRouterError, face, router, "chat", fallbacks=["no slash"])
    assert isinstance(error, ConfigError | InvalidRequestError)
    assert "no slash" in str(error)


@pytest.mark.parametrize(
    ("fallbacks", "told"),
    [
        ("openai/gpt-6-luna", "fallbacks: must be a list of targets, not text"),
        (5, "fallbacks: must be a list of targets, not a number"),
        ([5], "fallbacks[0]: must be a target or a map, not a number; write provider/model"),
        (
            ["no slash"],
            "fallbacks[0].model: 'no slash' is not a target; write provider/model, such as openai/gpt-6-luna",
        ),
        (["first/m", {"modle": "first/m"}], "fallbacks[1].modle: unknown key 'modle'; did you mean 'model'?"),
        (
            [{"model": "first/m", "retry": {"attemps": 1}}],
            "fallbacks[0].retry.attemps: unknown key 'attemps'; did you mean 'attempts'?",
        ),
    ],
)
def test_a_mistake_in_a_calls_fallbacks_reads_as_one_in_the_file(
    face: Face, fault_server: FaultServers, fallbacks: Any, told: str
) -> None:
    with face.router(chain((OPENAI, fault_server()))) as router:
        assert str(failing(ConfigError, face, router, "chat", fallbacks=fallbacks)) == told


@each_protocol
@each_mode
def test_a_target_is_a_route_of_its_own(face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode) -> None:
    server = fault_server(protocol.reply("Here."))
    with face.router({"providers": {"mine": protocol.provider(server.url)}, "defaults": SHORT}) as router:
        target = f"mine/{protocol.model}"
        reply = (
            face.chat(router, target, "hello") if mode == "chat" else face.events(router, target, "hello")[-1].response
        )
    assert (reply.content, reply.route, reply.target) == ("Here.", target, target)


def test_a_targets_model_may_have_slashes(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    with face.router({"providers": {"mine": OPENAI.provider(server.url)}}) as router:
        face.chat(router, "mine/meta-llama/llama-4", "hello")
    assert server.models == ["meta-llama/llama-4"]


def test_a_route_as_an_object_asks_without_its_name(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply("Here."))), description="For tests")) as router:
        route = router.route("r")
        assert face.run(route.chat, "hello", temperature=None).content == "Here."
        assert (route.name, route.description, route.targets) == ("r", "For tests", ("first/gpt-6-luna",))
        assert list(router.routes) == ["r"]


# ------------------------------------------------------------------------------------------------ max_context_tokens

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "oldest " * 200},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "newest"},
]


@each_protocol
@each_mode
def test_a_call_may_bound_its_context(face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode) -> None:
    server = fault_server(protocol.reply())
    with face.router(chain((protocol, server))) as router:
        reply = ask(face, router, mode, TURNS, max_context_tokens=60)
    sent = said(server.requests[0])
    assert "newest" in sent
    assert "Be brief." in sent
    assert "oldest" not in sent
    assert reply.trimmed.messages_dropped == 2
    assert reply.trimmed.tokens_after <= 60 < reply.trimmed.tokens_before


def test_the_smaller_of_budget_and_bound_counts(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server), token_budget={"input": 60})) as router:
        assert ask(face, router, "chat", TURNS, max_context_tokens=100_000).trimmed is not None


def test_overflow_error_raises_before_any_request(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server), token_budget={"input": 60, "overflow": "error"})) as router:
        error = failing(ContextLengthError, face, router, "chat", TURNS)
    assert error.max_tokens == 60
    assert error.tokens_used is not None
    assert error.tokens_used > 60
    assert not server.requests


def test_nothing_is_trimmed_where_all_fits(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply())), token_budget={"input": "8k"})) as router:
        assert ask(face, router, "chat", TURNS).trimmed is None


# ------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize("verb", ["chat", "stream", "explain"])
@pytest.mark.parametrize(
    ("typo", "meant"), [("temprature", "temperature"), ("max_token", "max_tokens"), ("tool", "tools")]
)
def test_an_unknown_keyword_names_the_near_miss(
    face: Face, fault_server: FaultServers, verb: str, typo: str, meant: str
) -> None:
    server = fault_server()
    with face.router(chain((OPENAI, server))) as router, pytest.raises(TypeError, match=f"{typo}.*{meant}"):
        face.run(getattr(router, verb), "r", "hello", **{typo: 1})
    assert not server.requests


@pytest.mark.parametrize("messages", [[], [{"role": "nobody", "content": "x"}], [{"content": "x"}], 7, [3]])
def test_messages_that_are_none_are_an_invalid_request(face: Face, fault_server: FaultServers, messages: Any) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server))) as router:
        failing(InvalidRequestError, face, router, "chat", messages)
    assert not server.requests


WRONG: dict[str, list[Any]] = {  # the option, and values that it cannot have
    "system": [5, ["Be brief."], "half \ud83d"],
    "temperature": ["hot", -1, 2.5, True, float("nan")],
    "top_p": [1.5, "most"],
    "max_tokens": [0, -5, 1.5, "many", True],
    "stop": [5, [5]],
    "seed": [1.5, "x"],
    "tools": [[42], "weather"],
    "schema": [42],
    "reasoning": ["hihg", -1, True],
    "timeout": [0, {"attempt": 0}, {"atempt": 1}, "soon", float("inf")],
    "deadline": ["later", -1, True],
    "cache": ["sometimes", True],
    "max_context_tokens": [0, "x"],
    "session": [5],
    "metadata": [[], "x"],
    "extra": ["x", {"a": object()}, {"a": float("nan")}, {"a": "\ud83d"}],
}
REFUSED = [(name, value) for name, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=[f"{name}-{ascii(value)[:20]}" for name, value in REFUSED])
def test_an_option_of_the_wrong_form_is_told_before_any_request(
    face: Face, fault_server: FaultServers, name: str, value: Any
) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server))) as router:
        error = failing(InvalidRequestError, face, router, "chat", **{name: value})
    assert str(error).startswith(name)
    assert not server.requests


WRITTEN_AS_IN_THE_FILE: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    "temperature": ("0.7", lambda body: body["temperature"], 0.7),
    "max_tokens": ("8k", lambda body: body["max_tokens"], 8000),
    "seed": ("7", lambda body: body["seed"], 7),
}


@pytest.mark.parametrize("name", WRITTEN_AS_IN_THE_FILE)
def test_an_option_may_be_written_as_in_the_file(face: Face, fault_server: FaultServers, name: str) -> None:
    given, find, expected = WRITTEN_AS_IN_THE_FILE[name]
    server = fault_server(OPENAI.reply())
    with face.router(one(OPENAI, server)) as router:
        ask(face, router, "chat", **{name: given}, max_context_tokens="8k")
    assert find(server.requests[0].json) == expected


def test_a_number_reaches_the_wire_as_the_caller_wrote_it(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(one(OPENAI, server)) as router:
        ask(face, router, "chat", temperature=0)
    assert '"temperature":0,' in said(server.requests[0]).replace(" ", "").replace("}", ",")


@each_protocol
@each_mode
def test_half_a_character_is_told_before_any_request(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply())
    turns = [{"role": "user", "content": "whole"}, {"role": "user", "content": [{"type": "text", "text": "\ud83d"}]}]
    with face.router(chain((protocol, server))) as router:
        error = failing(InvalidRequestError, face, router, mode, turns)
    assert "messages[1]" in str(error)
    assert not server.requests


@pytest.mark.parametrize(("name", "near"), [("sumarize", "summarize"), ("opnai/gpt-6-luna", "openai/gpt-6-luna")])
def test_a_route_that_is_not_there_names_its_neighbours(face: Face, name: str, near: str) -> None:
    config = {"routes": {"summarize": {"model": "openai/gpt-6-luna"}}}
    with face.router(config) as router, pytest.raises(RouteNotFoundError) as failure:
        face.chat(router, name, "hello")
    assert failure.value.near == (near,)
    assert near in str(failure.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [("first/", ()), ("first/two words", ("first/twowords",)), ("first/m\n", ("first/m",)), ("/m", ()), ("", ())],
)
def test_what_is_no_target_is_no_route_and_is_not_its_own_neighbour(
    face: Face, name: str, near: tuple[str, ...]
) -> None:
    with face.router(chain((OPENAI, "http://127.0.0.1:9"))) as router, pytest.raises(RouteNotFoundError) as failure:
        face.chat(router, name, "hello")
    assert failure.value.near == near


@each_mode
@pytest.mark.parametrize("route", [None, 5, b"r", ["r"]])
def test_a_route_that_is_no_text_is_told(face: Face, mode: Mode, route: Any) -> None:
    ask_it = face.chat if mode == "chat" else face.events
    with (
        face.router(chain((OPENAI, "http://127.0.0.1:9"))) as router,
        pytest.raises(InvalidRequestError, match="route"),
    ):
        ask_it(router, route, "hello")


def test_a_choice_of_a_tool_needs_tools(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server))) as router:
        ask(face, router, "chat", tools=[], tool_choice="auto")
        for choice in ("required", "weather", 5):
            failing(InvalidRequestError, face, router, "chat", tool_choice=choice)
    [request] = server.requests
    assert "tool_choice" not in request.json


@pytest.mark.parametrize(("route", "messages"), [("s", "hello"), ("r", [3])])
def test_a_stream_tells_a_mistake_at_once_and_not_when_it_is_read(route: str, messages: Any) -> None:
    config = {"routes": {"r": {"model": "openai/gpt-6-luna"}}}
    with Router(config) as router, pytest.raises((RouteNotFoundError, InvalidRequestError)):
        router.stream(route, messages)
