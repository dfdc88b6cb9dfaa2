"""What a type checker infers from a user's code. This file is checked, and never run.

A line that must be an error carries an ignore of exactly that error: the checkers are told to complain about ignores
that nothing needs, so a call that stops being an error fails, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from pydantic import BaseModel

import llmrouter
from llmrouter import AsyncRouter, AsyncStream, Embeddings, Event, Plan, Response, Route, Router, Stream


class Invoice(BaseModel):
    number: str
    total: float


def weather(city: str) -> str:
    """Tell the weather."""
    return city


# ------------------------------------------------------------------------------------------------ blocking


def the_answer(router: Router) -> None:
    reply = router.chat("summarize", "a text", temperature=0.2, tools=[weather], cache="refresh", deadline="30s")
    assert_type(reply, Response[Any])
    assert_type(reply.content, str)
    assert_type(reply.cost_usd, float | None)
    assert_type(reply.input_tokens, int)
    assert_type(reply.message, llmrouter.Message)
    assert_type(reply.tool_calls, list[llmrouter.ToolCall])
    assert_type(reply.attempts, tuple[llmrouter.Attempt, ...])


def a_model_of_ones_own(router: Router) -> None:
    reply = router.chat("extract", "a text", schema=Invoice)
    assert_type(reply, Response[Invoice])
    assert_type(reply.parsed, Invoice)
    assert_type(reply.parsed.total, float)


def a_plain_schema(router: Router) -> None:
    assert_type(router.chat("extract", "a text", schema={"type": "object"}), Response[Any])
    assert_type(router.chat("extract", "a text", schema="python:package.module:Model"), Response[Any])


def messages_of_every_kind(router: Router) -> None:
    router.chat("chat", [{"role": "user", "content": "hi"}])
    router.chat("chat", [llmrouter.Message("user", "hi"), {"role": "assistant", "content": "hello"}])
    router.chat("vision", llmrouter.Message("user", (llmrouter.Text("what is it?"), llmrouter.Image("cat.png"))))


def a_stream(router: Router) -> None:
    stream = router.stream("chat", "hi", max_tokens=100)
    assert_type(stream, Stream)
    assert_type(stream.events(), Iterator[Event])
    assert_type(stream.response, Response[Any])
    for text in stream:
        assert_type(text, str)
    with router.stream("chat", "hi") as opened:
        assert_type(opened, Stream)
        assert_type(list(opened), list[str])


def one_event(event: Event) -> str:
    match event:
        case llmrouter.Text() | llmrouter.Reasoning():
            return event.text
        case llmrouter.ToolCallDelta():
            return event.arguments_json
        case llmrouter.Restart():
            return event.target
        case llmrouter.Done():
            return event.response.content


def the_rest(router: Router) -> None:
    assert_type(router.explain("chat", "hi"), Plan)
    assert_type(router.embed("embed", ["a", "b"], dimensions=256), Embeddings)
    assert_type(router.embed("embed", "a").vectors, list[list[float]])
    assert_type(router.count_tokens("openai/gpt-6-luna", "hi"), llmrouter.TokenCount)
    assert_type(router.models("openai"), list[llmrouter.ModelInfo])
    assert_type(router.recommend(needs=["tools"], budget="low"), list[llmrouter.ModelInfo])
    assert_type(router.total_cost, float)
    assert_type(router.reload(), bool)


def a_route(router: Router) -> None:
    route = router.route("summarize")
    assert_type(route, Route[Router])
    assert_type(route.chat("a text"), Response[Any])
    assert_type(route.chat("a text", schema=Invoice), Response[Invoice])
    assert_type(route.stream("a text"), Stream)
    assert_type(route.explain("a text"), Plan)


def where_it_comes_from() -> None:
    with Router("routes.yaml", watch=True) as router:
        assert_type(router, Router)
    Router({"routes": {"r": {"model": "openai/gpt-6-luna"}}})
    Router()


# ------------------------------------------------------------------------------------------------ asynchronous


async def the_same_awaited(router: AsyncRouter) -> None:
    assert_type(await router.chat("summarize", "a text", temperature=0.2), Response[Any])
    assert_type((await router.chat("extract", "a text", schema=Invoice)).parsed, Invoice)
    assert_type(await router.embed("embed", ["a"]), Embeddings)
    assert_type(router.explain("chat", "hi"), Plan)


async def an_asynchronous_stream(router: AsyncRouter) -> None:
    stream = router.stream("chat", "hi")
    assert_type(stream, AsyncStream)
    assert_type(stream.events(), AsyncIterator[Event])
    async for text in stream:
        assert_type(text, str)
    async with router.stream("chat", "hi") as opened:
        assert_type(opened, AsyncStream)


async def an_asynchronous_route(router: AsyncRouter) -> None:
    route = router.route("summarize")
    assert_type(await route.chat("a text"), Response[Any])
    assert_type(await route.chat("a text", schema=Invoice), Response[Invoice])
    assert_type(route.stream("a text"), AsyncStream)


async def opened_and_closed() -> None:
    async with AsyncRouter("routes.yaml") as router:
        assert_type(router, AsyncRouter)


# ------------------------------------------------------------------------------------------------ mistakes


def mistakes(router: Router, asynchronous: AsyncRouter, reply: Response[Invoice]) -> None:
    router.chat("chat", "hi", temprature=0.2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    router.stream("chat", "hi", temprature=0.2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    router.explain("chat", "hi", temprature=0.2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    router.chat("chat", "hi", cache="often")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    router.chat("chat", 5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    router.chat("chat")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    _ = asynchronous.chat("chat", "hi").content  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    _ = reply.parsed.totl  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    reply.content = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
