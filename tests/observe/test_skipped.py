"""Targets that no call can ask: the log names what is missing once, and leaves it at that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmrouter import disable_logging, enable_logging
from tests.chains import ask, chain
from tests.conftest import FaultServers
from tests.servers.protocols import OPENAI
from tests.worlds import Face


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged, without the time."""
    found: list[str] = []
    enable_logging("DEBUG", lambda message: found.append(message.split(" | ", 1)[1]))
    yield found
    disable_logging()


@pytest.fixture
def config(fault_server: FaultServers) -> dict[str, Any]:
    """Route `r`, whose first two targets have no key."""
    config = chain((OPENAI, fault_server(OPENAI.reply("Here."))))
    config["routes"]["r"] = {
        "model": "openai/gpt-6-luna",
        "fallbacks": ["google/gemini-3.8-flash", "first/gpt-6-luna"],
    }
    return config


def of_skipped(lines: list[str]) -> list[str]:
    return [line for line in lines if "skipped" in line]


def test_providers_without_a_key_are_warned_of_once_with_their_variables(
    face: Face, config: dict[str, Any], lines: list[str]
) -> None:
    with face.router(config) as router:
        replies = [ask(face, router, "chat") for _ in range(3)]
    (line,) = of_skipped(lines)
    assert line.startswith("WARNING | targets of these providers are skipped: ")
    assert line.endswith(": openai (set OPENAI_API_KEY), google (set GEMINI_API_KEY or GOOGLE_API_KEY)\n")
    for reply in replies:
        assert [attempt.outcome for attempt in reply.attempts] == ["skipped", "skipped", "ok"]


def test_what_is_missing_beside_a_key_is_told_in_its_own_words(
    face: Face, config: dict[str, Any], lines: list[str]
) -> None:
    config["providers"]["first"]["api_key"] = "${KEY_THAT_IS_NOT_SET}"
    config["routes"]["r"]["fallbacks"].append("python/llmrouter.offline:summarize")
    with face.router(config):
        assert "first (not set: KEY_THAT_IS_NOT_SET (environment or .env)" in lines[0]


def test_where_the_log_was_off_for_the_warning_each_call_says_it(
    face: Face, config: dict[str, Any], lines: list[str]
) -> None:
    disable_logging()
    with face.router(config) as router:
        enable_logging("INFO", lambda message: lines.append(str(message)))
        ask(face, router, "chat")
    assert ["no key" in line for line in of_skipped(lines)] == [True, True]


def test_other_reasons_have_a_line_in_every_call(face: Face, fault_server: FaultServers, lines: list[str]) -> None:
    first, second = fault_server(OPENAI.fails("server")), fault_server(OPENAI.reply("Here."))
    config = chain((OPENAI, first), (OPENAI, second), retry={"attempts": 1}, breaker={"failures": 1, "cooldown": "1m"})
    with face.router(config) as router:
        for _ in range(3):
            ask(face, router, "chat")
    assert ["its breaker is open" in line for line in of_skipped(lines)] == [True, True]


def test_a_target_that_no_route_names_is_told_of_where_it_is_asked(
    face: Face, config: dict[str, Any], lines: list[str]
) -> None:
    with face.router(config) as router, pytest.raises(Exception, match="ANTHROPIC_API_KEY"):
        face.chat(router, "anthropic/claude-haiku-5-5", "hello")
    assert [line for line in of_skipped(lines) if "anthropic" in line]


def test_an_edited_file_is_warned_of_anew(face: Face, tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "routes.yaml"
    with_fallback = "routes: {{ r: {{ model: {}, fallbacks: ['python/llmrouter.offline:summarize'] }} }}\n"
    path.write_text(with_fallback.format("openai/gpt-6-luna"))
    with face.router(path) as router:
        path.write_text(with_fallback.format("anthropic/claude-haiku-5-5"))
        assert face.run(router.reload)
        face.chat(router, "r", "A sentence that is long enough.")
    assert [line.partition("skipped: ")[2] for line in of_skipped(lines)] == [
        "openai (set OPENAI_API_KEY)\n",
        "anthropic (set ANTHROPIC_API_KEY)\n",
    ]
