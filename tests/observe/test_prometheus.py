"""What Prometheus reads: fetched over HTTP, as it would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from llmrouter import AllTargetsFailedError, ServerError
from llmrouter.observe.prometheus import MetricsServer, PrometheusObserver
from tests.chains import Mode, ask, chain, each_mode, failing
from tests.conftest import FaultServers
from tests.servers.protocols import OPENAI, Answer
from tests.worlds import Face

BILLED = Answer("Here.", input_tokens=1000, output_tokens=200)
TARGET = f"first/{OPENAI.model}"


class Scraped:
    """The samples of one scrape."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            self.text = answer.read().decode()
        self._samples = [each for family in text_string_to_metric_families(self.text) for each in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """Return the sum of what has these labels."""
        return sum(each.value for each in self._samples if each.name == name and labels.items() <= each.labels.items())


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def scrape(registry: CollectorRegistry) -> Scraped:
    server = MetricsServer(registry, "127.0.0.1", 0)
    try:
        return Scraped(server.port)
    finally:
        server.close()


@each_mode
def test_calls_attempts_tokens_money_and_time_are_counted(
    face: Face, fault_server: FaultServers, registry: CollectorRegistry, mode: Mode
) -> None:
    server = fault_server((OPENAI.fails("server"), OPENAI.reply(BILLED), OPENAI.reply(BILLED)))
    with face.router(chain((OPENAI, server))) as router:
        router.add_observer(PrometheusObserver(registry))
        for _ in range(2):
            ask(face, router, mode)
        found = scrape(registry)
    assert found("llm_requests_total", route="r", target=TARGET, outcome="ok") == 2
    assert found("llm_request_duration_seconds_count", route="r") == 2
    assert 0 < found("llm_request_duration_seconds_sum") < 10
    assert found("llm_attempts_total", outcome="failed", error="ServerError") == 1
    assert found("llm_attempts_total", outcome="ok", error="") == 2
    assert found("llm_tokens_used_total", type="input") == 2000
    assert found("llm_tokens_used_total", type="output") == 400
    assert found("llm_cost_usd_total", target=TARGET) == pytest.approx(0.006)
    assert found("llm_cost_usd_total") == pytest.approx(router.total_cost)


@each_mode
def test_a_call_that_fails_is_counted_by_its_last_target(
    face: Face, fault_server: FaultServers, registry: CollectorRegistry, mode: Mode
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.fails("server"))), (OPENAI, fault_server(OPENAI.fails("server"))))
    config["routes"]["r"]["retry"] = {"attempts": 1}
    with face.router(config) as router:
        router.add_observer(PrometheusObserver(registry))
        failing(AllTargetsFailedError, face, router, mode)
        found = scrape(registry)
    assert found("llm_requests_total", target=f"second/{OPENAI.model}", outcome="failed") == 1
    assert found("llm_tokens_used_total") == 0


@each_mode
def test_an_answer_from_the_cache_uses_no_tokens(
    face: Face, fault_server: FaultServers, registry: CollectorRegistry, mode: Mode, tmp_path: Path
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply(BILLED))), cache="1h")
    config["cache"] = {"dir": str(tmp_path / "cache")}
    with face.router(config) as router:
        router.add_observer(PrometheusObserver(registry))
        for _ in range(2):
            ask(face, router, mode)
        found = scrape(registry)
    assert found("llm_requests_total", outcome="cached") == 1
    assert found("llm_tokens_used_total", type="input") == 1000


def test_a_price_nobody_knows_is_counted_and_not_taken_for_nothing(
    face: Face, fault_server: FaultServers, registry: CollectorRegistry
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply(BILLED))))
    del config["prices"]
    config["routes"]["r"]["model"] = "first/a-model-of-ours"
    with face.router(config) as router:
        router.add_observer(PrometheusObserver(registry))
        ask(face, router, "chat")
        found = scrape(registry)
    assert found("llm_unpriced_attempts_total") == 1
    assert "llm_cost_usd_total{" not in found.text


def test_breakers_are_read_when_scraped(face: Face, fault_server: FaultServers, registry: CollectorRegistry) -> None:
    server = fault_server(OPENAI.fails("server"))
    config = chain((OPENAI, server), retry={"attempts": 1}, breaker={"failures": 2, "cooldown": "5m"})
    with face.router(config) as router:
        router.add_observer(PrometheusObserver(registry))
        assert scrape(registry)("llm_breaker_state", target=TARGET) == 0
        for _ in range(2):
            failing(ServerError, face, router, "chat")
        found = scrape(registry)
    assert found("llm_breaker_state", target=TARGET) == 2
    assert found("llm_breaker_failures", target=TARGET) == 2


