"""What the fault server answers: a well-formed reply, and the verbs that spoil it.

A `Reply` is a plain value; each verb returns a changed copy, so that faults compose:
`sse(chunks).delayed(0.1).cut_after(3)`.
All times are in seconds.
"""

from __future__ import annotations

import gzip
import json as jsonlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

SPENT_STATUS = 418  # a request beyond the script: a client error, so that nobody retries it quietly


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer and how the connection fares meanwhile.

    `pieces` are the body: HTTP chunks when `chunked`, else sent behind one content-length. The connection is kept
    alive after a whole answer unless `ending` says close (FIN) or reset (RST).
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] = ()
    chunked: bool = False
    silent_for: float = 0.0  # before the first byte of the answer
    answers: bool = True  # False: no byte is ever sent
    head_interval: float = 0.0  # between the single bytes of the head
    delay: float = 0.0  # before each piece
    stall: tuple[int, float] | None = None  # (after so many pieces, for so long)
    cut: int | None = None  # end the connection after so many pieces
    cut_bytes: int | None = None  # end the connection after so many bytes of the body
    last_chunk: bool = True  # send the empty chunk that ends a chunked body
    ending: Literal["keep", "close", "reset"] = "keep"

    def after(self, seconds: float) -> Reply:
        """Say nothing for `seconds`, then answer."""
        return replace(self, silent_for=seconds)

    def delayed(self, seconds: float) -> Reply:
        """Wait `seconds` before each piece of the body."""
        return replace(self, delay=seconds)

    def stalled(self, after: int, seconds: float) -> Reply:
        """Fall silent for `seconds` once `after` pieces are out, then go on."""
        return replace(self, stall=(after, seconds))

    def cut_after(self, pieces: int) -> Reply:
        """Close in the middle of the body, once `pieces` pieces are out."""
        return replace(self, cut=pieces, ending="close")

    def reset_after(self, pieces: int) -> Reply:
        """Reset the connection in the middle of the body, once `pieces` pieces are out."""
        return replace(self, cut=pieces, ending="reset")

    def cut_after_bytes(self, size: int) -> Reply:
        """Close once `size` bytes of the body are out, in the middle of a piece if need be."""
        return replace(self, cut_bytes=size, ending="close")

    def without_last_chunk(self) -> Reply:
        """Send every piece, but close instead of sending the empty chunk that ends the body."""
        return replace(self, last_chunk=False, ending="close")

    def closing(self) -> Reply:
        """Answer properly, then close the connection without having announced it."""
        return replace(self, ending="close")

    def slow_head(self, interval: float) -> Reply:
        """Send status line and headers one byte per `interval`."""
        return replace(self, head_interval=interval)

    def trickled(self, interval: float = 1.0) -> Reply:
        """Send the body one byte per `interval`; the length announced stays that of the whole body."""
        body = b"".join(self.pieces)
        return replace(self, pieces=[body[i : i + 1] for i in range(len(body))], delay=interval)

    def with_headers(self, **headers: str) -> Reply:
        """Add headers; underscores in the names become dashes."""
        return replace(self, headers={**self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}})


# ------------------------------------------------------------------------------------------------ well-formed


def json_reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer with `body` as JSON."""
    return raw_reply(jsonlib.dumps(body).encode(), "application/json", status, headers)


def raw_reply(
    body: bytes, content_type: str = "text/plain", status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    """Answer with these bytes."""
    return Reply(status, {"content-type": content_type, **(headers or {})}, (body,))


def sse(chunks: Iterable[bytes], headers: Mapping[str, str] | None = None) -> Reply:
    """Stream `chunks`, each a whole event or any part of one, each as one HTTP chunk."""
    return Reply(200, {"content-type": "text/event-stream; charset=utf-8", **(headers or {})}, chunks, chunked=True)


# ------------------------------------------------------------------------------------------------ spoilt


def reset_before_headers() -> Reply:
    """Take the request, then reset the connection."""
    return Reply(answers=False, ending="reset")


def close_before_headers() -> Reply:
    """Take the request, then close the connection."""
    return Reply(answers=False, ending="close")


def silence(seconds: float) -> Reply:
    """Take the request, say nothing for `seconds`, then close."""
    return Reply(answers=False, silent_for=seconds, ending="close")


def html(status: int = 200) -> Reply:
    """An HTML page, such as a proxy or a captive portal puts in the way."""
    return raw_reply(b"<!doctype html><title>Welcome</title><p>Please sign in.", "text/html; charset=utf-8", status)


def redirect(location: str, status: int = 307) -> Reply:
    """Send the client elsewhere."""
    return raw_reply(b"", status=status, headers={"location": location})


def broken_gzip(body: Any) -> Reply:
    """JSON announced as gzip and damaged on the way."""
    packed = bytearray(gzip.compress(jsonlib.dumps(body).encode()))
    packed[len(packed) // 2] ^= 0xFF
    return raw_reply(bytes(packed[:-4]), "application/json", headers={"content-encoding": "gzip"})


def gzipped(chunks: Sequence[bytes], headers: Mapping[str, str], *, damaged_at: int) -> Reply:
    """A stream that is packed chunk by chunk, one of them damaged on the way."""
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(chunk) + packer.flush(zlib.Z_SYNC_FLUSH) for chunk in chunks]
    packed[damaged_at] = bytes(len(packed[damaged_at]))
    return sse([*packed, packer.flush()], {**headers, "content-encoding": "gzip"})


def broken_json() -> Reply:
    """JSON that stops in the middle, complete as far as HTTP knows."""
    return raw_reply(b'{"id": "half an answer", "choi', "application/json")


def invalid_utf8(body: Any) -> Reply:
    """JSON whose first string value begins with a byte that UTF-8 does not have."""
    return raw_reply(jsonlib.dumps(body).encode().replace(b': "', b': "\xff', 1), "application/json")


def empty(status: int = 200) -> Reply:
    """No body at all."""
    return raw_reply(b"", "application/json", status)


def spoiled(chunks: Sequence[bytes], at: int, event: bytes = b"data: {not json\n\n") -> list[bytes]:
    """Put a garbage event before chunk `at` of a stream."""
    return [*chunks[:at], event, *chunks[at:]]


def recut(chunks: Iterable[bytes], size: int) -> list[bytes]:
    """Cut a stream anew, every `size` bytes, whatever falls apart: lines, events, characters."""
    whole = b"".join(chunks)
    return [whole[i : i + size] for i in range(0, len(whole), size)]


def spent() -> Reply:
    """What a request beyond the end of the script is told."""
    message = "the fault server's script is spent: nobody expected this request"
    return json_reply({"error": {"message": message}}, SPENT_STATUS)
