"""`llmrouter import`: where the file goes, and where the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmrouter.config.loader import load
from tests.cli.conftest import Cli, Process

SOURCE = "model_list: [{ model_name: m, litellm_params: { model: groq/a, tags: [x] } }]\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def test_the_file_goes_to_stdout_and_the_report_to_stderr(process: Process, source: Path) -> None:
    done = process("import", "config.yaml")
    assert "model: groq/a" in done.stdout
    assert done.stderr.splitlines()[0] == "config.yaml: 1 to look at"
    assert "model_list[0].litellm_params.tags: write one route per tag" in done.stderr
    assert done.returncode == 0


def test_to_writes_a_file_and_checks_it(cli: Cli, source: Path, tmp_path: Path) -> None:
    done = cli("import", "config.yaml", "--to", "routes.yaml")
    assert done.exit_code == 0
    assert list(load(tmp_path / "routes.yaml", {}).config.routes) == ["m"]
    assert "The file is right. 1 route, 1 target not usable." in done.stdout


def test_a_file_that_exists_is_left_alone_unless_forced(cli: Cli, source: Path, tmp_path: Path) -> None:
    there = tmp_path / "routes.yaml"
    there.write_text("mine")
    done = cli("import", "config.yaml", "--to", "routes.yaml")
    assert (done.exit_code, there.read_text()) == (2, "mine")
    assert "--force overwrites it" in done.stderr
    assert cli("import", "config.yaml", "--to", "routes.yaml", "--force").exit_code == 0
    assert "groq/a" in there.read_text()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.yaml", None, "cannot read missing.yaml: no such file or directory"),
        ("binary.yaml", b"\xff\xfe\x00", "binary.yaml is not UTF-8 text"),
        ("other.yaml", b"services: {}", "other.yaml: is neither a LiteLLM proxy config"),
        ("routes.yaml", b"routes: {}", "routes.yaml: is a routes file already"),
        ("broken.yaml", b"a: [1", "broken.yaml:1:"),
    ],
)
def test_what_cannot_be_imported_exits_2(cli: Cli, tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = cli("import", name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_place_that_cannot_be_written_exits_2(cli: Cli, source: Path) -> None:
    done = cli("import", "config.yaml", "--to", "no/such/folder/routes.yaml")
    assert done.exit_code == 2
    assert "cannot write no/such/folder/routes.yaml" in done.stderr
