"""Server-sent events: however the bytes are cut on their way, the same events come out."""

from __future__ import annotations

from hypothesis import example, given, strategies as st

from llmrouter.providers.sse import EventStream, ServerEvent

PIECES = st.sampled_from(
    [b"data: one", b"data:", b"event: x", b": ping", b"\n", b"\r\n", b"\r", b"\xef\xbb\xbf", b"\xff"]
)


def events(pieces: list[bytes]) -> list[ServerEvent]:
    """Return the events of a stream that comes in these pieces."""
    stream = EventStream()
    return [event for piece in pieces for event in stream.feed(piece)] + stream.flush()


@given(st.lists(PIECES, max_size=12).map(b"".join), st.integers(1, 7))
@example(b"data: one\r\rdata: two\r\n\r\n", 1)
@example(b"\xef\xbb\xbfdata: one\n\n", 1)
def test_where_the_bytes_are_cut_changes_no_event(stream: bytes, size: int) -> None:
    cut = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert events(cut) == events([stream])


def test_lines_may_end_in_any_of_three_ways() -> None:
    assert events([b"data: a\r\n\r\ndata: b\n\ndata: c\r\r"]) == [("message", "a"), ("message", "b"), ("message", "c")]


def test_the_data_of_several_lines_is_one_event() -> None:
    assert events([b"event: x\ndata: a\ndata: b\n\n"]) == [("x", "a\nb")]


def test_an_event_of_ten_megabytes_in_small_pieces_comes_whole() -> None:
    body = b"x" * (10 * 2**20)
    [event] = events([b"data: ", *(body[start : start + 2048] for start in range(0, len(body), 2048)), b"\n\n"])
    assert len(event.data) == len(body)
