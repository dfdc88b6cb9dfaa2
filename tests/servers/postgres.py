"""Runs a PostgreSQL of its own for the tests: a fresh cluster in a temporary folder, on a port of this machine.

Where it is not installed (Debian: `apt-get install postgresql`) the tests skip, unless `LLMROUTER_REQUIRE_POSTGRES=1`:
then they fail.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

_ACCOUNT = "postgres"  # what root runs it as: it refuses to run as root itself


@contextmanager
def find_postgres() -> Iterator[str]:
    """Start PostgreSQL for as long as the context lasts; give the URL of an empty database. Skip or fail without."""
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        _absent("postgresql is not installed")
    if importlib.util.find_spec("psycopg") is None or importlib.util.find_spec("sqlalchemy") is None:
        _absent("SQLAlchemy or psycopg is not installed; they are in the extra `postgres`")
    account: dict[str, Any] = {"user": _ACCOUNT, "group": _ACCOUNT} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="llmrouter-pg-", ignore_cleanup_errors=True) as folder:
        if account:
            shutil.chown(folder, _ACCOUNT, _ACCOUNT)
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **account}
        data, port = Path(folder, "data"), _free_port()
        subprocess.run([initdb, "-D", data, "-U", _ACCOUNT, "-A", "trust", "-N"], check=True, **quiet)
        options = ["-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        process = subprocess.Popen([server, "-D", data, *options], **quiet)
        try:
            yield _ready(f"postgresql://{_ACCOUNT}@127.0.0.1:{port}/postgres")
        finally:
            process.terminate()
            process.wait(30)


def _program(name: str) -> str | None:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(installed[-1]) if installed else None)


def _absent(reason: str) -> NoReturn:
    if os.environ.get("LLMROUTER_REQUIRE_POSTGRES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _ready(url: str) -> str:
    import time

    import psycopg

    until = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return url
