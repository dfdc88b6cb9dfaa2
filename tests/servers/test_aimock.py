"""aimock answers the official SDKs as our fixtures say, in all three protocols."""

from __future__ import annotations

import pytest

from tests.servers.aimock import Aimock
from tests.servers.test_protocols import anthropic_client, google_client, openai_client

pytestmark = pytest.mark.integration

PARIS = "The capital of France is Paris, on the Seine."
QUESTION = "What is the capital of France?"


def test_openai_answers(aimock: Aimock) -> None:
    with openai_client(aimock.url) as client:
        answer = client.chat.completions.create(model="gpt-6-luna", messages=[{"role": "user", "content": QUESTION}])
    assert answer.choices[0].message.content == PARIS


def test_anthropic_answers(aimock: Aimock) -> None:
    ask = [{"role": "user", "content": QUESTION}]
    with anthropic_client(aimock.url) as client:
        answer = client.messages.create(model="claude-haiku-5-5", max_tokens=99, messages=ask)
    assert answer.content[0].text == PARIS


def test_google_answers(aimock: Aimock) -> None:
    with google_client(aimock.url) as client:
        answer = client.models.generate_content(model="gemini-3.8-flash", contents=QUESTION)
    assert answer.text == PARIS
