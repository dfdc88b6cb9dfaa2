"""CONTRIBUTING.md's provider plugin, installed from the page and asked for answers in both worlds."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter import Router
from llmrouter.errors import ConfigError, StreamInterruptedError
from tests.conftest import FaultServers
from tests.servers.replies import json_reply, raw_reply, sse
from tests.worlds import Face

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
PIECES = [{"text": "Good "}, {"text": "day."}, {"text": "", "tokens": [5, 3]}]
WHOLE = {"text": "Good day.", "tokens": [5, 3]}
LINES = [json.dumps(piece).encode() + b"\n" for piece in PIECES]


def block(language: str, marker: str) -> str:
    """Return the block of the page that holds `marker`."""
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return next(found for found in blocks if marker in found)


def config(url: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(block("yaml", "kind: acme"))
    found["providers"]["works"]["base_url"] = url
    return found


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the page's module, and a distribution with its entry point, on the path."""
    (tmp_path / "llmrouter_acme.py").write_text(block("python", "class AcmeProvider"), encoding="utf-8")
    information = tmp_path / "llmrouter_acme-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: llmrouter-acme\nVersion: 1.0\n")
    points = tomllib.loads(block("toml", "acme"))["project"]["entry-points"]["llmrouter.providers"]
    lines = "".join(f"{kind} = {factory}\n" for kind, factory in points.items())
    (information / "entry_points.txt").write_text(f"[llmrouter.providers]\n{lines}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "llmrouter_acme", raising=False)


@pytest.mark.usefixtures("installed")
def test_the_plugin_answers(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(json_reply(WHOLE))
    with face.router(config(server.url)) as router:
        reply = face.chat(router, "ask", "Good morning")
    assert (reply.content, reply.input_tokens, reply.output_tokens) == ("Good day.", 5, 3)
    assert server.requests[0].json["prompt"] == "user: Good morning"
    assert server.requests[0].headers["authorization"] == "Bearer unused"


@pytest.mark.usefixtures("installed")
def test_the_plugin_streams(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(sse(LINES))
    with face.router(config(server.url)) as router, face.stream(router, "ask", "Good morning") as stream:
        assert list(stream) == ["Good ", "day."]
        assert stream.response.output_tokens == 3


@pytest.mark.usefixtures("installed")
def test_the_plugins_rate_limit_is_retried_by_the_pipeline(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([json_reply("slow down", 429, {"retry-after": "0"}), json_reply(WHOLE)])
    with face.router(config(server.url)) as router:
        reply = face.chat(router, "ask", "Good morning")
    assert [attempt.outcome for attempt in reply.attempts] == ["failed", "ok"]


@pytest.mark.usefixtures("installed")
def test_a_stream_of_the_plugin_that_is_cut_is_an_error(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(sse(LINES[:2]))
    with (
        face.router(config(server.url)) as router,
        face.stream(router, "ask", "Good morning") as stream,
        pytest.raises(StreamInterruptedError),
    ):
        list(stream)


@pytest.mark.usefixtures("installed")
def test_an_answer_of_the_plugin_that_is_no_answer_is_retried(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([raw_reply(b"{}"), json_reply(WHOLE)])
    with face.router(config(server.url)) as router:
        assert face.chat(router, "ask", "Good morning").content == "Good day."


def test_without_the_plugin_its_kind_is_unknown() -> None:
    with pytest.raises(ConfigError, match="acme"):
        Router(config("http://127.0.0.1:1"))
