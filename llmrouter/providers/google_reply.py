"""Reads what generateContent answers, whole or in a stream, into our types."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from llmrouter import shape
from llmrouter.errors import (
    BadRequestError,
    ContentFilterError,
    LLMRouterError,
    MalformedResponseError,
    ProviderError,
    StreamInterruptedError,
)
from llmrouter.providers.event_decoder import refuse_foreign
from llmrouter.providers.failures import excerpt
from llmrouter.providers.google_failures import google_error
from llmrouter.providers.google_usage import usage_from
from llmrouter.providers.sse import EventStream
from llmrouter.types import (
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
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",  # the per-request token limit; a further request could continue
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "MODEL_ARMOR": "content_filter",
}

# Finish reasons with which Google says that there is no usable answer.
_FAILED: Final[Mapping[str, type[ProviderError]]] = {
    "MALFORMED_FUNCTION_CALL": MalformedResponseError,
    "MALFORMED_RESPONSE": MalformedResponseError,
    "UNEXPECTED_TOOL_CALL": MalformedResponseError,
    "MISSING_THOUGHT_SIGNATURE": BadRequestError,
}

_PLAIN_KEYS: Final = frozenset({"text", "thought"})
_NEUTRAL_KEYS: Final = frozenset({"text", "thought", "functionCall"})


class Turn:
    """One answer, put together from one body or from the chunks of a stream."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[ToolCall] = []
        self._parts: list[dict[str, Any]] = []
        self._run: list[str] = []  # plain text that is still growing
        self._run_thought: Any = None
        self._counts: dict[str, Any] = {}
        self._logprobs: Any = None
        self._model = ""
        self._response_id: str | None = None
        self._finish: str | None = None
        self._finish_message: str | None = None
        self._raw: Any = None
        self.whole = False  # whether a chunk has ended the answer and counted all of it

    @property
    def finished(self) -> bool:
        """Whether a finish reason came."""
        return self._finish is not None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._texts)

    def add(self, body: Any) -> list[Delta]:
        """Take in one body and return what it adds. Raises the ProviderError that it reports, or that it is."""
        if not isinstance(body, dict):
            raise MalformedResponseError(f"expected a JSON object, got {type(body).__name__}", body=body)
        if "error" in body:
            raise google_error(None, {}, body)
        self._facts(body)
        candidates = body.get("candidates")
        if not candidates:
            self._refuse_blocked(body)
            return []
        if not isinstance(candidates, list) or not all(isinstance(candidate, dict) for candidate in candidates):
            raise MalformedResponseError("candidates is not a list of objects", body=body)
        # A user may ask for several candidates, and a stream then mixes them: the first is the answer.
        first = next((candidate for candidate in candidates if not candidate.get("index")), None)
        return [] if first is None else self._candidate(first, body)

    def _facts(self, body: Mapping[str, Any]) -> None:
        self._raw = body
        model, response_id, counts = body.get("modelVersion"), body.get("responseId"), body.get("usageMetadata")
        if isinstance(model, str):
            self._model = model
        if isinstance(response_id, str):
            self._response_id = response_id
        if isinstance(counts, dict):
            self._counts.update(counts)  # cumulative: the last word on each count holds

    def _refuse_blocked(self, body: Mapping[str, Any]) -> None:
        feedback = body.get("promptFeedback")
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        if reason is None or self._finish is not None:
            return
        words = feedback.get("blockReasonMessage") if isinstance(feedback, dict) else None
        message = f"the prompt was blocked: {words or reason}"
        error = ContentFilterError(message, code=str(reason), request_id=self._response_id, body=body)
        error.partial = self.text
        raise error

    def _candidate(self, candidate: Mapping[str, Any], body: Mapping[str, Any]) -> list[Delta]:
        content = candidate.get("content") or {}
        parts = (content.get("parts") or []) if isinstance(content, dict) else None
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise MalformedResponseError("candidates[0].content.parts is not a list of objects", body=body)
        deltas: list[Delta] = []
        for part in parts:
            delta = self._part(part, body)
            if delta is not None:
                deltas.append(delta)
        finish, logprobs = candidate.get("finishReason"), candidate.get("logprobsResult")
        if isinstance(finish, str):
            self._finish = finish
            message = candidate.get("finishMessage")
            self._finish_message = message if isinstance(message, str) else None
            counts = body.get("usageMetadata")
            self.whole = isinstance(counts, dict) and "promptTokenCount" in counts and self._response_id is not None
        if logprobs is not None:
            self._logprobs = logprobs
        return deltas

    def _part(self, part: dict[str, Any], body: Mapping[str, Any]) -> Delta | None:
        self._keep(part)
        text = part.get("text")
        if isinstance(text, str):
            if not text:
                return None
            if part.get("thought"):
                self._thoughts.append(text)
                return Reasoning(text)
            self._texts.append(text)
            return Text(text)
        if "functionCall" in part:
            return self._call(part["functionCall"], body)
        return None

    def _keep(self, part: dict[str, Any]) -> None:
        """Keep the part as it came; the plain text of a stream's many chunks becomes one part."""
        text = part.get("text")
        if not isinstance(text, str) or not part.keys() <= _PLAIN_KEYS:
            self._kept()
            self._parts.append(part)
        elif not text:
            return  # it says nothing, and Vertex refuses to have it back
        elif self._run and self._run_thought == part.get("thought"):
            self._run.append(text)
        else:
            self._kept()
            self._run, self._run_thought = [text], part.get("thought")

    def _kept(self) -> list[dict[str, Any]]:
        """Return the parts so far, the open run of plain text closed."""
        if self._run:
            thought = {} if self._run_thought is None else {"thought": self._run_thought}
            self._parts.append({"text": "".join(self._run), **thought})
            self._run = []
        return self._parts

    def _call(self, call: Any, body: Mapping[str, Any]) -> ToolCallDelta:
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(name, str) or not name:
            raise MalformedResponseError("a functionCall has no name", body=body)
        arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
        given, index = call.get("id"), len(self._calls)
        call_id = given if isinstance(given, str) and given else self._new_id(index, name, arguments)
        self._calls.append(ToolCall(call_id, name, arguments))
        return ToolCallDelta(index, call_id, name, arguments)

    def _new_id(self, index: int, name: str, arguments: str) -> str:
        """Make an id for a call that has none: the same each time this answer is read, as replays and caches need."""
        seed = f"{self._response_id}\n{index}\n{name}\n{arguments}".encode("utf-8", "surrogatepass")
        return "call_" + hashlib.sha256(seed).hexdigest()[:20]

    def usage(self) -> Usage | None:
        """Return what the provider reported so far, None if nothing."""
        return usage_from(self._counts)

    def completion(self) -> Completion:
        """Return the whole answer. Raises when it is none: empty, malformed by its own word, or without an end."""
        finish = self._finish
        if finish is None:
            raise MalformedResponseError("the answer has no candidate with a finishReason", body=self._raw)
        failed = _FAILED.get(finish)
        if failed is not None:
            message = f"the model's answer is unusable: {self._finish_message or finish}"
            raise failed(message, code=finish, request_id=self._response_id, body=self._raw)
        reason = _FINISH.get(finish, "other")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        if reason not in ("length", "content_filter") and not self._visible():
            raise MalformedResponseError(
                f"an empty answer (finishReason {finish})",
                code=finish,
                request_id=self._response_id,
                body=self._raw,
            )
        return Completion(
            message=Message("assistant", self.text, tuple(self._calls), private=self._private()),
            finish_reason=reason,
            provider_finish_reason=finish,
            model=self._model,
            usage=self.usage(),
            reasoning="".join(self._thoughts) or None,
            logprobs=self._logprobs,
            request_id=self._response_id,
            raw=self._raw,
        )

    def _visible(self) -> bool:
        return bool(self._texts or self._calls or self._thoughts) or any(
            part.keys() - _NEUTRAL_KEYS - {"thoughtSignature"} for part in self._parts
        )

    def _private(self) -> tuple[Private, ...]:
        """Keep the turn verbatim when a part of it holds what the neutral form cannot: a signature, code, a file."""
        kept = self._kept()
        if not any(part.keys() - _NEUTRAL_KEYS for part in kept):
            return ()
        # Thoughts without a signature mean nothing to the model and would be paid for as input.
        parts = [part for part in kept if not part.get("thought") or "thoughtSignature" in part]
        return (Private(self._origin, {"role": "model", "parts": parts}),)


