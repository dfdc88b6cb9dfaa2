"""Starting up: what is imported, how it is called, and what a terminal sees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import llmrouter
from tests.cli.conftest import Cli, Process, command

HEAVY = (
    "anthropic", "diskcache", "genai_prices", "google.genai", "httpx2", "jsonschema", "loguru", "openai", "pydantic",
    "rich", "tenacity", "tiktoken", "yaml",
)  # fmt: skip
LOOK = f"""\
import sys
from llmrouter.cli import main
try:
    main()
except SystemExit:
    print("loaded", [name for name in {HEAVY} if name in sys.modules])
"""
COMMANDS = ["chat", "check", "explain", "routes", "models", "schema", "init", "cache"]

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, argument], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_help_lists_every_command(cli: Cli) -> None:
    done = cli("--help")
    listed = [
        line.split()[0]
        for line in done.stdout.split("Commands:\n")[1].split("\n\n")[0].splitlines()
        if line[2:3].isalpha()
    ]
    assert set(COMMANDS) <= set(listed)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli: Cli, name: str) -> None:
    assert cli(name, "-h").exit_code == 0


def test_version(process: Process) -> None:
    assert process("--version").stdout == f"llmrouter {llmrouter.__version__}\n"


def test_the_package_can_be_run(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "llmrouter", "--version"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == f"llmrouter {llmrouter.__version__}\n"


@contextmanager
def on_a_terminal(*arguments: str, log: bool = False) -> Iterator[int]:
    """Run the command line with a terminal as its stdout (`log`: and stderr); give the other side of that terminal."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command(*arguments), stdin=subprocess.DEVNULL, stdout=theirs,
            stderr=theirs if log else subprocess.DEVNULL,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        ) as running:  # fmt: skip
            os.close(theirs)
            yield ours
            running.kill()
    finally:
        os.close(ours)


def read_until(terminal: int, wanted: bytes) -> bytes:
    """Read the terminal until `wanted` has come, or everything has."""
    seen = b""
    while wanted not in seen:
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # how Linux says that the other side is closed
            break
    return seen


def test_a_terminal_gets_the_answer_as_it_comes(echoing: Path) -> None:
    (echoing.parent / "slow.py").write_text(
        "import time\ndef say(messages, **params):\n    yield 'first'\n    time.sleep(60)\n"
    )
    with on_a_terminal("chat", "python/slow:say", "hi") as terminal:
        assert read_until(terminal, b"first") == b"first"


def test_on_a_terminal_a_line_of_the_log_starts_on_its_own(echoing: Path) -> None:
    (echoing.parent / "brief.py").write_text("def say(messages, **params):\n    yield 'The answer.'\n")
    with on_a_terminal("chat", "python/brief:say", "hi", log=True) as terminal:
        lines = read_until(terminal, b"never").decode().splitlines()
    assert lines[0] == "The answer."
    assert "python/brief:say" in lines[1]
    assert len(lines) == 2


def test_a_terminal_gets_a_drawn_table(echoing: Path) -> None:
    with on_a_terminal("explain", "echo", "hi") as terminal:
        assert "─" in read_until(terminal, b"never").decode()
