"""A Chat Completions stream: server-sent chunks to deltas, and in the end to the whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmrouter import shape
from llmrouter.errors import MalformedResponseError, StreamInterruptedError
from llmrouter.providers.failures import excerpt, lower
from llmrouter.providers.openai_chat_answer import (
    arguments_text,
    assemble,
    call_id,
    content_of,
    reasoning_of,
    usage_of,
)
from llmrouter.providers.openai_dialect import Dialect
from llmrouter.providers.openai_errors import failure, request_id
from llmrouter.providers.openai_events import JsonEventDecoder
from llmrouter.types import Completion, Delta, Reasoning, Text, ToolCall, ToolCallDelta, Usage


@dataclass(slots=True)
class _Call:
    """A tool call as its pieces arrive."""

    index: int  # its place in the answer; servers number calls in their own ways, or not at all
    id: str
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    wire: dict[str, Any] = field(default_factory=dict)  # what the server wants back beside the call itself


def decoder_of(name: str, dialect: Dialect, headers: Mapping[str, str]) -> ChatStreamDecoder:
    """Return the decoder for an answer whose response had these headers, and which was asked for as a stream."""
    lowered = lower(headers)
    is_stream = "application/json" not in lowered.get("content-type", "")
    return (ChatStreamDecoder if is_stream else ChatBodyDecoder)(name, dialect, lowered)


class ChatStreamDecoder(JsonEventDecoder):
    """Decodes one stream; `headers` has lower-case names."""

    def __init__(self, name: str, dialect: Dialect, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._name, self._dialect, self._headers = name, dialect, headers
        self._said: list[str] = []
        self._thought: list[str] = []
        self._thought_field = ""
        self._chunked = False
        self._refused: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._extra: dict[str, Any] = {}  # Gemini's signature of the whole message, pictures
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._finish: Any = None
        self._id = self._model = ""
        self._usage: Usage | None = None
        self._last: Any = None  # the chunk that carried usage, else the newest

    def _completion(self) -> Completion:
        if not (self.ended or self._finish):
            error = StreamInterruptedError("the stream ended before its finish reason", request_id=self._request_id())
            error.partial = "".join(self._said)
            raise error
        return assemble(
            message=self._message(),
            calls=tuple(map(_whole, self._calls)),
            finish=self._finish,
            model=self._model,
            usage=self._usage,
            logprobs=self._logprobs or None,
            request_id=self._request_id(),
            raw=self._last,
            name=self._name,
            dialect=self._dialect,
        )

    def usage_so_far(self) -> Usage | None:
        """Return the usage reported until now."""
        return self._usage

    def _request_id(self) -> str | None:
        return request_id(self._headers, {"id": self._id})

    def _message(self) -> dict[str, Any]:
        """Put the assistant message together in wire form."""
        message: dict[str, Any] = {**self._extra, "content": "".join(self._said), "refusal": "".join(self._refused)}
        thought = "".join(self._thought)
        if self._chunked and thought:  # Mistral wants its chunks back
            thinking = {"type": "thinking", "thinking": [{"type": "text", "text": thought}]}
            message["content"] = [thinking, {"type": "text", "text": message["content"]}]
        elif thought:
            message[self._thought_field] = thought
        if self._details:
            message["reasoning_details"] = self._details
        message["tool_calls"] = [call.wire for call in self._calls]
        return message

    def _take(self, fields: Mapping[str, Any], name: str, deltas: list[Delta]) -> None:  # noqa: ARG002 - chunks have no names
        if fields.get("error") or fields.get("object") == "error":
            raise failure(None, self._headers, fields)
        usage = usage_of(fields)
        if usage is not None:
            self._usage, self._last = usage, fields
        elif self._usage is None:
            self._last = fields
        self._id = self._id or shape.text(fields.get("id"))
        self._model = shape.text(fields.get("model")) or self._model
        choices = shape.mappings(fields.get("choices"))
        for choice in choices:
            if choice.get("index", 0) == 0:  # of n answers, the first
                self._choice(choice, deltas)
        if usage is not None and self._finish and not choices:  # nothing is to come, whether or not `[DONE]` follows
            self.ended = True

    def _choice(self, choice: Mapping[str, Any], deltas: list[Delta]) -> None:
        if choice.get("error"):
            raise failure(None, self._headers, choice)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._delta(delta, deltas)
        logprobs = choice.get("logprobs")
        if logprobs:
            for kind, entries in shape.mapping(logprobs).items():
                self._logprobs.setdefault(kind, []).extend(shape.items(entries))
        self._finish = choice.get("finish_reason") or self._finish

    def _delta(self, delta: Mapping[str, Any], deltas: list[Delta]) -> None:
        said = delta.get("content") or shape.mapping(delta.get("audio")).get("transcript")
        if len(delta) == 1 and isinstance(said, str) and said:  # text alone, as nearly every chunk has it
            self._said.append(said)
            deltas.append(Text(said))
            return
        thought = reasoning_of(delta)
        if said and not isinstance(said, str):
            self._chunked = True
            said, thinking = content_of(said)
            thought = thought or thinking
        if thought:
            if not self._thought:
                self._thought_field = "reasoning_content" if delta.get("reasoning_content") else "reasoning"
            self._thought.append(thought)
            deltas.append(Reasoning(thought))
        if said:
            self._said.append(said)
            deltas.append(Text(said))
        refusal = shape.text(delta.get("refusal"))
        if refusal:
            self._refused.append(refusal)
            deltas.append(Text(refusal))
        for detail in shape.mappings(delta.get("reasoning_details")):
            _merge(self._details, detail)
        for name in ("extra_content", "images"):
            if delta.get(name):
                self._extra[name] = delta[name]
        self._call_pieces(delta, deltas)

    def _call_pieces(self, delta: Mapping[str, Any], deltas: list[Delta]) -> None:
        pieces = shape.mappings(delta.get("tool_calls"))
        legacy = shape.mapping(delta.get("function_call"))  # the protocol before tools
        if not pieces and (legacy.get("name") or legacy.get("arguments")):
            pieces = [{"index": 0, "function": legacy}]
        deltas.extend(self._call_piece(piece, place) for place, piece in enumerate(pieces))

    def _call_piece(self, piece: Mapping[str, Any], place: int) -> ToolCallDelta:
        function = shape.mapping(piece.get("function"))
        call, fresh = self._slot(piece, place)
        name, arguments = shape.text(function.get("name")), arguments_text(function.get("arguments"))
        named = name if name and not call.name else None
        call.name = call.name or name
        call.arguments.append(arguments)
        if "extra_content" in piece:
            call.wire["extra_content"] = piece["extra_content"]
        return ToolCallDelta(call.index, call.id if fresh else None, named, arguments)

    def _slot(self, piece: Mapping[str, Any], place: int) -> tuple[_Call, bool]:
        """Find the call a piece belongs to, by its index; a new id at a known index is a new call (Gemini, Ollama)."""
        index = piece.get("index")
        key = index if isinstance(index, int) else place
        given = shape.text(piece.get("id"))
        known = self._by_index.get(key)
        if known is not None and (not given or given == known.id):
            return known, False
        call = _Call(len(self._calls), given or call_id(self._id, len(self._calls)))
        self._calls.append(call)
        self._by_index[key] = call
        return call, True


class ChatBodyDecoder(ChatStreamDecoder):
    """Reads one JSON body, which some servers send although a stream was asked for, as the only chunk of a stream."""

    def __init__(self, name: str, dialect: Dialect, headers: Mapping[str, str]) -> None:
        super().__init__(name, dialect, headers)
        self._body = bytearray()

    def feed(self, chunk: bytes) -> list[Delta]:
        """Return the deltas of the whole body once it is whole, until then none."""
        deltas: list[Delta] = []
        self._body += chunk
        if self.ended or not self._body.rstrip().endswith(b"}"):
            return deltas
        try:
            body = shape.parse(bytes(self._body))
        except (ValueError, RecursionError):  # a brace inside of it
            return deltas
        if isinstance(body, dict):
            choices = [
                {**choice, "delta": choice.get("message", choice.get("delta"))}
                for choice in shape.mappings(body.get("choices"))
            ]
            self._take({**body, "choices": choices}, "message", deltas)
            self.ended = bool(choices)
        return deltas

    def _flush(self) -> None:
        """Refuse a body that is no answer, as where none but a body was asked for; an empty one is an interruption."""
        text = self._body.decode("utf-8", "replace")
        if text.strip():
            raise MalformedResponseError(f"the answer has no choices: {excerpt(text)}", body=excerpt(text))


def _whole(call: _Call) -> ToolCall:
    if not call.name:
        raise MalformedResponseError("a streamed tool call has no function name")
    return ToolCall(call.id, call.name, "".join(call.arguments))


def _merge(details: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Add a piece of OpenRouter's reasoning_details: pieces of one type and index are one detail."""
    last = details[-1] if details else {}
    if not details or any(last.get(key) != piece.get(key) for key in ("type", "index")):
        details.append(dict(piece))
        return
    for key, value in piece.items():
        if key in ("text", "summary", "data") and isinstance(last.get(key), str) and isinstance(value, str):
            last[key] += value
        elif value is not None:
            last[key] = value
