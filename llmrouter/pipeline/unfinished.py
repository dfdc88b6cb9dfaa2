"""What an attempt without an answer costs.

A provider bills what it processed, and says how much at the end of an answer. Where that end never came there are three
cases. What it reported until then counts as it is. A request that it refused, or never had, cost nothing. And a request
that it was at work on is counted by us and flagged as an estimate: the prompt, and as much of the answer as arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from llmrouter.errors import (
    APIConnectionError,
    LLMRouterError,
    MalformedResponseError,
    RequestTimeoutError,
    StreamInterruptedError,
)
from llmrouter.pipeline.chain import Walk
from llmrouter.pipeline.guard import Admission, Result
from llmrouter.pipeline.plan import RungPlan
from llmrouter.pipeline.playback import UnsentError
from llmrouter.pipeline.rung import Ready
from llmrouter.pipeline.settle import Books
from llmrouter.providers.base import WireReply
from llmrouter.types import Attempt, Usage


def outcome_of_error(error: BaseException) -> Literal["failed", "cancelled"]:
    """Return `cancelled` where nobody waits any more: a task was cancelled, a race lost, or Ctrl-C came."""
    return "failed" if isinstance(error, (Exception, UnsentError)) else "cancelled"


@dataclass(slots=True)
class Sent:
    """A request on its way. `answering`: the provider has accepted it, and its answer has begun."""

    walk: Walk[Any]
    ready: Ready
    admission: Admission
    started: float
    answering: bool = False

    def over(
        self, books: Books, outcome: str, error: BaseException | None, usage: Usage | None = None, text: str = ""
    ) -> None:
        """Price and record it without its answer; `usage` is what was reported of it, `text` what arrived."""
        usage = usage or books.estimated(self.ready, text)
        cost_nano = books.charge(self.ready.rung, usage)
        self.admission.settle(Result(error, usage, cost_nano))
        seconds, target = time.monotonic() - self.started, self.ready.rung.target
        self.walk.add(Attempt(target, outcome, error, seconds=seconds, usage=usage, cost_nano=cost_nano))

    def failed(self, books: Books, error: BaseException, usage: Usage | None = None) -> None:
        """Price and record it where it may be billed; of all others the walk takes note itself."""
        if self._may_be_billed(error):
            self.over(books, outcome_of_error(error), error, usage)

    def _may_be_billed(self, error: BaseException) -> bool:
        if isinstance(error, RequestTimeoutError):
            return error.status is None and error.limit != "connect"
        if isinstance(error, MalformedResponseError):
            return error.status is None  # with one it is a redirect, which nobody followed
        if isinstance(error, APIConnectionError):
            return self.answering or error.answer_begun  # else it was refused, or lost before anybody took it up
        if isinstance(error, LLMRouterError):
            return isinstance(error, StreamInterruptedError)  # all others are the provider's own refusals
        return outcome_of_error(error) == "cancelled"


def reported(rung: RungPlan, reply: WireReply | None) -> Usage | None:
    """Return the usage in an answer that could not be read; None when there is none."""
    usage_of: Callable[[WireReply], Usage | None] | None = getattr(rung.provider.codec, "usage", None)
    if reply is None or usage_of is None:
        return None
    try:
        return usage_of(reply)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # as `read` has them
        return None