def test_limits_and_spend_limits_are_read_when_scraped(
    face: Face, fault_server: FaultServers, registry: CollectorRegistry
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply(BILLED))))
    config["routes"]["r"] |= {
        "limits": {"requests_per_minute": 50, "tokens_per_minute": 90_000, "concurrency": 4},
        "spend_limit": {"usd": 5, "per": "day"},
        "params": {"max_tokens": 400},
    }
    with face.router(config) as router:
        router.add_observer(PrometheusObserver(registry))
        ask(face, router, "chat")
        found = scrape(registry)
    assert found("llm_limit_most", kind="requests_per_minute") == 50
    assert found("llm_limit_used", kind="requests_per_minute") == 1
    assert found("llm_limit_used", kind="tokens_per_minute") == 1200
    assert found("llm_limit_used", kind="concurrency") == 0
    assert found("llm_spend_limit_usd", scope="route:r", per="day") == 5
    assert found("llm_spend_usd", scope="route:r", per="day") == pytest.approx(0.003)


def test_a_router_that_is_gone_is_not_read_any_more(fault_server: FaultServers, registry: CollectorRegistry) -> None:
    import gc

    from llmrouter import Router

    router = Router(chain((OPENAI, fault_server(OPENAI.reply(BILLED)))))
    router.add_observer(PrometheusObserver(registry))
    router.close()
    assert TARGET in scrape(registry).text
    del router
    gc.collect()
    assert TARGET not in scrape(registry).text


def test_two_routers_may_share_an_observer(face: Face, fault_server: FaultServers, registry: CollectorRegistry) -> None:
    observer, config = PrometheusObserver(registry), chain((OPENAI, fault_server(OPENAI.reply(BILLED))))
    with face.router(config) as one, face.router(config) as other:
        for router in (one, other):
            router.add_observer(observer)
            ask(face, router, "chat")
        found = scrape(registry)
    assert found("llm_requests_total") == 2
    assert found.text.count("\nllm_breaker_state{") == 1


# ------------------------------------------------------------------------------------------------ by the file


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_the_file_has_metrics_served_until_the_router_is_closed(face: Face, fault_server: FaultServers) -> None:
    config, port = chain((OPENAI, fault_server(OPENAI.reply(BILLED)))), free_port()
    config["telemetry"] = {"prometheus": {"port": port}}
    with face.router(config) as router:
        ask(face, router, "chat")
        assert Scraped(port)("llm_requests_total", outcome="ok") == 1
    with pytest.raises(OSError, match="refused"):
        Scraped(port)


def test_a_port_that_is_taken_costs_a_warning_and_no_router(
    face: Face, fault_server: FaultServers, warnings: list[str]
) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply(BILLED))))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config["telemetry"] = {"prometheus": {"port": port}}
        with face.router(config) as router:
            assert ask(face, router, "chat").content == "Here."
    assert len([line for line in warnings if f"127.0.0.1:{port} cannot be listened on" in line]) == 1


def test_a_reload_keeps_the_counts_and_the_port(face: Face, fault_server: FaultServers, tmp_path: Path) -> None:
    import json

    config, port = chain((OPENAI, fault_server(OPENAI.reply(BILLED)))), free_port()
    config["telemetry"] = {"prometheus": {"port": port}}
    file = tmp_path / "routes.yaml"
    file.write_text(json.dumps(config))
    with face.router(file) as router:
        ask(face, router, "chat")
        assert router.reload()
        ask(face, router, "chat")
        assert Scraped(port)("llm_requests_total") == 2
        del config["telemetry"]
        file.write_text(json.dumps(config))
        assert router.reload()
        with pytest.raises(OSError, match="refused"):
            Scraped(port)


FORKED = """
import os, sys, urllib.request
from llmrouter import Router
router = Router({"version": 1, "telemetry": {"prometheus": {"port": int(sys.argv[1])}}})
child = os.fork()
if child == 0:
    router.close()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics", timeout=5).status)
router.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_closes_its_router_and_the_parent_goes_on_serving() -> None:
    run = [sys.executable, "-W", "ignore", "-c", FORKED, str(free_port())]  # 3.12 and later warn of any such fork
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout == "7\n200\n", done.stderr
