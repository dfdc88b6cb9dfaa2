"""The site promises nothing that does not run: each page's files, programs and commands, in order, as one reader would.

A `text` block is what the program or command before it prints; `...` in it stands for anything.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter.config.loader import load
from llmrouter.config.models import RouteConfig, RoutesConfig
from tests.conftest import FaultServers
from tests.docs.blocks import DOCS, Block, blocks_of
from tests.servers.facts import Answer, Call, Protocol
from tests.servers.http1 import Request
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI
from tests.servers.replies import Reply

# These pages have tests of their own.
ELSEWHERE = {"performance.md", "reliability.md", "security.md", "testing.md"}
PAGES = sorted(path.name for path in DOCS.glob("*.md") if path.name not in ELSEWHERE)


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def model(request: Request) -> Reply:
    """Answer as a model would that is asked for text, for data or for vectors, or that has a tool."""
    if "/embeddings" in request.path:
        return OPENAI.embeds()(request)
    protocol = protocol_of(request)
    asked = json.dumps(request.json)
    if '"role": "tool"' in asked or "tool_result" in asked or "functionResponse" in asked:
        answer = Answer("It rains in Oslo.")
    elif request.json.get("tools"):
        answer = Answer(calls=(Call("weather", {"city": "Oslo"}),))
    elif "json_schema" in asked:
        answer = Answer('{"label": "complaint", "confidence": 0.9}')
    else:
        answer = Answer("A model's words.")
    return protocol.reply(answer)(request)


def protocol_of(request: Request) -> Protocol:
    if "/messages" in request.path:
        return ANTHROPIC
    return GOOGLE if "enerateContent" in request.path else OPENAI


def environment(url: str, folder: Path) -> dict[str, str]:
    """A reader's environment whose providers are all the server at `url`."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "PYTHONPATH", "TMPDIR"}}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "150",
        "OPENAI_BASE_URL": url + OPENAI.root,
        "ANTHROPIC_BASE_URL": url + ANTHROPIC.root,
        "GOOGLE_GEMINI_BASE_URL": url + GOOGLE.root,
        **dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "none-of-yours"),
    }


@pytest.mark.parametrize("name", [name for name in PAGES if blocks_of(text_of(name))])
def test_a_page_runs_from_its_top_to_its_end(name: str, tmp_path: Path, fault_server: FaultServers) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    blocks = [block for block in blocks_of(text_of(name)) if not block.skipped]
    runnable = [block for block in blocks if block.title or block.language in ("python", "bash")]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("run_page.py"))],
        input=json.dumps([{**asdict(block), "status": block.status} for block in runnable]),
        cwd=folder, env=environment(fault_server(model).url, folder),
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = {entry["line"]: entry for entry in json.loads(done.stdout)}
    for block in runnable:
        assert not told[block.line]["failure"], f"docs/{name}:{block.line}\n{told[block.line]['failure']}"
    for block, printed in promised(blocks):
        assert matches(told[block.line]["printed"], printed.text), (
            f"docs/{name}:{printed.line} promises\n{printed.text}\nand this was printed\n{told[block.line]['printed']}"
        )


def promised(blocks: list[Block]) -> Iterator[tuple[Block, Block]]:
    """Yield each program or command that the page shows the output of, and that output."""
    for block, after in pairwise(blocks):
        if after.language == "text" and not after.title and block.language in ("python", "bash"):
            yield block, after


def matches(printed: str, shown: str) -> bool:
    pattern = re.escape(shown.strip()).replace(re.escape("..."), ".*?")
    return (
        re.fullmatch(pattern, "\n".join(line.rstrip() for line in printed.strip().splitlines()), re.DOTALL) is not None
    )


def yaml_blocks() -> list[Any]:
    found = [(name, block) for name in PAGES for block in blocks_of(text_of(name), "yaml")]
    routes = [(name, block) for name, block in found if block.title in (None, "routes.yaml")]
    return [pytest.param(block.text, id=f"{name}:{block.line}") for name, block in routes]


@pytest.mark.parametrize("text", yaml_blocks())
def test_every_piece_of_yaml_is_right(tmp_path: Path, text: str) -> None:
    for name in ("label.json", "shop.py"):
        (tmp_path / name).write_text("{}" if name.endswith("json") else "", encoding="utf-8")
    (tmp_path / "routes.yaml").write_text(whole(text), encoding="utf-8")
    load("routes.yaml", {})


def whole(piece: str) -> str:
    """Make a whole file of a piece: of the file, of a route, or of several routes."""
    keys = yaml.load(piece, yaml.BaseLoader).keys()  # to which `on` is no boolean
    if keys <= RoutesConfig.model_fields.keys():
        return piece if "providers" in keys else f"providers: {{ local: {{ kind: ollama }} }}\n{piece}"
    if keys <= {*RouteConfig.model_fields, "schema"}:
        model = "" if "model" in keys else "    model: openai/gpt-6-luna\n"
        return f"routes:\n  r:\n{model}{textwrap.indent(piece, '    ')}"
    return f"routes:\n{textwrap.indent(piece, '  ')}"


@pytest.mark.parametrize("name", sorted(ELSEWHERE & {path.name for path in DOCS.glob("*.md")}))
def test_python_on_the_other_pages_is_python(name: str) -> None:
    for block in blocks_of(text_of(name), "python"):
        compile(block.text, f"docs/{name}:{block.line}", "exec")


def test_every_block_is_run_loaded_or_says_why_not() -> None:
    known = {"python", "bash", "yaml", "text", "toml", "json"}
    blocks = [(name, block) for name in PAGES for block in blocks_of(text_of(name))]
    assert [(name, block.line) for name, block in blocks if block.language not in known] == []


def test_the_reference_says_what_the_models_say() -> None:
    made = runpy.run_path(str(DOCS / "gen_reference.py"))["page"]()
    assert text_of("reference.md") == made, "the page is stale: python docs/gen_reference.py"


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(name)):
        path, _, anchor = link.partition("#")
        if link.startswith(("http:", "https:")):
            continue
        target = DOCS / (path or name)
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def anchors(page: str) -> set[str]:
    titles: list[str] = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"[\w-]+\.md", (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")))
    assert {path.name for path in DOCS.glob("*.md")} == named
