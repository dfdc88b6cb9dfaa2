"""The pytest plugin as a user has it: a project of its own, pytest in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI

pytestmark = pytest.mark.timeout(320)  # a test starts up to six processes, and the machine may be busy

KEY = "canary-7Xq2-secret-value"
ROUTES = """\
version: 1
providers:
  openai: { kind: openai, base_url: "${SERVER:-http://gone.invalid}/v1" }
routes:
  ask: { model: openai/gpt-6-luna }
"""
TEST = """\
import pytest
from llmrouter import Router

@pytest.mark.cassette
def test_it(): assert Router("routes.yaml").chat("ask", "What is the capital of France?").content == "Paris."
"""
Pytest: TypeAlias = "Callable[..., subprocess.CompletedProcess[str]]"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one route and one test."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "routes.yaml").write_text(ROUTES)
    (folder / "test_it.py").write_text(TEST)
    return folder


@pytest.fixture
def run(project: Path) -> Pytest:
    """Run pytest in the project; `environment` adds variables to one that has no key."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *arguments]
        return subprocess.run(
            command,
            cwd=project,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return call


@pytest.fixture
def record(run: Pytest) -> Iterator[Pytest]:
    """Run pytest in the project with a server that answers, a key, and `--llmrouter-record`."""
    with FaultServer(OPENAI.reply("Paris.")) as server:
        yield lambda *arguments: run(*arguments, "--llmrouter-record", SERVER=server.url, OPENAI_API_KEY=KEY)


def test_a_test_records_once_and_then_needs_neither_key_nor_network(project: Path, run: Pytest, record: Pytest) -> None:
    recorded = record()
    assert recorded.returncode == 0, recorded.stdout
    assert "1 test, 0 answers replayed, 1 recorded, 0 unused" in recorded.stdout
    cassette = project / "cassettes" / "test_it" / "test_it.yaml"
    assert KEY not in cassette.read_text()
    replayed = run()
    assert replayed.returncode == 0, replayed.stdout
    assert "1 test, 1 answer replayed, 0 recorded, 0 unused" in replayed.stdout


def test_without_any_network_the_test_still_passes(run: Pytest, record: Pytest, project: Path) -> None:
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare -n is not permitted here")
    record()
    command = ["unshare", "-rn", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    replayed = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=50, check=False)
    assert replayed.returncode == 0, replayed.stdout


def test_an_edited_route_fails_with_what_changed_and_how_to_record_again(
    project: Path, run: Pytest, record: Pytest
) -> None:
    record()
    routes = project / "routes.yaml"
    routes.write_text(routes.read_text().replace("gpt-6-luna", "gpt-6.1-terra"))
    failed = run()
    assert failed.returncode == 1
    assert re.search(r'-\s+"model": "gpt-6-luna"', failed.stdout)
    assert re.search(r'\+\s+"model": "gpt-6.1-terra"', failed.stdout)
    assert "pytest 'test_it.py::test_it' --llmrouter-record" in failed.stdout
    assert "httpx2" not in failed.stdout  # the frames of the SDK are nobody's concern


def test_a_test_without_a_cassette_says_how_to_record_it(run: Pytest) -> None:
    failed = run()
    assert "there is nothing on it" in failed.stdout
    assert "--llmrouter-record" in failed.stdout


def test_a_recording_that_is_not_used_any_more_fails_the_test(project: Path, run: Pytest, record: Pytest) -> None:
    record()
    (project / "test_it.py").write_text("import pytest\n\n@pytest.mark.cassette\ndef test_it(): pass\n")
    failed = run()
    assert failed.returncode == 1
    assert "1 of the recorded requests were not made" in failed.stdout
    assert "POST /v1/chat/completions (route ask, target openai/gpt-6-luna)" in failed.stdout


def test_unused_recordings_may_be_allowed(project: Path, run: Pytest, record: Pytest) -> None:
    record()
    test = "import pytest\n\n@pytest.mark.cassette(allow_unused=True)\ndef test_it(): pass\n"
    (project / "test_it.py").write_text(test)
    assert "1 unused" in run().stdout


def test_a_miss_that_the_code_swallows_fails_the_test(project: Path, run: Pytest) -> None:
    (project / "test_it.py").write_text(
        TEST.replace("def test_it(): assert", "def test_it():\n    try:").replace(
            'content == "Paris."', "content\n    except BaseException: pass"
        )
    )
    failed = run()
    assert failed.returncode == 1
    assert "there is nothing on it" in failed.stdout


def test_tests_share_a_cassette_by_name_and_fixtures_are_inside_it(project: Path, run: Pytest, record: Pytest) -> None:
    (project / "test_it.py").write_text(
        "import pytest\nfrom llmrouter import Router\n\n"
        "@pytest.fixture\ndef answer(): return Router('routes.yaml').chat('ask', 'What?').content\n\n"
        "@pytest.mark.cassette('shared')\ndef test_it(answer, cassette): assert cassette.path.name == 'shared.yaml'\n"
    )
    assert record().returncode == 0
    assert (project / "cassettes" / "shared.yaml").is_file()
    assert run().returncode == 0


SHARED = """\
import pytest
from llmrouter import Router

@pytest.mark.cassette("shared", allow_unused=True)
@pytest.mark.parametrize("what", ["one", "two", "three"])
def test_it(what): assert Router("routes.yaml").chat("ask", what).content == "Paris."
"""


def test_tests_that_share_a_cassette_record_beside_each_other(project: Path, run: Pytest, record: Pytest) -> None:
    (project / "test_it.py").write_text(SHARED)
    for selected in ((), ("test_it.py::test_it[two]",), ()):
        assert record(*selected).returncode == 0
        assert (project / "cassettes" / "shared.yaml").read_text().count("- route: ask") == 3
    assert run().returncode == 0


def test_tests_that_share_a_cassette_without_saying_so_lose_no_recording(project: Path, record: Pytest) -> None:
    (project / "test_it.py").write_text(SHARED.replace(", allow_unused=True", ""))
    assert record().returncode == 0
    assert (project / "cassettes" / "shared.yaml").read_text().count("- route: ask") == 3


def test_a_shared_cassette_is_recorded_by_one_process(project: Path, record: Pytest) -> None:
    (project / "test_it.py").write_text(SHARED)
    failed = record("-n", "2")
    assert failed.returncode == 1
    assert "several tests share shared.yaml: record them in one process, with -n 0" in failed.stdout


def test_parametrized_tests_have_a_cassette_each(project: Path, record: Pytest) -> None:
    (project / "test_it.py").write_text(
        "import pytest\nfrom llmrouter import Router\n\n@pytest.mark.cassette\n"
        "@pytest.mark.parametrize('what', ['a/b', 'a b', 'plain'])\n"
        "def test_it(what): Router('routes.yaml').chat('ask', what)\n"
    )
    assert record().returncode == 0
    names = {path.name for path in (project / "cassettes" / "test_it").iterdir()}
    assert len(names) == 3
    assert "test_it-plain.yaml" in names


def test_the_summary_counts_across_processes(project: Path, run: Pytest, record: Pytest) -> None:
    (project / "test_it.py").write_text(TEST + TEST.replace("test_it", "test_that"))
    assert "2 tests, 0 answers replayed, 2 recorded, 0 unused" in record("-n", "2").stdout
    assert "2 tests, 2 answers replayed, 0 recorded, 0 unused" in run("-n", "2").stdout


def test_an_asynchronous_test_uses_the_cassette_too(project: Path, run: Pytest, record: Pytest) -> None:
    (project / "test_it.py").write_text(
        "import pytest\nfrom llmrouter import AsyncRouter\n\n"
        "@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n\n"
        "@pytest.mark.anyio\n@pytest.mark.cassette\nasync def test_it():\n"
        "    async with AsyncRouter('routes.yaml') as router:\n"
        "        assert (await router.chat('ask', 'What?')).content == 'Paris.'\n"
    )
    assert record().returncode == 0
    assert run().returncode == 0


def test_a_connection_to_the_internet_is_refused_in_a_replay(project: Path, run: Pytest) -> None:
    (project / "test_it.py").write_text(
        "import pytest, socket\n\n@pytest.mark.cassette\ndef test_it():\n"
        "    socket.socket().connect(('192.0.43.8', 443))\n"
    )
    assert "a connection to 192.0.43.8 port 443 was refused" in run("-W", "ignore").stdout


def test_a_mode_that_does_not_exist_is_told(run: Pytest) -> None:
    failed = run("--llmrouter-record", "test_it.py")
    assert failed.returncode == 4
    assert "put --llmrouter-record last" in failed.stderr


def test_the_plugin_imports_nothing_until_a_cassette_is_used() -> None:
    code = "import sys, pytest, llmrouter.pytest_plugin; print(*[m for m in sys.modules if m.startswith('llmrouter')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(found) == {"llmrouter", "llmrouter.pytest_plugin"}


DOWN = """\
import unittest
import pytest
from llmrouter import Router

ROUTES = {
    "version": 1,
    "providers": {"down": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "none"}},
    "defaults": {"retry": {"attempts": 1}, "breaker": {"failures": 2, "cooldown": "1m"}},
    "routes": {"ask": {"model": "down/m", "fallbacks": ["python/llmrouter.offline:summarize"]}},
}
router = Router(ROUTES)

def outcomes():
    return [router.chat("ask", "A sentence. Another one.").attempts[0].outcome for _ in range(3)]

@pytest.mark.parametrize("number", range(2))
def test_function(number): assert outcomes() == ["failed", "failed", "skipped"]

class Case(unittest.TestCase):
    def test_method(self): assert outcomes() == ["failed", "failed", "skipped"]
"""


def test_a_router_that_many_tests_use_has_other_breakers_in_each(project: Path, run: Pytest) -> None:
    (project / "test_it.py").write_text(DOWN)
    for _ in range(2):  # nor is the next run kept from anything
        ran = run()
        assert ran.returncode == 0, ran.stdout
