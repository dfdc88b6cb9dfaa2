"""Calls as Prometheus metrics. Needs the extra `prometheus`.

Counters and histograms grow with each call; what is a state (breakers, limits, money) is read when it is scraped.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, start_http_server
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.registry import Collector
except ImportError:
    raise ImportError("the Prometheus client is not installed: pip install 'llmrouter[prometheus]'") from None

from llmrouter.observe.facts import Digest

if TYPE_CHECKING:
    from prometheus_client import Metric

    from llmrouter.observe.standing import Watched
    from llmrouter.pipeline.observer import Ended
    from llmrouter.types import Attempt

_PHASES: Final = {"closed": 0, "half_open": 1, "open": 2}
_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class PrometheusObserver:
    """Counts calls in a registry of prometheus_client (None: the default one); give it to `router.add_observer`.

    One observer may serve many routers. Labels are names of the file and classes of errors, never text of a call.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        kept = REGISTRY if registry is None else registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ("route", "target", *labels), registry=kept)

        self._requests = counter("llm_requests_total", "Calls that are over.", "outcome")
        self._seconds = Histogram(
            "llm_request_duration_seconds",
            "Seconds of whole calls, their waits, retries and fallbacks included.",
            ("route", "target"),
            buckets=_BUCKETS,
            registry=kept,
        )
        self._attempts = counter(
            "llm_attempts_total",
            "Requests to targets, and answers that cost none. `error` is a class, empty without one.",
            "outcome", "error",
        )  # fmt: skip
        self._tokens = counter(
            "llm_tokens_used_total", "Tokens: whole prompts (input) and all that was generated (output).", "type"
        )
        self._prompt_cache = counter(
            "llm_prompt_cache_tokens_total",
            "The part of the input that a provider's prompt cache gave (read) or took up (write).",
            "type",
        )
        self._cost = counter("llm_cost_usd_total", "USD spent, as far as prices are known.")
        self._unpriced = counter(
            "llm_unpriced_attempts_total",
            "Attempts that were billed at a price nobody knows: they are missing in llm_cost_usd_total.",
        )
        self._states = _States()
        kept.register(self._states)

    def attach(self, router: Watched) -> None:
        """Read this router's breakers and limits too when scraped, for as long as it lives."""
        self._states.routers.add(router)

    def ended(self, end: Ended) -> None:
        """See Observer."""
        digest, route = Digest.of(end), end.call.plan.name
        self._requests.labels(route, digest.target, end.outcome).inc()
        self._seconds.labels(route, digest.target).observe(end.seconds)
        for each in digest.tries:
            attempt = each.attempt
            error = "" if attempt.error is None else type(attempt.error).__name__
            self._attempts.labels(route, attempt.target, attempt.outcome, error).inc()
            if attempt.usage is not None and attempt.outcome != "cached":
                self._book(route, attempt)

    def _book(self, route: str, attempt: Attempt) -> None:
        usage, labels = attempt.usage, (route, attempt.target)
        assert usage is not None  # noqa: S101 - looked at by the caller
        self._tokens.labels(*labels, "input").inc(usage.input_tokens)
        self._tokens.labels(*labels, "output").inc(usage.output_tokens)
        self._prompt_cache.labels(*labels, "read").inc(usage.cache_read_tokens)
        self._prompt_cache.labels(*labels, "write").inc(usage.cache_write_tokens)
        if attempt.cost_usd is None:
            self._unpriced.labels(*labels).inc()
        else:
            self._cost.labels(*labels).inc(attempt.cost_usd)


class _States(Collector):
    """What is read from the routers at each scrape."""

    def __init__(self) -> None:
        self.routers: weakref.WeakSet[Any] = weakref.WeakSet()

    def describe(self) -> list[Metric]:
        """Name the metrics without reading anything: prometheus_client asks when the collector is registered."""
        return list(_families())

    def collect(self) -> Iterator[Metric]:
        """Give the metrics as they are now. Two routers that share a state say the same; it is told once."""
        state, failures, used, most, spent, ceiling = families = _families()
        breakers = {target: each for router in list(self.routers) for target, each in router.status().items()}
        for target, breaker in breakers.items():
            state.add_metric((target,), _PHASES[breaker.phase])
            failures.add_metric((target,), breaker.failures)
        limits = {(each.name, each.kind): each for router in list(self.routers) for each in router.limits()}
        for labels, limit in limits.items():
            used.add_metric(labels, limit.used)
            most.add_metric(labels, limit.most)
        money = {(each.scope, each.per): each for router in list(self.routers) for each in router.spending()}
        for labels, standing in money.items():
            spent.add_metric(labels, standing.spent_usd + standing.reserved_usd)
            ceiling.add_metric(labels, standing.limit_usd)
        yield from families


def _families() -> tuple[GaugeMetricFamily, ...]:
    pace, money = ("limit", "kind"), ("scope", "per")
    return (
        GaugeMetricFamily("llm_breaker_state", "0 closed, 1 half-open, 2 open.", labels=("target",)),
        GaugeMetricFamily("llm_breaker_failures", "Failures that the breaker counts.", labels=("target",)),
        GaugeMetricFamily("llm_limit_used", "How much of a limit on pace is taken.", labels=pace),
        GaugeMetricFamily("llm_limit_most", "How much a limit on pace allows.", labels=pace),
        GaugeMetricFamily("llm_spend_usd", "USD spent and reserved under a spend limit.", labels=money),
        GaugeMetricFamily("llm_spend_limit_usd", "USD that a spend limit allows.", labels=money),
    )


class MetricsServer:
    """`/metrics` over HTTP, in a thread. Raises OSError where it may not listen."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        started: tuple[Any, threading.Thread] = start_http_server(port, host, registry)
        self._server, self._thread = started
        self._pid = os.getpid()
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop listening, and wait for the thread's end. A forked process lets go of the socket: it has no thread."""
        if self._pid == os.getpid():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def serving(host: str, port: int) -> tuple[PrometheusObserver, Callable[[], MetricsServer]]:
    """Return an observer with a registry of its own, and what serves it when called."""
    registry = CollectorRegistry()
    return PrometheusObserver(registry), lambda: MetricsServer(registry, host, port)
