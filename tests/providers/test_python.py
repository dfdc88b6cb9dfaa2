"""Python functions as targets, through the real client and codec, in both worlds."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from llmrouter.errors import (
    LLMRouterError,
    MalformedResponseError,
    ModelNotFoundError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    UnsupportedError,
)
from llmrouter.providers.base import ProviderSettings, WireCall, WireTimeouts, World
from llmrouter.providers.python import provider, resolve
from llmrouter.providers.python_codec import END
from llmrouter.store.keys import cache_key
from llmrouter.types import (
    Completion,
    Delta,
    Document,
    Image,
    Message,
    Params,
    Reasoning,
    Request,
    Schema,
    Text,
    Tool,
    ToolCall,
    ToolCallDelta,
)

PYTHON = provider(ProviderSettings("python", "python"))
CODEC = PYTHON.codec
ANSWER = Completion(Message("assistant", "Whole.", (ToolCall("i", "n", "{}"),)), "stop", None, "m", reasoning="hm")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module `answers` that a test puts its functions into."""
    found = types.ModuleType("answers")
    monkeypatch.setitem(sys.modules, "answers", found)
    return found


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest) -> World:
    return "sync" if request.param == "sync" else "async"


def call_for(request: Request, **body: Any) -> WireCall:
    return WireCall("chat", request.model, {**CODEC.encode(request), **body}, WireTimeouts(5, 60))


def asking(model: str = "answers:answer", **params: Any) -> WireCall:
    return call_for(Request(model, (Message("user", "Hello"),), Params(**params)))


async def on_thread(verb: Callable[..., Any], *arguments: Any) -> Any:
    """Run a blocking verb as the asynchronous runtime does: on a worker thread, and await what it returns here."""
    found = await asyncio.to_thread(verb, *arguments)
    return await found if inspect.isawaitable(found) else found


async def chunks_of(stream: Any) -> list[Any]:
    if not stream.blocking:
        return [chunk async for chunk in stream]
    return await asyncio.to_thread(list, stream)


def send(world: World, call: WireCall) -> Any:
    client = PYTHON.connect(world)
    return client.send(call) if world == "sync" else asyncio.run(on_thread(client.send, call))


def chat(world: World, call: WireCall) -> Completion:
    return CODEC.decode(send(world, call))


def stream(world: World, call: WireCall) -> tuple[list[Delta], Completion]:
    client = PYTHON.connect(world)

    async def read() -> list[Any]:
        return await chunks_of(await on_thread(client.open, call))

    chunks = list(client.open(call)) if world == "sync" else asyncio.run(read())  # type: ignore[call-overload]  # the seam leaves iteration to the world
    decoder = CODEC.decoder({"model": call.model})
    deltas = [delta for chunk in chunks for delta in decoder.feed(chunk)]
    assert decoder.ended
    return deltas, decoder.finish()


# ------------------------------------------------------------------------------------------------ requests


def test_a_function_gets_messages_and_only_the_parameters_that_are_set(module: Any, world: World) -> None:
    def answer(messages: list[dict[str, Any]], **params: Any) -> str:
        return f"{messages} {params}"

    module.answer = answer
    said = chat(world, asking(max_tokens=7, stop=("x",), extra={"style": "dry"})).message.text
    assert said == "[{'role': 'user', 'content': 'Hello'}] {'max_tokens': 7, 'stop': ['x'], 'style': 'dry'}"


def test_history_with_tools_is_passed_in_openai_form() -> None:
    history = (
        Message("assistant", "", (ToolCall("c1", "add", {"a": 1}),)),
        Message("tool", (Text("1"), Text("2")), tool_call_id="c1", name="add"),
    )
    assert CODEC.encode(Request("m", history))["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": "12", "tool_call_id": "c1", "name": "add"},
    ]


def test_a_function_that_changes_its_messages_does_not_change_the_request(module: Any) -> None:
    module.answer = lambda messages, **_: messages[0].pop("content")
    call = asking()
    chat("sync", call)
    assert chat("sync", call).message.text == "Hello"


def test_a_body_can_be_hashed_for_the_cache_and_streaming_does_not_change_it() -> None:
    body = asking(temperature=0.5).body
    assert cache_key("p", body) == cache_key("p", CODEC.streaming(body))


# ------------------------------------------------------------------------------------------------ answers


def test_text_is_the_answer(module: Any, world: World) -> None:
    module.answer = lambda _: "Good day."
    found = chat(world, asking())
    assert (found.message, found.finish_reason) == (Message("assistant", "Good day."), "stop")
    assert (found.model, found.usage) == ("answers:answer", None)


def test_a_completion_is_passed_on(module: Any, world: World) -> None:
    module.answer = lambda _: ANSWER
    assert chat(world, asking()) is ANSWER


def test_the_pieces_of_a_generator_are_joined(module: Any, world: World) -> None:
    module.answer = lambda _: iter(["Good ", "day."])
    assert chat(world, asking()).message.text == "Good day."


