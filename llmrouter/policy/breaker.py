"""The breaker: a target that keeps failing is left alone, then tried by one request at a time until it answers.

closed ── enough failures ──▶ open ── cooldown over ──▶ half-open: one probe ── success ──▶ closed
                               ▲                                        └──── failure ──▶ open
Failures only ever extend the open time. A delay that the target itself asked for (`Retry-After`) is kept beside it,
as the time before which nobody asks. The last usable rung of a chain is never blocked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias

from llmrouter.errors import (
    APIConnectionError,
    CircuitOpenError,
    MalformedResponseError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
)
from llmrouter.frozen import quickly_made
from llmrouter.policy.shared import Record, Records, Step, new_owner

Phase: TypeAlias = Literal["closed", "open", "half_open"]

FAILING_SHARE: Final = 0.5  # a busy target that fails now and then stays in use: the breaker wants this share to fail
PROBE_LEASE_S: Final = 30.0  # after so long without a word of a probe, another may go
LONGEST_DELAY_S: Final = 900.0  # of a delay that a target asks for: nobody believes it for ever
_BUNDLE_S: Final = 0.5  # outcomes closer together than this are counted as of one time, to keep the record small
_AHEAD_S: Final = 1.0  # by which another's clock may be ahead
_KEEP_S: Final = 600.0  # how long an open breaker waits for its probe before it is forgotten

_FAILURES: Final = (
    ServerError,
    APIConnectionError,
    MalformedResponseError,
    StreamInterruptedError,
)


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """`failures` within `window_s` seconds open the breaker for `cooldown_s` seconds."""

    failures: int = 5
    window_s: float = 60.0
    cooldown_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Circuit:
    """One target as the breaker sees it: `key` names its record, and so who shares it; None settings are no breaker."""

    target: str
    key: str
    settings: BreakerSettings | None = BreakerSettings()


@dataclass(frozen=True, slots=True)
class BreakerState:
    """A breaker now. Seconds from now: when the next probe may go (0: at once), and what the target asked to wait."""

    phase: Phase = "closed"
    failures: int = 0
    retry_in_s: float = 0.0
    not_before_s: float = 0.0

    def __str__(self) -> str:
        if self.phase == "open":
            return f"open after {self.failures} failures, next probe in {self.retry_in_s:.1f}s"
        if self.phase == "half_open":
            return "half-open, a probe is under way" if self.retry_in_s else "half-open, the next call is a probe"
        if self.not_before_s:
            return f"closed, but the target asked for {self.not_before_s:.1f}s of rest"
        return f"closed, {self.failures} failures" if self.failures else "closed"


@quickly_made
@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to send one request. Hand it to exactly one of `succeeded`, `failed` and `abandoned`.

    `wait_s` is what the target asked everybody to wait, for a last rung that may be asked all the same.
    """

    circuit: Circuit
    kind: Literal["normal", "probe", "last_resort"] = "normal"
    probe: str | None = None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Blocked:
    """No leave. `retry_after_s` is when to ask again; `rests` that the target itself asked for the time."""

    circuit: Circuit
    state: BreakerState
    retry_after_s: float
    rests: bool = False

    def error(self) -> CircuitOpenError:
        """Return this as the error that ends the rung."""
        error = CircuitOpenError(f"{self.circuit.target} is left alone: its breaker is {self.state}")
        error.retry_after = self.retry_after_s
        return error


