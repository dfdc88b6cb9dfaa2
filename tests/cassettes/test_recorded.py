"""The committed cassettes replay in both worlds, whatever they were recorded in, without keys and without a socket."""

from __future__ import annotations

import socket
from typing import Any, NoReturn

import pytest

from llmrouter import Embeddings, Response, Router
from llmrouter.cassettes import use_cassette
from llmrouter.cassettes.check import check
from tests.cassettes.scenarios import FOLDER, ROOT, SCENARIOS, TARGETS, Scenario
from tests.worlds import Face

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@pytest.fixture(autouse=True)
def _no_socket(monkeypatch: pytest.MonkeyPatch, face: Face) -> None:
    del face  # its event loop is made first: that one needs a pair of sockets

    def refused(*arguments: Any) -> NoReturn:
        pytest.fail("a socket connects while a cassette replays")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@each_scenario
def test_a_committed_cassette_replays_completely(face: Face, scenario: Scenario) -> None:
    with use_cassette(scenario.path) as cassette, face.router(scenario.source) as router:
        found = scenario.play(face, router)
    assert found
    assert cassette.unused == ()


@each_scenario
def test_a_replay_brings_what_the_scenario_is_about(face: Face, scenario: Scenario) -> None:
    with use_cassette(scenario.path), face.router(scenario.source) as router:
        found = scenario.play(face, router)
    if scenario.fails is not None:
        assert isinstance(found, scenario.fails)
    elif isinstance(found, Embeddings):
        assert len(found.vectors) == len(scenario.message)
        assert found.usage.uncached_tokens > 0
    elif scenario.verb == "stream":
        assert "".join(found).strip()
    else:
        assert isinstance(found, Response)
        assert found.content


@pytest.mark.parametrize("name", TARGETS)
def test_a_recorded_tool_call_has_its_arguments(face: Face, name: str) -> None:
    scenario = next(each for each in SCENARIOS if each.name == f"{name}/tools")
    with use_cassette(scenario.path), face.router(scenario.source) as router:
        reply = face.chat(router, scenario.route, scenario.message, **scenario.options)
    assert [(call.name, call.arguments["city"]) for call in reply.tool_calls] == [("weather", "Oslo")]


@pytest.mark.parametrize("name", TARGETS)
def test_a_recorded_structured_answer_is_parsed(face: Face, name: str) -> None:
    scenario = next(each for each in SCENARIOS if each.name == f"{name}/schema")
    with use_cassette(scenario.path), face.router(scenario.source) as router:
        assert scenario.play(face, router).parsed == {"name": "Ada", "age": 36}


def test_a_recorded_chain_reaches_its_last_rung(face: Face) -> None:
    scenario = next(each for each in SCENARIOS if each.name == "fallback/chat")
    with use_cassette(scenario.path), face.router(scenario.source) as router:
        reply = scenario.play(face, router)
    assert [attempt.outcome for attempt in reply.attempts] == ["failed", "failed", "ok"]


def test_every_route_of_the_example_file_is_recorded() -> None:
    with Router(ROOT / "routes.yaml") as router:
        assert set(router.routes) <= {scenario.route for scenario in SCENARIOS}


def test_every_committed_cassette_belongs_to_a_scenario() -> None:
    assert set(FOLDER.rglob("*.yaml")) == {scenario.path for scenario in SCENARIOS}


def test_the_committed_cassettes_are_fresh_and_hold_no_secret() -> None:
    with Router(ROOT / "routes.yaml") as router:
        assert [str(each) for each in check(FOLDER, router, ROOT / "tests") if each.kind != "unused"] == []
