"""What holds for every test: no environment, no home, no network, nothing left behind; and the servers on offer.

Fixtures: `face` (each test twice, sync and async), `fault_server` (a factory), `authority` (a CA of our own),
`aimock` (a mock of all providers, for tests marked integration), `wire_server` (replays recorded exchanges),
`lost_names` (a resolver that hangs), `redis_server` and `own_redis` (real ones), `said` and `warnings` (what is
logged).
"""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir
from loguru import logger

import llmrouter
from tests.isolation import is_cleared, only_loopback, threads_left
from tests.servers.aimock import Aimock, find_aimock
from tests.servers.faults import FaultServer, Script
from tests.servers.tls import Authority
from tests.servers.wire import replaying
from tests.store.redis_server import RedisServer, require_redis
from tests.worlds import Face

ROOT = Path(__file__).parents[1]

# Timing on a shared machine says nothing about the code, and each test runs in a folder of its own.
settings.register_profile("llmrouter", deadline=None)
settings.load_profile("llmrouter")
set_hypothesis_home_dir(ROOT / ".hypothesis")

FaultServers: TypeAlias = Callable[..., FaultServer]
WireServers: TypeAlias = Callable[..., FaultServer]


@pytest.fixture(scope="session", autouse=True)
def _what_was_built() -> None:
    """Where .ci/run asks for it, the package of the environment is tested and not the one beside the tests."""
    if "LLMROUTER_REQUIRE_INSTALLED" in os.environ:
        assert Path(llmrouter.__file__).parent != ROOT / "llmrouter", "the tests run on the checkout"


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    with only_loopback():
        yield


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = threads_left(before)
    assert not left, f"threads left running: {', '.join(left)}"


@pytest.fixture(autouse=True)
def _own_home(_nothing_left_behind: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in filter(is_cleared, list(os.environ)):
        monkeypatch.delenv(variable)
    home = tmp_path / "home"
    home.mkdir()
    for variable, folder in {"HOME": ".", "USERPROFILE": ".", **_XDG}.items():
        monkeypatch.setenv(variable, str(home / folder))
    monkeypatch.chdir(tmp_path)


_XDG = {
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    """The router's calls, once in the sync world and once in the async one."""
    gc.freeze()  # so that collecting at the end looks only at what this test made
    opened = Face(request.param)
    yield opened
    left = opened.close()
    gc.collect()  # a socket or stream left to the collector warns now, and the warning fails this very test
    gc.unfreeze()
    assert not left, f"tasks left running: {'; '.join(left)}"


@pytest.fixture(scope="session")
def _imported_sdks() -> None:
    """On a crowded machine the first import of an SDK takes seconds, which tests of promptness would count."""
    for sdk in ("openai", "anthropic", "google.genai"):
        import_module(sdk)


@pytest.fixture
def fault_server(_imported_sdks: None) -> Iterator[FaultServers]:
    """Open fault servers: `fault_server(script)`, `fault_server(script, tls=authority.server_context())`."""
    with ExitStack() as opened:

        def open_server(script: Script = (), **options: Any) -> FaultServer:
            return opened.enter_context(FaultServer(script, **options))

        yield open_server


@pytest.fixture
def lost_names(face: Face, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that does not come back, for `lost.invalid`, until the test is over: then `face` waits for it."""
    del face
    resolve, over = socket.getaddrinfo, threading.Event()

    def hanging(host: Any, *args: Any, **options: Any) -> Any:
        if host in ("lost.invalid", b"lost.invalid"):
            over.wait(60)
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    yield
    over.set()


@pytest.fixture
def wire_server() -> Iterator[WireServers]:
    """Open servers that replay a recorded case: `wire_server("openai/chat-plain")`, `wire_server(case, seed=7)`."""
    with ExitStack() as opened:

        def open_server(case: str, seed: int | None = None) -> FaultServer:
            return opened.enter_context(replaying(case, seed))

        yield open_server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody trusts without being told to."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def aimock() -> Iterator[Aimock]:
    """The running mock of all providers; skips, or fails where it is required, when it is not installed."""
    with find_aimock() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running redis-server that all tests of the session share; use keys of your own."""
    require_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A redis-server for this test alone, not started yet."""
    require_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@contextmanager
def logged(level: str, form: str) -> Iterator[list[str]]:
    """Give what llmrouter logs from `level` up while the block runs, line by line."""
    lines: list[str] = []
    logger.enable("llmrouter")
    sink = logger.add(lines.append, level=level, format=form)
    yield lines
    logger.remove(sink)
    logger.disable("llmrouter")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the library logs, from INFO up, each line with its level."""
    with logged("INFO", "{level} {message}") as lines:
        yield lines


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What the library warns of, or worse."""
    with logged("WARNING", "{message}") as lines:
        yield lines
