"""README.md promises nothing that does not run: its programs, files, commands, errors and links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

import llmrouter
from llmrouter.cli.app import app
from llmrouter.config.loader import load
from llmrouter.observe.log import disable_logging
from llmrouter.providers.presets import PRESETS
from tests.conftest import FaultServers
from tests.docs.blocks import blocks_of
from tests.servers.facts import Answer, Call
from tests.servers.http1 import Request
from tests.servers.protocols import OPENAI
from tests.servers.replies import Reply

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return [block.text for block in blocks_of(text, language)]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="llmrouter")


PYTHON = blocks("python")
# What each program prints when a model answers, in the order of the page.
PRINTED = (
    r"^A model's words\.\nopenai/gpt-6-luna: ok\n$",
    r"^A model's words\.\d+ tokens\n$",
    r"^route summarize: deadline 30s, worst case .+\n#  target +tokens ",
    r"^complaint\n$",
    r"^It rains in Oslo\.\n$",
    r"^\['stop', 'stop', 'stop'\]\n$",
)


def model(request: Request) -> Reply:
    """Answer as a model would that is asked for text, for data, or has a tool."""
    asked: dict[str, Any] = request.json
    if any(message["role"] == "tool" for message in asked["messages"]):
        answer = Answer("It rains in Oslo.")
    elif asked.get("tools"):
        answer = Answer(calls=(Call(),))
    elif asked.get("response_format"):
        answer = Answer('{"label": "complaint", "confidence": 0.9}')
    else:
        answer = Answer("A model's words.")
    return OPENAI.reply(answer)(request)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The working folder of somebody who copied the page's first file into a clone."""
    (tmp_path / "routes.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.mark.usefixtures("clone")
def test_the_first_program_prints_what_the_page_says() -> None:
    run = [sys.executable, "-W", "error", "-c", PYTHON[0]]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == blocks("text")[0], done.stderr


@pytest.mark.usefixtures("clone")
def test_every_program_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault_server: FaultServers
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", fault_server(model).url + OPENAI.root)
    monkeypatch.setenv("OPENAI_API_KEY", "none-of-yours")
    names: dict[str, Any] = {}
    for program, printed in zip(PYTHON, PRINTED, strict=True):
        exec(compile(program, "README.md", "exec"), names)
        assert re.search(printed, capsys.readouterr().out), program


@pytest.mark.parametrize("text", blocks("yaml"), ids=["first", "at a glance"])
def test_every_routes_file_is_right(tmp_path: Path, text: str) -> None:
    (tmp_path / "routes.yaml").write_text(text, encoding="utf-8")
    assert load("routes.yaml", {}).config.routes.keys() == yaml.safe_load(text)["routes"].keys()


@pytest.mark.parametrize(
    ("title", "ending"),
    [
        ("Quick start", ".venv/bin/llmrouter chat summarize -f examples/article.txt"),
        ("Tests", ".venv/bin/pytest -n auto"),
    ],
)
def test_one_line_does_it_all_from_a_bare_clone(title: str, ending: str) -> None:
    ((line, *others),) = (block.splitlines() for block in blocks("bash", section(title)))
    assert not others
    assert line.startswith("python3 -m venv .venv && ")
    assert line.endswith(f" && {ending}")


def test_the_quick_starts_command_prints_a_summary_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [*sys.path])
    article = (ROOT / "examples" / "article.txt").read_text(encoding="utf-8")
    done = cli("chat", "summarize", "-f", "examples/article.txt")
    disable_logging()  # which the file switched on
    assert done.exit_code == 0
    assert 200 < len(done.stdout) < 1000
    assert all(sentence in article for sentence in re.split(r"(?<=\.) ", done.stdout.strip()))


def test_every_command_of_the_page_exists() -> None:
    named = set(re.findall(r"`llmrouter ([a-z]+)", README))
    assert named
    for name in sorted(named):
        assert cli(name, "--help").exit_code == 0, name


def test_every_command_is_on_the_page() -> None:
    listed = cli("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    assert set(re.findall(r"^  (\w+)", listed, re.MULTILINE)) <= set(re.findall(r"`llmrouter (\w+)", README))


def test_every_error_of_the_table_exists() -> None:
    named = re.findall(r"`(\w+Error)`", section("When things go wrong"))
    assert named
    assert [name for name in named if not hasattr(llmrouter, name)] == []


def test_every_preset_is_on_the_page() -> None:
    (row,) = (line for line in README.splitlines() if "presets of `openai`" in line)
    assert set(re.findall(r"`(\w+)`", row.split("|")[1])) == set(PRESETS)


def test_every_link_leads_somewhere() -> None:
    local = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith(("http", "#"))]
    assert [link for link in local if not (ROOT / link).exists()] == []
    titles: list[str] = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors
