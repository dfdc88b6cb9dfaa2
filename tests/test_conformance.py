"""Every recorded exchange, asked again through a router of either world and the provider's own SDK.

A loopback server gives the recorded answer, streams in random pieces; what comes out is compared with the table of
what we read in the recording, and what we sent with what the recording's client had sent.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest

from llmrouter import ContentFilterError, ContextLengthError, Message, ProviderError, Response
from tests.servers.faults import FaultServer
from tests.servers.replies import Reply
from tests.servers.wire import Exchange, as_reply, cut, load
from tests.wire.canonical import DIFFERENT, canonical
from tests.wire.expectations import ANSWERS, FAILURES, ROWS
from tests.wire.rebuild import Asked, rebuilt
from tests.wire.rows import Embedded, Failed, Row, Said, exchange_of, is_stream, preset_of
from tests.wire.test_codecs import read
from tests.worlds import Face

EMBEDDED: Final = tuple(row for row in ROWS if isinstance(row, Embedded))
WITHOUT_REQUEST: Final = {  # of these only the answer was recorded
    "anthropic/thinking-opus5#0",
    "gemini/prompt-block-prohibited#0",
    "other/huggingface-together-500#1",
    "other/huggingface-together-500#2",
}
ID_HEADERS: Final = ("x-request-id", "apim-request-id", "request-id")


def _name(row: Row) -> str:
    return row.at


def _reply(exchange: Exchange) -> Reply:
    if not is_stream(exchange):
        return as_reply(exchange)
    seed = random.Random(exchange.case).randrange(1000)
    return Reply(exchange.status, exchange.headers, cut(exchange.body, seed), chunked=True)


def _provider(exchange: Exchange, url: str) -> dict[str, Any]:
    """Return the entry of `providers:` that reaches the loopback server in the dialect of the recorded one."""
    case = exchange.case
    api = {"api": "responses"} if exchange.url.endswith("/responses") else {}
    common: dict[str, Any] = {"api_key": "test-key", "base_url": url, **api}
    if case.startswith("anthropic/"):
        return {"kind": "anthropic", **common}
    if case.startswith(("gemini/", "vertex/")):
        return {"kind": "google", **common}
    if case.startswith("azure/"):
        return {"kind": "azure", **common, "base_url": f"{url}/openai/v1"}
    if case.startswith("openai/"):  # by its own name, because the name decides how it is spoken to
        return {"kind": "openai", **common, "base_url": "http://api.openai.com/v1", "proxy": url}
    return {"kind": preset_of(case), **common}


@contextmanager
def _asking(face: Face, exchange: Exchange, model: str) -> Iterator[tuple[Any, FaultServer]]:
    with FaultServer(_reply(exchange)) as server:
        config = {
            "version": 1,
            "providers": {"wire": _provider(exchange, server.url)},
            "defaults": {"retry": {"attempts": 1}, "deadline": "20s"},
            "prices": {"wire/*": {"input": 0, "output": 0}},
            "routes": {"r": {"model": f"wire/{model}"}},
        }
        with face.router(config) as router:
            yield router, server


def _asked(exchange: Exchange) -> Asked:
    """Return the call that the recorded client made; what came before in its conversation goes back as it was read."""
    if not isinstance(exchange.request, dict):
        return Asked("a-model", [Message("user", "hello")])
    return rebuilt(exchange.url, exchange.request, [read(before).message for before in _before(exchange)])


def _before(exchange: Exchange) -> list[Exchange]:
    every = load(exchange.case)
    answers = {row.at for row in ANSWERS}
    return [item for place, item in enumerate(every[: every.index(exchange)]) if f"{exchange.case}#{place}" in answers]


def _ask(face: Face, router: Any, exchange: Exchange, asked: Asked) -> Response:
    if not is_stream(exchange):
        return face.chat(router, "r", asked.messages, **asked.options)  # type: ignore[no-any-return]
    with face.stream(router, "r", asked.messages, **asked.options) as stream:
        text = "".join(stream)
        assert text == stream.response.content
        return stream.response  # type: ignore[no-any-return]


def _request_id(exchange: Exchange, answer: Any) -> str | None:
    """Return the id to quote to the provider's support, read without our code: a header, else one in the body."""
    return next((exchange.headers[name] for name in ID_HEADERS if name in exchange.headers), None) or answer


