"""Looks into the file of a disk cache, and plants there what others might."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

KEY = "a" * 64


class Payload:
    """Unpickling this creates the file it was made with."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def database(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(directory / "cache.db", isolation_level=None)


def execute(directory: Path, sql: str, *parameters: object) -> None:
    connection = database(directory)
    try:
        connection.execute(sql, parameters)
    finally:
        connection.close()


def run_restricted(program: str, directory: Path, **options: Any) -> str:
    code = "import sys; from pathlib import Path; from llmrouter.store.cache import DiskCache\n" + textwrap.dedent(
        program
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return f"{done.stdout}{done.stderr}"
