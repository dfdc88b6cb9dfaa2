"""vcrpy's cassette, made safe for threads, with our rule of what matches and our error for what is missing."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from vcr.cassette import Cassette as VcrCassette  # type: ignore[import-untyped]  # vcrpy has no types
from vcr.persisters.filesystem import CassetteNotFoundError  # type: ignore[import-untyped]
from vcr.record_mode import RecordMode  # type: ignore[import-untyped]
from vcr.request import Request  # type: ignore[import-untyped]

from llmrouter.cassettes.fault import Fault
from llmrouter.cassettes.matching import CassetteMissError, Sent, miss
from llmrouter.cassettes.scrub import Scrubber
from llmrouter.pipeline.playback import Asked, asked
from llmrouter.types import EMPTY

Piece: TypeAlias = tuple[float, bytes]  # a piece of a body, and the seconds since the one before it
carrying: Final[ContextVar[bool]] = ContextVar("llmrouter_carrying", default=False)  # a request is already ours
# Where tokens come from: a replay needs none, and they are not for a file.
_SIGN_IN: Final = frozenset(
    ("oauth2.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com", "metadata.google.internal",
     "169.254.169.254", "login.microsoftonline.com", "sts.amazonaws.com")
)  # fmt: skip
_STREAMS: Final = ("text/event-stream", "application/vnd.amazon.eventstream", "application/x-ndjson")
_LINES: Final = ("text/", "application/x-ndjson", "application/json")  # elsewhere \r\n is two bytes like any other
_LINE_END: Final = (re.compile("\r\n"), "\n")  # YAML can show lines that end like this
Taken: TypeAlias = tuple[float, list[Piece], str | None]  # seconds to the first byte, pieces, the failure in the end

_saving: Final = threading.Lock()  # a file is read and written again


class Tape(VcrCassette):  # type: ignore[misc]  # vcrpy has no types
    """What is on one cassette while it is in use. `misses` are the requests that were not on it."""

    dirty: bool  # something was recorded that is not in the file

    def __init__(
        self, *, scrubber: Scrubber, rerecord: str, ignore_hosts: Collection[str], fault: Fault | None, **options: Any
    ) -> None:
        super().__init__(
            **options,
            match_on=(same,),
            before_record_request=self._scrubbed_request,
            before_record_response=self._scrubbed_response,
        )
        self._lock = threading.RLock()
        self._scrubber, self._rerecord, self._ignore_hosts = scrubber, rerecord, frozenset(ignore_hosts)
        self._touched: set[int] = set()  # recordings that a fault was played from
        self._fault: Fault | None = None
        self._hits_left: int | None = 0
        self.misses: list[CassetteMissError] = []
        self.unfinished: set[Any] = set()  # recordings whose answer is still being read
        if fault is not None:
            self.spoil(fault)

    # -------------------------------------------------------------------------------------- replay

    def spoil(self, fault: Fault) -> None:
        """Fail the next requests in this way."""
        with self._lock:
            self._fault, self._hits_left = fault, fault.times

    def take(self, request: Any) -> tuple[dict[str, Any] | None, Fault | None]:
        """Return the recorded response to `request`, None where it is to be sent; and the fault that hits it.

        Raises CassetteMissError where nothing may be sent.
        """
        with self._lock:
            fault = self._hit() if self.replays else None
            if fault is None:
                return (self.play_response(request) if self.can_play_response_for(request) else None), None
            if fault.status is not None:
                return fault.answer(), fault
            if not self.can_play_response_for(request):
                return None, None
            index, response = next((at, each) for at, each in self._responses(request) if not self.play_counts[at])
            self._touched.add(index)
            return response, fault

    def _hit(self) -> Fault | None:
        """Return the fault that hits the present request, if one does."""
        fault = self._fault
        if fault is None or self._hits_left == 0:
            return None
        whose = asked.get()
        if fault.target is not None and (whose is None or whose.target != fault.target):
            return None
        if self._hits_left is not None:
            self._hits_left -= 1
        return fault

    def can_play_response_for(self, request: Any) -> bool:
        """Return whether the request is answered from here. Raises CassetteMissError where nothing may be sent."""
        with self._lock:
            playable = bool(super().can_play_response_for(request))
            if not playable and self.replays and not self._ignored(request):
                raise self._missed(request)
            return playable

    def play_response(self, request: Any) -> dict[str, Any]:
        """Return the next recorded response to `request`."""
        with self._lock:
            response: dict[str, Any] = super().play_response(request)
            return response

    @property
    def replays(self) -> bool:
        """Whether nothing may be sent: everything is on the cassette or an error."""
        return bool(self.write_protected)

    @property
    def unused(self) -> list[Sent]:
        """The recorded requests that nobody made, in the order of the file."""
        played = {index for index, times in self.play_counts.items() if times} | self._touched
        return [_sent(*self.data[index]) for index in range(self._loaded_count) if index not in played]

    @property
    def recorded(self) -> int:
        """How many exchanges were recorded now."""
        return len(self.data) - int(self._loaded_count)

    def _missed(self, request: Any) -> CassetteMissError:
        scrubbed = self._scrubbed_request(request)
        sent = Sent(scrubbed.method, scrubbed.uri, _bytes(scrubbed), asked.get())
        error = miss(sent, [_sent(*pair) for pair in self.data], str(self._path), self._rerecord)
        self.misses.append(error)
        return error

    # -------------------------------------------------------------------------------------- recording

    def append(self, request: Any, response: dict[str, Any]) -> None:
        """Add an exchange, scrubbed."""
        with self._lock:
            super().append(request, response)

    def finish(self) -> None:
        """Put on the tape what was received of the answers that are still being read, and write the file.

        Raises OSError where it cannot be written.
        """
        for recording in list(self.unfinished):
            recording.end()
        if not self.dirty:
            return
        recorded = self.data[self._loaded_count :]
        with _saving:
            pairs = [*self._kept([request for request, _ in recorded]), *recorded]
            requests, responses = zip(*pairs, strict=True)
            self._persister.save_cassette(self._path, {"requests": requests, "responses": responses})
        self.dirty = False

    def _kept(self, recorded: list[Any]) -> list[tuple[Any, dict[str, Any]]]:
        """Return what stays of the file as it is by now: another use of it may have recorded in between."""
        if self.drop_unused_requests:
            return []
        try:
            pairs = list(zip(*self._persister.load_cassette(self._path), strict=True))
        except CassetteNotFoundError:
            return []
        if self.record_mode != RecordMode.ALL:
            return pairs
        return [pair for pair in pairs if not any(_sent(pair[0]).matches(_sent(each)) for each in recorded)]

    def _save(self, force: bool = False) -> None:
        """Leave it to `finish`: where this fails, vcrpy's patches would stay behind."""

    def _ignored(self, request: Any) -> bool:
        host = urlsplit(request.uri).hostname
        if host in _SIGN_IN and not self.replays:
            return True
        # What is on its way through httpx comes by a second time where aiohttp does the carrying underneath.
        return carrying.get() or host in self._ignore_hosts

    def _scrubbed_request(self, request: Any) -> Any:
        if self._ignored(request):
            return None  # vcrpy's word for: not on the cassette, and sent as always
        if not self.replays:  # what is asked in a replay carries stand-ins, which are words like any other
            self._scrubber.learn_url(request.uri)
            self._scrubber.learn_headers(_pairs(request.headers))
        scrub = self._scrubber
        return Request(
            request.method, scrub.url(request.uri), scrub.body(_bytes(request)), scrub.headers(_pairs(request.headers))
        )

    def _scrubbed_response(self, response: dict[str, Any]) -> dict[str, Any]:
        self._scrubber.learn_headers(_pairs(response["headers"]))
        headers = self._scrubber.headers(_pairs(response["headers"]))
        taken: Taken | None = response.pop("taken", None)
        body = (response.get("body") or {}).get("string") or b""
        pieces = [content for _, content in taken[1]] if taken else [body if isinstance(body, bytes) else body.encode()]
        kind = headers.get("content-type", [""])[0]
        written = self._scrubber.pieces(pieces, *([_LINE_END] if kind.startswith(_LINES) else []))
        found = {**response, "headers": headers, "body": {"string": b"".join(written)}}
        if taken is not None:
            found["timing"] = _timing(written if kind.startswith(_STREAMS) else [], *taken)
        return found