@pytest.mark.parametrize("returned", [None, 5, b"bytes", ["text"], {"text": "x"}])
def test_anything_else_is_malformed(module: Any, world: World, returned: object) -> None:
    module.answer = lambda _: returned
    with pytest.raises(MalformedResponseError, match=f"answers:answer returned {type(returned).__name__}"):
        chat(world, asking())


def test_an_empty_answer_is_malformed(module: Any, world: World) -> None:
    module.answer = lambda _: ""
    with pytest.raises(MalformedResponseError, match="empty answer"):
        chat(world, asking())


def test_a_piece_that_is_no_text_is_malformed(module: Any, world: World) -> None:
    module.answer = lambda _: iter(["a", 5])
    with pytest.raises(MalformedResponseError, match="returned int"):
        chat(world, asking())


# ------------------------------------------------------------------------------------------------ streams


def test_a_generator_streams_its_pieces(module: Any, world: World) -> None:
    module.answer = lambda _: iter(["Good ", "", "day."])
    deltas, whole = stream(world, asking())
    assert deltas == [Text("Good "), Text("day.")]
    assert whole.message.text == "Good day."


def test_text_streams_as_one_piece(module: Any, world: World) -> None:
    module.answer = lambda _: "Good day."
    deltas, whole = stream(world, asking())
    assert deltas == [Text("Good day.")]
    assert whole.message.text == "Good day."


def test_a_completion_streams_all_that_it_holds(module: Any, world: World) -> None:
    module.answer = lambda _: ANSWER
    deltas, whole = stream(world, asking())
    assert deltas == [Reasoning("hm"), Text("Whole."), ToolCallDelta(0, "i", "n", "{}")]
    assert whole is ANSWER


def test_a_stream_without_text_is_malformed(module: Any, world: World) -> None:
    module.answer = lambda _: iter(())
    with pytest.raises(MalformedResponseError, match="empty answer"):
        stream(world, asking())


def test_a_stream_left_before_its_end_is_interrupted_and_keeps_its_text() -> None:
    decoder = CODEC.decoder({"model": "m"})
    decoder.feed("Half a")
    with pytest.raises(StreamInterruptedError) as caught:
        decoder.finish()
    assert caught.value.partial == "Half a"


def test_a_generator_that_raises_is_a_server_error(module: Any, world: World) -> None:
    def answer(messages: Any) -> Iterator[str]:
        yield "Half"
        raise OSError("gone")

    module.answer = answer
    with pytest.raises(ServerError, match="answers:answer raised OSError: gone"):
        stream(world, asking())


def test_closing_a_stream_closes_its_generator(module: Any) -> None:
    closed = []

    def answer(messages: Any) -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(True)

    module.answer = answer
    opened: Any = PYTHON.connect("sync").open(asking())
    assert next(opened) == "a"
    opened.close()
    opened.close()
    assert closed == [True]
    assert next(opened, None) is None


def test_closing_an_async_stream_closes_its_generator(module: Any) -> None:
    closed = []

    async def answer(messages: Any) -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(True)

    async def use() -> None:
        opened = await on_thread(PYTHON.connect("async").open, asking())
        assert await anext(opened) == "a"
        await opened.close()
        await opened.close()
        assert await anext(opened, None) is None

    module.answer = answer
    asyncio.run(use())
    assert closed == [True]


def test_a_stream_ends_with_the_terminal_event(module: Any) -> None:
    module.answer = lambda _: iter("ab")
    opened: Any = PYTHON.connect("sync").open(asking())
    assert list(opened) == ["a", "b", END]


# ------------------------------------------------------------------------------------------------ async functions


def test_an_async_function_is_awaited_on_the_loop(module: Any) -> None:
    async def answer(messages: Any) -> str:
        await asyncio.sleep(0)
        return "Later."

    module.answer = answer
    assert chat("async", asking()).message.text == "Later."
    assert stream("async", asking())[0] == [Text("Later.")]


def test_an_async_generator_is_read_on_the_loop(module: Any) -> None:
    async def answer(messages: Any) -> AsyncIterator[str]:
        yield "Good "
        await asyncio.sleep(0)
        yield "day."

    module.answer = answer
    assert chat("async", asking()).message.text == "Good day."
    assert stream("async", asking())[0] == [Text("Good "), Text("day.")]


def test_an_async_function_that_raises_is_a_server_error(module: Any) -> None:
    async def answer(messages: Any) -> str:
        raise KeyError("x")

    module.answer = answer
    with pytest.raises(ServerError, match="raised KeyError") as caught:
        chat("async", asking())
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_async_generator_that_raises_is_a_server_error(module: Any) -> None:
    async def answer(messages: Any) -> AsyncIterator[str]:
        yield "a"
        raise KeyError("x")

    module.answer = answer
    for ask in (chat, stream):
        with pytest.raises(ServerError, match="raised KeyError"):
            ask("async", asking())


@pytest.mark.parametrize("kind", ["function", "generator", "hidden"])
def test_the_sync_world_refuses_what_needs_a_loop_and_says_so(module: Any, kind: str) -> None:
    async def function(messages: Any) -> str:
        return "never"

    async def generator(messages: Any) -> AsyncIterator[str]:
        yield "never"

    def hidden(messages: Any) -> Any:
        return function(messages)

    choices: dict[str, Any] = {"function": function, "generator": generator, "hidden": hidden}
    module.answer = choices[kind]
    for ask in (chat, stream):
        with pytest.raises(UnsupportedError, match="AsyncRouter"):
            ask("sync", asking())


