"""How OpenAI's Responses look on the wire. Failures are those of Chat Completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.servers.facts import CREATED, Answer, Call, Failure, Protocol, data, halves
from tests.servers.openai_wire import HEADERS, embedding, trouble


def body(answer: Answer, model: str) -> dict[str, Any]:
    """Return a finished `response`."""
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.ended)
    return {
        "id": "resp_0001",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": cut} if cut else None,
        "model": model,
        "output": [_done(item) for item in _items(answer)],
        "parallel_tool_calls": True,
        "store": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": _usage(answer),
    }


def _usage(answer: Answer) -> dict[str, Any] | None:
    if not answer.usage:
        return None
    return {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": answer.cache_read, "cache_write_tokens": answer.cache_write},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def _items(answer: Answer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        items.append({"id": "rs_0001", "type": "reasoning", "summary": summary})
    if answer.calls:
        return [*items, *(_call(n, call) for n, call in enumerate(answer.calls))]
    return [*items, {"id": "msg_0001", "type": "message", "role": "assistant", "content": [_part(answer)]}]


def _part(answer: Answer, text: str | None = None) -> dict[str, Any]:
    text = answer.text if text is None else text
    if answer.ended == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _call(n: int, call: Call) -> dict[str, Any]:
    head = {"id": f"fc_{n:04}", "type": "function_call", "call_id": call.id, "name": call.name}
    return {**head, "arguments": call.json}


def _done(item: dict[str, Any]) -> dict[str, Any]:
    return item if item["type"] == "reasoning" else {**item, "status": "completed"}


def events(answer: Answer, model: str) -> list[bytes]:
    """Return the events from `response.created` to the terminal one; there is no `[DONE]`."""
    whole = body(answer, model)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    told: list[tuple[str, dict[str, Any]]] = [
        (name, {"response": begun}) for name in ("response.created", "response.in_progress")
    ]
    for index, item in enumerate(_items(answer)):
        told += [(name, {**event, "output_index": index}) for name, event in _item_events(answer, item)]
    told.append((f"response.{whole['status']}", {"response": whole}))
    return [data({"type": name, **event, "sequence_number": n}, name) for n, (name, event) in enumerate(told)]


def _item_events(answer: Answer, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    bare: dict[str, dict[str, Any]] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }
    yield "response.output_item.added", {"item": {**item, **bare[item["type"]], "status": "in_progress"}}
    inner = {"message": _message_events, "function_call": _call_events, "reasoning": _reasoning_events}
    yield from inner[item["type"]](answer, item)
    yield "response.output_item.done", {"item": _done(item)}


def _message_events(answer: Answer, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    place = {"item_id": item["id"], "content_index": 0}
    kind, field = ("refusal", "refusal") if answer.ended == "refusal" else ("output_text", "text")
    yield "response.content_part.added", {**place, "part": _part(answer, "")}
    for word in answer.words:
        yield f"response.{kind}.delta", {**place, "delta": word}
    yield f"response.{kind}.done", {**place, field: answer.text}
    yield "response.content_part.done", {**place, "part": _part(answer)}


def _call_events(answer: Answer, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    place = {"item_id": item["id"]}
    for piece in halves(item["arguments"]):
        yield "response.function_call_arguments.delta", {**place, "delta": piece}
    yield "response.function_call_arguments.done", {**place, "arguments": item["arguments"]}


def _reasoning_events(answer: Answer, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    place = {"item_id": item["id"], "summary_index": 0}
    yield "response.reasoning_summary_part.added", {**place, "part": {"type": "summary_text", "text": ""}}
    yield "response.reasoning_summary_text.delta", {**place, "delta": answer.reasoning}
    yield "response.reasoning_summary_text.done", {**place, "text": answer.reasoning}
    yield "response.reasoning_summary_part.done", {**place, "part": item["summary"][0]}


def error_event(kind: Failure) -> bytes:
    """Return a failure inside a stream."""
    error = trouble(kind).body["error"]
    told = {"type": "error", "code": error["code"] or error["type"], "message": error["message"], "param": None}
    return data({**told, "sequence_number": 3}, "error")


RESPONSES = Protocol(
    name="responses",
    kind="openai",
    target="openai/gpt-6-luna",
    root="/v1",
    headers=HEADERS,
    body=body,
    events=events,
    trouble=trouble,
    error_event=error_event,
    embedding=embedding,
)
