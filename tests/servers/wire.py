"""Real exchanges with providers, recorded, and a server that replays them.

The recordings are no part of this repository. They are looked for in the folder that `LLMROUTER_WIRE` names, else in
`../shared/wire` beside the checkout; tests that need them skip when they are absent.
"""

from __future__ import annotations

import functools
import json
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.faults import FaultServer, in_turn
from tests.servers.replies import Reply

FOLDER = Path(os.environ.get("LLMROUTER_WIRE") or Path(__file__).parents[2].parent / "shared" / "wire")
_ABOUT_THE_CONNECTION = {
    "connection", "content-encoding", "content-length", "keep-alive", "proxy-authenticate", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer. `request` is the decoded body asked, None when it is not JSON or not recorded."""

    case: str
    method: str
    url: str
    request_headers: Mapping[str, str]
    request_body: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request(self) -> Any:
        """The decoded body of the request."""
        try:
            return json.loads(self.request_body)
        except ValueError:
            return None

    @property
    def json(self) -> Any:
        """The decoded body of the answer."""
        return json.loads(self.body)

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream of server-sent events."""
        return "event-stream" in self.headers.get("content-type", "")


def cases(prefix: str = "") -> list[str]:
    """Return the names of the recorded cases that begin with `prefix`: `openai/chat-plain`, ...; [] without them."""
    if not FOLDER.is_dir():
        return []
    names = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.json"))
    return [name for name in names if name.startswith(prefix)]


def load(case: str) -> tuple[Exchange, ...]:
    """Return the exchanges of one case in order; skips the test when the recordings are absent."""
    if not FOLDER.is_dir():
        pytest.skip("no recorded exchanges here; LLMROUTER_WIRE may name their folder")
    return _load(case)


@functools.cache
def _load(case: str) -> tuple[Exchange, ...]:
    recorded = json.loads((FOLDER / f"{case}.json").read_text(encoding="utf-8"))
    return tuple(_exchange(case, **item) for item in recorded["exchanges"])


def _exchange(case: str, request: Mapping[str, Any], response: Mapping[str, Any]) -> Exchange:
    headers = {name.lower(): value for name, value in response["headers"].items()}
    return Exchange(
        case=case,
        method=request["method"],
        url=request["url"],
        request_headers=request["headers"],
        request_body=request["body"],
        status=response["status"],
        headers={name: value for name, value in headers.items() if name not in _ABOUT_THE_CONNECTION},
        body=response["body"].encode(),
    )


def cut(body: bytes, seed: int | None) -> list[bytes]:
    """Cut a stream in pieces of random sizes, the same for the same seed; None leaves it whole."""
    if seed is None:
        return [body]
    sizes, pieces, at = random.Random(seed), [], 0
    while at < len(body):
        size = min(sizes.choice((1, 2, 3, 7, 31, 211, 1024)), len(body) - at)
        pieces.append(body[at : at + size])
        at += size
    return pieces


def as_reply(exchange: Exchange, seed: int | None = None) -> Reply:
    """Return the recorded answer: its status, headers and bytes; a stream is cut by `seed`."""
    if exchange.is_stream:
        return Reply(exchange.status, exchange.headers, cut(exchange.body, seed), chunked=True)
    return Reply(exchange.status, exchange.headers, (exchange.body,))


def replaying(case: str, seed: int | None = None) -> FaultServer:
    """Open a server that answers with the exchanges of `case` in turn, whatever is asked."""
    return FaultServer(in_turn([as_reply(exchange, seed) for exchange in load(case)]))
