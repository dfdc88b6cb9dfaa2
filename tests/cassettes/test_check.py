"""`llmrouter record`, `chat --cassette` and `cassettes check`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmrouter.cli.app import app
from llmrouter.observe.log import disable_logging
from tests.conftest import FaultServers
from tests.servers.protocols import PROTOCOLS, Protocol

ROUTES = """\
version: 1
providers:
  {name}: {{ kind: {kind}, base_url: "{url}", {api} }}
routes:
  ask: {{ model: {target}, params: {{ max_tokens: 400, temperature: 0.5 }} }}
"""
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
FILE = Path("cassettes/asked.yaml")


def cli(*arguments: str) -> Result:
    try:
        return CliRunner().invoke(app, arguments)
    finally:
        disable_logging()


@pytest.fixture(params=PROTOCOLS, ids=lambda protocol: protocol.name)
def routes(request: pytest.FixtureRequest, fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch) -> str:
    """The text of a routes.yaml, with which `asked.yaml` is recorded and used by a program."""
    protocol: Protocol = request.param
    for variable in KEYS:
        monkeypatch.setenv(variable, "canary-7Xq2-secret-value")
    server = fault_server(protocol.reply("Hello from afar."))
    entry = protocol.provider(server.url)
    api = "api: responses" if "api" in entry else ""
    text = ROUTES.format(
        name=protocol.target.partition("/")[0],
        kind=protocol.kind,
        url=entry["base_url"],
        api=api,
        target=protocol.target,
    )
    Path("routes.yaml").write_text(text)
    Path("program.py").write_text('use_cassette("cassettes/asked.yaml")\n')
    recorded = cli("record", "ask", "hello", "--cassette", str(FILE))
    assert (recorded.exit_code, recorded.stdout) == (0, "Hello from afar.\n")
    for variable in KEYS:
        monkeypatch.delenv(variable)
    return text


def test_a_fresh_recording_passes(routes: str) -> None:
    assert (cli("cassettes", "check").exit_code, cli("cassettes", "check").stdout) == (0, "")


def test_chat_replays_without_a_key(routes: str) -> None:
    assert cli("chat", "ask", "hello", "--cassette", str(FILE)).stdout == "Hello from afar.\n"


def test_chat_says_how_to_record_what_is_not_there(routes: str) -> None:
    failed = cli("chat", "ask", "hullo", "--cassette", str(FILE))
    assert failed.exit_code == 1
    assert "llmrouter record ask TEXT --cassette" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_changed_parameter_is_stale(routes: str) -> None:
    Path("routes.yaml").write_text(routes.replace("max_tokens: 400", "max_tokens: 500"))
    checked = cli("cassettes", "check")
    assert checked.exit_code == 1
    assert "was 400 when it was recorded, and is 500 now" in checked.stdout


def test_a_changed_model_is_stale(routes: str) -> None:
    model = next(line for line in routes.splitlines() if "ask:" in line).split("model: ")[1].split(",")[0]
    Path("routes.yaml").write_text(routes.replace(model, f"{model}-next"))
    assert f"stale: route 'ask' no longer asks {model}" in cli("cassettes", "check").stdout


def test_a_route_that_is_gone_is_stale(routes: str) -> None:
    Path("routes.yaml").write_text(routes.replace("ask:", "tell:"))
    assert "there is no route 'ask' any more" in cli("cassettes", "check").stdout


def test_a_file_that_nothing_mentions_is_unused(routes: str) -> None:
    Path("program.py").write_text("")
    assert "unused" in cli("cassettes", "check").stdout


def test_a_secret_that_slipped_in_is_found_but_not_shown(routes: str) -> None:
    secret = "s" + "k-" + "A1b2" * 8
    FILE.write_text(FILE.read_text().replace("hello", secret))
    checked = cli("cassettes", "check").stdout
    assert "it looks as if a key is in it" in checked
    assert secret not in checked


def test_a_file_that_is_no_cassette_is_told(routes: str) -> None:
    FILE.write_text("version: 1\ninteractions: [{}]\n")
    assert "unreadable: this is no cassette" in cli("cassettes", "check").stdout


def test_a_folder_that_is_not_there_exits_2() -> None:
    assert cli("cassettes", "check", "nowhere").exit_code == 2


def test_recording_again_replaces_what_was_asked_and_keeps_the_rest(
    routes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in KEYS:
        monkeypatch.setenv(variable, "canary-7Xq2-secret-value")
    for text in ("hello", "another", "hello"):
        cli("record", "ask", text, "--cassette", str(FILE))
    assert FILE.read_text().count("- route: ask") == 2