class GoogleDecoder:
    """Decodes `streamGenerateContent`, as server-sent events or (without `alt=sse`) as one JSON array.

    The protocol has no terminal event: the stream ends with the chunk that has the finish reason and the final usage.
    Old versions of the API, known by the lack of a responseId, wrote a finish reason into every chunk; there only the
    end of the stream is the end.
    """

    def __init__(self, origin: str) -> None:
        self.ended = False
        self._broken: LLMRouterError | None = None
        self._turn = Turn(origin)
        self._events: EventStream | None = None
        self._array: _JsonArray | None = None
        self._head = b""
        self._unread = b""  # bytes since the last event: where an error that is no event can be found

    def feed(self, chunk: bytes) -> Sequence[Delta]:
        """Take in bytes, cut anywhere. Raises the error inside a 200, and MalformedResponseError for garbage."""
        if self._events is None and self._array is None:
            self._head += chunk
            start = self._head.removeprefix(b"\xef\xbb\xbf").lstrip()
            if not start:
                return ()
            if start[:1] in (b"[", b"{"):
                self._array = _JsonArray()
            else:
                self._events = EventStream()
            chunk, self._head = self._head, b""
        deltas: list[Delta] = []
        try:
            for body in self._bodies(chunk):
                deltas.extend(self._turn.add(body))
        except LLMRouterError as error:
            if not deltas:
                raise
            self._broken = error  # what came before it is handed on first; `finish` raises it
        array_ended = self._array is not None and self._array.ended
        self.ended = self._turn.whole or array_ended or self._broken is not None
        return deltas

    def _bodies(self, chunk: bytes) -> Iterable[Any]:
        if self._array is not None:
            return self._array.feed(chunk)
        assert self._events is not None  # noqa: S101 - `feed` has just chosen one of the two
        events = self._events.feed(chunk)
        self._unread = chunk if events else self._unread + chunk
        return (_json(event.data) for event in events if event.data != "[DONE]")

    def _take(self, bodies: Sequence[Any]) -> list[Delta]:
        return [delta for body in bodies for delta in self._turn.add(body)]

    def finish(self) -> Completion:
        """Return the whole answer. Raises StreamInterruptedError when no finish reason ever came."""
        if self._broken is not None:
            raise self._broken
        if self._events is not None and not self.ended:  # after the end, half an event may have come along
            self._take([_json(event.data) for event in self._events.flush() if event.data != "[DONE]"])
        self.ended = True
        if self._turn.finished:
            return self._turn.completion()
        self._raise_unread()
        error = StreamInterruptedError("the stream ended without a finishReason")
        error.partial = self._turn.text
        raise error

    def _raise_unread(self) -> None:
        """Raise the error that Google wrote into the event stream as bare JSON, or name a body that is no stream."""
        rest = self._unread.decode("utf-8", "replace").strip()
        _, at, report = f"\n{rest}".partition("\n{")  # no line of an event begins so
        try:
            body = json.loads("{" + report) if at else None
        except (ValueError, RecursionError):
            body = None
        if isinstance(body, dict) and "error" in body:
            raise google_error(None, {}, body)
        if self._events is not None:
            refuse_foreign(self._events)

    def usage_so_far(self) -> Usage | None:
        """Return what was reported until now."""
        return self._turn.usage()


def _json(data: str) -> Any:
    try:
        return shape.parse(data)
    except (ValueError, RecursionError):
        raise MalformedResponseError(f"a stream event is not JSON: {excerpt(data, 80)!r}", body=excerpt(data)) from None


class _JsonArray:
    """Splits one JSON array (or one lone object), arriving in pieces, into its elements."""

    def __init__(self) -> None:
        self.ended = False
        self._text = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._decoder = json.JSONDecoder()

    def feed(self, chunk: bytes) -> list[Any]:
        self._rest += self._text.decode(chunk)
        found: list[Any] = []
        while not self.ended:
            self._rest = self._rest.lstrip("[, \t\r\n")
            if self._rest.startswith("]"):
                self.ended = True
            elif not self._rest or (self._rest.startswith("{") and "}" not in self._rest):
                break
            else:
                try:
                    element, end = self._decoder.raw_decode(self._rest)
                except (ValueError, RecursionError):
                    if self._rest[0] != "{":
                        message = f"the stream is not a JSON array: {excerpt(self._rest, 80)!r}"
                        raise MalformedResponseError(message) from None
                    break  # an object that is not yet whole
                found.append(element)
                self._rest = self._rest[end:]
        return found
