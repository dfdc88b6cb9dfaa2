"""What OpenTelemetry is told of a call, read back from the SDK's own in-memory exporters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from llmrouter import AllTargetsFailedError, ServerError
from llmrouter.observe.otel import OtelObserver
from tests.chains import Mode, ask, chain, each_mode, each_protocol, failing
from tests.conftest import FaultServers
from tests.servers.protocols import OPENAI, Answer, Protocol
from tests.worlds import Face

BILLED = Answer("Here.", input_tokens=1000, output_tokens=200)
COST = 0.003  # PRICE: $1 in, $10 out, for a million tokens
SECRET = "what nobody else should read"
KINDS = {"openai": "openai", "anthropic": "anthropic", "google": "gcp.gemini"}


@dataclass(frozen=True)
class Told:
    """An observer that writes to memory, and what is there."""

    observer: OtelObserver
    exporter: InMemorySpanExporter
    tracers: TracerProvider
    reader: InMemoryMetricReader

    @property
    def spans(self) -> list[ReadableSpan]:
        """Every span, in the order in which they ended."""
        return list(self.exporter.get_finished_spans())

    @property
    def call(self) -> ReadableSpan:
        """The span of the only call."""
        (found,) = (span for span in self.spans if span.name.startswith("chat "))
        return found

    @property
    def attempts(self) -> list[ReadableSpan]:
        """The spans of attempts."""
        return [span for span in self.spans if span.name.startswith("attempt ")]

    def points(self, name: str) -> list[HistogramDataPoint]:
        """The points of one histogram."""
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = [each for one in data.resource_metrics for scope in one.scope_metrics for each in scope.metrics]
        return [point for each in metrics if each.name == name for point in each.data.data_points]  # type: ignore[misc]


@pytest.fixture
def told() -> Iterator[Told]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    yield Told(OtelObserver(tracers, meters), exporter, tracers, reader)
    tracers.shutdown()
    meters.shutdown()


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@each_protocol
@each_mode
def test_a_call_is_a_span_with_the_conventions_names(
    face: Face, fault_server: FaultServers, told: Told, protocol: Protocol, mode: Mode
) -> None:
    with face.router(chain((protocol, fault_server(protocol.reply(BILLED))))) as router:
        router.add_observer(told.observer)
        reply = ask(face, router, mode)
    found = facts(told.call)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": KINDS[protocol.name],
        "gen_ai.request.model": protocol.model,
        "gen_ai.response.model": reply.model,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 200,
        "llmrouter.route": "r",
        "llmrouter.target": f"first/{protocol.model}",
        "llmrouter.rung": 1,
        "llmrouter.attempts": 1,
        "llmrouter.outcome": "ok",
        "llmrouter.cached": False,
        "llmrouter.cost_usd": pytest.approx(COST),
    }
    assert {name: found[name] for name in expected} == expected
    assert found.get("gen_ai.response.id") == reply.request_id
    assert told.call.name == f"chat {protocol.model}"
    assert told.call.status.status_code is StatusCode.UNSET


@each_mode
def test_each_attempt_is_a_child_with_why_and_what_it_came_to(
    face: Face, fault_server: FaultServers, told: Told, mode: Mode
) -> None:
    failing_server, healthy = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply(BILLED))
    config = chain((OPENAI, "http://127.0.0.1:1"), (OPENAI, failing_server), (OPENAI, healthy))
    config["providers"]["first"].pop("api_key")
    config["routes"]["r"]["retry"] = {"attempts": 2, "initial": "20ms", "jitter": "none"}
    with face.router(config) as router:
        router.add_observer(told.observer)
        ask(face, router, mode)
    children = [facts(span) for span in told.attempts]
    assert [(each["llmrouter.rung"], each["llmrouter.reason"], each["llmrouter.outcome"]) for each in children] == [
        (2, "first", "failed"),
        (2, "retry", "failed"),
        (3, "fallback", "ok"),
    ]
    assert [each.get("error.type") for each in children] == ["ServerError", "ServerError", None]
    assert children[0]["http.response.status_code"] >= 500
    assert children[1]["llmrouter.delay_s"] >= 0.02
    assert children[2]["llmrouter.cost_usd"] == pytest.approx(COST)
    assert [span.status.status_code for span in told.attempts] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    (skipped,) = told.call.events
    assert skipped.name == "llmrouter.skipped"
    assert (skipped.attributes or {})["llmrouter.target"] == f"first/{OPENAI.model}"
    assert facts(told.call)["llmrouter.attempts"] == 3


@each_mode
def test_the_times_of_spans_are_those_of_what_happened(
    face: Face, fault_server: FaultServers, told: Told, mode: Mode
) -> None:
    script = (OPENAI.fails("server"), OPENAI.reply(BILLED))
    config = chain((OPENAI, fault_server(script)))
    config["routes"]["r"]["retry"] = {"attempts": 2, "initial": "100ms", "max": "1s", "jitter": "none"}
    before = time.time_ns()
    with face.router(config) as router:
        router.add_observer(told.observer)
        ask(face, router, mode)
    call, (first, second) = told.call, told.attempts
    assert before <= (call.start_time or 0)
    assert (call.end_time or 0) <= time.time_ns()
    assert (call.start_time or 0) <= (first.start_time or 0) <= (first.end_time or 0)
    assert (second.end_time or 0) <= (call.end_time or 0)
    assert (second.start_time or 0) - (first.end_time or 0) >= 100e6  # the wait between them
    assert (call.end_time or 0) - (call.start_time or 0) >= 100e6


@each_mode
def test_spans_hang_below_the_callers_span(face: Face, fault_server: FaultServers, told: Told, mode: Mode) -> None:
    tracer = told.tracers.get_tracer("test")
    with face.router(chain((OPENAI, fault_server(OPENAI.reply(BILLED))))) as router:
        router.add_observer(told.observer)
        if face.world == "sync":
            with tracer.start_as_current_span("mine") as mine:
                ask(face, router, mode)
        else:

            async def asked() -> Any:
                with tracer.start_as_current_span("mine") as mine:
                    if mode == "chat":
                        await router.chat("r", "hello")
                    else:
                        async for _ in router.stream("r", "hello"):
                            pass
                return mine

            mine = face.run(asked)
    assert told.call.parent is not None
    assert told.call.parent.span_id == mine.get_span_context().span_id
    assert {span.parent.span_id for span in told.attempts if span.parent} == {told.call.context.span_id}
    assert (told.call.kind, told.attempts[0].kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)


@each_mode
def test_a_call_that_fails_is_an_error_by_its_class_alone(
    face: Face, fault_server: FaultServers, told: Told, mode: Mode
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.fails("server"))), (OPENAI, fault_server(OPENAI.fails("server"))))
    config["routes"]["r"]["retry"] = {"attempts": 1}
    with face.router(config) as router:
        router.add_observer(told.observer)
        failing(AllTargetsFailedError, face, router, mode)
    assert told.call.status.status_code is StatusCode.ERROR
    assert told.call.status.description == facts(told.call)["error.type"] == "AllTargetsFailedError"
    assert facts(told.call)["llmrouter.outcome"] == "failed"
    (seconds,) = told.points("gen_ai.client.operation.duration")
    assert dict(seconds.attributes or {})["error.type"] == "AllTargetsFailedError"
    assert told.points("gen_ai.client.token.usage") == []


@each_mode
def test_an_answer_from_the_cache_used_nothing(
    face: Face, fault_server: FaultServers, told: Told, mode: Mode, tmp_path: Path
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply(BILLED))), cache="1h")
    config["cache"] = {"dir": str(tmp_path / "cache")}
    with face.router(config) as router:
        ask(face, router, mode)
        router.add_observer(told.observer)
        assert ask(face, router, mode).cached
    found = facts(told.call)
    assert (found["llmrouter.cached"], found["llmrouter.outcome"], found["llmrouter.attempts"]) == (True, "cached", 0)
    assert found["llmrouter.cost_usd"] == 0
    assert "gen_ai.usage.input_tokens" not in found
    (child,) = told.attempts
    assert facts(child)["llmrouter.reason"] == "cache"
    assert told.points("gen_ai.client.token.usage") == []


@each_mode
def test_tokens_and_seconds_are_histograms(face: Face, fault_server: FaultServers, told: Told, mode: Mode) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply(BILLED))))) as router:
        router.add_observer(told.observer)
        for _ in range(2):
            ask(face, router, mode)
    tokens = {
        dict(each.attributes or {})["gen_ai.token.type"]: each for each in told.points("gen_ai.client.token.usage")
    }
    assert (tokens["input"].sum, tokens["input"].count) == (2000, 2)
    assert (tokens["output"].sum, tokens["output"].count) == (400, 2)
    assert tokens["input"].explicit_bounds[:3] == (1, 4, 16)
    (seconds,) = told.points("gen_ai.client.operation.duration")
    assert seconds.count == 2
    assert seconds.explicit_bounds[:2] == (0.01, 0.02)
    assert dict(seconds.attributes or {})["llmrouter.route"] == "r"


@each_mode
def test_no_span_holds_prompt_answer_or_what_the_provider_said(
    face: Face, fault_server: FaultServers, told: Told, mode: Mode
) -> None:
    echo = fault_server((OPENAI.fails("server"), OPENAI.reply(Answer(SECRET))))
    with face.router(chain((OPENAI, echo))) as router:
        router.add_observer(told.observer)
        ask(face, router, mode, SECRET, system=SECRET, metadata={"note": SECRET})
    assert SECRET not in "".join(span.to_json() for span in told.spans)


def test_a_stream_that_is_left_is_told(face: Face, fault_server: FaultServers, told: Told) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply(Answer("one two three four")))))) as router:
        router.add_observer(told.observer)
        with face.stream(router, "r", "hello") as stream:
            next(iter(stream))
    assert facts(told.call)["llmrouter.outcome"] == "abandoned"


def test_a_single_target_fails_with_its_own_error(face: Face, fault_server: FaultServers, told: Told) -> None:
    config = chain((OPENAI, fault_server(OPENAI.fails("server"))), retry={"attempts": 1})
    with face.router(config) as router:
        router.add_observer(told.observer)
        failing(ServerError, face, router, "chat")
    assert facts(told.call)["error.type"] == "ServerError"
