"""A ledger with some calls in it, and the page that shows it, served on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from llmrouter import Router
from llmrouter.store.ledger_row import Row
from tests.ledger.rows import opened, row

HOUR, DAY = 3600.0, 86_400.0
SECRET = "<b>what nobody else should read</b>"


@dataclass(frozen=True)
class Page:
    """A page that is served."""

    router: Router
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def get(self, path: str = "/", **headers: str) -> tuple[int, str, dict[str, str]]:
        """Ask as a browser would; `_` in a header's name stands for `-`. Return status, text and headers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()


def config(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return a file with a spend limit and a pace, whose ledger is in `folder`."""
    return {
        "version": 1,
        "ledger": {"path": str(folder / "usage.db")},
        "cache": {"dir": str(folder / "cache")},
        "providers": {"openai": {"api_key": "none"}, "anthropic": {"api_key": "none"}},
        "routes": {
            "summarize": {
                "model": "openai/gpt-6-luna",
                "fallbacks": ["anthropic/claude-haiku-5-5"],
                "spend_limit": {"usd": 5, "per": "day"},
                "limits": {"requests_per_minute": 60},
            }
        },
        **changes,
    }


def filled(folder: Path) -> list[Row]:
    """Write calls of three days to the ledger in `folder`: answered, fallen back, cached, failed, of unknown price."""
    now = time.time()
    failed = {"outcome": "failed", "error": "OverloadedError", "cost_nano": 0, "uncached_tokens": 0}
    rows = [
        row(call="a", time=now - 60, route="summarize", cost_nano=1_250_000_000, seconds=0.5),
        row(call="b", time=now - 50, route="summarize", **failed),
        row(
            call="b", number=1, time=now - 49, route="summarize", target="anthropic/claude-haiku-5-5",
            provider="anthropic", cost_nano=500_000_000, seconds=1.5, waited=0.25, tags=f'{{"note": "{SECRET}"}}',
        ),
        row(call="c", time=now - DAY, route="summarize", outcome="cached", cached=True, cost_nano=0, saved_nano=10**7),
        row(call="d", time=now - DAY - 5, route="extract", **failed),
        row(call="e", time=now - 2 * DAY, route="extract", cost_nano=None),
        row(call="f", time=now - 60 * DAY, route="extract", cost_nano=3_000_000_000),
    ]  # fmt: skip
    ledger = opened(folder / "usage.db")
    for each in rows:
        ledger.add(each)
    ledger.close()
    return rows


@contextmanager
def served(routes: dict[str, Any], *, host: str = "127.0.0.1", token: str | None = None) -> Iterator[Page]:
    """Serve the page of a file. `host` is what the page takes itself to listen on; it is loopback all the same."""
    from llmrouter.dashboard.app import application, listen, server

    with Router(routes) as router, listen("127.0.0.1", 0) as listening:
        running = server(application(router, host, token))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Page(router, listening.getsockname()[1])
        finally:
            running.should_exit = True
            thread.join()
