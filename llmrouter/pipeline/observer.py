"""What the corridor tells the outside: each call once, when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from llmrouter.frozen import quickly_made
from llmrouter.pipeline.call import Call
from llmrouter.types import Attempt, Response

Operation: TypeAlias = Literal["chat", "embeddings"]


@quickly_made
@dataclass(frozen=True, slots=True)
class Ended:
    """A call that is over.

    `outcome` is ok, cached, stale, failed, cancelled (its task was, or Ctrl-C came) or abandoned (its reader left the
    stream). `response` is None unless there is an answer (of embeddings it has no content), `error` None unless it
    failed. `seconds` is the whole call.
    """

    call: Call
    outcome: str
    attempts: Sequence[Attempt]
    seconds: float
    response: Response[Any] | None = None
    error: BaseException | None = None
    operation: Operation = "chat"


class Observer(Protocol):
    """Somebody who is told of every call: the log, the ledger, metrics. Must be quick and may not raise."""

    def ended(self, end: Ended) -> None:
        """Take note of a call that is over."""
        ...


class Recorder(Protocol):
    """Somebody who is told of every attempt as soon as it is over: the ledger. Must be quick and may not raise."""

    def record(self, call: Call, call_id: str, first: int, attempts: Sequence[Attempt]) -> None:
        """Take down attempts that are over: those of one call from its number `first` (0: the first one) on.

        `call_id` tells calls apart, in all processes. A call may come several times, never with the same attempt.
        """
        ...


def outcome_of(response: Response[Any]) -> str:
    """Return the outcome of a call that has its answer."""
    return "stale" if response.stale else "cached" if response.cached else "ok"