def test_a_plain_function_leaves_the_loop_free(module: Any) -> None:
    module.answer = lambda _: threading.current_thread().name
    assert chat("async", asking()).message.text != threading.main_thread().name


# ------------------------------------------------------------------------------------------------ errors


def test_what_a_function_raises_is_a_server_error_that_keeps_its_cause(module: Any, world: World) -> None:
    def answer(messages: Any) -> str:
        raise ValueError("no such luck")

    module.answer = answer
    with pytest.raises(ServerError, match="answers:answer raised ValueError: no such luck") as caught:
        chat(world, asking())
    assert isinstance(caught.value.__cause__, ValueError)


def test_our_own_errors_pass_unchanged(module: Any, world: World) -> None:
    error = RateLimitError("slow down", retry_after=3)

    def answer(messages: Any) -> str:
        raise error

    module.answer = answer
    with pytest.raises(RateLimitError) as caught:
        chat(world, asking())
    assert caught.value is error


def test_a_parameter_that_the_function_does_not_take_is_a_server_error(module: Any, world: World) -> None:
    module.answer = lambda _: "x"
    with pytest.raises(ServerError, match="temperature"):
        chat(world, asking(temperature=1))


def test_an_unknown_function_is_named_with_its_near_misses(module: Any, world: World) -> None:
    module.summarize = lambda _: "x"
    with pytest.raises(ModelNotFoundError, match=r"no function 'sumarize'; did you mean 'summarize'\?"):
        chat(world, asking("answers:sumarize"))


@pytest.mark.parametrize("model", ["answers", "answers.answer", ":answer", "answers:", "a/b:c", "answers:a.b"])
def test_a_target_in_another_form_is_explained(model: str) -> None:
    with pytest.raises(ModelNotFoundError, match="python/module:function"):
        resolve(model)


def test_an_unknown_module_is_named() -> None:
    with pytest.raises(ModelNotFoundError, match="cannot import nowhere_to_be_found") as caught:
        resolve("nowhere_to_be_found:answer")
    assert isinstance(caught.value.__cause__, ImportError)


def test_something_that_cannot_be_called_is_refused(module: Any) -> None:
    module.answer = 5
    with pytest.raises(ModelNotFoundError, match="int, which cannot be called"):
        resolve("answers:answer")


# ------------------------------------------------------------------------------------------------ embeddings


def embed(world: World, texts: list[str], dimensions: int | None = None) -> Any:
    body = CODEC.encode_embed("answers:embed", texts, dimensions)
    return CODEC.decode_embed(send(world, WireCall("embed", "answers:embed", body, WireTimeouts(5, 60))))


def test_a_function_embeds_texts(module: Any, world: World) -> None:
    module.embed = lambda texts, dimensions=2: [[len(text)] * dimensions for text in texts]
    vectors, usage = embed(world, ["four", "seventh"], 3)
    assert vectors == [[4.0] * 3, [7.0] * 3]
    assert (usage.uncached_tokens, usage.estimated) == (3, True)


@pytest.mark.parametrize("returned", [None, "ab", [["x"], ["y"]], [1.0, 2.0], [[1.0]]])
def test_vectors_in_another_form_are_malformed(module: Any, world: World, returned: object) -> None:
    module.embed = lambda _: returned
    with pytest.raises(MalformedResponseError, match="answers:embed"):
        embed(world, ["a", "b"])


# ------------------------------------------------------------------------------------------------ provider


@pytest.mark.parametrize(
    ("request_", "lack"),
    [
        (Request("m", (Message("user", "x"),)), None),
        (Request("m", (Message("user", "x"),), tools=(Tool("t"),)), "tools"),
        (Request("m", (Message("user", "x"),), schema=Schema({})), "schema"),
        (Request("m", (Message("user", (Image(url="https://x"),)),)), "images"),
        (Request("m", (Message("user", (Document(url="https://x"),)),)), "documents"),
    ],
)
def test_the_provider_tells_what_it_cannot_carry(request_: Request, lack: str | None) -> None:
    assert PYTHON.lacks(request_) == lack


def test_the_provider_needs_no_key() -> None:
    assert PYTHON.unusable() is None


def test_the_offline_summary_is_a_target(world: World) -> None:
    request = Request(
        "llmrouter.offline:summarize", (Message("user", "One. Two. Three. Four. Five. Six."),), Params(0.2)
    )
    assert len(chat(world, call_for(request)).message.text) < 33


def test_closing_a_client_does_nothing(world: World) -> None:
    closing = PYTHON.connect(world).close()
    assert (closing is None) == (world == "sync")
    if closing is not None:
        asyncio.run(closing)  # type: ignore[arg-type]  # an Awaitable that is a coroutine


def test_an_error_that_is_not_ours_is_not_translated() -> None:
    assert PYTHON.translate(ValueError("x")) is None
    assert isinstance(CODEC.error(500, {}, b""), LLMRouterError)
