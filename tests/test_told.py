"""What observers are told of calls that are not a plain chat: embeddings, and streams that waited."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter import AuthenticationError
from llmrouter.pipeline.observer import Ended
from tests.chains import chain
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI
from tests.worlds import Face


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Ended] = []

    def ended(self, end: Ended) -> None:
        self.told.append(end)


def embedding(server: FaultServer) -> dict[str, Any]:
    return {
        "providers": {"first": OPENAI.provider(server.url)},
        "routes": {"r": {"model": "first/text-embedding-3-small"}},
    }


def test_embeddings_are_told_of(face: Face, fault_server: FaultServers) -> None:
    server, listener = fault_server(OPENAI.embeds(tokens=4)), Listener()
    with face.router(embedding(server)) as router:
        router.add_observer(listener)
        face.embed(router, "r", ["one", "two"])
    (end,) = listener.told
    assert (end.operation, end.outcome) == ("embeddings", "ok")
    assert end.response is not None
    assert end.response.input_tokens == 4


def test_embeddings_that_fail_are_told_of(face: Face, fault_server: FaultServers) -> None:
    server, listener = fault_server(OPENAI.fails("authentication")), Listener()
    with face.router(embedding(server)) as router:
        router.add_observer(listener)
        with pytest.raises(AuthenticationError):
            face.embed(router, "r", "one")
    (end,) = listener.told
    assert (end.operation, end.outcome) == ("embeddings", "failed")


def test_a_stream_that_was_asked_for_again_tells_how_long_it_waited(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([OPENAI.fails("rate_limit", retry_after=0.05), OPENAI.stream("Here.")])
    with face.router(chain((OPENAI, server))) as router, face.stream(router, "r", "hello") as stream:
        assert "".join(stream) == "Here."
        failed, answered = stream.response.attempts
    assert failed.waited_s == 0
    assert answered.waited_s == pytest.approx(0.05)
