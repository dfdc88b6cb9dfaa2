"""Calls as OpenTelemetry spans and metrics, by the GenAI semantic conventions. Needs the extra `otel`.

A call is one span, with a child for each request and each answer that cost none. They are made when the call is over,
with the times at which things happened. No prompt and no answer is in them. Usage stands at the call alone, so that
a backend which adds up spans counts nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

try:
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError:
    raise ImportError("OpenTelemetry is not installed: pip install 'llmrouter[otel]'") from None

from llmrouter.observe.facts import Digest, tokens_of

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from llmrouter.observe.facts import Try
    from llmrouter.pipeline.observer import Ended

_NANO: Final = 1_000_000_000
# The names that the conventions have for providers, by our kinds; others go by their own.
_PROVIDERS: Final[Mapping[str, str]] = {
    "google": "gcp.gemini",
    "google-generativeai": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
# The conventions name these buckets: what an SDK takes by default is made for milliseconds.
_TOKEN_BUCKETS: Final = tuple(float(4**power) for power in range(14))
_SECOND_BUCKETS: Final = tuple(0.01 * 2**power for power in range(14))

Attributes = dict[str, Any]


class OtelObserver:
    """Sends each call to OpenTelemetry; give it to `router.add_observer`.

    None for a provider takes the one that the program has set up globally. Spans have the context as their parent in
    which the call (or the stream's last piece) was awaited.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer("llmrouter", tracer_provider=tracer_provider)
        meter = metrics.get_meter("llmrouter", meter_provider=meter_provider)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKEN_BUCKETS,
        )
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECOND_BUCKETS,
        )

    def ended(self, end: Ended) -> None:
        """See Observer."""
        digest = Digest.of(end)
        common = _common(digest)
        self._trace(digest, common)
        self._measure(digest, common)

    def _trace(self, digest: Digest, common: Attributes) -> None:
        finish = time.time_ns()
        start = finish - int(digest.end.seconds * _NANO)
        attributes = {**common, **_of_call(digest)}
        kept = _Times(start, finish, sum(each.attempt.outcome != "skipped" for each in digest.tries))
        span = self._tracer.start_span(
            f"{digest.end.operation} {digest.model}", kind=SpanKind.INTERNAL, attributes=attributes, start_time=start
        )
        context = trace.set_span_in_context(span)
        for each in digest.tries:
            if each.attempt.outcome == "skipped":
                facts = {"llmrouter.target": each.attempt.target, "llmrouter.reason": each.reason}
                span.add_event("llmrouter.skipped", facts, timestamp=kept.now)
                continue
            began, ended = kept.span(each)
            child = self._tracer.start_span(
                f"attempt {each.attempt.target}",
                context,
                SpanKind.CLIENT,
                attributes=_of_attempt(digest, each),
                start_time=began,
            )
            _judge(child, each.attempt.outcome, each.attempt.error)
            child.end(ended)
        _judge(span, digest.end.outcome, digest.end.error)
        span.end(finish)

    def _measure(self, digest: Digest, common: Attributes) -> None:
        failure = {} if digest.end.error is None else {"error.type": type(digest.end.error).__name__}
        self._seconds.record(digest.end.seconds, {**common, **failure})
        for each in digest.tries:
            usage = each.attempt.usage
            if usage is None or each.attempt.outcome == "cached":
                continue
            asked = {**common, **_endpoint(digest, each.attempt.target)}
            for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                self._tokens.record(tokens, {**asked, "gen_ai.token.type": kind})


class _Times:
    """Lays attempts out between the start and the finish of their call, in Unix nanoseconds.

    An attempt knows how long it took and how long was waited before it, not when it began. They follow each other from
    the start on, and the last one ends with the call: what was waited for room at a target comes before that one.
    Rungs that raced take more time together than the call did: then the later one is moved back.
    """

    def __init__(self, start: int, finish: int, attempts: int) -> None:
        self._start, self._finish, self._left = start, finish, attempts
        self.now = start

    def span(self, each: Try) -> tuple[int, int]:
        """Return when the next attempt began and ended."""
        self._left -= 1
        seconds = int(each.attempt.seconds * _NANO)
        latest = self._finish - seconds
        began = latest if not self._left else min(self.now + int(each.attempt.waited_s * _NANO), latest)
        began = max(self._start, began)
        self.now = min(began + seconds, self._finish)
        return began, self.now


def _common(digest: Digest) -> Attributes:
    return {
        "gen_ai.operation.name": digest.end.operation,
        "llmrouter.route": digest.end.call.plan.name,
        **_endpoint(digest, digest.target),
        **({} if digest.end.response is None else {"gen_ai.response.model": digest.end.response.model}),
    }


def _endpoint(digest: Digest, target: str) -> Attributes:
    name, _, model = target.partition("/")
    rung = next((rung for rung in digest.end.call.plan.rungs if rung.target == target), None)
    kind = name if rung is None else rung.provider.settings.kind
    return {"gen_ai.provider.name": _PROVIDERS.get(kind, kind), "gen_ai.request.model": model}


def _of_call(digest: Digest) -> Attributes:
    end = digest.end
    found: Attributes = {"llmrouter.outcome": end.outcome, "llmrouter.attempts": digest.requests}
    if digest.rung:
        found["llmrouter.target"], found["llmrouter.rung"] = digest.target, digest.rung
    if digest.cost_usd is not None:
        found["llmrouter.cost_usd"] = digest.cost_usd
    if end.response is None:
        return found
    response = end.response
    found["llmrouter.cached"], found["llmrouter.stale"] = response.cached, response.stale
    found["gen_ai.response.finish_reasons"] = (response.finish_reason,)
    if response.request_id is not None:
        found["gen_ai.response.id"] = response.request_id
    return {**found, **(_cached_usage(digest) if response.cached else _usage(digest))}


def _usage(digest: Digest) -> Attributes:
    """What all requests of the call used, in the conventions' names."""
    used = tokens_of(digest)
    return {
        "gen_ai.usage.input_tokens": used.input_tokens,
        "gen_ai.usage.output_tokens": used.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": used.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": used.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": used.reasoning_tokens,
    }


def _cached_usage(digest: Digest) -> Attributes:
    """An answer from the cache used nothing itself; attempts that failed before it may have."""
    return _usage(digest) if tokens_of(digest).total_tokens else {}


def _of_attempt(digest: Digest, each: Try) -> Attributes:
    attempt = each.attempt
    found: Attributes = {
        **_endpoint(digest, attempt.target),
        "llmrouter.target": attempt.target,
        "llmrouter.rung": each.rung,
        "llmrouter.outcome": attempt.outcome,
        "llmrouter.reason": each.reason,
        "llmrouter.delay_s": attempt.waited_s,
    }
    if attempt.cost_usd is not None:
        found["llmrouter.cost_usd"] = attempt.cost_usd
    if attempt.request_id is not None:
        found["gen_ai.response.id"] = attempt.request_id
    status = getattr(attempt.error, "status", None)
    if status is not None:
        found["http.response.status_code"] = status
    return found


def _judge(span: Span, outcome: str, error: BaseException | None) -> None:
    """Say that it failed, by the class of the error alone: a message may repeat the prompt."""
    if error is not None or outcome == "failed":
        kind = "_OTHER" if error is None else type(error).__name__
        span.set_attribute("error.type", kind)
        span.set_status(Status(StatusCode.ERROR, kind))
