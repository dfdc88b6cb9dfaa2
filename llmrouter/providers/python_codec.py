"""The wire of the provider kind `python`: what is passed to a function, and what its return values mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmrouter.errors import MalformedResponseError, ProviderError, ServerError, StreamInterruptedError
from llmrouter.providers.base import WireReply
from llmrouter.types import Completion, Delta, Message, Params, Reasoning, Request, Text, ToolCallDelta, Usage

MODEL_HEADER: Final = "model"  # the header that tells the codec which function answered
_CHARACTERS_PER_TOKEN: Final = 4


class End:
    """The terminal event of a stream: the function's iterator came to its end."""


END: Final = End()


class PythonCodec:
    """Messages and parameters to plain JSON; what the function returned to a Completion."""

    embed_batch = 2048

    def encode(self, request: Request) -> dict[str, Any]:
        """See Codec."""
        return {
            "messages": [_message(message) for message in request.messages],
            "params": _params(request.params),
        }

    def streaming(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """See Codec."""
        return dict(body)  # the function is not told; what it returns decides

    def decode(self, reply: WireReply) -> Completion:
        """See Codec."""
        return _completion(reply.body, reply.headers.get(MODEL_HEADER, ""))

    def decoder(self, headers: Mapping[str, str]) -> PythonDecoder:
        """See Codec."""
        return PythonDecoder(headers.get(MODEL_HEADER, ""))

    def error(self, status: int, headers: Mapping[str, str], body: bytes | str | Any) -> ProviderError:  # noqa: ARG002 - the seam's signature
        """See Codec."""
        return ServerError("a Python target has no HTTP errors", status=status, body=body)

    def encode_embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:  # noqa: ARG002 - the seam's signature
        """See Codec."""
        return {"texts": list(texts), "params": {} if dimensions is None else {"dimensions": dimensions}}

    def decode_embed(self, reply: WireReply) -> tuple[list[list[float]], Usage]:
        """See Codec."""
        model, texts, found = reply.headers.get(MODEL_HEADER, ""), reply.body["texts"], reply.body["vectors"]
        try:
            vectors = [[float(number) for number in vector] for vector in found]
        except (TypeError, ValueError) as error:
            raise MalformedResponseError(f"{model} returned no list of lists of numbers: {error}") from error
        if len(vectors) != len(texts):
            raise MalformedResponseError(f"{model} returned {len(vectors)} vectors for {len(texts)} texts")
        tokens = sum(math.ceil(len(text) / _CHARACTERS_PER_TOKEN) for text in texts)
        return vectors, Usage(uncached_tokens=tokens, estimated=True)


class PythonDecoder:
    """Reads the pieces that a function yields: text, at the end `END`; or one whole Completion."""

    def __init__(self, model: str) -> None:
        self.ended = False
        self._model = model
        self._pieces: list[str] = []
        self._whole: Completion | None = None

    def feed(self, chunk: Any) -> Sequence[Delta]:
        """See StreamDecoder."""
        if chunk is END:
            self.ended = True
            return ()
        if isinstance(chunk, Completion):
            self.ended, self._whole = True, chunk
            return _deltas(chunk)
        self._pieces.append(text_of(chunk, self._model))
        return (Text(chunk),) if chunk else ()

    def finish(self) -> Completion:
        """See StreamDecoder."""
        if not self.ended:
            error = StreamInterruptedError(f"the stream of {self._model} was left before its end")
            error.partial = "".join(self._pieces)
            raise error
        return self._whole or _completion("".join(self._pieces), self._model)

    def usage_so_far(self) -> Usage | None:
        """See StreamDecoder."""
        return None


def _completion(returned: object, model: str) -> Completion:
    if isinstance(returned, Completion):
        return returned
    text = text_of(returned, model)
    if not text:
        raise MalformedResponseError(f"{model} returned an empty answer")
    return Completion(Message("assistant", text), "stop", None, model)


def text_of(value: object, model: str) -> str:
    """Return `value` if it is text; raises MalformedResponseError naming what `model` returned instead."""
    if isinstance(value, str):
        return value
    raise MalformedResponseError(f"{model} returned {type(value).__name__}; expected str, Completion or pieces of str")


def _deltas(completion: Completion) -> list[Delta]:
    message = completion.message
    deltas: list[Delta] = [Reasoning(completion.reasoning)] if completion.reasoning else []
    if message.text:
        deltas.append(Text(message.text))
    deltas += [ToolCallDelta(i, call.id, call.name, call.arguments_json) for i, call in enumerate(message.tool_calls)]
    return deltas


def _message(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        wire["name"] = message.name
    return wire


def _params(params: Params) -> dict[str, Any]:
    named = {
        "temperature": params.temperature,
        "top_p": params.top_p,
        "max_tokens": params.max_tokens,
        "stop": list(params.stop) or None,
        "seed": params.seed,
        "reasoning": params.reasoning,
    }
    return {**{name: value for name, value in named.items() if value is not None}, **params.extra}
