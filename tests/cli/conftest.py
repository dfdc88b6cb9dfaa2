"""How the tests of the command line run it: in this process, or as a process of its own where that matters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from typer.testing import CliRunner, Result

from llmrouter.cli.app import app
from llmrouter.observe.log import disable_logging
from tests.servers.protocols import OPENAI

Cli: TypeAlias = Callable[..., Result]
Process: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]

# As a shell would start it: a background job inherits an ignored SIGINT, and the tests may be one.
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from llmrouter.cli import main; main()"
)


def command(*arguments: str) -> list[str]:
    """Return the command that runs the command line in a process of its own."""
    return [sys.executable, "-c", START, *arguments]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Run the command line in this process: `cli("check", "--strict")`, `cli("chat", "r", input="text")`."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield lambda *arguments, **options: CliRunner().invoke(app, arguments, prog_name="llmrouter", **options)
    disable_logging()


@pytest.fixture
def process() -> Process:
    """Run the command line as a process of its own; nothing is piped into it unless `input` is given."""

    def run(*arguments: str, input: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        stdin: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        return subprocess.run(
            command(*arguments),
            capture_output=True, text=True, check=False, timeout=30, env={**os.environ, **environment}, **stdin,
        )  # fmt: skip

    return run


@pytest.fixture
def routes(tmp_path: Path) -> Callable[[str], Path]:
    """Write `routes.yaml` into the working directory."""

    def write(text: str) -> Path:
        path = tmp_path / "routes.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


ECHO = """\
def echo(messages, **params):
    return messages[-1]["content"].upper()

def words(messages, **params):
    for number in range(100_000):
        yield f"word {number}\\n"

def broken(messages, **params):
    raise ValueError("out of order")

def system(messages, **params):
    return f"{messages[0]['content']} {sorted(params.items())}"

def empty(messages, **params):
    return ""
"""

ECHO_ROUTES = """\
routes:
  echo: { description: Says it louder, model: "python/echoing:echo" }
  words: { model: "python/echoing:words" }
  broken: { model: "python/echoing:broken", retry: { attempts: 1 } }
  both: { model: "python/echoing:broken", fallbacks: ["python/echoing:missing"], retry: { attempts: 1 } }
  system: { model: "python/echoing:system" }
  kept: { model: "python/echoing:echo", cache: 1h }
"""


@pytest.fixture
def echoing(tmp_path: Path, routes: Callable[[str], Path]) -> Path:
    """A routes file in the working directory whose targets are functions of a module beside it."""
    (tmp_path / "echoing.py").write_text(ECHO, encoding="utf-8")
    sys.modules.pop("echoing", None)
    return routes(ECHO_ROUTES)


def local_routes(url: str, more: str = "") -> str:
    """Return a file with one route, `r`, whose target is a server of this machine."""
    return (
        f"providers:\n  local: {{ kind: openai, base_url: '{url}{OPENAI.root}', api_key: '${{LOCAL_KEY:-unused}}' }}\n"
        f"routes:\n  r: {{ model: local/m, retry: {{ attempts: 1 }} {more} }}\n"
    )