def _timing(written: list[bytes], first_s: float, pieces: list[Piece], broken: str | None) -> dict[str, Any]:
    """Return what is kept of an answer's course; `written` is a stream as it is kept, piece by piece."""
    timing: dict[str, Any] = {"first_ms": round(first_s * 1000)}
    if any(written):
        timing["sizes"] = [len(piece) for piece in written]
        timing["delays_ms"] = [round(delay * 1000) for delay, _ in pieces]
    return timing if broken is None else {**timing, "broken": broken}


def same(asked_now: Any, recorded: Any) -> None:
    """Raise AssertionError, as vcrpy's matchers do, for two requests that are not the same."""
    if not _sent(recorded).matches(_sent(asked_now)):
        raise AssertionError("another request")


def _sent(request: Any, response: Mapping[str, Any] = EMPTY) -> Sent:
    """Return a request as it is compared and told to people; its recorded response says whose it was."""
    whose = Asked(response["route"], response.get("target", ""), ()) if response.get("route") else None
    return Sent(request.method, request.uri, _bytes(request), whose)


def _bytes(request: Any) -> bytes:
    body = request.body_bytes
    if isinstance(body, bytes):
        return body
    return b"" if body is None else str(body).encode()


def _pairs(headers: Any) -> list[tuple[str, str]]:
    """Return headers name by value; vcrpy knows them as values, and as lists of values."""
    found: list[tuple[str, str]] = []
    for name, values in headers.items():
        for value in [values] if isinstance(values, str | bytes) else values:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            found.append((name.decode("latin-1") if isinstance(name, bytes) else name, text))
    return found
