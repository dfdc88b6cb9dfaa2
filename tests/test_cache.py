"""The answer cache as callers see it: when a request is saved, what is never served, and what is never kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmrouter import CacheMissError, ContentFilterError, OverloadedError, StreamInterruptedError, Text
from tests.chains import WORDS, Mode, ask, before, chain, each_mode, each_protocol, failing, outcomes
from tests.conftest import FaultServers
from tests.servers.protocols import ANTHROPIC, GOOGLE, OPENAI, Answer, Call, Protocol
from tests.worlds import Face

HOUR: dict[str, Any] = {"cache": {"ttl": "1h"}}

# ------------------------------------------------------------------------------------------------ hits


@each_protocol
@each_mode
def test_the_same_request_again_makes_none_and_costs_nothing(
    face: Face, fault_server: FaultServers, protocol: Protocol, mode: Mode
) -> None:
    server = fault_server(protocol.reply(Answer("Kept.", reasoning="Well.")))
    with face.router(chain((protocol, server), **HOUR)) as router:
        first, second = ask(face, router, mode), ask(face, router, mode)
        spent = router.total_cost
    assert len(server.requests) == 1
    assert (first.cached, second.cached, second.stale) == (False, True, False)
    assert (second.content, second.reasoning, second.usage) == (first.content, first.reasoning, first.usage)
    assert (first.cost_usd, second.cost_usd) == (spent, 0.0)
    assert outcomes(second) == [("first", "cached")]


@each_protocol
def test_a_stream_that_was_complete_serves_a_chat_and_the_other_way_round(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    server = fault_server(protocol.reply(WORDS))
    with face.router(chain((protocol, server), **HOUR)) as router:
        ask(face, router, "stream", "one")
        assert ask(face, router, "chat", "one").content == WORDS
        ask(face, router, "chat", "two")
        events = face.events(router, "r", "two")
    assert "".join(event.text for event in events if isinstance(event, Text)) == WORDS
    assert len([event for event in events if isinstance(event, Text)]) > 1  # replayed as a stream
    assert len(server.requests) == 2


@each_protocol
def test_tool_calls_survive_the_cache(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    server = fault_server(protocol.reply(Answer("", calls=(Call(),))))
    with face.router(chain((protocol, server), **HOUR)) as router:
        first, second = ask(face, router, "chat"), ask(face, router, "chat")
    assert second.cached
    assert second.message == first.message
    assert second.tool_calls[0].arguments == {"city": "Oslo"}


def test_an_answer_outlives_its_router(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("Kept."))
    for _ in range(2):
        with face.router(chain((OPENAI, server), **HOUR)) as router:
            assert ask(face, router, "chat").content == "Kept."
    assert len(server.requests) == 1


def test_the_cache_is_ours_alone(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply())), **HOUR) | {"cache": {"dir": "kept"}}
    with face.router(config) as router:
        ask(face, router, "chat")
    assert os.stat("kept").st_mode & 0o777 == 0o700  # noqa: PTH116


def test_without_a_cache_each_call_is_a_request(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply())
    with face.router(chain((OPENAI, server))) as router:
        assert not any(ask(face, router, "chat").cached for _ in range(2))
    assert len(server.requests) == 2


def test_an_entry_past_its_time_is_asked_for_again(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.reply("Old."), OPENAI.reply("New.")])
    with face.router(chain((OPENAI, server), cache={"ttl": "100ms"})) as router:
        ask(face, router, "chat")
        time.sleep(0.15)
        assert ask(face, router, "chat").content == "New."


# ------------------------------------------------------------------------------------------------ modes


@each_mode
def test_refresh_asks_and_stores_anew(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    server = fault_server([OPENAI.reply("Old."), OPENAI.reply("New.")])
    with face.router(chain((OPENAI, server), **HOUR)) as router:
        ask(face, router, mode)
        assert ask(face, router, mode, cache="refresh").content == "New."
        assert ask(face, router, mode, cache="use").content == "New."


@each_mode
def test_bypass_neither_reads_nor_writes(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    server = fault_server([OPENAI.reply("Kept."), OPENAI.reply("Passing."), OPENAI.reply("Never.")])
    with face.router(chain((OPENAI, server), **HOUR)) as router:
        ask(face, router, mode)
        assert ask(face, router, mode, cache="bypass").content == "Passing."
        assert ask(face, router, mode).content == "Kept."


@each_mode
def test_only_never_asks(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    server = fault_server(OPENAI.reply("Kept."))
    with face.router(chain((OPENAI, server), (ANTHROPIC, fault_server()), **HOUR)) as router:
        failing(CacheMissError, face, router, mode, cache="only")
        assert not server.requests
        ask(face, router, mode)
        assert ask(face, router, mode, cache="only").content == "Kept."


def test_only_finds_a_fallbacks_entry(face: Face, fault_server: FaultServers) -> None:
    broken, healthy = fault_server(OPENAI.fails("server")), fault_server(ANTHROPIC.reply("Kept."))
    with face.router(chain((OPENAI, broken), (ANTHROPIC, healthy), **HOUR)) as router:
        ask(face, router, "chat")
        reply = ask(face, router, "chat", cache="only")
    assert (reply.content, reply.target) == ("Kept.", "second/claude-haiku-5-5")


def test_only_on_a_route_without_cache_says_what_to_add(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server()))) as router:
        assert "ttl" in str(failing(CacheMissError, face, router, "chat", cache="only"))


# ------------------------------------------------------------------------------------------------ errors


@each_mode
def test_an_expired_answer_stands_in_for_a_spent_chain(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    server = fault_server([OPENAI.reply("Old."), *[OPENAI.fails("overloaded")] * 3])
    with face.router(chain((OPENAI, server), cache={"ttl": "50ms", "stale_if_error": "1h"})) as router:
        ask(face, router, mode)
        time.sleep(0.1)
        reply = ask(face, router, mode)
    assert (reply.content, reply.cached, reply.stale, reply.cost_usd) == ("Old.", True, True, 0.0)
    assert outcomes(reply) == [*[("first", "failed")] * 3, ("first", "cached")]


def test_an_expired_answer_stands_in_only_when_every_rung_failed(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.reply("Old."), *[OPENAI.fails("overloaded")] * 3])
    healthy = fault_server(ANTHROPIC.reply("New."))
    config = chain((OPENAI, server), (ANTHROPIC, healthy), cache={"ttl": "50ms", "stale_if_error": "1h"})
    with face.router(config) as router:
        ask(face, router, "chat")
        time.sleep(0.1)
        assert ask(face, router, "chat").content == "New."


def test_without_stale_if_error_an_error_is_an_error(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.reply("Old."), *[OPENAI.fails("overloaded")] * 3])
    with face.router(chain((OPENAI, server), cache={"ttl": "50ms"})) as router:
        ask(face, router, "chat")
        time.sleep(0.1)
        failing(OverloadedError, face, router, "chat")


@each_mode
def test_a_fallbacks_answer_is_never_served_as_the_primarys(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    primary = fault_server([*[OPENAI.fails("overloaded")] * 3, OPENAI.reply("The primary's.")])
    spare = fault_server(ANTHROPIC.reply("The fallback's."))
    with face.router(chain((OPENAI, primary), (ANTHROPIC, spare), **HOUR)) as router:
        assert ask(face, router, mode).content == "The fallback's."
        assert ask(face, router, mode).content == "The primary's."


@each_mode
def test_while_the_primary_is_down_its_fallbacks_entry_is_used(
    face: Face, fault_server: FaultServers, mode: Mode
) -> None:
    primary, spare = fault_server(OPENAI.fails("overloaded")), fault_server(ANTHROPIC.reply("Kept."))
    with face.router(chain((OPENAI, primary), (ANTHROPIC, spare), retry={"attempts": 1}, **HOUR)) as router:
        ask(face, router, mode)
        reply = ask(face, router, mode)
    assert (reply.target, reply.cached) == ("second/claude-haiku-5-5", True)
    assert (len(primary.requests), len(spare.requests)) == (2, 1)


# ------------------------------------------------------------------------------------------------ what is not kept


@pytest.mark.parametrize(
    ("protocol", "finish"),
    [(OPENAI, "length"), (ANTHROPIC, "length"), (GOOGLE, "length"), (OPENAI, "refusal"), (ANTHROPIC, "refusal")],
    ids=lambda value: getattr(value, "name", value),
)
@each_mode
def test_an_answer_that_is_not_whole_is_not_kept(
    face: Face, fault_server: FaultServers, protocol: Protocol, finish: Any, mode: Mode
) -> None:
    server = fault_server(protocol.reply(Answer("Once upon", finish=finish)))
    with face.router(chain((protocol, server), **HOUR)) as router:
        assert not any(ask(face, router, mode).cached for _ in range(2))
    assert len(server.requests) == 2


def test_a_filtered_answer_is_not_kept(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.reply(Answer("Well", finish="content_filter")), OPENAI.reply("Fine.")])
    with face.router(chain((OPENAI, server), **HOUR)) as router:
        failing(ContentFilterError, face, router, "chat")
        assert ask(face, router, "chat").content == "Fine."


@each_protocol
def test_a_stream_that_broke_is_not_kept(face: Face, fault_server: FaultServers, protocol: Protocol) -> None:
    cut = protocol.stream(WORDS).cut_after(before(protocol.chunks(WORDS), "w40"))
    server = fault_server([cut, protocol.reply(WORDS)])
    with face.router(chain((protocol, server), **HOUR)) as router:
        failing(StreamInterruptedError, face, router, "stream")
        reply = ask(face, router, "stream")
    assert (reply.content, reply.cached) == (WORDS, False)


def test_a_stream_that_was_left_is_not_kept(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply(WORDS))
    with face.router(chain((OPENAI, server), **HOUR)) as router:
        with face.stream(router, "r", "hello") as stream:
            next(iter(stream))
        assert not ask(face, router, "stream").cached


# ------------------------------------------------------------------------------------------------ keys


CHANGES: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.9},
    "max_tokens": {"max_tokens": 77},
    "stop": {"stop": ["\n"]},
    "system": {"system": "Be brief."},
    "tools": {"tools": [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]},
    "schema": {"schema": {"type": "object", "properties": {}, "additionalProperties": False}},
    "extra": {"extra": {"service_tier": "flex"}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_changed_parameter_is_another_entry(face: Face, fault_server: FaultServers, change: str) -> None:
    server = fault_server(OPENAI.reply("{}"))
    config = chain((OPENAI, server), **HOUR)
    config["routes"]["r"]["model"] = "first/gpt-4.1"
    with face.router(config) as router:
        ask(face, router, "chat")
        assert not ask(face, router, "chat", **CHANGES[change]).cached
        assert ask(face, router, "chat", **CHANGES[change]).cached
    assert len(server.requests) == 2


def test_another_question_is_another_entry(face: Face, fault_server: FaultServers) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply())), **HOUR)) as router:
        ask(face, router, "chat", "one")
        assert not ask(face, router, "chat", "two").cached


@pytest.mark.parametrize("same", [{"metadata": {"user": "u1"}}, {"timeout": 1}, {"deadline": 3}])
def test_what_the_provider_does_not_see_is_the_same_entry(
    face: Face, fault_server: FaultServers, same: dict[str, Any]
) -> None:
    with face.router(chain((OPENAI, fault_server(OPENAI.reply())), **HOUR)) as router:
        ask(face, router, "chat")
        assert ask(face, router, "chat", **same).cached


def test_two_routes_that_send_the_same_share_an_entry(face: Face, fault_server: FaultServers) -> None:
    config = chain((OPENAI, fault_server(OPENAI.reply())), **HOUR)
    config["routes"]["s"] = config["routes"]["r"]
    with face.router(config) as router:
        ask(face, router, "chat")
        reply = face.chat(router, "s", "hello")
    assert (reply.cached, reply.route) == (True, "s")


# ------------------------------------------------------------------------------------------------ trouble


def _a_file_in_its_place(folder: Path) -> None:
    folder.write_text("")


def _a_link_to_itself(folder: Path) -> None:
    folder.symlink_to(folder)


def _a_folder_as_its_database(folder: Path) -> None:
    (folder / "cache.db").mkdir(parents=True)


def _garbage_in_its_database(folder: Path) -> None:
    folder.mkdir()
    (folder / "cache.db").write_bytes(b"no database" * 1000)


TROUBLE: dict[str, Callable[[Path], None]] = {
    "a file in its place": _a_file_in_its_place,
    "a link to itself": _a_link_to_itself,
    "a folder as its database": _a_folder_as_its_database,
    "garbage in its database": _garbage_in_its_database,
}


@pytest.mark.parametrize("trouble", TROUBLE)
@each_mode
def test_a_cache_that_cannot_be_used_costs_a_warning_and_no_call(
    face: Face, fault_server: FaultServers, tmp_path: Path, said: list[str], trouble: str, mode: Mode
) -> None:
    folder = tmp_path / "kept"
    TROUBLE[trouble](folder)
    config = chain((OPENAI, fault_server(OPENAI.reply("Here."))), **HOUR) | {"cache": {"dir": str(folder)}}
    with face.router(config) as router:
        assert [ask(face, router, mode).content for _ in range(3)] == ["Here."] * 3
    assert any("WARNING" in line and str(folder) in line for line in said)
    assert not [line for line in said if "ERROR" in line]
