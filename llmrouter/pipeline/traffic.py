"""What the calls of a router know of its targets, together and with other processes: breakers, pace, latency, turns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from llmrouter.pipeline.guard import Guard
from llmrouter.pipeline.target_guards import BreakerGuard, LatencyGuard, LimitGuard
from llmrouter.policy.breaker import Breaker, BreakerState
from llmrouter.policy.learned import Learned
from llmrouter.policy.leases import Leases
from llmrouter.policy.limits import Limiter
from llmrouter.policy.select import Facts, Latencies, affinity, next_turn, order
from llmrouter.policy.shared import Records, SharedState, key_of
from llmrouter.store.state import MemoryState

if TYPE_CHECKING:
    from llmrouter.pipeline.call import Call
    from llmrouter.pipeline.plan import RoutePlan
    from llmrouter.tokens.counter import TokenCounter


class Traffic:
    """Decides which rung a call starts with, and gives the guards of targets."""

    def __init__(
        self,
        local: SharedState,
        shared: SharedState | None,
        circuits: Records,
        leases: Leases,
        counter: TokenCounter,
    ) -> None:
        """Make the traffic of one router.

        `local` is shared by the processes of this machine: it holds the pace, unless `shared` does, which is what the
        file names. `circuits` are the breakers where it names nothing, and turns are then this router's own. `leases`
        are on asking, among all who have one cache.
        """
        self._states = [local] if shared is None else [local, shared]
        self._turns, self._counter = shared or MemoryState(), counter
        self.breaker = Breaker(shared or circuits)
        self.leases = leases
        self.limiter = Limiter(shared or local)
        self._latencies = Latencies()
        self.guards: tuple[Guard, ...] = (
            BreakerGuard(self.breaker, lambda _call, ready: ready.rung.circuit),
            LimitGuard(self.limiter, Learned(), lambda _call, ready: ready.rung.pace, counter),
            LatencyGuard(self._latencies),
        )

    def order(self, call: Call) -> tuple[int, ...] | None:
        """Return the order in which `call` goes through its chain; None: as the file has it."""
        plan = call.plan
        if plan.strategy == "priority" or len(plan.rungs) < 2:
            return None
        return order(plan.strategy, plan.rungs, self._facts(call), self._latencies, time.monotonic())

    def _facts(self, call: Call) -> Facts:
        plan, now = call.plan, time.time()
        avoid = [index for index, rung in enumerate(plan.rungs) if rung.unusable or self._is_open(plan, index, now)]
        if plan.strategy == "weighted":
            return Facts(affinity=affinity(call.options.session, call.messages), avoid=avoid)
        if plan.strategy == "cheapest":
            prompt = self._counter.count(plan.rungs[0].target, call.messages, call.tools, call.schema)
            return Facts(prompt_tokens=prompt.tokens, output_tokens=call.params(plan.rungs[0]).max_tokens, avoid=avoid)
        return Facts(turn=next_turn(self._turns, key_of("turn", plan.name), now), avoid=avoid)

    def _is_open(self, plan: RoutePlan, index: int, now: float) -> bool:
        return self.breaker.state(plan.rungs[index].circuit, now).phase == "open"

    def states(self, plans: Sequence[RoutePlan]) -> Mapping[str, BreakerState]:
        """Return the breaker of each target of `plans`, by target."""
        now = time.time()
        return {rung.target: self.breaker.state(rung.circuit, now) for plan in plans for rung in plan.rungs}

    def close(self) -> None:
        """Let go of the shared state; it opens again when it is used."""
        self.leases.close()
        for state in self._states:
            state.close()
