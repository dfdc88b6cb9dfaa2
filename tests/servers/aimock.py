"""Runs aimock, a mock server of every provider's API, for the integration tests.

It is a node package of others, so its answers are a second opinion on what the wire looks like. Install it with
`npm install` in `tests/servers/aimock`, or name another folder that holds its `node_modules` in `LLMROUTER_AIMOCK`.
Where it is missing the tests skip, unless `LLMROUTER_REQUIRE_AIMOCK=1`: then they fail.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote
from urllib.request import urlopen

import pytest

HERE = Path(__file__).parent / "aimock"
_SCRIPT = Path("node_modules", "@copilotkit", "aimock", "dist", "cli.js")
_START_SECONDS = 20.0
_ROOTS = {"openai": "/v1", "anthropic": "", "google": ""}  # what follows the URL in each kind's base_url


@dataclass(frozen=True, slots=True)
class Aimock:
    """A running aimock. Its answers depend on the last user message: see the fixtures beside this module."""

    url: str

    def provider(self, kind: str, test: str = "", **more: Any) -> dict[str, Any]:
        """Return the entry of `providers:` for `openai`, `anthropic` or `google`.

        Fixtures that answer differently the second time count separately for each `test`.
        """
        headers = {"headers": {"x-test-id": test}} if test else {}
        return {"kind": kind, "base_url": self.url + _ROOTS[kind], "api_key": "test-key", **headers, **more}

    def journal(self, test: str = "") -> list[dict[str, Any]]:
        """Return the requests it has seen, oldest first: `path`, `headers`, `body`, `response` of each."""
        query = f"?testId={quote(test)}" if test else ""
        with urlopen(f"{self.url}/__aimock/journal{query}") as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found


@contextmanager
def find_aimock() -> Iterator[Aimock]:
    """Start aimock for as long as the context lasts; skip or fail when it cannot be found."""
    node, script = shutil.which("node"), Path(os.environ.get("LLMROUTER_AIMOCK") or HERE) / _SCRIPT
    if node is None or not script.is_file():
        what = "node is not installed" if node is None else f"{script} is missing"
        _missing(f"{what}; run `npm install` in tests/servers/aimock, or set LLMROUTER_AIMOCK")
    with tempfile.TemporaryFile("a+") as log:
        command = [str(node), str(script), "--port", "0", "--fixtures", str(HERE / "fixtures")]
        with subprocess.Popen([*command, "--validate-on-load"], stdout=log, stderr=subprocess.STDOUT) as process:
            try:
                yield Aimock(_address(process, log))
            finally:
                process.terminate()


def _missing(reason: str) -> NoReturn:
    if os.environ.get("LLMROUTER_REQUIRE_AIMOCK") == "1":
        pytest.fail(f"aimock is required, but {reason}", pytrace=False)
    pytest.skip(f"aimock: {reason}")


def _address(process: subprocess.Popen[bytes], log: Any) -> str:
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        log.seek(0)
        if found := re.search(r"listening on (http://[\d.:]+)", log.read()):
            return found[1]
        time.sleep(0.02)
    log.seek(0)
    raise RuntimeError(f"aimock did not start:\n{log.read()}")
