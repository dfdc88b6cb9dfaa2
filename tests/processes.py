"""Real processes for tests: each runs a few lines of its own, starts when told to, and says what came of it.

A worker's lines find `config`, the modules named below, and two functions: `start(*routers)` says that it is ready
and waits for the word to go; `tell(value)` hands a value (JSON) back.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_BEGINNING = """
import asyncio, json, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
import openai
from llmrouter import *
from llmrouter import AsyncRouter, Router
config = json.loads(sys.argv[1])
def start():
    print("ready", flush=True)
    sys.stdin.readline()
def tell(value):
    print(json.dumps(value), flush=True)
"""


class Worker:
    """One process."""

    def __init__(self, lines: str, config: Any) -> None:
        code = _BEGINNING + textwrap.dedent(lines)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""  # on stderr, once it has ended

    def ready(self) -> None:
        """Wait until it has imported what it needs."""
        line = self._line()
        assert line == "ready", (line, self.process.stderr.read() if self.process.stderr else "")

    def go(self) -> None:
        """Let it start."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def heard(self) -> Any:
        """Return the next value that it tells."""
        line = self._line()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        return json.loads(line)

    def ended(self, seconds: float = 10.0) -> int:
        """Wait for its end; return the exit status."""
        _, self.said = self.process.communicate(timeout=seconds)
        return self.process.returncode

    def kill(self) -> None:
        """kill -9: it can tidy up nothing."""
        self.process.kill()
        self.process.communicate()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def workers(lines: str, config: Any, count: int) -> Iterator[list[Worker]]:
    """Start `count` processes with the same lines, all ready to go; at the end none is left."""
    started = [Worker(lines, config) for _ in range(count)]
    try:
        for each in started:
            each.ready()
        yield started
    finally:
        for each in started:
            if each.process.poll() is None:
                each.process.kill()
            with suppress(ValueError):  # its pipes are closed already
                each.process.communicate()


@contextmanager
def worker(lines: str, config: Any) -> Iterator[Worker]:
    """Start one process, and let it go."""
    with workers(lines, config, 1) as [started]:
        started.go()
        yield started