class Breaker:
    """The breakers of all targets, each a record. Times (`now`) are seconds of the wall clock."""

    def __init__(self, state: Records) -> None:
        self._state = state

    def allow(self, circuit: Circuit, now: float, *, last_resort: bool = False) -> Admission | Blocked:
        """Decide about one request; `last_resort` where no other usable rung follows."""
        if circuit.settings is None or self._state.read(circuit.key, _is_free, now):
            return Admission(circuit)
        found = self._state.read(circuit.key, partial(_standing, circuit), now)
        if isinstance(found, Admission):
            return found
        if last_resort:
            return Admission(circuit, "last_resort", wait_s=0.0 if found is None else found.state.not_before_s)
        if found is not None:  # decided without a lock: whoever shares a target that is down asks for it all the time
            return found
        return self._state.change((circuit.key,), partial(_allow, circuit, new_owner()), now)

    def succeeded(self, admission: Admission, now: float) -> None:
        """Take note that the target answered."""
        circuit = admission.circuit
        if circuit.settings is None or self._state.read(circuit.key, _is_clean, now):
            return
        self._state.change((circuit.key,), partial(_succeeded, admission, circuit.settings), now)

    def failed(self, admission: Admission, error: Exception, now: float) -> None:
        """Take note of what the request came to. Errors of the caller's own making count as an answer."""
        circuit = admission.circuit
        if circuit.settings is None:
            return
        delay_s = _asked_delay(error)
        counts = _counts(error)
        if counts or delay_s:
            step = partial(_failed, admission, circuit.settings, counts, delay_s)
            self._state.change((circuit.key,), step, now)
        elif isinstance(error, ProviderError):
            self.succeeded(admission, now)
        else:
            self.abandoned(admission, now)

    def abandoned(self, admission: Admission, now: float) -> None:
        """Take note that nobody waited for the outcome: a probe makes room for the next."""
        if admission.probe is not None:
            self._state.change((admission.circuit.key,), partial(_abandoned, admission.probe), now)

    def state(self, circuit: Circuit, now: float) -> BreakerState:
        """Return the breaker's state, for plans, status and errors."""
        if circuit.settings is None:
            return BreakerState()
        return self._state.read(circuit.key, partial(_state, circuit.settings), now)


def _counts(error: Exception) -> bool:
    """Whether `error` speaks against the target: it did not answer, or said that it cannot, and not for how long."""
    if isinstance(error, RateLimitError):
        return not isinstance(error, QuotaError) and not error.retry_after
    if isinstance(error, RequestTimeoutError):
        return error.limit != "total"  # a stream that ran so long did answer
    return isinstance(error, _FAILURES)


def _asked_delay(error: Exception) -> float:
    if not isinstance(error, RateLimitError | ServerError) or not error.retry_after:
        return 0.0
    return min(max(0.0, error.retry_after), LONGEST_DELAY_S)


# ------------------------------------------------------------------------------------------------ steps

# A record is [outcomes, open until, probe, not before]: outcomes are [time, failures, answers] bundles, oldest first;
# "open until" 0 is closed; a probe is [owner, lease until].


def _is_clean(record: Record, _now: float) -> bool:
    return record is None


def _is_free(record: Record, now: float) -> bool:
    """Whether anybody may ask: closed, and no rest asked for."""
    return record is None or (not record[1] and _timely(record, now)[3] <= now)


def _timely(record: Record, now: float) -> Record:
    """Return `record` without times further ahead than anybody sets them, as after a clock was set back.

    Nobody knows then how long ago it opened, so that the next call is a probe.
    """
    outcomes, until, probe, not_before = record
    if until > now and outcomes and outcomes[-1][0] > now + _AHEAD_S:
        until = now
    if probe is not None and probe[1] > now + PROBE_LEASE_S + _AHEAD_S:
        probe = None
    return [outcomes, until, probe, not_before if not_before <= now + LONGEST_DELAY_S + _AHEAD_S else 0]


def concerns_all(record: Record, now: float) -> bool:
    """Whether every process should know of `record`: somebody has to leave the target alone, or to probe it."""
    return not _is_free(record, now)


def united(mine: Record, theirs: Record) -> Record:
    """Return what two processes know of one target as one record: the longer time counts, and the probe under way."""
    _, until, _, not_before = mine
    outcomes, their_until, probe, their_not_before = theirs
    return [outcomes, max(until, their_until), probe, max(not_before, their_not_before)]


def _state(settings: BreakerSettings, record: Record, now: float) -> BreakerState:
    if record is None:
        return BreakerState()
    outcomes, until, probe, not_before = _timely(record, now)
    failures = sum(bundle[1] for bundle in outcomes if bundle[0] > now - settings.window_s)
    rest_s = max(0.0, not_before - now)
    if not until:
        return BreakerState("closed", failures, 0.0, rest_s)
    failures = sum(bundle[1] for bundle in outcomes)
    if until > now:
        return BreakerState("open", failures, until - now, rest_s)
    probing_s = max(0.0, probe[1] - now) if probe is not None else 0.0
    return BreakerState("half_open", failures, probing_s, rest_s)


