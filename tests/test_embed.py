"""Vectors: one a text, in their order, whatever the provider's batches; and what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter import AllTargetsFailedError, InvalidRequestError, MalformedResponseError, ServerError, UnsupportedError
from tests.chains import PRICE, SHORT, outcomes
from tests.conftest import FaultServers
from tests.servers.http1 import Request
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, Protocol
from tests.servers.replies import Reply, json_reply
from tests.worlds import Face

MODELS = {"openai": "text-embedding-3-small", "google": "gemini-embedding-001"}
each_embedder = pytest.mark.parametrize("protocol", [OPENAI, GOOGLE], ids=lambda protocol: protocol.name)


def config(*rungs: tuple[Protocol, str], **route: Any) -> dict[str, Any]:
    """Route `e` over these providers, named first and second."""
    named = list(zip(("first", "second"), rungs, strict=False))
    model, *fallbacks = (f"{name}/{MODELS.get(protocol.name, protocol.model)}" for name, (protocol, _) in named)
    return {
        "providers": {name: protocol.provider(url) for name, (protocol, url) in named},
        "defaults": SHORT,
        "prices": {f"{name}/*": PRICE for name, _ in named},
        "routes": {"e": {"model": model, "fallbacks": fallbacks, **route}},
    }


def asked(request: Request) -> list[str]:
    """The texts of an embedding request."""
    body = request.json
    if "requests" in body:
        return [each["content"]["parts"][0]["text"] for each in body["requests"]]
    texts = body["input"]
    return [texts] if isinstance(texts, str) else list(texts)


def numbered(protocol: Protocol) -> Any:
    """Answer each text, which is a number, with a vector of that number."""

    def respond(request: Request) -> Reply:
        reply: Reply = protocol.embeds([[float(text), 0.5] for text in asked(request)])(request)
        return reply

    return respond


@each_embedder
def test_each_text_has_its_vector(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(numbered(protocol))
    with face.router(config((protocol, server.url))) as router:
        found = face.embed(router, "e", ["3", "1", "2"])
    assert found.vectors == [[3.0, 0.5], [1.0, 0.5], [2.0, 0.5]]
    assert (found.target, found.route) == (f"first/{MODELS[protocol.name]}", "e")


@each_embedder
def test_many_texts_are_batched_and_keep_their_order(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(numbered(protocol))
    texts = [str(number) for number in range(5000)]
    with face.router(config((protocol, server.url))) as router:
        found = face.embed(router, "e", texts)
    assert [vector[0] for vector in found.vectors] == [float(text) for text in texts]
    assert len(server.requests) > 1
    assert sorted(text for request in server.requests for text in asked(request)) == sorted(texts)


def test_usage_and_cost_are_the_sum_of_the_batches(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.embeds(tokens=1000))
    with face.router(config((OPENAI, server.url))) as router:
        found = face.embed(router, "e", ["x"] * 5000)
        total = router.total_cost
    batches = len(server.requests)
    assert found.usage.input_tokens == batches * 1000
    assert found.cost_usd == pytest.approx(batches * 1000 * 1.0 / 1e6)
    assert total == pytest.approx(found.cost_usd)


def test_usage_that_the_provider_does_not_report_is_estimated(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(GOOGLE.embeds())
    with face.router(config((GOOGLE, server.url))) as router:
        found = face.embed(router, "e", ["some words to count"])
    assert found.usage.estimated
    assert found.usage.input_tokens > 0


@each_embedder
def test_one_text_needs_no_list(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(numbered(protocol))
    with face.router(config((protocol, server.url))) as router:
        assert face.embed(router, "e", "7").vectors == [[7.0, 0.5]]


@each_embedder
def test_dimensions_reach_the_wire(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(numbered(protocol))
    with face.router(config((protocol, server.url))) as router:
        face.embed(router, "e", ["1"], dimensions=256)
    body = server.requests[0].json
    assert 256 in (body.get("dimensions"), *(each.get("outputDimensionality") for each in body.get("requests", ())))


def test_no_texts_make_no_request(face: Face, fault_server: FaultServers) -> None:
    server = fault_server()
    with face.router(config((OPENAI, server.url))) as router:
        found = face.embed(router, "e", [])
    assert found.vectors == []
    assert not server.requests


@each_embedder
def test_a_failing_batch_is_retried_alone(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server([protocol.fails("server"), numbered(protocol)])
    with face.router(config((protocol, server.url))) as router:
        assert face.embed(router, "e", ["1"]).vectors == [[1.0, 0.5]]


def test_all_vectors_come_from_the_same_rung(face: Face, fault_server: FaultServers) -> None:
    half = fault_server([numbered(OPENAI), *[OPENAI.fails("server")] * 20])
    whole = fault_server(numbered(GOOGLE))
    with face.router(config((OPENAI, half.url), (GOOGLE, whole.url), retry={"attempts": 1})) as router:
        found = face.embed(router, "e", [str(number) for number in range(5000)])
    assert found.target.startswith("second/")
    assert [vector[0] for vector in found.vectors] == [float(number) for number in range(5000)]


def test_a_missing_vector_is_malformed(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.embeds([[1.0]]))
    once = config((OPENAI, server.url), retry={"attempts": 1})
    with face.router(once) as router, pytest.raises(MalformedResponseError, match="2 texts"):
        face.embed(router, "e", ["a", "b"])


def test_a_provider_without_embeddings_says_what_to_use(face: Face, fault_server: FaultServers) -> None:
    server = fault_server()
    only = config((ANTHROPIC, server.url))
    with face.router(only) as router, pytest.raises(UnsupportedError, match="text-embedding-3-small"):
        face.embed(router, "e", ["a"])
    assert not server.requests


def test_a_provider_without_embeddings_is_skipped_on_the_way(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(numbered(OPENAI))
    with face.router(config((ANTHROPIC, fault_server().url), (OPENAI, server.url))) as router:
        found = face.embed(router, "e", ["5"])
    assert outcomes(found)[0] == ("first", "skipped")
    assert found.vectors == [[5.0, 0.5]]


def test_a_spent_chain_tells_of_every_rung(face: Face, fault_server: FaultServers) -> None:
    rungs = [(protocol, fault_server(protocol.fails("server")).url) for protocol in (OPENAI, GOOGLE)]
    with face.router(config(*rungs)) as router, pytest.raises(AllTargetsFailedError) as failure:
        face.embed(router, "e", ["a"])
    assert isinstance(failure.value.__cause__, ServerError)


def test_a_python_function_may_embed(face: Face) -> None:
    with face.router({"routes": {"e": {"model": "python/llmrouter.offline:embed"}}}) as router:
        found = face.embed(router, "e", ["one text", "another text", "one text"])
    assert len(found.vectors) == 3
    assert found.vectors[0] == found.vectors[2] != found.vectors[1]


@pytest.mark.parametrize("texts", [[1], ["a", None], [b"bytes"]])
def test_texts_that_are_none_are_an_invalid_request(face: Face, fault_server: FaultServers, texts: Any) -> None:
    server = fault_server()
    with face.router(config((OPENAI, server.url))) as router, pytest.raises(InvalidRequestError, match="texts"):
        face.embed(router, "e", texts)
    assert not server.requests


def test_an_unknown_keyword_is_a_type_error(face: Face, fault_server: FaultServers) -> None:
    with face.router(config((OPENAI, fault_server().url))) as router, pytest.raises(TypeError, match="temperature"):
        face.embed(router, "e", ["a"], temperature=1)


def test_a_whole_answer_of_another_kind_is_malformed(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(json_reply({"object": "list"}))
    once = config((OPENAI, server.url), retry={"attempts": 1})
    with face.router(once) as router, pytest.raises(MalformedResponseError):
        face.embed(router, "e", ["a"])
