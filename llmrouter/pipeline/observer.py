"""What the corridor tells the outside: of each call its end, and of each attempt its beginning and its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from llmrouter.frozen import quickly_made
from llmrouter.pipeline.call import Call
from llmrouter.types import Attempt, Response, Usage

Operation: TypeAlias = Literal["chat", "embeddings"]
Key: TypeAlias = tuple[str, int]


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


@quickly_made
@dataclass(frozen=True, slots=True)
class UnderWay:
    """A request that has just gone out.

    `key` is the id of its call, which tells calls apart in all processes, and the number of the request, from 0; the
    attempts of a call are numbered as they end, which is another order. `since` is on the monotonic clock. `usage`
    estimates what it costs at least; it may be called later, by any thread.
    """

    key: Key
    call: Call
    target: str
    since: float
    usage: Callable[[], Usage]


class Recorder(Protocol):
    """Somebody who is told of every attempt, when it begins and when it is over: the ledger.

    Must be quick and may not raise.
    """

    def sent(self, under_way: UnderWay) -> None:
        """Take note of a request, in case that its end never comes: the process may be killed."""
        ...

    def record(self, call: Call, call_id: str, first: int, attempts: Sequence[Attempt], over: Sequence[Key]) -> None:
        """Take down attempts that are over: those of one call from its number `first` (0: the first one) on.

        `over` are the requests that have ended with them. A call may come several times, never with the same attempt.
        """
        ...


def outcome_of(response: Response[Any]) -> str:
    """Return the outcome of a call that has its answer."""
    return "stale" if response.stale else "cached" if response.cached else "ok"
