"""A real redis-server for tests: on a free port of the loopback, keeping nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

REQUIRED = os.environ.get("LLMROUTER_REQUIRE_REDIS") == "1"  # read before the tests' environment is cleared


class RedisServer:
    """Starts and stops redis-server, at the same address each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            ["redis-server", *options, "--dir", str(self._folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("redis-server did not start within 10 s")

    def stop(self) -> None:
        """Kill it: nothing is said to its clients."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def require_redis() -> None:
    """Skip the test where redis-server or the package is not installed, or fail where it is required."""
    missing = None if shutil.which("redis-server") else "redis-server is not installed"
    try:
        import redis  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        missing = "the package redis is not installed: pip install 'llmrouter[redis]'"
    if missing is not None and REQUIRED:
        pytest.fail(f"{missing}, and LLMROUTER_REQUIRE_REDIS=1")
    if missing is not None:
        pytest.skip(missing)
