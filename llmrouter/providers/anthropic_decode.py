"""Answers of the Messages API, whole or streamed, as a Completion."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from llmrouter import shape
from llmrouter.buckets import added, less
from llmrouter.errors import MalformedResponseError, StreamInterruptedError
from llmrouter.providers.anthropic_encode import ANSWER_TOOL
from llmrouter.providers.anthropic_errors import error_of, request_id_of
from llmrouter.providers.event_decoder import EventDecoder
from llmrouter.providers.sse import ServerEvent
from llmrouter.types import (
    EMPTY,
    Completion,
    Delta,
    FinishReason,
    Message,
    Private,
    Reasoning,
    Text,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_FINISH: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
_NEUTRAL: Final = ("text", "tool_use")  # blocks that our own form carries
_WORDS: Final = ("text", "thinking", "redacted_thinking")
_NO_TEXTS: Final[Mapping[int, str]] = MappingProxyType({})
_SAMPLED: Final = ("message", "fallback_message")  # usage iterations that the top level sums up


# ------------------------------------------------------------------------------------------------ whole answers


def completion_of(
    body: Any, headers: Mapping[str, str], origin: str, written: Mapping[int, str] = _NO_TEXTS
) -> Completion:
    """Read a complete answer; `written` has the arguments of tool calls as text, by the place of their block.

    Raises MalformedResponseError for what is not an answer, or the ProviderError that a body under status 200 reports.
    """
    if not isinstance(body, dict):
        raise _malformed(f"the answer is {type(body).__name__}, not a JSON object", body, headers)
    if body.get("type") == "error" or ("error" in body and "content" not in body):
        raise error_of(200, headers, body)
    blocks = body.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise _malformed("the answer has no list of content blocks (`content`)", body, headers)
    calls, answer = _tool_calls(body, blocks, headers, written)
    # Structured output by way of a tool: its input is the answer, whatever was said beside it.
    text = _joined(blocks, "text") if answer is None else answer
    reasoning = _joined(blocks, "thinking")
    reason = _text(body, "stop_reason") or None
    finish = _FINISH.get(reason or "", "other")
    if finish == "refusal":
        text = text or _explanation(body)
    elif finish == "tool_calls" and not calls and answer is not None:
        finish = "stop"
    elif not (text or calls or reasoning) and reason in ("end_turn", None) and _says_nothing_else(blocks):
        raise _malformed("an empty answer: no text, no tool call", body, headers)
    neutral = answer is not None or all(block.get("type") in _NEUTRAL for block in blocks)
    model = _text(body, "model")
    return Completion(
        message=Message("assistant", text, calls, private=() if neutral else (Private(origin, blocks),)),
        finish_reason=finish,
        provider_finish_reason=reason,
        model=model,
        usage=usage_of(body.get("usage"), model),
        reasoning=reasoning or None,
        request_id=request_id_of(headers),
        raw=body,
    )


def _says_nothing_else(blocks: Iterable[dict[str, Any]]) -> bool:
    """Tell whether no block holds anything but words: what the provider's own tools did is an answer without words."""
    return all(block.get("type") in _WORDS for block in blocks)


def _tool_calls(
    body: Any, blocks: list[dict[str, Any]], headers: Mapping[str, str], written: Mapping[int, str]
) -> tuple[tuple[ToolCall, ...], str | None]:
    """Return the calls, and the answer that came as one."""
    calls, answer = [], None
    for place, block in enumerate(blocks):
        if block.get("type") != "tool_use":
            continue
        given, name = _text(block, "id"), _text(block, "name")
        if not given or not name:
            raise _malformed("a tool call of the answer lacks its `id` or `name`", body, headers)
        call = ToolCall(given, name, written.get(place) or _arguments(block.get("input")))
        if name == ANSWER_TOOL:
            answer = call.arguments_json
        else:
            calls.append(call)
    return tuple(calls), answer


def _arguments(given: Any) -> Mapping[str, Any] | str:
    if isinstance(given, dict | str):
        return given or "{}"
    return json.dumps(given or {}, ensure_ascii=False)


def _malformed(message: str, body: Any, headers: Mapping[str, str]) -> MalformedResponseError:
    return MalformedResponseError(message, body=body, request_id=request_id_of(headers))


def _text(holder: Mapping[str, Any], key: str) -> str:
    value = holder.get(key)
    return value if isinstance(value, str) else ""


def _joined(blocks: Iterable[dict[str, Any]], kind: str) -> str:
    return "".join([_text(block, kind) for block in blocks if block.get("type") == kind])


def _explanation(body: Mapping[str, Any]) -> str:
    details = body.get("stop_details")
    return _text(details, "explanation") if isinstance(details, dict) else ""


