"""The official SDKs understand every answer and failure that the protocol builders make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import FaultServers
from tests.servers.protocols import (
    ANTHROPIC,
    GOOGLE,
    OPENAI,
    PROTOCOLS,
    RESPONSES,
    Answer,
    Call,
    Failure,
    Protocol,
)

TEXT = "Two words,  and then some."
TOOLS = Answer(calls=(Call(), Call("weather", {"city": "Rome"}, "call_2")))


def openai_client(url: str) -> Any:
    """Return OpenAI's client for a server, retries off."""
    import openai

    return openai.OpenAI(base_url=f"{url}/v1", api_key="test-key", max_retries=0)


def anthropic_client(url: str) -> Any:
    """Return Anthropic's client for a server, retries off."""
    import anthropic

    return anthropic.Anthropic(base_url=url, api_key="test-key", max_retries=0)


def google_client(url: str) -> Any:
    """Return Google's client for a server, retries off."""
    from google import genai
    from google.genai import types

    options = types.HttpOptions(base_url=url, api_version="v1beta", retry_options=types.HttpRetryOptions(attempts=1))
    return genai.Client(api_key="test-key", http_options=options)


ASK = [{"role": "user", "content": "hello"}]


def ask_openai(url: str) -> tuple[str, int]:
    """Ask for a whole answer; return its text and the tokens generated."""
    with openai_client(url) as client:
        answer = client.chat.completions.create(model="m", messages=ASK)
    return answer.choices[0].message.content, answer.usage.completion_tokens


def ask_responses(url: str) -> tuple[str, int]:
    """Ask for a whole answer; return its text and the tokens generated."""
    with openai_client(url) as client:
        answer = client.responses.create(model="m", input="hello")
    return answer.output_text, answer.usage.output_tokens


def ask_anthropic(url: str) -> tuple[str, int]:
    """Ask for a whole answer; return its text and the tokens generated."""
    with anthropic_client(url) as client:
        answer = client.messages.create(model="m", max_tokens=9, messages=ASK)
    return answer.content[0].text, answer.usage.output_tokens


def ask_google(url: str) -> tuple[str, int]:
    """Ask for a whole answer; return its text and the tokens generated."""
    with google_client(url) as client:
        answer = client.models.generate_content(model="m", contents="hello")
    return answer.text, answer.usage_metadata.candidates_token_count


def stream_openai(url: str) -> tuple[list[str], Any]:
    """Read a stream; return its pieces of text and its last event."""
    with openai_client(url) as client:
        chunks = list(client.chat.completions.create(model="m", messages=ASK, stream=True))
    return [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content], chunks[-1]


def stream_responses(url: str) -> tuple[list[str], Any]:
    """Read a stream; return its pieces of text and its last event."""
    with openai_client(url) as client:
        events = list(client.responses.create(model="m", input="hello", stream=True))
    return [e.delta for e in events if e.type == "response.output_text.delta"], events[-1].response


def stream_anthropic(url: str) -> tuple[list[str], Any]:
    """Read a stream; return its pieces of text and the final message."""
    with anthropic_client(url) as client, client.messages.stream(model="m", max_tokens=9, messages=ASK) as stream:
        return list(stream.text_stream), stream.get_final_message()


def stream_google(url: str) -> tuple[list[str], Any]:
    """Read a stream; return its pieces of text and its last event."""
    with google_client(url) as client:
        chunks = list(client.models.generate_content_stream(model="m", contents="hello"))
    return [c.text for c in chunks if c.text], chunks[-1]


WHOLE = {"openai": ask_openai, "responses": ask_responses, "anthropic": ask_anthropic, "google": ask_google}
STREAMED: dict[str, Callable[[str], tuple[list[str], Any]]] = {
    "openai": stream_openai,
    "responses": stream_responses,
    "anthropic": stream_anthropic,
    "google": stream_google,
}
STATUSES: dict[Failure, tuple[int, int, int, int]] = {  # by protocol, in the order of PROTOCOLS
    "rate_limit": (429, 429, 429, 429),
    "quota": (429, 429, 429, 429),
    "server": (500, 500, 500, 500),
    "overloaded": (503, 503, 529, 503),
    "context_length": (400, 400, 400, 400),
    "bad_request": (400, 400, 400, 400),
    "prefill": (400, 400, 400, 400),
    "authentication": (401, 401, 401, 400),
    "permission": (403, 403, 403, 403),
    "not_found": (404, 404, 404, 404),
}
each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)


@each_protocol
def test_an_sdk_reads_a_whole_answer(fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply(Answer(TEXT, output_tokens=9)))
    assert WHOLE[protocol.name](server.url) == (TEXT, 9)
    assert server.models == ["m"]


@each_protocol
def test_an_sdk_reads_a_stream_word_by_word(fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply(TEXT))
    pieces, _ = STREAMED[protocol.name](server.url)
    assert pieces == ["Two", " words,", "  and", " then", " some."]


@each_protocol
@pytest.mark.parametrize("kind", STATUSES)
def test_an_sdk_reads_the_status_of_a_failure(fault_server: FaultServers, protocol: Protocol, kind: Failure) -> None:
    server = fault_server(protocol.fails(kind, retry_after=2))
    with pytest.raises(Exception) as failure:  # noqa: PT011  (each SDK has its own; the status is what counts)
        WHOLE[protocol.name](server.url)
    status = getattr(failure.value, "status_code", None) or getattr(failure.value, "code", None)
    assert status == STATUSES[kind][PROTOCOLS.index(protocol)]
    assert len(server.requests) == 1


def test_openai_tool_calls_come_in_pieces(fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply(TOOLS))
    with openai_client(server.url) as client, client.chat.completions.stream(model="m", messages=ASK) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"city": "Oslo"}', '{"city": "Rome"}']


def test_responses_tool_calls_come_in_pieces(fault_server: FaultServers) -> None:
    _, answer = stream_responses(fault_server(RESPONSES.reply(TOOLS)).url)
    assert [(item.call_id, item.arguments) for item in answer.output] == [
        ("call_1", '{"city": "Oslo"}'),
        ("call_2", '{"city": "Rome"}'),
    ]


def test_anthropic_tool_calls_come_in_pieces(fault_server: FaultServers) -> None:
    _, message = stream_anthropic(fault_server(ANTHROPIC.reply(TOOLS)).url)
    assert [block.input for block in message.content] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert message.stop_reason == "tool_use"


def test_google_tool_calls_come_whole(fault_server: FaultServers) -> None:
    with google_client(fault_server(GOOGLE.reply(TOOLS)).url) as client:
        answer = client.models.generate_content(model="m", contents="hello")
    assert [call.args for call in answer.function_calls] == [{"city": "Oslo"}, {"city": "Rome"}]


def test_openai_embeddings_keep_their_order(fault_server: FaultServers) -> None:
    with openai_client(fault_server(OPENAI.embeds()).url) as client:
        found = client.embeddings.create(model="m", input=["a", "b"])
    assert [item.embedding for item in found.data] == [[0.0, 0.5], [1.0, 0.5]]


def test_google_embeddings_keep_their_order(fault_server: FaultServers) -> None:
    with google_client(fault_server(GOOGLE.embeds()).url) as client:
        found = client.models.embed_content(model="m", contents=["a", "b"])
    assert [item.values for item in found.embeddings] == [[0.0, 0.5], [1.0, 0.5]]
