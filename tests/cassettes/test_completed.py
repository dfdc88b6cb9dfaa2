"""What the recorder adds to the emulator's answers arrives wherever the line cuts them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.cassettes.completed import complete

EVENTS = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":2}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, body: bytes, size: int) -> None:
        self._pieces = [body[at : at + size] for at in range(0, len(body), size)]

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


def _read(path: str, asked: bytes, kind: str, pieces: _Pieces) -> bytes:
    response = httpx2.Response(200, headers={"content-type": kind}, stream=pieces)
    complete(httpx2.Request("POST", f"https://provider.example{path}", content=asked), response)
    return response.read()


@pytest.mark.parametrize("size", [1, 7, len(EVENTS)])
def test_events_are_completed_however_they_are_cut(size: int) -> None:
    body = _read("/v1/messages", b"{}", "text/event-stream", _Pieces(EVENTS, size))
    usage = b'{"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2}'
    assert body == EVENTS.replace(b'{"output_tokens":2}', usage)


@pytest.mark.parametrize("size", [1, 1000])
def test_embeddings_are_counted_by_their_characters(size: int) -> None:
    pieces = _Pieces(b'{"data":[],"usage":{"prompt_tokens":0,"total_tokens":0}}', size)
    body = _read("/v1/embeddings", b'{"input":["high tide","low"]}', "application/json", pieces)
    assert body == b'{"data":[],"usage":{"prompt_tokens":4,"total_tokens":4}}'
