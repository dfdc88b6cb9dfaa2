"""A sampling parameter that a model turns out not to take is left out, and the call goes on."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter import BadRequestError
from tests.conftest import FaultServers
from tests.servers.faults import Step
from tests.servers.http1 import Request
from tests.servers.protocols import ANTHROPIC, OPENAI
from tests.servers.replies import json_reply
from tests.worlds import Face

OPENAI_REFUSAL = {
    "error": {
        "message": "Unsupported value: 'temperature' does not support 0.2 with this model.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "unsupported_value",
    }
}
ANTHROPIC_REFUSAL = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."},
}


def picky(protocol: Any, refusal: dict[str, Any]) -> Any:
    """Answer like a model that takes no temperature."""

    def answer(request: Request) -> Step:
        answer: Step = protocol.reply("Fine.")
        return json_reply(refusal, 400) if "temperature" in request.json else answer

    return answer


@pytest.mark.parametrize(
    ("protocol", "refusal"), [(OPENAI, OPENAI_REFUSAL), (ANTHROPIC, ANTHROPIC_REFUSAL)], ids=["openai", "anthropic"]
)
def test_a_model_that_takes_no_temperature_answers_without_it(
    face: Face, fault_server: FaultServers, protocol: Any, refusal: dict[str, Any]
) -> None:
    server = fault_server(picky(protocol, refusal))
    with face.router(protocol.config(server.url, params={"temperature": 0.2})) as router:
        assert face.chat(router, "r", "Hello").content == "Fine."
        assert "".join(face.text(router, "r", "Hello again")) == "Fine."
    assert ["temperature" in request.json for request in server.requests] == [True, False, False]


def test_a_parameter_that_was_not_sent_is_no_reason_to_ask_again(face: Face, fault_server: FaultServers) -> None:
    server = fault_server([json_reply(OPENAI_REFUSAL, 400)])
    with face.router(OPENAI.config(server.url)) as router, pytest.raises(BadRequestError):
        face.chat(router, "r", "Hello")
    assert len(server.requests) == 1
