"""Faults that a replay can be given, to see what the code does when a provider fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmrouter.errors import InvalidRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail; exactly one of the first three is given.

    `cut_after`: the connection breaks after so many events of the stream (0: before the first). `stall_after`: after
    so many events nothing comes any more, until the caller's limit; an instant replay does not wait for it. `status`:
    the answer is this HTTP status, with `retry_after` seconds if given. A fault hits the first `times` requests (None:
    all), of those to `target` (`provider/model`) if one is named. The recording is not used up by it, so that a retry
    finds it.
    """

    cut_after: int | None = None
    stall_after: int | None = None
    status: int | None = None
    retry_after: float | None = None
    times: int | None = 1
    target: str | None = None

    def __post_init__(self) -> None:
        """Raise InvalidRequestError for a fault that cannot be understood."""
        ways = [self.cut_after, self.stall_after, self.status]
        if sum(way is not None for way in ways) != 1:
            raise InvalidRequestError("Fault: give exactly one of cut_after, stall_after and status")
        if any(number is not None and number < 0 for number in (*ways, self.retry_after)):
            raise InvalidRequestError("Fault: cut_after, stall_after, status and retry_after are not negative")
        if self.status is not None and not 400 <= self.status <= 599:
            raise InvalidRequestError(f"Fault(status={self.status}): a failure is a status from 400 to 599")

    @property
    def events(self) -> int:
        """How many events of a stream come through."""
        return self.cut_after if self.cut_after is not None else self.stall_after or 0

    def answer(self) -> dict[str, Any]:
        """Return the recorded form of the failed response, in words that every provider's codec understands."""
        headers = {"content-type": ["application/json"]}
        if self.retry_after is not None:
            headers["retry-after"] = [f"{self.retry_after:g}"]
        error = f'{{"type": "error", "error": {{"type": "injected", "message": "Fault(status={self.status})"}}}}'
        return {"status": {"code": self.status, "message": ""}, "headers": headers, "body": {"string": error.encode()}}
