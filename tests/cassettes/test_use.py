"""Recording and replaying over real sockets, in both worlds and all protocols."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmrouter import AsyncRouter, ConfigError, Router
from llmrouter.cassettes import CassetteMissError, use_cassette
from llmrouter.cassettes.matching import Sent
from llmrouter.errors import APIConnectionError, InvalidRequestError, RateLimitError
from llmrouter.pipeline import playback
from llmrouter.pipeline.observer import Ended
from tests.conftest import FaultServers
from tests.servers.protocols import OPENAI, PROTOCOLS, Protocol
from tests.servers.replies import Reply
from tests.worlds import Face

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
FILE = Path("answers.yaml")


def without_key(config: dict[str, Any]) -> dict[str, Any]:
    """The same file on a machine that has no key and cannot reach the server."""
    providers = {name: dict(entry) for name, entry in config["providers"].items()}
    for entry in providers.values():
        del entry["api_key"]
        entry["base_url"] = re.sub("//[^/]*", "//gone.invalid", entry["base_url"])
    return {**config, "providers": providers}


def recorded(face: Face, servers: FaultServers, protocol: Protocol = OPENAI, **route: Any) -> dict[str, Any]:
    """Record one chat and one stream of route `r` to FILE; return the configuration for a replay."""
    server = servers(protocol.reply("Hello from afar."))
    config = protocol.config(server.url, **route)
    with use_cassette(FILE, "once") as cassette, face.router(config) as router:
        assert face.chat(router, "r", "hello").content == "Hello from afar."
        assert "".join(face.text(router, "r", "hello")) == "Hello from afar."
    assert (cassette.recorded, cassette.played, len(server.requests)) == (2, 0, 2)
    return without_key(config)


@each_protocol
@pytest.mark.parametrize("recorder", ["sync", "async"])
def test_what_either_world_recorded_replays_in_both(
    face: Face, fault_server: FaultServers, protocol: Protocol, recorder: Any
) -> None:
    other = Face(recorder)
    config = recorded(other, fault_server, protocol)
    other.close()
    with use_cassette(FILE) as cassette, face.router(config) as router:
        assert face.chat(router, "r", "hello").content == "Hello from afar."
        assert "".join(face.text(router, "r", "hello")) == "Hello from afar."
    assert (cassette.played, cassette.unused) == (2, ())


def test_a_router_made_before_the_cassette_replays_too(face: Face, fault_server: FaultServers) -> None:
    with face.router(recorded(face, fault_server)) as router, use_cassette(FILE):
        assert face.chat(router, "r", "hello").content == "Hello from afar."


def test_after_the_cassette_a_key_is_needed_again(face: Face, fault_server: FaultServers) -> None:
    with face.router(recorded(face, fault_server)) as router:
        with use_cassette(FILE):
            face.chat(router, "r", "hello")
        with pytest.raises(Exception, match="no key"):
            face.chat(router, "r", "hello")


def test_a_replay_leaves_the_cache_of_answers_alone(face: Face, fault_server: FaultServers) -> None:
    config = recorded(face, fault_server, cache="1h")
    with use_cassette(FILE, repeats=True) as cassette, face.router(config) as router:
        replies = [face.chat(router, "r", "hello") for _ in range(2)]
    assert [reply.cached for reply in replies] == [False, False]
    assert cassette.played == 2


def test_the_cache_of_answers_works_where_it_is_asked_for(face: Face, fault_server: FaultServers) -> None:
    config = recorded(face, fault_server, cache="1h")
    with use_cassette(FILE, cache=True), face.router(config) as router:
        replies = [face.chat(router, "r", "hello") for _ in range(2)]
    assert [reply.cached for reply in replies] == [False, True]


def test_an_embedding_replays(face: Face, fault_server: FaultServers) -> None:
    config = OPENAI.config(fault_server(OPENAI.embeds()).url, model="openai/text-embedding-3-small")
    for mode in ("once", "none"):
        with use_cassette(FILE, mode), face.router(config) as router:
            assert face.embed(router, "r", ["a", "b"]).vectors == [[0.0, 0.5], [1.0, 0.5]]


def test_a_failure_and_its_retry_replay_in_order_and_at_once(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.fails("rate_limit", 0.1), OPENAI.reply("Allowed now.")])
    config = OPENAI.config(server.url)
    for mode in ("once", "none"):
        with use_cassette(FILE, mode), face.router(config) as router:
            reply = face.chat(router, "r", "hello")
        assert [attempt.outcome for attempt in reply.attempts] == ["failed", "ok"]
        assert isinstance(reply.attempts[0].error, RateLimitError)


def test_a_server_that_cannot_be_reached_is_recorded_as_that(face: Face) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = OPENAI.config(f"http://127.0.0.1:{port}", retry={"attempts": 1})
    for mode in ("once", "none"):
        with use_cassette(FILE, mode), face.router(config) as router, pytest.raises(APIConnectionError):
            face.chat(router, "r", "hello")


def test_one_cassette_serves_many_calls_at_once(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(lambda request: OPENAI.reply(request.json["messages"][0]["content"])(request))
    questions = [f"question {number}" for number in range(12)]
    config = OPENAI.config(server.url)
    for mode in ("once", "none"):
        with use_cassette(FILE, mode) as cassette, face.router(config) as router:
            replies = face.at_once([partial(router.chat, "r", each) for each in questions])
        assert [reply.content for reply in replies] == questions
    assert cassette.unused == ()


def test_new_episodes_adds_what_is_missing(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("Again."))
    config = OPENAI.config(server.url)
    for questions in (["one"], ["one", "two"]):
        with use_cassette(FILE, "new_episodes"), face.router(config) as router:
            for each in questions:
                face.chat(router, "r", each)
    assert len(server.requests) == 2


def test_all_drops_what_is_not_asked_any_more(face: Face, fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("Again."))
    for question in ("before", "after"):
        with use_cassette(FILE, "all"), face.router(OPENAI.config(server.url)) as router:
            face.chat(router, "r", question)
    assert "before" not in FILE.read_text()


def test_the_environment_overrides_the_mode(
    face: Face, fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fault_server(OPENAI.reply("Hello."))
    monkeypatch.setenv("LLMROUTER_CASSETTE_MODE", "all")
    with use_cassette(FILE, "none") as cassette, face.router(OPENAI.config(server.url)) as router:
        face.chat(router, "r", "hello")
    assert (cassette.mode, cassette.recorded) == ("all", 1)


def test_an_unknown_mode_is_told_at_once() -> None:
    with pytest.raises(InvalidRequestError, match="none, once, new_episodes, all"):
        use_cassette(FILE, "always")  # type: ignore[arg-type]  # that is the mistake


def test_a_file_that_is_no_cassette_is_told_with_its_name() -> None:
    FILE.write_text("routes: {}\n")
    with pytest.raises(ConfigError, match=r"answers\.yaml: this is no cassette"), use_cassette(FILE):
        pass


def test_a_decorated_function_replays_from_the_beginning_each_time(face: Face, fault_server: FaultServers) -> None:
    config = recorded(face, fault_server)

    @use_cassette(FILE)
    def asked() -> str:
        with Router(config) as router:
            return router.chat("r", "hello").content

    assert [asked(), asked()] == ["Hello from afar."] * 2
    assert asked.__name__ == "asked"


def test_a_decorated_coroutine_replays(face: Face, fault_server: FaultServers) -> None:
    config = recorded(face, fault_server)

    @use_cassette(FILE)
    async def asked() -> str:
        with Router(config) as router:
            return router.chat("r", "hello").content

    assert asyncio.run(asked()) == "Hello from afar."


def test_a_decorated_generator_replays_while_it_runs(face: Face, fault_server: FaultServers) -> None:
    config = recorded(face, fault_server)

    @use_cassette(FILE)
    def asked() -> Iterator[str]:
        with Router(config) as router:
            yield router.chat("r", "hello").content
            yield from router.stream("r", "hello")

    assert "".join(asked()) == "Hello from afar." * 2
    assert not playback.in_use()


def test_a_decorated_asynchronous_generator_replays_while_it_runs(face: Face, fault_server: FaultServers) -> None:
    config = recorded(face, fault_server)

    @use_cassette(FILE)
    async def asked() -> AsyncIterator[str]:
        async with AsyncRouter(config) as router:
            yield (await router.chat("r", "hello")).content

    async def read() -> list[str]:
        return [text async for text in asked()]

    assert asyncio.run(read()) == ["Hello from afar."]
    assert not playback.in_use()


def test_a_class_is_not_decorated() -> None:
    with pytest.raises(InvalidRequestError, match="TestMine is a class"):

        @use_cassette(FILE)
        class TestMine:
            pass


def test_calls_of_a_decorated_coroutine_that_overlap_lose_nothing_that_was_recorded(fault_server: FaultServers) -> None:
    config = OPENAI.config(fault_server(OPENAI.reply("Hello.")).url)
    first_waits, second_is_done = asyncio.Event(), asyncio.Event()

    @use_cassette(FILE, "new_episodes")
    async def asked(question: str) -> None:
        async with AsyncRouter(config) as router:
            await router.chat("r", question)
            if question == "first":
                first_waits.set()
                await second_is_done.wait()
            else:
                await first_waits.wait()
            await router.chat("r", f"{question} again")
        second_is_done.set()

    async def both() -> None:
        await asyncio.gather(asked("first"), asked("second"))

    asyncio.run(both())
    for question in ("first", "first again", "second", "second again"):
        assert f'"content": "{question}"' in FILE.read_text()


def test_it_is_an_asynchronous_context_too() -> None:
    async def used() -> bool:
        async with use_cassette(FILE) as cassette:
            return cassette.replaying

    assert asyncio.run(used())
    assert not playback.in_use()


def test_an_sdk_beside_any_router_replays_too(fault_server: FaultServers) -> None:
    import openai

    server = fault_server(OPENAI.reply("Hello."))
    for mode in ("once", "none"):
        client = openai.OpenAI(api_key="test-key", base_url=f"{server.url}/v1", max_retries=0)
        with use_cassette(FILE, mode), client:
            answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
        assert answer.choices[0].message.content == "Hello."
    assert len(server.requests) == 1


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("mode", ["none", "once"])
@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [\n", b"hello", b"\x00", b"interactions:\n", None], ids=repr)
def test_a_file_that_cannot_be_read_is_told_with_its_name_and_stays(mode: Any, content: bytes | None) -> None:
    if content is None:
        FILE.mkdir()
    else:
        FILE.write_bytes(content)
    with (
        pytest.raises(ConfigError, match=r"answers\.yaml: this (is no cassette|cassette cannot be read)"),
        use_cassette(FILE, mode),
    ):
        pass
    assert content is None or FILE.read_bytes() == content
    assert not playback.in_use()


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_asked(fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("Hello."))
    Path("file").write_text("")
    with (
        pytest.raises(OSError, match="cannot be recorded here"),
        use_cassette("file/answers.yaml", "once"),
        Router(OPENAI.config(server.url)) as router,
    ):
        router.chat("r", "hello")
    assert not server.requests


def test_a_recording_that_cannot_be_kept_is_told_and_leaves_nothing_patched(
    face: Face, fault_server: FaultServers
) -> None:
    import aiohttp
    import httpx2

    def patched() -> tuple[Any, ...]:
        return httpx2.HTTPTransport.handle_request, aiohttp.ClientSession._request

    def record() -> None:
        with use_cassette(FILE, "all"), face.router(config) as router:
            face.chat(router, "r", "hello")
            FILE.mkdir()  # now no file can be put in its place

    config, before = OPENAI.config(fault_server(OPENAI.reply("Hello.")).url), patched()
    with pytest.raises(OSError, match=r"could not be kept: .*answers\.yaml"):
        record()
    assert patched() == before
    assert not playback.in_use()
    assert [each.name for each in Path().iterdir() if each.name.startswith(".answers")] == []


def test_half_a_character_in_an_answer_is_recorded(fault_server: FaultServers) -> None:
    import httpx2

    server = fault_server(Reply(headers={"content-type": "application/json"}, pieces=[b'{"text": "\\ud83d"}']))
    for mode in ("once", "none"):
        with use_cassette(FILE, mode), httpx2.Client() as client:
            assert client.post(server.url, json={}).json() == {"text": "\ud83d"}


# ------------------------------------------------------------------------------------------------ what is not there


@each_protocol
def test_a_request_that_was_not_recorded_shows_the_difference_and_ends_the_call(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    config = recorded(face, fault_server, protocol, fallbacks=["python/llmrouter.offline:summarize"])
    with (
        use_cassette(FILE) as cassette,
        face.router(config) as router,
        pytest.raises(CassetteMissError) as missed,
    ):
        face.chat(router, "r", "hullo")
    told = str(missed.value)
    assert "route r" in told
    assert any(line.strip().startswith("-") and '"hello"' in line for line in told.splitlines())
    assert any(line.strip().startswith("+") and '"hullo"' in line for line in told.splitlines())
    assert "LLMROUTER_CASSETTE_MODE=all" in told
    assert len(cassette.misses) == 1  # not retried


@each_protocol
def test_a_stream_that_was_not_recorded_ends_the_call_too(
    face: Face, fault_server: FaultServers, protocol: Protocol
) -> None:
    config = recorded(face, fault_server, protocol)
    with use_cassette(FILE), face.router(config) as router, pytest.raises(CassetteMissError):
        face.text(router, "r", "hullo")


def asked(face: Face, router: Any, how: str) -> None:
    if how == "embed":
        face.embed(router, "openai/text-embedding-3-small", ["hullo"])
    elif how == "stream":
        face.text(router, "openai/gpt-6-luna", "hullo")
    else:
        face.chat(router, "openai/gpt-6-luna", "hullo")


@pytest.mark.parametrize("how", ["chat", "stream", "embed"])
def test_a_request_that_was_not_recorded_has_failed_and_cost_nothing(face: Face, how: str) -> None:
    ends: list[Ended] = []
    with use_cassette("none.yaml"), face.router({"version": 1}) as router:
        router.add_observer(SimpleNamespace(ended=ends.append))
        with pytest.raises(CassetteMissError):
            asked(face, router, how)
        assert router.total_cost == 0
    assert [(end.outcome, type(end.error), list(end.attempts)) for end in ends] == [("failed", CassetteMissError, [])]


def test_a_request_more_often_than_recorded_says_so(face: Face, fault_server: FaultServers) -> None:
    config = recorded(face, fault_server)
    with use_cassette(FILE), face.router(config) as router:
        face.chat(router, "r", "hello")
        with pytest.raises(CassetteMissError, match=r"recorded once .* is asked once more"):
            face.chat(router, "r", "hello")


def test_a_cassette_that_does_not_exist_says_that_nothing_is_on_it(face: Face) -> None:
    nothing = pytest.raises(CassetteMissError, match="there is nothing on it")
    with use_cassette("none.yaml"), face.router({"version": 1}) as router, nothing:
        face.chat(router, "openai/gpt-6-luna", "hello")
    assert not Path("none.yaml").exists()


@pytest.mark.parametrize(
    ("recorded_text", "text", "same"),
    [
        ("my key is REDACTED", "my key is a/b+c", True),
        ("my key is REDACTED", 'my key is a"b\\c', True),
        ("REDACTED and REDACTED.", "one and two.", True),
        ("REDACTED and REDACTED.", "one or two.", False),
        ("my key is REDACTED", "my key is ", False),
        ("REDACTED " * 40 + ".", "word " * 400 + "!", False),
    ],
    ids=["slash", "quotes", "two", "other text", "nothing", "many"],
)
def test_any_text_stands_where_a_secret_was_taken_out(recorded_text: str, text: str, same: bool) -> None:
    def sent(content: str) -> Sent:
        return Sent("POST", "https://a.invalid/v1", json.dumps({"content": content, "n": 1}).encode())

    assert sent(recorded_text).matches(sent(text)) is same


def test_what_stands_for_a_secret_is_not_more_than_one_value() -> None:
    recorded_body, body = b'{"a": "REDACTED", "n": 1}', b'{"a": "x", "b": "y", "n": 1}'
    assert not Sent("POST", "https://a.invalid/v1", recorded_body).matches(Sent("POST", "https://a.invalid/v1", body))


def test_unused_recordings_are_listed(face: Face, fault_server: FaultServers) -> None:
    config = recorded(face, fault_server)
    with use_cassette(FILE) as cassette, face.router(config) as router:
        face.chat(router, "r", "hello")
    assert cassette.unused == ("POST /v1/chat/completions (route r, target openai/gpt-6-luna)",)


@pytest.mark.parametrize(
    "target", ["azure/a-deployment", "bedrock/anthropic.claude-haiku-5-5-v1:0", "vertex/gemini-3.8-flash"]
)
def test_a_cloud_is_asked_without_signing_in(face: Face, target: str) -> None:
    pytest.importorskip("boto3" if target.startswith("bedrock") else "httpx2")
    missed = pytest.raises(CassetteMissError, match=r"there is nothing on it")
    with use_cassette("none.yaml"), face.router({"version": 1}) as router, missed:
        face.chat(router, target, "hello")


def test_cassettes_that_overlap_leave_nothing_patched() -> None:
    import httpx2

    before = httpx2.HTTPTransport.handle_request, httpx2.AsyncHTTPTransport.handle_async_request
    first, second = use_cassette("first.yaml"), use_cassette("second.yaml")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert (httpx2.HTTPTransport.handle_request, httpx2.AsyncHTTPTransport.handle_async_request) == before
    assert not playback.in_use()
