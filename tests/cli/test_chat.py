"""`llmrouter chat`: what is sent, what is printed where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Process, local_routes
from tests.conftest import FaultServers
from tests.servers.facts import Answer
from tests.servers.protocols import OPENAI

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")


def test_the_answer_alone_is_on_stdout(process: Process, echoing: Path) -> None:
    done = process("chat", "echo", "hello")
    assert (done.stdout, done.returncode) == ("HELLO\n", 0)


def test_one_log_line_is_on_stderr(process: Process, echoing: Path) -> None:
    (line,) = process("chat", "echo", "hello").stderr.splitlines()
    assert "| INFO | echo python/echoing:echo |" in line
    assert line.endswith("| ok")


def test_quiet_leaves_stderr_empty(process: Process, routes: Callable[[str], Path]) -> None:
    routes(
        "logging: { level: INFO }\n"
        "routes:\n  s: { model: openai/gpt-6-luna, fallbacks: ['python/llmrouter.offline:summarize'] }\n"
    )
    assert process("chat", "s", "A sentence that is long enough.", "--quiet").stderr == ""


def test_without_a_key_one_warning_and_the_call_are_on_stderr(process: Process, routes: Callable[[str], Path]) -> None:
    routes(
        "routes:\n  s:\n    model: openai/gpt-6-luna\n"
        "    fallbacks: [anthropic/claude-haiku-5-5, 'python/llmrouter.offline:summarize']\n"
    )
    warning, line = process("chat", "s", "A sentence that is long enough.").stderr.splitlines()
    assert warning.endswith("skipped: openai (set OPENAI_API_KEY), anthropic (set ANTHROPIC_API_KEY)")
    assert line.endswith("| fallback 3/3")


def test_verbose_logs_more_and_answers_the_same(cli: Cli, echoing: Path) -> None:
    assert cli("chat", "echo", "hello", "-v").stdout == "HELLO\n"


@pytest.mark.parametrize(
    ("arguments", "piped", "expected"),
    [
        (["TEXT"], "", "TEXT"),
        ([], "piped in", "PIPED IN"),
        (["first"], "then piped", "FIRST\n\nTHEN PIPED"),
        (["-f", "note.txt"], "", "FROM A FILE"),
        (["-f", "note.txt"], "ignored", "FROM A FILE"),
        (["first", "-f", "note.txt"], "", "FIRST\n\nFROM A FILE"),
        (["-f", "-"], "piped in", "PIPED IN"),
        (["first"], "  \n", "FIRST"),
    ],
)
def test_the_prompt_is_put_together(
    cli: Cli, echoing: Path, tmp_path: Path, arguments: list[str], piped: str, expected: str
) -> None:
    (tmp_path / "note.txt").write_text("from a file", encoding="utf-8-sig")
    assert cli("chat", "echo", *arguments, input=piped).stdout == f"{expected}\n"


def test_text_is_read_as_utf8_whatever_the_locale(process: Process, echoing: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("grüße", encoding="utf-8")
    done = process("chat", "echo", "-f", "note.txt", PYTHONIOENCODING="utf-8", LC_ALL="C", PYTHONUTF8="0")
    assert done.stdout == "GRÜSSE\n"


def test_a_character_that_stdout_lacks_does_not_fail(process: Process, echoing: Path) -> None:
    done = process("chat", "echo", "price: 5 €", PYTHONIOENCODING="ascii")
    assert (done.stdout, done.returncode) == ("PRICE: 5 ?\n", 0)


def test_nothing_to_send_is_wrong_usage(cli: Cli, echoing: Path) -> None:
    done = cli("chat", "echo", input="")
    assert done.exit_code == 2
    assert "nothing to send" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "missing.txt"], "cannot read missing.txt: no such file"),
        (["-f", "."], "cannot read .: is a directory"),
        (["-f", "binary.bin"], "binary.bin is not UTF-8 text"),
        (["hello", "--image", "missing.png"], "cannot read missing.png"),
        (["hello", "--image", "note.txt"], "note.txt is no image"),
        (["hello", "--image", "paper.pdf"], "paper.pdf is application/pdf, not an image"),
        (["hello", "--deadline", "soon"], "'soon' is not a duration"),
        (["hello", "--json", "--stream"], "leave out --stream"),
    ],
)
def test_wrong_input_exits_2_and_says_what(
    cli: Cli, echoing: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "binary.bin").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "note.txt").write_text("no image")
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7")
    done = cli("chat", "echo", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_options_reach_the_target(cli: Cli, echoing: Path) -> None:
    options = ["--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "9"]
    done = cli("chat", "system", "hello", *options)
    assert done.stdout == "Be brief. [('max_tokens', 9), ('temperature', 0.5)]\n"


def test_an_image_is_sent_before_the_text(
    cli: Cli, routes: Callable[[str], Path], tmp_path: Path, fault_server: FaultServers
) -> None:
    server = fault_server(OPENAI.reply("A cat."))
    routes(local_routes(server.url))
    (tmp_path / "cat.png").write_bytes(PNG)
    assert cli("chat", "r", "What is it?", "--image", "cat.png").stdout == "A cat.\n"
    image, text = server.requests[0].json["messages"][-1]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert text["text"] == "What is it?"


def test_stream_prints_the_whole_answer_and_ends_the_line(cli: Cli, echoing: Path) -> None:
    assert cli("chat", "echo", "hello", "--stream").stdout == "HELLO\n"


def test_a_pipe_gets_no_stream_unless_asked(
    cli: Cli, routes: Callable[[str], Path], fault_server: FaultServers
) -> None:
    server = fault_server(OPENAI.reply("Hello there."))
    routes(local_routes(server.url))
    cli("chat", "r", "hi")
    cli("chat", "r", "hi", "--stream")
    assert [request.streamed for request in server.requests] == [False, True]


def test_json_prints_one_object(cli: Cli, routes: Callable[[str], Path], fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply(Answer("Hello there.", input_tokens=20, cache_read=8, output_tokens=3)))
    routes(local_routes(server.url, more=", prices: { local/m: { input: 1, output: 2 } }"))
    told = json.loads(cli("chat", "r", "hi", "--json").stdout)
    assert told["content"] == "Hello there."
    assert (told["target"], told["route"], told["finish_reason"]) == ("local/m", "r", "stop")
    assert told["usage"]["input_tokens"] == 20
    assert told["usage"]["cache_read_tokens"] == 8
    assert told["cost_usd"] == pytest.approx(26e-6)
    assert (told["cached"], told["stale"], told["tool_calls"], told["parsed"]) == (False, False, [], None)
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["ok"]
    assert told["request_id"]
    assert told["latency_s"] > 0


def test_json_has_the_parsed_answer(
    cli: Cli, routes: Callable[[str], Path], tmp_path: Path, fault_server: FaultServers
) -> None:
    server = fault_server(OPENAI.reply('{"label": "praise"}'))
    routes(local_routes(server.url, more=", schema: label.json"))
    schema = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
    (tmp_path / "label.json").write_text(json.dumps(schema))
    assert json.loads(cli("chat", "r", "hi", "--json").stdout)["parsed"] == {"label": "praise"}


def test_the_second_answer_comes_from_the_cache(cli: Cli, echoing: Path) -> None:
    first, second = (json.loads(cli("chat", "kept", "hello", "--json").stdout) for _ in range(2))
    assert (first["cached"], second["cached"]) == (False, True)


def test_cache_only_without_an_entry_fails(cli: Cli, echoing: Path) -> None:
    done = cli("chat", "kept", "never asked", "--cache", "only")
    assert done.exit_code == 1
    assert "leave out `--cache only`" in done.stderr


def test_an_answer_that_was_cut_is_remarked(
    cli: Cli, routes: Callable[[str], Path], fault_server: FaultServers
) -> None:
    routes(local_routes(fault_server(OPENAI.reply(Answer("Half an", finish="length"))).url))
    done = cli("chat", "r", "hi")
    assert done.stdout == "Half an\n"
    assert "cut at its token limit" in done.stderr
