"""How commands end: exit status, messages without tracebacks, Ctrl-C, closed pipes, and keys that stay secret."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Process, command, local_routes
from tests.conftest import FaultServers
from tests.servers.faults import refused_port
from tests.servers.protocols import OPENAI
from tests.servers.replies import json_reply, silence

BAD = """\
version: 1
routes:
  summarize:
    modle: openai/gpt-6-luna
    retry: { attemps: 3 }
    deadline: soon
"""
KEY = "a-key-that-nobody-may-see"


@pytest.mark.parametrize("subcommand", [["check"], ["chat", "summarize", "hi"], ["explain", "summarize"], ["routes"]])
def test_every_mistake_of_the_file_has_its_place_and_exits_2(
    cli: Cli, routes: Callable[[str], Path], subcommand: list[str]
) -> None:
    routes(BAD)
    done = cli(*subcommand)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert re.findall(r"^routes\.yaml:(\d+):\d+: ", done.stderr, re.MULTILINE) == ["4", "5", "6"]
    assert "did you mean 'attempts'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_route_names_the_near_miss_and_exits_2(cli: Cli, echoing: Path) -> None:
    done = cli("chat", "ecko", "hi")
    assert done.exit_code == 2
    assert "no route named 'ecko'; did you mean 'echo'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["", "/", "python/", "/model", "python/two words", "python/model\n"])
def test_what_is_neither_a_route_nor_a_target_exits_2(cli: Cli, echoing: Path, name: str) -> None:
    done = cli("chat", name, "hi")
    assert done.exit_code == 2
    assert f"no route named {name!r}" in done.stderr


def test_without_a_file_a_route_says_how_to_get_one(cli: Cli) -> None:
    done = cli("chat", "summarize", "hi")
    assert done.exit_code == 2
    assert "there is no routes.yaml here; `llmrouter init` writes one" in done.stderr


def test_without_a_file_a_target_works(cli: Cli) -> None:
    done = cli("chat", "python/llmrouter.offline:summarize", "The tide comes in twice a day, along most coasts.")
    assert (done.stdout, done.exit_code) == ("The tide comes in twice a day, along most coasts.\n", 0)


def test_a_file_that_is_named_and_missing_exits_2(cli: Cli) -> None:
    done = cli("chat", "summarize", "hi", "--routes", "nowhere.yaml")
    assert done.exit_code == 2
    assert done.stderr.startswith("nowhere.yaml: cannot be read: no such file or directory")


@pytest.mark.parametrize("arguments", [["chat"], ["chat", "--colour"], ["chatt"], ["models", "--budget", "tiny"]])
def test_wrong_usage_exits_2_without_a_traceback(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_failed_call_exits_1_and_says_what_to_do(cli: Cli, routes: Callable[[str], Path]) -> None:
    with refused_port() as port:
        routes(local_routes(f"http://127.0.0.1:{port}"))
        done = cli("chat", "r", "hi", "-q")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "check the network, and the provider's `base_url`" in done.stderr


def test_a_spent_chain_shows_its_attempts(process: Process, echoing: Path) -> None:
    done = process("chat", "both", "hi")
    assert done.returncode == 1
    assert re.search(r"python/echoing:broken +failed: ServerError: .*out of order", done.stderr)
    assert re.search(r"python/echoing:missing +failed: ModelNotFoundError: ", done.stderr)
    assert "Traceback" not in done.stderr


def test_verbose_shows_where_an_error_comes_from(cli: Cli, echoing: Path) -> None:
    assert "Traceback" in cli("chat", "broken", "hi", "-v").stderr


def test_an_unexpected_error_is_one_line(cli: Cli, echoing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LookupError(f"something with {KEY}")

    monkeypatch.setattr("llmrouter.cli.chat.read_prompt", fail)
    done = cli("chat", "echo", "hi")
    assert done.exit_code == 1
    assert done.stderr == "error: unexpected LookupError; run with --verbose and report it\n"


def test_a_key_is_never_shown(process: Process, routes: Callable[[str], Path], fault_server: FaultServers) -> None:
    quoted = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    routes(local_routes(fault_server(json_reply(quoted, 401)).url))
    done = process("chat", "r", "hi", "--verbose", LOCAL_KEY=KEY)
    assert done.returncode == 1
    assert "set a valid key" in done.stderr
    assert KEY not in done.stderr + done.stdout


@pytest.mark.parametrize("streams", ["--stream", "--no-stream"])
def test_ctrl_c_ends_a_silent_call_quietly_with_130(
    routes: Callable[[str], Path], fault_server: FaultServers, streams: str
) -> None:
    server = fault_server(silence(30))
    routes(local_routes(server.url))
    with subprocess.Popen(
        command("chat", "r", "hi", "-q", streams),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert server.wait_for(lambda seen: bool(seen.requests), 20)
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=10) == (b"", b"")
    assert running.returncode == 130
    assert server.wait_for(lambda seen: bool(seen.early_closes))


def test_ctrl_c_in_the_middle_of_a_stream_closes_it(routes: Callable[[str], Path], fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.stream("Once upon a time").stalled(3, 30))
    routes(local_routes(server.url))
    with subprocess.Popen(
        command("chat", "r", "hi", "-q", "--stream"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.read(4) == b"Once"
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=10)
    assert rest.endswith(b"\n")
    assert (errors, running.returncode) == (b"", 130)
    assert server.wait_for(lambda seen: bool(seen.early_closes))


@pytest.mark.parametrize("streams", ["--stream", "--no-stream"])
def test_a_reader_that_leaves_early_is_no_error(echoing: Path, streams: str) -> None:
    with subprocess.Popen(
        command("chat", "words", "hi", "-q", streams),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == b"word 0\n"
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(timeout=10) == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("route", "status"), [("echo", 0), ("ecko", 2)])
def test_a_standard_stream_that_is_closed_changes_nothing(echoing: Path, closed: str, route: str, status: int) -> None:
    line = shlex.join(command("chat", route, "hi", "-q"))
    done = subprocess.run(["sh", "-c", f"{line} {closed}"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == status
    assert (done.stdout == "HI\n") == (status == 0 and ">&-" not in closed.replace("2>&-", ""))
    assert ("did you mean 'echo'?" in done.stderr) == (status == 2 and "2>&-" not in closed)
    assert "unexpected" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("chat", "echo", "hi", "-q"), ("chat", "words", "hi", "-q"), ("check",)])
def test_a_full_disk_is_told_and_exits_1(echoing: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*arguments),
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=30,
        )  # fmt: skip
    assert (done.stderr, done.returncode) == ("error: no space left on device\n", 1)
