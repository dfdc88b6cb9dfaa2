"""Where in its chain a call starts. The rest of the chain follows, in the order of the file, as fallbacks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from llmrouter import forks
from llmrouter.policy.shared import Record, SharedState, Step
from llmrouter.policy.spend import worst_case_nano
from llmrouter.types import Document, Image, Message, Text

if TYPE_CHECKING:
    from llmrouter.prices import Price

Strategy: TypeAlias = Literal["priority", "weighted", "round_robin", "cheapest", "fastest"]

EXPLORE_EVERY: Final = 10  # of so many calls, one goes to a target whose speed is not known well
STALE_S: Final = 60.0  # a speed measured longer ago is not known well
_NEWEST_SHARE: Final = 0.3  # of a new measurement in the average
_PENALTY: Final = 2.0  # a failure counts as an answer that took so many times as long
_USUAL_OUTPUT: Final = 1000  # tokens of an answer whose bound nobody knows, to compare prices
_KEEP_S: Final = 7 * 86400.0


class Rung(Protocol):
    """What the choice needs to know of a rung."""

    @property
    def target(self) -> str:
        """The target, `provider/model`."""
        ...

    @property
    def weight(self) -> float:
        """Its share of the calls, for `weighted`."""
        ...

    @property
    def price(self) -> Price | None:
        """Its price, None when it is unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Facts:
    """What the choice needs to know of a call; each strategy reads only its own.

    `affinity` (weighted): calls with the same one stay together. `turn` (round_robin, fastest): how many calls came
    before. `prompt_tokens` and `output_tokens` (cheapest): None where unknown. `avoid`: indexes of rungs not to start
    with if there is another, such as those without a key or with an open breaker.
    """

    affinity: bytes = b""
    turn: int = 0
    prompt_tokens: int = 0
    output_tokens: int | None = None
    avoid: Collection[int] = ()


class Latencies:
    """How long targets took lately, in seconds: an average in which the newest count most. Threads may share it."""

    def __init__(self) -> None:
        self._lock = forks.lock()
        self._known: dict[str, tuple[float, float]] = {}  # average, measured at

    def answered(self, target: str, seconds: float, now: float) -> None:
        """Take note of an answer that took `seconds`: of a stream, to its first token."""
        with self._lock:
            known = self._known.get(target)
            average = seconds if known is None else known[0] + _NEWEST_SHARE * (seconds - known[0])
            self._known[target] = (average, now)

    def failed(self, target: str, seconds: float, now: float) -> None:
        """Take note of a failure: however fast it came, it makes a target slower."""
        known = self._known.get(target)
        slowest = max(seconds, 1.0, _PENALTY * known[0] if known is not None else 0.0)
        self.answered(target, slowest, now)

    def of(self, target: str) -> tuple[float, float] | None:
        """Return the average in seconds and when it was last measured; None for a target not tried yet."""
        return self._known.get(target)


def order(strategy: Strategy, rungs: Sequence[Rung], facts: Facts, stats: Latencies, now: float) -> tuple[int, ...]:
    """Return the indexes of `rungs` in the order in which this call goes through them. Pure."""
    everyone = tuple(range(len(rungs)))
    if strategy == "priority" or len(rungs) < 2:
        return everyone
    eligible = [index for index in everyone if index not in facts.avoid] or list(everyone)
    first = _first(strategy, rungs, eligible, facts, stats, now)
    return (first, *(index for index in everyone if index != first))


def _first(
    strategy: Strategy, rungs: Sequence[Rung], eligible: list[int], facts: Facts, stats: Latencies, now: float
) -> int:
    if strategy == "weighted":
        return _weighted(rungs, eligible, facts.affinity)
    if strategy == "round_robin":
        return eligible[facts.turn % len(eligible)]
    if strategy == "cheapest":
        return _cheapest(rungs, eligible, facts)
    return _fastest(rungs, eligible, facts.turn, stats, now)


def _weighted(rungs: Sequence[Rung], eligible: list[int], affinity: bytes) -> int:
    """Rendezvous hashing: each rung draws a number from the affinity, and the highest in proportion to weight wins.

    So weights hold over many affinities, and taking a rung away moves only those that were its own.
    """
    weighty = [index for index in eligible if rungs[index].weight > 0] or eligible
    return max(weighty, key=lambda index: _draw(rungs, index, affinity))


def _draw(rungs: Sequence[Rung], index: int, affinity: bytes) -> float:
    rung = rungs[index]
    twin = sum(each.target == rung.target for each in rungs[:index])  # the same target may stand in a chain twice
    name = f"{rung.target}\x00{twin}\x00".encode()
    drawn = int.from_bytes(hashlib.blake2b(name + affinity, digest_size=8).digest(), "big")
    uniform = (drawn + 1) / (2**64 + 1)
    return (rung.weight or 1.0) / -math.log(uniform)


def _cheapest(rungs: Sequence[Rung], eligible: list[int], facts: Facts) -> int:
    output = _USUAL_OUTPUT if facts.output_tokens is None else facts.output_tokens

    def cost(index: int) -> tuple[bool, int]:
        nano = worst_case_nano(rungs[index].price, facts.prompt_tokens, output)
        return nano is None, nano or 0  # an unknown price is dearer than any other

    return min(eligible, key=cost)


def _fastest(rungs: Sequence[Rung], eligible: list[int], turn: int, stats: Latencies, now: float) -> int:
    known = {index: found for index in eligible if (found := stats.of(rungs[index].target)) is not None}
    cold = [index for index in eligible if index not in known]
    if not known:
        return cold[turn % len(cold)]
    if cold and turn % 2:  # not every call: none of the cold ones may have answered yet
        return cold[turn // 2 % len(cold)]
    if turn % EXPLORE_EVERY == 0:
        oldest = min(known, key=lambda index: known[index][1])
        if now - known[oldest][1] > STALE_S:
            return oldest
    return min(known, key=lambda index: known[index][0])


# ------------------------------------------------------------------------------------------------ facts


def affinity(session: str | None, messages: Sequence[Message]) -> bytes:
    """Return what keeps calls together: the session; without one, the system prompt and the first user message."""
    digest = hashlib.blake2b(digest_size=16)
    if session is not None:
        digest.update(b"session\x00" + session.encode("utf-8", "surrogatepass"))
        return digest.digest()
    for message in messages:
        digest.update(message.role.encode())
        for piece in _pieces(message):
            digest.update(b"%d:%s" % (len(piece), piece))
        if message.role == "user":
            break
    return digest.digest()


def _pieces(message: Message) -> list[bytes]:
    parts = (message.content,) if isinstance(message.content, str) else message.content
    return [_said(part).encode("utf-8", "surrogatepass") for part in parts]


def _said(part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Image | Document):
        return part.url or part.data or ""
    return type(part).__name__


def next_turn(state: SharedState, key: str, now: float) -> int:
    """Return how many turns `key` has given out before, 0 at first; counted together by all who share `state`."""
    return state.change((key,), _turn, now)


def _turn(records: tuple[Record, ...], _now: float) -> Step[int]:
    turn = records[0] if isinstance(records[0], int) else 0
    return Step(turn, (turn + 1,), _KEEP_S)
