"""Rows of the ledger for tests, and programs that write some."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from llmrouter.store.ledger import Ledger
from llmrouter.store.ledger_row import Filter, Row
from llmrouter.store.ledger_sqlite import SqliteRows

ALL: Final = Filter()
ROOT: Final = Path(__file__).parents[2]

PLAIN: Final = Row(
    call="c1",
    number=0,
    time=1_790_000_000.0,
    route="r",
    target="openai/gpt-6-luna",
    provider="openai",
    outcome="ok",
    error=None,
    uncached_tokens=100,
    cache_read_tokens=20,
    cache_write_tokens=3,
    cache_write_1h_tokens=0,
    output_tokens=50,
    reasoning_tokens=10,
    cost_nano=1_234_567,
    saved_nano=None,
    prompt_cache_nano=None,
    estimated=False,
    seconds=0.5,
    waited=0.0,
    cached=False,
    stale=False,
    request_id=None,
    tags=None,
    process="host:1",
)


def row(**changes: Any) -> Row:
    """Return the plain row, changed."""
    return PLAIN._replace(**changes)


def opened(path: Path) -> Ledger:
    """Return a ledger that writes almost at once."""
    return Ledger(SqliteRows(path), delay_s=0.01)


def stored(path: Path) -> list[Row]:
    """Return what another process would read in the file."""
    rows = SqliteRows(path)
    try:
        return sorted(rows.read(ALL))
    finally:
        rows.close()


def soon(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether `condition` comes true within some seconds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


HEAD: Final = """
import os, signal, sys, time
from pathlib import Path
from llmrouter.store.ledger import open_ledger
from tests.ledger.rows import row
path = Path(sys.argv[1])
ledger = open_ledger(path)
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python program that may import this module."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run(program: str, *arguments: object) -> str:
    """Run a program to its end and return what it printed; fails the test when it does not end well."""
    with start(program, *arguments) as process:
        out, errors = process.communicate(timeout=50)
    assert process.returncode == 0, errors
    return out
