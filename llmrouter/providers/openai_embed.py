"""OpenAI's embeddings: one batch of texts to a body, and the answer to vectors in the order asked."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from llmrouter import shape
from llmrouter.errors import MalformedResponseError
from llmrouter.providers.base import WireReply
from llmrouter.providers.openai_dialect import Dialect
from llmrouter.providers.openai_errors import failure
from llmrouter.types import Usage


def encode_embed(dialect: Dialect, model: str, texts: Sequence[str], dimensions: int | None) -> dict[str, Any]:
    """Return the wire body of one batch; base64 is asked for where the server knows it: a third of the bytes."""
    body: dict[str, Any] = {"model": model, "input": list(texts)}
    body["encoding_format"] = "base64" if dialect.embed_base64 else "float"
    if dimensions is not None:
        body[dialect.dimensions] = dimensions
    return body


def decode_embed(reply: WireReply) -> tuple[list[list[float]], Usage]:
    """Read one batch. Raises MalformedResponseError, or the error that a 200 body reports."""
    body = shape.mapping(reply.body)
    rows = body.get("data")
    if not isinstance(rows, list):
        if body.get("error"):
            raise failure(None, reply.headers, reply.body)
        raise MalformedResponseError("the embeddings answer has no `data`", body=reply.body)
    vectors: dict[int, list[float]] = {}
    for place, row in enumerate(rows):
        fields = shape.mapping(row)
        index = fields.get("index")
        vectors[index if isinstance(index, int) else place] = _vector(fields.get("embedding"))
    if sorted(vectors) != list(range(len(rows))):
        raise MalformedResponseError("the embeddings answer does not number its vectors from 0", body=reply.body)
    tokens = shape.mapping(body.get("usage"))
    used = shape.count(tokens.get("prompt_tokens")) or shape.count(tokens.get("total_tokens"))
    return [vectors[index] for index in range(len(rows))], Usage(uncached_tokens=used)


def _vector(value: Any) -> list[float]:
    """Read one vector: a list of numbers, or base64 of little-endian 32-bit floats."""
    if isinstance(value, list) and value and all(type(number) in (float, int) for number in value):
        return list(map(float, value))
    if isinstance(value, str) and value:
        floats = array("f")
        try:
            floats.frombytes(base64.b64decode(value, validate=True))
        except ValueError:
            raise MalformedResponseError("an embedding is neither numbers nor base64 of 32-bit floats") from None
        if sys.byteorder == "big":
            floats.byteswap()
        return floats.tolist()
    raise MalformedResponseError("an embedding is missing or is no vector")