# ------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize("row", ANSWERS, ids=_name)
def test_a_recorded_answer_comes_out_of_the_router(face: Face, row: Said) -> None:
    exchange = exchange_of(row)
    asked = _asked(exchange)
    with _asking(face, exchange, asked.model) as (router, server):
        if row.finish == "content_filter":
            with pytest.raises(ContentFilterError) as filtered:
                _ask(face, router, exchange, asked)
            assert filtered.value.code == row.word
            return
        reply = _ask(face, router, exchange, asked)
    assert len(server.requests) == 1
    _compare(reply, row)
    if "schema" in asked.options and not row.calls and row.finish == "stop":
        assert reply.parsed == json.loads(reply.content)


def _compare(reply: Response, row: Said) -> None:
    assert (reply.content[: len(row.begins)], len(reply.content)) == (row.begins, row.length)
    thought = reply.reasoning or ""
    assert (thought[: len(row.thinks)], len(thought)) == (row.thinks, row.thought)
    assert (reply.finish_reason, reply.provider_finish_reason, reply.model) == (row.finish, row.word, row.model)
    assert reply.usage.estimated == (row.usage is None)
    if row.usage is not None:
        assert reply.usage == row.usage
    assert bool(reply.message.private) == row.private
    assert len(reply.tool_calls) == len(row.calls)
    for call, (call_id, name, arguments) in zip(reply.tool_calls, row.calls, strict=True):
        assert (call.id, call.name) == (call_id or call.id, name)
        if arguments.endswith("..."):
            assert call.arguments_json.startswith(arguments[:-3])
        else:
            assert call.arguments == json.loads(arguments)


@pytest.mark.parametrize("row", FAILURES, ids=_name)
def test_a_recorded_failure_comes_out_of_the_router(face: Face, row: Failed) -> None:
    exchange = exchange_of(row)
    asked = _asked(exchange)
    with _asking(face, exchange, asked.model) as (router, server), pytest.raises(ProviderError) as failed:
        _ask(face, router, exchange, asked)
    error = failed.value
    assert len(server.requests) == 1
    assert type(error) is row.error
    assert (error.code, error.retry_after) == (row.code, row.retry_after)
    assert exchange.status < 400 or error.status == exchange.status
    assert error.request_id == _request_id(exchange, error.request_id)
    assert error.target == f"wire/{asked.model}"
    if isinstance(error, ContextLengthError):
        assert (error.tokens_used, error.max_tokens) == (row.tokens or (None, None))


@pytest.mark.parametrize("row", EMBEDDED, ids=_name)
def test_a_recorded_embedding_comes_out_of_the_router(face: Face, row: Embedded) -> None:
    exchange = exchange_of(row)
    gemini = "requests" in exchange.request
    model = "gemini-embedding-001" if gemini else exchange.request["model"]
    text = exchange.request["requests"][0]["content"]["parts"][0]["text"] if gemini else exchange.request["input"][0]
    dimensions = row.numbers if gemini else None
    with _asking(face, exchange, model) as (router, server):
        found = face.embed(router, "r", [text], dimensions=dimensions)
    [vector] = found.vectors
    assert (len(vector), vector[:2]) == (row.numbers, pytest.approx(row.begins, abs=1e-4))
    assert found.usage.estimated == (row.tokens == 0)
    assert row.tokens in (0, found.usage.input_tokens)
    assert server.requests[0].json == exchange.request


# ------------------------------------------------------------------------------------------------ requests

EVERY: Final[tuple[Said | Failed, ...]] = (*ANSWERS, *FAILURES)
ASKED: Final = tuple(row for row in EVERY if row.at not in WITHOUT_REQUEST)


@pytest.mark.parametrize("row", ASKED, ids=_name)
def test_what_we_send_is_what_the_recorded_client_sent(row: Said | Failed) -> None:
    exchange = exchange_of(row)
    asked = _asked(exchange)
    face = Face("sync")
    with _asking(face, exchange, asked.model) as (router, server), suppress(ProviderError):
        _ask(face, router, exchange, asked)
    sent, recorded = canonical(server.requests[0].json, row.at), canonical(exchange.request, row.at)
    assert sent == recorded


def test_no_difference_is_excused_in_vain() -> None:
    load("openai/chat-plain")  # skips without recordings
    assert set(DIFFERENT) <= {row.at for row in ASKED}