# ------------------------------------------------------------------------------------------------ usage


def usage_of(raw: Any, model: str) -> Usage | None:
    """Read a `usage` object of an answer by `model`; None when there is none.

    `input_tokens` leaves the cache out, so the three input buckets are disjoint as they come. `output_tokens` holds
    the thinking. What one request makes further models do is only in `iterations`, one entry per inference:

    - `advisor_message` (another model was consulted) and `compaction` (the history was summarised by this one) are
      billed, and missing from the top-level numbers: recorded answers have 1,128 + 1,262 input tokens of `message`
      entries, 2,390 at the top, and 2,518 of the advisor nowhere else. They go to `others`, at their model's price.
    - `message` entries are what the top level sums up; those of a second model go to `others`, and out of the top.
    - a `fallback_message` entry says that another model answered in the end, on the provider's side. The top level then
      counts that one alone. The first entry names the model that was asked: its entries are the main buckets.

    So the main buckets and `others` together are what is billed, each token once, at the price of its model.
    """
    if not isinstance(raw, dict):
        return None
    main = _bucket(raw)
    entries = raw.get("iterations")
    if not isinstance(entries, list) or not entries:
        return main
    sampled: list[tuple[str, Usage]] = []
    others: list[tuple[str, Usage]] = []
    for entry in entries:
        if isinstance(entry, dict):
            billed = sampled if entry.get("type") in _SAMPLED else others
            billed.append((_text(entry, "model") or model, _bucket(entry)))
    fell_back = any(isinstance(entry, dict) and entry.get("type") == "fallback_message" for entry in entries)
    asked = sampled[0][0] if fell_back else model
    foreign = [(by, bucket) for by, bucket in sampled if by != asked]
    if fell_back:
        main = added(bucket for by, bucket in sampled if by == asked)
    elif foreign and sum(bucket.total_tokens for _, bucket in sampled) == main.total_tokens:
        for _, bucket in foreign:
            main = less(main, bucket)
    return replace(main, others=(*others, *foreign))


def _bucket(raw: Mapping[str, Any]) -> Usage:
    details, written = raw.get("output_tokens_details"), raw.get("cache_creation")
    by_ttl = written if isinstance(written, dict) else {}
    hour = _count(by_ttl, "ephemeral_1h_input_tokens")
    writes = _count(raw, "cache_creation_input_tokens") or hour + _count(by_ttl, "ephemeral_5m_input_tokens")
    return Usage(
        uncached_tokens=_count(raw, "input_tokens"),
        output_tokens=_count(raw, "output_tokens"),
        cache_read_tokens=_count(raw, "cache_read_input_tokens"),
        cache_write_tokens=writes,
        cache_write_1h_tokens=min(hour, writes),
        reasoning_tokens=_count(details, "thinking_tokens") if isinstance(details, dict) else 0,
    )


def _count(holder: Mapping[str, Any], key: str) -> int:
    value = holder.get(key)
    return value if type(value) is int and value > 0 else 0


# ------------------------------------------------------------------------------------------------ streams


