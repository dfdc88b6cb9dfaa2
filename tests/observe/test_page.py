"""docs/observability.md and the Grafana dashboard promise nothing that is not there."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

from prometheus_client import CollectorRegistry, generate_latest

from llmrouter import Router
from llmrouter.observe.prometheus import PrometheusObserver
from tests.chains import chain
from tests.conftest import FaultServers
from tests.docs.blocks import DOCS, blocks_of
from tests.docs.test_pages import environment, matches, model, promised
from tests.servers.protocols import OPENAI

PAGE = (DOCS / "observability.md").read_text(encoding="utf-8")
BOARD = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))


def test_the_page_runs_from_its_top_to_its_end(tmp_path: Path, fault_server: FaultServers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    blocks = [block for block in blocks_of(PAGE.replace("port: 9464", f"port: {port}")) if not block.skipped]
    runnable = [block for block in blocks if block.title or block.language in ("python", "bash")]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(DOCS.parent / "tests" / "docs" / "run_page.py")],
        input=json.dumps([{**asdict(block), "status": block.status} for block in runnable]),
        cwd=tmp_path, env=environment(fault_server(model).url, tmp_path),
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = {entry["line"]: entry for entry in json.loads(done.stdout)}
    for block in runnable:
        assert not told[block.line]["failure"], f"line {block.line}: {told[block.line]['failure']}"
    for block, printed in promised(blocks):
        assert matches(told[block.line]["printed"], printed.text), (printed.text, told[block.line]["printed"])


@pytest.fixture
def names(fault_server: FaultServers) -> set[str]:
    """The names of all metrics there are, without the endings that Prometheus adds."""
    registry, config = CollectorRegistry(), chain((OPENAI, fault_server(OPENAI.fails("server"))))
    with Router(config) as router:
        router.add_observer(PrometheusObserver(registry))
        text = generate_latest(registry).decode()
    return set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))


def test_every_metric_is_on_the_page(names: set[str]) -> None:
    assert {name for name in names if not name.endswith("_created")} == set(re.findall(r"`(llm_\w+)`", PAGE))


def test_the_grafana_dashboard_asks_for_metrics_that_are_there(names: set[str]) -> None:
    asked = {name for each in expressions() for name in re.findall(r"\bllm_\w+", each)}
    assert {name.removesuffix("_bucket") for name in asked} <= names
    assert len(asked) >= 10


def test_the_panels_of_the_grafana_dashboard_have_a_place_each() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def expressions() -> list[str]:
    panels: list[dict[str, Any]] = BOARD["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_expression_closes_what_it_opens() -> None:
    for each in expressions():
        assert each.count("(") == each.count(")"), each
        assert each.count("{") == each.count("}"), each