def _standing(circuit: Circuit, record: Record, now: float) -> Admission | Blocked | None:
    """Return what holds for all who ask; None: the first of them is a probe."""
    if _is_free(record, now):
        return Admission(circuit)
    assert circuit.settings is not None  # noqa: S101 - a target without a breaker has no record
    state = _state(circuit.settings, record, now)
    if state.not_before_s:
        return Blocked(circuit, state, max(state.not_before_s, state.retry_in_s), rests=state.phase == "closed")
    return Blocked(circuit, state, state.retry_in_s) if state.retry_in_s else None


def _allow(circuit: Circuit, owner: str, records: tuple[Record, ...], now: float) -> Step[Admission | Blocked]:
    found = _standing(circuit, records[0], now)
    if found is not None:
        return Step(found)
    outcomes, until, _, not_before = _timely(records[0], now)
    probing = [outcomes, until, [owner, now + PROBE_LEASE_S], not_before]
    return Step(Admission(circuit, "probe", owner), (probing,), PROBE_LEASE_S + _KEEP_S)


def _succeeded(admission: Admission, settings: BreakerSettings, records: tuple[Record, ...], now: float) -> Step[None]:
    record = records[0]
    if record is None:
        return Step(None)
    outcomes, until, _, not_before = record
    if until:
        # An answer to a request from before it opened says little; whoever went since then has found it well.
        if admission.kind == "normal":
            return Step(None)
        return Step(None, ([[], 0, None, not_before] if not_before > now else None,), not_before - now + _KEEP_S)
    counted = _with_outcome(_recent(outcomes, settings, now), 0, 1, now)
    if not any(bundle[1] for bundle in counted) and not_before <= now:
        return Step(None, (None,))
    return Step(None, ([counted, 0, None, not_before],), settings.window_s + max(0.0, not_before - now) + _KEEP_S)


def _failed(
    admission: Admission,
    settings: BreakerSettings,
    counts: bool,
    delay_s: float,
    records: tuple[Record, ...],
    now: float,
) -> Step[None]:
    outcomes, until, probe, not_before = _timely(records[0] or [[], 0, None, 0], now)
    if delay_s:
        not_before = max(not_before, now + delay_s)
    if probe is not None and probe[0] == admission.probe:
        probe = None
    if counts:
        outcomes = _with_outcome(_recent(outcomes, settings, now), 1, 0, now)
        if until or _too_many(outcomes, settings):
            until = max(until, now + settings.cooldown_s)
    elif admission.kind != "normal":  # it answered: it only wants to be asked later
        outcomes, until = [], 0
    keep_s = max(settings.window_s, until - now, not_before - now) + _KEEP_S
    return Step(None, ([outcomes, until, probe, not_before],), keep_s)


def _abandoned(owner: str, records: tuple[Record, ...], now: float) -> Step[None]:
    record = records[0]
    if record is None or record[2] is None or record[2][0] != owner:
        return Step(None)
    outcomes, until, _, not_before = record
    return Step(None, ([outcomes, until, None, not_before],), max(until - now, not_before - now, 0.0) + PROBE_LEASE_S)


def _recent(outcomes: list[list[float]], settings: BreakerSettings, now: float) -> list[list[float]]:
    since = now - settings.window_s
    return [bundle for bundle in outcomes if since < bundle[0] <= now + _BUNDLE_S]


def _with_outcome(outcomes: list[list[float]], failures: int, answers: int, now: float) -> list[list[float]]:
    if outcomes and now - outcomes[-1][0] < _BUNDLE_S:
        at, failed, answered = outcomes[-1]
        return [*outcomes[:-1], [at, failed + failures, answered + answers]]
    return [*outcomes, [now, failures, answers]]


def _too_many(outcomes: list[list[float]], settings: BreakerSettings) -> bool:
    failures = sum(bundle[1] for bundle in outcomes)
    answers = sum(bundle[2] for bundle in outcomes)
    return failures >= settings.failures and failures >= FAILING_SHARE * (failures + answers)
