"""LiteLLM behind our seam, against a loopback server; skipped where the extra is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmrouter.providers import registry
from llmrouter.providers.base import ProviderSettings
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI, Answer, Call, Failure

CALLER = Path(__file__).with_name("litellm_caller.py")
installed = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason="needs the extra: pip install llmrouter[litellm]"
)
both_worlds = pytest.mark.parametrize("world", ["sync", "async"])


def asked(server: FaultServer, world: str, how: str = "send") -> dict[str, Any]:
    command = [sys.executable, str(CALLER), world, how, server.url]
    environ = {**os.environ, "PYTHONPATH": str(CALLER.parents[2])}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=True)
    facts = json.loads(done.stdout)
    assert isinstance(facts, dict)
    return facts


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    provider = registry.create(ProviderSettings("litellm", "litellm"))
    assert provider.unusable() == "LiteLLM is not installed: pip install 'llmrouter[litellm]'"


def test_an_error_of_nobodys_passes_unmapped() -> None:
    assert registry.create(ProviderSettings("litellm", "litellm")).translate(ZeroDivisionError()) is None


@installed
@both_worlds
def test_an_answer_comes_back(fault_server: FaultServers, world: str) -> None:
    server = fault_server(OPENAI.reply(Answer(calls=(Call(),))))
    facts = asked(server, world)
    assert (facts["calls"], facts["finish"], facts["tokens"]) == (["weather"], "tool_calls", [12, 7])
    assert server.requests[0].json["max_tokens"] == 64


@installed
@both_worlds
def test_a_stream_comes_back(fault_server: FaultServers, world: str) -> None:
    facts = asked(fault_server(OPENAI.reply("One two three.")), world, "stream")
    assert (facts["streamed"], facts["content"], facts["finish"]) == ("One two three.", "One two three.", "stop")


@installed
@both_worlds
@pytest.mark.parametrize(
    ("kind", "error"),
    [("rate_limit", "RateLimitError"), ("context_length", "ContextLengthError"), ("server", "ServerError")],
)
def test_a_failure_has_our_class_and_makes_exactly_one_request(
    fault_server: FaultServers, world: str, kind: Failure, error: str
) -> None:
    server = fault_server(lambda _: OPENAI.fails(kind))
    assert asked(server, world) == {"error": error}
    assert len(server.requests) == 1
