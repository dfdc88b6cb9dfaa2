"""A key goes to its provider and nowhere else: not into a repr, a log line, an error, a traceback or a file."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter import LLMRouterError, disable_logging, enable_logging
from tests.chains import SHORT, Mode, ask, each_mode, failing
from tests.conftest import FaultServers
from tests.servers.facts import Failure
from tests.servers.protocols import PROTOCOLS, Protocol
from tests.servers.replies import Reply, broken_json, html, json_reply, reset_before_headers, silence
from tests.worlds import Face

CANARY = "canary-5c1b9e-do-not-print"
VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, CANARY)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged at any level, with all bound fields and, for exceptions, the values of their frames."""
    found: list[str] = []

    def sink(message: Any) -> None:
        found.append(f"{message} {message.record['extra']}")

    enable_logging("TRACE", sink)
    yield found
    disable_logging()


def config(protocol: Protocol, url: str, **route: Any) -> dict[str, Any]:
    """One rung whose key comes from the environment."""
    entry = protocol.provider(url)
    del entry["api_key"]
    name = protocol.target.partition("/")[0]
    return {"providers": {name: entry}, "defaults": SHORT, "routes": {"r": {"model": protocol.target, **route}}}


def shown(error: BaseException) -> str:
    """Everything that a crash reporter would show of an error: each frame with its values, and the fields."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = "".join(told.format())
    return "\n".join([frames, str(error), repr(error), repr(vars(error))])


@every_protocol
def test_the_key_reaches_its_provider(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply())
    with face.router(config(protocol, server.url)) as router:
        ask(face, router, "chat")
    assert any(CANARY in value for value in server.requests[0].headers.values())
    assert CANARY not in server.requests[0].path


FAULTS: dict[str, Reply | Failure] = {
    "authentication": "authentication",
    "rate_limit": "rate_limit",
    "bad_request": "bad_request",
    "server": "server",
    "reset": reset_before_headers(),
    "silence": silence(30),
    "page": html(),
    "broken": broken_json(),
}


@every_protocol
@pytest.mark.parametrize("fault", FAULTS)
@each_mode
def test_no_error_shows_it(
    face: Face, fault_server: FaultServers, protocol: Protocol, fault: str, mode: Mode, lines: list[str]
) -> None:
    reply = FAULTS[fault]
    server = fault_server(protocol.fails(reply) if isinstance(reply, str) else reply)
    limits = {"retry": {"attempts": 1}, "timeouts": {"attempt": "300ms", "first_token": "300ms"}}
    with face.router(config(protocol, server.url, **limits)) as router:
        error = failing(LLMRouterError, face, router, mode)
    assert CANARY not in shown(error)
    assert CANARY not in "".join(lines)
    assert CANARY.encode() not in pickle.dumps(error)


@every_protocol
def test_a_provider_that_repeats_the_key_in_its_error_is_not_repeated(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    body = {"error": {"message": f"Incorrect API key provided: {CANARY}.", "type": "x", "code": 401, "status": "X"}}
    server = fault_server(json_reply(body, 401))
    with face.router(config(protocol, server.url)) as router:
        error = failing(LLMRouterError, face, router, "chat")
    assert "Incorrect API key" in str(error)
    assert CANARY not in "".join(traceback.format_exception(error))
    assert error.__cause__ is not None
    for link in (error, error.__cause__):
        assert CANARY not in repr(vars(link))


@every_protocol
def test_no_repr_shows_it(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply())
    with face.router(config(protocol, server.url)) as router:
        reply = ask(face, router, "chat")
        plan = router.plan("r")
        provider = plan.rungs[0].provider
        things = [router, plan, provider, provider.settings, router.route("r"), reply, vars(router)]
    assert CANARY not in "\n".join(map(repr, things))


@every_protocol
@each_mode
def test_no_file_and_no_line_holds_it(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode, lines: list[str], tmp_path: Path
) -> None:
    server = fault_server(protocol.reply())
    with face.router(config(protocol, server.url, cache={"ttl": "1h"})) as router:
        ask(face, router, mode)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name.startswith("cache.db") for path in files)
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert lines
    assert CANARY not in "".join(lines)


def test_a_key_that_the_file_refers_to_is_not_shown_by_the_files_mistakes(face: Face, tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("providers:\n  openai: {api_key: '${OPENAI_API_KEY}', base_ulr: x}\n")
    with pytest.raises(LLMRouterError) as failure, face.router(file):
        pass
    assert "base_ulr" in str(failure.value)
    assert CANARY not in shown(failure.value)
