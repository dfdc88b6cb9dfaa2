"""Blocking sockets: what is sent when, and what another thread can cut short."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpcore2
import pytest

from llmrouter.providers import bounds
from llmrouter.providers.thread_bound import Interrupt, bound


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


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port whose connections the system accepts, and from which nobody ever reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def interrupted(work: Callable[[], object]) -> tuple[float, BaseException | None]:
    """Do `work` in a thread that is interrupted after a moment; return the seconds it went on, and its error."""
    interrupt, ended = Interrupt(), list[BaseException]()

    def run() -> None:
        bound.interrupt = interrupt
        try:
            work()
        except Exception as error:  # noqa: BLE001 - looked at below
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)
    asked = time.monotonic()
    interrupt.ask()
    thread.join(10)
    return time.monotonic() - asked, ended[0] if ended else None


def test_a_write_that_nobody_reads_can_be_interrupted(deaf: int) -> None:
    stream = bounds.BoundedBackend().connect_tcp("127.0.0.1", deaf)
    seconds, error = interrupted(lambda: stream.write(bytes(64 * 2**20), timeout=10))
    stream.close()
    assert isinstance(error, httpcore2.WriteError)
    assert seconds < 5


def test_a_connection_that_comes_after_the_interruption_is_closed() -> None:
    opened = threading.Event()

    class Slow(Wire):
        def close(self) -> None:
            opened.set()

    def work() -> Wire:
        time.sleep(0.4)
        return Slow()

    seconds, error = interrupted(lambda: bounds._opened(work, 10))
    assert isinstance(error, httpcore2.ConnectError)
    assert seconds < 5
    assert opened.wait(5)