class MessagesDecoder(EventDecoder):
    """Reads one stream: assembles the body that a complete answer would have had, and yields deltas on the way.

    Unknown events are ignored, unknown blocks kept as they started.
    """

    def __init__(self, headers: Mapping[str, str], origin: str) -> None:
        super().__init__()
        self._headers, self._origin = headers, origin
        self._body: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}  # by block and key, joined once at the end
        self._calls: dict[int, int] = {}  # by block: the call's place among the calls
        self._said = False  # whether any text came

    def _completion(self) -> Completion:
        # The event with the stop reason is end enough: all that may still be missing is an empty `message_stop`.
        places = sorted(self._blocks)
        blocks = [self._assembled(place) for place in places]
        if not (self.ended or self._body.get("stop_reason")):
            raise self._interrupted(blocks)
        written = {at: "".join(self._pieces.get((place, "input"), ())) for at, place in enumerate(places)}
        return completion_of({**self._body, "content": blocks}, self._headers, self._origin, written)

    def usage_so_far(self) -> Usage | None:
        """Return what the provider has reported until now; None before its first report."""
        return usage_of(self._body.get("usage"), _text(self._body, "model"))

    def _flush(self) -> None:
        with suppress(MalformedResponseError):  # cut in the middle of an event: interrupted, which `finish` says
            super()._flush()

    def _interrupted(self, blocks: list[dict[str, Any]]) -> StreamInterruptedError:
        error = StreamInterruptedError(
            "the stream ended without `message_stop`", request_id=request_id_of(self._headers)
        )
        error.partial = _joined(blocks, "text")
        return error

    def _assembled(self, place: int) -> dict[str, Any]:
        """Return a block as a complete answer has it."""
        block = dict(self._blocks[place])
        for key in ("text", "thinking"):
            pieces = self._pieces.get((place, key))
            if pieces:
                block[key] = _text(block, key) + "".join(pieces)
        written = "".join(self._pieces.get((place, "input"), ()))
        if written.strip():
            try:
                block["input"] = json.loads(written)
            except (ValueError, RecursionError):
                block["input"] = {}  # cut or broken: the call keeps the text
        return block

    def _event(self, event: ServerEvent, deltas: list[Delta]) -> None:
        try:
            data = shape.parse(event.data)
        except (ValueError, RecursionError):
            raise _malformed("an event of the stream is not JSON", event.data, self._headers) from None
        if not isinstance(data, dict):
            raise _malformed("an event of the stream is not a JSON object", data, self._headers)
        kind = data.get("type", event.name)
        if kind == "content_block_delta":
            self._delta(data, deltas)
        elif kind == "content_block_start":
            self._start(data, deltas)
        elif kind == "message_start":
            self._begin(data.get("message"))
        elif kind == "message_delta":
            self._finish_facts(data, deltas)
        elif kind == "message_stop":
            self.ended = True
        elif kind == "error" or event.name == "error":
            raise error_of(200, self._headers, data)

    def _begin(self, message: Any) -> None:
        """Take the facts of the start. Raises StreamInterruptedError when a gateway begins again amid an answer."""
        begun = dict(message) if isinstance(message, dict) else {}
        if self._blocks and begun.get("id") != self._body.get("id"):
            raise self._interrupted([self._assembled(place) for place in sorted(self._blocks)])
        self._body = begun

    def _start(self, data: dict[str, Any], deltas: list[Delta]) -> None:
        place, block = data.get("index"), data.get("content_block")
        if type(place) is not int or not isinstance(block, dict):
            raise _malformed("`content_block_start` lacks its index or block", data, self._headers)
        self._blocks[place] = block
        kind = block.get("type")
        if kind == "tool_use" and block.get("name") != ANSWER_TOOL:
            call = self._calls[place] = len(self._calls)
            deltas.append(ToolCallDelta(call, _text(block, "id") or None, _text(block, "name") or None))
        elif kind == "text" and _text(block, "text"):
            self._said = True
            deltas.append(Text(block["text"]))
        elif kind == "thinking" and _text(block, "thinking"):
            deltas.append(Reasoning(block["thinking"]))

    def _delta(self, data: dict[str, Any], deltas: list[Delta]) -> None:
        delta, place = data.get("delta"), data.get("index")
        block = self._blocks.get(place) if type(place) is int else None
        if block is None or type(place) is not int or not isinstance(delta, dict):
            raise _malformed("`content_block_delta` belongs to no block", data, self._headers)
        kind = delta.get("type")
        if kind == "text_delta":
            piece = self._keep(place, "text", delta.get("text"))
            if piece:
                self._said = True
                deltas.append(Text(piece))
        elif kind == "thinking_delta":
            piece = self._keep(place, "thinking", delta.get("thinking"))
            if piece:
                deltas.append(Reasoning(piece))
        elif kind == "input_json_delta":
            piece = self._keep(place, "input", delta.get("partial_json"))
            if piece and place in self._calls:
                deltas.append(ToolCallDelta(self._calls[place], arguments_json=piece))
            elif piece and block.get("name") == ANSWER_TOOL:
                deltas.append(Text(piece))
        elif kind in ("signature_delta", "compaction_delta"):  # they come whole
            block.update({key: value for key, value in delta.items() if key != "type"})
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]

    def _keep(self, place: int, key: str, piece: Any) -> str:
        if not isinstance(piece, str):
            return ""
        self._pieces.setdefault((place, key), []).append(piece)
        return piece

    def _finish_facts(self, data: dict[str, Any], deltas: list[Delta]) -> None:
        """Take the stop reason and the final usage; why the model refuses is its answer when it says nothing else.

        Usage is cumulative: what `message_delta` counts wins over `message_start`; a zero is a count left out.
        """
        delta, usage = data.get("delta"), data.get("usage")
        if isinstance(delta, dict):
            self._body.update({key: value for key, value in delta.items() if value is not None})
        if isinstance(usage, dict):
            first = self._body.get("usage")
            counted = {key: value for key, value in usage.items() if value}
            self._body["usage"] = {**(first if isinstance(first, dict) else EMPTY), **counted}
        if _text(self._body, "stop_reason") == "refusal" and not self._said and _explanation(self._body):
            self._said = True
            deltas.append(Text(_explanation(self._body)))
