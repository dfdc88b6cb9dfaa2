"""Blocking sockets: what is sent when."""

from __future__ import annotations

from typing import Any

import httpcore2
import pytest

from llmrouter.providers import bounds


class Wire(httpcore2.NetworkStream):
    """Notes what is sent, and answers with nothing."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the seam's signature
        self.sent.append(buffer)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return b""

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002
        return None


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def stream(wire: Wire) -> httpcore2.NetworkStream:
    return bounds._BoundedStream(wire)


def test_a_head_and_its_body_are_sent_together(wire: Wire, stream: httpcore2.NetworkStream) -> None:
    for written in (b"head", b"body", b""):
        stream.write(written)
    assert wire.sent == [b"headbody"]


def test_reading_sends_what_was_held_back(wire: Wire, stream: httpcore2.NetworkStream) -> None:
    stream.write(b"head")
    stream.read(1)
    assert wire.sent == [b"head"]


def test_a_large_body_goes_out_in_slices(wire: Wire, stream: httpcore2.NetworkStream) -> None:
    body = bytes(bounds._WRITE_SLICE * 2)
    stream.write(b"head")
    stream.write(body)
    assert b"".join(wire.sent) == b"head" + body
    assert len(wire.sent) == 3
