"""The web application of the streaming page: it streams, and a browser that goes away ends the provider's stream."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FaultServers
from tests.docs.blocks import DOCS, blocks_of
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn comes with the extra `test`")
pytest.importorskip("fastapi", reason="fastapi comes with the extra `test`")

PAGE = (DOCS / "streaming.md").read_text(encoding="utf-8")
QUESTION = b"GET /chat?question=Why%3F HTTP/1.1\r\nHost: here\r\n\r\n"


def application() -> Any:
    """The application of the page, with the page's routes in the current folder."""
    files = {block.title: block.text for block in blocks_of(PAGE) if block.title}
    Path("routes.yaml").write_text(files["routes.yaml"], encoding="utf-8")
    names: dict[str, Any] = {"__name__": "app"}
    exec(compile(files["app.py"], "app.py", "exec", dont_inherit=True), names)
    return names["app"]


@contextmanager
def serving(app: Any) -> Iterator[tuple[str, int]]:
    """Serve on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join()


def until(happened: Any, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def provider(fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch) -> FaultServer:
    server = fault_server(OPENAI.reply("Here it is."))
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + OPENAI.root)
    monkeypatch.setenv("OPENAI_API_KEY", "none-of-yours")
    return server


def test_an_answer_arrives_as_events(provider: FaultServer) -> None:
    with serving(application()) as address, socket.create_connection(address, timeout=20) as browser:
        browser.sendall(QUESTION)
        received = b""
        while b'"done"' not in received:
            received += browser.recv(65536)
    assert b'data: {"text": "Here"}\n\n' in received
    assert b'data: {"done": "stop"}\n\n' in received


def test_a_browser_that_goes_away_ends_the_providers_stream(provider: FaultServer) -> None:
    provider.script(OPENAI.stream("word " * 1000).delayed(0.05))
    with serving(application()) as address:
        with socket.create_connection(address, timeout=20) as browser:
            browser.sendall(QUESTION)
            while b'"text"' not in browser.recv(65536):
                pass
        until(lambda: provider.early_closes)
