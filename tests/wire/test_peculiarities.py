"""What single providers do in their own way, in answers made up for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmrouter.errors import (
    ContextLengthError,
    MalformedResponseError,
    OverloadedError,
    ProviderError,
    QuotaError,
    ServerError,
    StreamInterruptedError,
)
from llmrouter.providers.anthropic_messages import MessagesCodec
from llmrouter.providers.base import WireReply
from llmrouter.providers.google_genai import GoogleCodec
from llmrouter.providers.openai_chat import ChatCodec
from llmrouter.providers.openai_dialect import COMPATIBLE
from llmrouter.providers.openai_responses import ResponsesCodec
from llmrouter.types import Completion, Message, Request, Text, Usage

CHAT = ChatCodec("chat", COMPATIBLE)
RESPONSES = ResponsesCodec("responses")
MESSAGES = MessagesCodec("messages")
GEMINI = GoogleCodec("gemini")


def _chat(message: dict[str, Any], finish: str = "stop", **more: Any) -> Completion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return CHAT.decode(WireReply({"id": "1", "model": "m", "choices": [choice], **more}))


def _chat_stream(*deltas: dict[str, Any], finish: str = "stop") -> tuple[str, Completion]:
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    decoder = CHAT.decoder({})
    found = decoder.feed(_sse(*chunks) + b"data: [DONE]\n\n")
    return "".join(delta.text for delta in found if isinstance(delta, Text)), decoder.finish()


def _sse(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def _answered(*items: dict[str, Any], status: str = "completed") -> Completion:
    return RESPONSES.decode(WireReply({"id": "1", "model": "m", "status": status, "output": list(items)}))


# ------------------------------------------------------------------------------------------------ Chat Completions


def test_mistrals_own_count_of_cached_tokens_is_read() -> None:
    usage = {"prompt_tokens": 64, "completion_tokens": 6, "total_tokens": 70, "num_cached_tokens": 32}
    assert _chat({"content": "Hi"}, usage=usage).usage == Usage(32, 6, 32)


def test_a_function_call_with_blank_fields_is_none() -> None:
    answer = _chat({"content": "Hi", "function_call": {"name": "", "arguments": ""}, "tool_calls": None}, finish="")
    assert (answer.message.tool_calls, answer.finish_reason) == ((), "stop")


def test_a_streamed_function_call_with_blank_fields_is_none() -> None:
    text, answer = _chat_stream({"content": "Hi", "function_call": {"name": "", "arguments": ""}})
    assert (text, answer.message.tool_calls) == ("Hi", ())


def test_a_spoken_answers_text_is_its_transcript() -> None:
    assert _chat({"content": None, "audio": {"id": "a", "data": "AAAA", "transcript": "Hi"}}).message.text == "Hi"


def test_a_spoken_streams_text_is_its_transcript() -> None:
    text, answer = _chat_stream(
        {"audio": {"id": "a"}}, {"audio": {"transcript": "Hel"}}, {"audio": {"transcript": "lo"}}
    )
    assert text == answer.message.text == "Hello"


def test_a_picture_without_words_is_an_answer() -> None:
    pictures = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    assert _chat({"content": "", "images": pictures}).message.text == ""
    assert _chat_stream({"content": "", "images": pictures})[1].message.text == ""


@pytest.mark.parametrize("streamed", [False, True])
def test_a_signature_of_the_whole_message_goes_back(streamed: bool) -> None:
    said = {"content": "Noon.", "extra_content": {"google": {"thought_signature": "c2ln"}}}
    answer = _chat_stream(said)[1] if streamed else _chat(said)
    body = CHAT.encode(Request("m", (Message("user", "When?"), answer.message, Message("user", "Sure?"))))
    assert body["messages"][1] == {"role": "assistant", **said}


def test_an_error_in_a_field_of_its_own_ends_the_stream() -> None:
    decoder = CHAT.decoder({})
    decoder.feed(_sse({"choices": [{"index": 0, "delta": {"content": "So"}}]}))
    with pytest.raises(ServerError, match="failed to decode"):
        decoder.feed(b'error: {"error": {"message": "failed to decode"}}\n\n')


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": {"message": "prompt too long; exceeded max context length by 9 tokens"}}, ContextLengthError),
        (400, {"error": {"message": "The total length of all messages is too long.", "code": 400}}, ContextLengthError),
        (
            400,
            {
                "error": {
                    "message": "string too long",
                    "code": "string_above_max_length",
                    "param": "messages[0].content",
                }
            },
            ContextLengthError,
        ),
        (429, {"error": {"message": "Rate limit exceeded: free-models-per-day.", "code": 429}}, QuotaError),
        (429, {"code": "exhausted", "error": "Your team has either used all available credits or ..."}, QuotaError),
        (498, {"error": {"message": "flex tier capacity exceeded"}}, OverloadedError),
        (403, {"code": "denied", "error": "Your newly created team doesn't have any credits yet."}, QuotaError),
    ],
)
def test_a_failure_is_read_in_its_servers_own_terms(status: int, body: Any, error: type[ProviderError]) -> None:
    assert type(CHAT.error(status, {}, body)) is error


def test_a_long_string_elsewhere_than_in_the_prompt_is_no_matter_of_the_window() -> None:
    detail = {"message": "string too long", "code": "string_above_max_length", "param": "user"}
    assert not isinstance(CHAT.error(400, {}, {"error": detail}), ContextLengthError)


def test_a_delay_of_no_milliseconds_leaves_the_seconds_their_say() -> None:
    assert CHAT.error(429, {"retry-after": "1", "retry-after-ms": "0"}, {}).retry_after == 1
    assert CHAT.error(429, {"retry-after": "4", "retry-after-ms": "3500"}, {}).retry_after == 3.5
    assert CHAT.error(429, {"retry-after-ms": "0"}, {}).retry_after == 0


# ------------------------------------------------------------------------------------------------ Responses


@pytest.mark.parametrize(
    "kind", ["image_generation_call", "local_shell_call", "mcp_approval_request", "web_search_call"]
)
def test_an_item_of_the_servers_tools_is_an_answer_without_words(kind: str) -> None:
    item = {"type": kind, "id": "x"}
    answer = _answered(item)
    assert answer.message.text == ""
    assert answer.message.private_for("responses") == [item]


def test_reasoning_that_cannot_be_read_is_no_answer() -> None:
    with pytest.raises(MalformedResponseError, match="empty"):
        _answered({"type": "reasoning", "id": "x", "encrypted_content": "abc", "summary": []})


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_a_response_that_is_not_over_is_no_answer(status: str) -> None:
    with pytest.raises(MalformedResponseError, match=status):
        _answered({"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}, status=status)


# ------------------------------------------------------------------------------------------------ Messages


def _message(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "message", "model": "claude-a", "content": list(blocks), "stop_reason": "end_turn", **more}


def test_what_the_servers_tools_did_is_an_answer_without_words() -> None:
    blocks = ({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},)
    answer = MESSAGES.decode(WireReply(_message(*blocks)))
    assert (answer.message.text, answer.message.private_for("messages")) == ("", list(blocks))


def test_the_reason_of_a_silent_refusal_is_streamed_as_its_text() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    decoder = MESSAGES.decoder({})
    found = decoder.feed(
        _sse(
            {"type": "message_start", "message": _message(stop_reason=None)},
            {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}},
            {"type": "message_stop"},
        )
    )
    assert found == [Text("Not this.")]
    answer = decoder.finish()
    assert (answer.message.text, answer.finish_reason) == ("Not this.", "refusal")


def _begun(name: str) -> dict[str, Any]:
    return {"type": "message_start", "message": _message(id=name, stop_reason=None)}


def test_a_start_that_comes_twice_is_one() -> None:
    decoder = MESSAGES.decoder({})
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}}
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    decoder.feed(_sse(_begun("a"), _begun("a"), block, stop, {"type": "message_stop"}))
    assert decoder.finish().message.text == "Hi"


def test_another_answer_in_the_middle_of_one_interrupts_it() -> None:
    decoder = MESSAGES.decoder({})
    decoder.feed(
        _sse(_begun("a"), {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}})
    )
    with pytest.raises(StreamInterruptedError) as broken:
        decoder.feed(_sse(_begun("b")))
    assert broken.value.partial == "Hi"


def test_a_fallback_of_the_provider_is_billed_at_each_models_own_price() -> None:
    counts = {"input_tokens": 412, "output_tokens": 264}
    iterations = [
        {"type": "message", "model": "claude-a", "input_tokens": 408, "output_tokens": 0},
        {"type": "message", "model": "claude-b", "input_tokens": 100, "output_tokens": 10},
        {"type": "fallback_message", "model": "claude-b", **counts},
    ]
    answer = MESSAGES.decode(
        WireReply(
            _message({"type": "text", "text": "Hi"}, model="claude-b", usage={**counts, "iterations": iterations})
        )
    )
    assert answer.usage == Usage(408, 0, others=(("claude-b", Usage(100, 10)), ("claude-b", Usage(412, 264))))


# ------------------------------------------------------------------------------------------------ Gemini


def test_an_empty_piece_of_text_does_not_go_back() -> None:
    call = {"functionCall": {"name": "clock", "args": {}}, "thoughtSignature": "c2ln"}
    counts = {"promptTokenCount": 1, "totalTokenCount": 1}
    decoder = GEMINI.decoder({})
    for part, more in ((call, {}), ({"text": ""}, {"finishReason": "STOP"})):
        candidate = {"content": {"role": "model", "parts": [part]}, **more}
        decoder.feed(_sse({"candidates": [candidate], "usageMetadata": counts, "responseId": "1"}))
    assert decoder.finish().message.private_for("gemini") == {"role": "model", "parts": [call]}


def test_half_an_event_after_the_end_changes_nothing() -> None:
    candidate = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
    last = _sse({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1}, "responseId": "1"})
    decoder = GEMINI.decoder({})
    decoder.feed(last + last[:40])
    assert decoder.ended
    assert decoder.finish().message.text == "Hi"
