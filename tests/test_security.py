"""What docs/security.md promises and no other test holds: files that run nothing, URLs that nobody fetches."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter import ConfigError, LLMRouterError, disable_logging, enable_logging
from llmrouter.cassettes.files import read as read_cassette
from llmrouter.config.loader import load
from llmrouter.importing import convert
from llmrouter.schema import as_schema
from tests.chains import THREE, Mode, ask, chain, each_mode, each_protocol
from tests.conftest import FaultServers
from tests.servers.facts import Protocol
from tests.servers.replies import redirect
from tests.worlds import Face

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "llmrouter"

# What may run code that comes with data, or start other programs. `compile` and `exec` alone would be too many names.
FORBIDDEN_IMPORTS = {"marshal", "pickle", "shelve", "subprocess"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "pickle.loads", "pickle.load", "yaml.unsafe_load"}
# What a module may call nevertheless. frozen.py writes `__init__` from names of fields in this package, as dataclasses
# does, while it is imported: nothing that is read is in that text.
ALLOWED_CALLS = {"frozen.py": {"exec"}}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


# ------------------------------------------------------------------------------------------------ code from data


def test_classes_are_written_only_while_their_modules_are_imported() -> None:
    users = [path for path in modules() if "quickly_made" in path.read_text(encoding="utf-8")]
    for path in users:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {node for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) for node in ast.walk(each)}
        used = [node for node in inside if isinstance(node, ast.Name) and node.id == "quickly_made"]
        assert used == [], f"{named(path)}:{used[0].lineno}"


@pytest.mark.parametrize("path", modules(), ids=named)
def test_no_module_can_run_what_it_reads(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in FORBIDDEN_CALLS - ALLOWED_CALLS.get(named(path), set()), (
                f"{named(path)}:{node.lineno} calls {called}"
            )
        imported = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        if isinstance(node, ast.ImportFrom):
            imported = {str(node.module)}
        assert not imported & FORBIDDEN_IMPORTS, f"{named(path)} imports {imported}"


def planted(tmp_path: Path, tag: str) -> tuple[str, Path]:
    """Return YAML that would create a file if a loader ran it, and that file."""
    mark = tmp_path / "ran"
    return f"!!python/object/apply:{tag} ['touch {mark}']", mark


@pytest.fixture(params=["os.system", "subprocess.getoutput"])
def bait(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    text, mark = planted(tmp_path, request.param)
    yield text
    assert not mark.exists()


def test_a_routes_file_runs_nothing(bait: str, tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(f"routes: {{ r: {{ model: openai/x, system: {bait} }} }}")
    with pytest.raises(ConfigError):
        load(file)


def test_an_imported_file_runs_nothing(bait: str) -> None:
    with pytest.raises(ConfigError):
        convert(f"model_list: [{{ model_name: m, litellm_params: {{ model: {bait} }} }}]", "config.yaml")


def test_a_schema_file_runs_nothing(bait: str, tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text(f"type: object\ndescription: {bait}")
    with pytest.raises(ConfigError):
        as_schema("schema.yaml", tmp_path)


def test_a_cassette_runs_nothing(bait: str, tmp_path: Path) -> None:
    file = tmp_path / "cassette.yaml"
    file.write_text(f"version: 1\ninteractions: [{bait}]")
    with pytest.raises(LLMRouterError):
        read_cassette(file)


# ------------------------------------------------------------------------------------------------ what is reached


@each_protocol
@each_mode
def test_the_url_of_an_image_is_never_fetched(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    elsewhere = fault_server()
    server = fault_server(protocol.reply("A cat."))
    url = f"{elsewhere.url}/cat.png"
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    with face.router(chain((protocol, server))) as router:
        ask(face, router, mode, [{"role": "user", "content": content}])
    assert url in server.requests[0].body.decode()
    assert elsewhere.connections == 0


@each_protocol
def test_a_redirect_is_followed_nowhere_even_on_the_same_host(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(redirect("/elsewhere"))
    with face.router(chain((protocol, server), retry={"attempts": 1})) as router, pytest.raises(LLMRouterError):
        ask(face, router, "chat")
    assert len(server.requests) == 1


# ------------------------------------------------------------------------------------------------ what is written down

PROMPT, ANSWER = "a-prompt-that-is-private", "an-answer-that-is-private"


@pytest.mark.parametrize("protocol", THREE[:1])
def test_prompts_and_answers_are_in_no_log_line_and_not_in_the_ledger(
    face: Face, fault_server: FaultServers, tmp_path: Path, protocol: Protocol
) -> None:
    lines: list[str] = []
    server = fault_server(protocol.reply(ANSWER))
    enable_logging("TRACE", lines.append)
    try:
        config = chain((protocol, server)) | {"ledger": {"path": str(tmp_path / "usage.db")}}
        with face.router(config) as router:
            assert ask(face, router, "chat", PROMPT).content == ANSWER
    finally:
        disable_logging()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "usage.db") in files
    for secret in (PROMPT, ANSWER):
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        assert secret not in "".join(map(str, lines))


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("providers: { local: { kind: openai, base_url: '${PLACE}' } }")
    (tmp_path / ".env").write_text("PLACE=http://planted.invalid/v1")
    loaded = load(tmp_path / "routes.yaml", {"PLACE": "http://mine.invalid/v1"})
    assert loaded.config.providers["local"].base_url == "http://mine.invalid/v1"


def test_a_key_does_not_go_to_another_host_when_its_url_is_missing(
    face: Face, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none-of-yours")
    config = {
        "providers": {"mine": {"kind": "openai", "base_url": "${NOT_SET}", "api_key": "${OPENAI_API_KEY}"}},
        "routes": {"r": {"model": "mine/m"}},
    }
    with face.router(config) as router, pytest.raises(LLMRouterError, match="NOT_SET"):
        ask(face, router, "chat")


# ------------------------------------------------------------------------------------------------ the page


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named_tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named_tests) > 30
    for file, name in named_tests:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in source, f"{file} has no {name}"
