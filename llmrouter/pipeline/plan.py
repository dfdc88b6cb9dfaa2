"""What a route is compiled into: frozen, and everything that can be decided before a call is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from llmrouter.policy.breaker import Circuit
from llmrouter.policy.limits import Scope
from llmrouter.policy.outcomes import Actions
from llmrouter.policy.select import Strategy
from llmrouter.providers.base import Provider
from llmrouter.types import Params, Schema, Usage

if TYPE_CHECKING:
    from llmrouter.policy.retry import Schedule
    from llmrouter.policy.spend import SpendLimit
    from llmrouter.prices import Price


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds on one attempt: opening a connection, the complete answer, the first token of a stream, the
    silence between two pieces of it (`idle`), and the stream as a whole (`total`).

    `watched` is True where the file (or the call) sets `first_token` or `idle`: then `chat` streams underneath, so
    that those limits hold for it too.
    """

    connect: float = 5.0
    attempt: float = 60.0
    first_token: float = 20.0
    idle: float = 15.0
    total: float = 600.0
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """A route's token budget; None is no bound."""

    input: int | None = None
    output: int | None = None
    overflow: str = "drop_oldest"


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How long a route's answers are fresh, and how much longer they may stand in for an error; seconds."""

    ttl_s: float | None
    stale_if_error_s: float = 0.0


class Hedge(Protocol):
    """When to ask the next rung beside a slow one, and whether there is room for it; counts what it allows."""

    @property
    def after_s(self) -> float:
        """Seconds after which the next rung is asked too."""
        ...

    def called(self) -> None:
        """Count a call, when it starts."""
        ...

    def may_start(self) -> bool:
        """Count a hedge if there is room for one more; return whether there is."""
        ...


@dataclass(frozen=True, slots=True)
class RungPlan:
    """One place in a route's chain.

    `unusable` says why no request can be sent (no key), None if it can. `schedule` is how often and how far apart it is
    asked, `circuit` the target for the breaker, `pace` the limits that its requests count against. `key_prefix` begins
    what the cache keys of its answers are hashed from. `window` and `max_output` are the model's in tokens; these two,
    `capabilities` and `price` are None when unknown.
    """

    target: str
    model: str
    provider: Provider
    params: Params
    timeouts: Timeouts
    schedule: Schedule
    key_prefix: bytes
    bill: Callable[[Usage], int | None]  # nano-USD, None when a price is unknown
    price: Price | None = None
    unusable: str | None = None
    window: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] | None = None
    weight: float = 1.0
    circuit: Circuit = field(default_factory=lambda: Circuit("", "", None))
    pace: Scope = field(default_factory=Scope)
    spend_limits: tuple[SpendLimit, ...] = ()  # of the provider
    refused: set[str] = field(default_factory=set, compare=False)  # parameters that the model turned out not to take


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """A route, compiled."""

    name: str
    rungs: tuple[RungPlan, ...]
    deadline_s: float
    actions: Actions
    description: str = ""
    system: str | None = None
    schema: Schema | None = None
    budget: Budget = field(default_factory=Budget)
    cache: CachePolicy | None = None
    on_break: Literal["error", "restart"] = "error"
    prompt_cache: str = "auto"
    strategy: Strategy = "priority"
    spend_limits: tuple[SpendLimit, ...] = ()  # of the route, and of all routes together
    hedge: Hedge | None = None
    warmed: list[bool] = field(default_factory=list, repr=False, compare=False)  # not empty: fallbacks are being opened
