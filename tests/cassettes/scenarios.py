"""What is recorded in `cassettes/`: every route of routes.yaml, and every verb in each of the three protocols.

`python -m tests.cassettes.record` records them, `test_recorded.py` replays them in both worlds.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from llmrouter import Image, Message, ModelNotFoundError, Text
from tests.worlds import Face

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "cassettes"
TARGETS: Final = {
    "openai": "openai/gpt-6-luna",
    "anthropic": "anthropic/claude-haiku-5-5",
    "google": "google/gemini-3.8-flash",
}
_MISSING: Final = {
    "openai": "openai/gpt-0-none",
    "anthropic": "anthropic/claude-0-none",
    "google": "google/gemini-0-none",
}
_TIDES: Final = (
    "Twice a day, along most coasts, the sea climbs the beach, pauses, and goes away again. Sailors knew for "
    "thousands of years that the tides keep time with the Moon, but nobody could say why until 1687, when Isaac "
    "Newton showed that gravity was enough to explain them."
)
_INVOICE: Final = (
    "Invoice 2026-041 of Nordlicht GmbH, 30 October 2026. Repair of a lamp, 1 piece, 200.00 EUR. VAT 38.00 EUR. "
    "Total 238.00 EUR."
)
_RED: Final = Image.from_bytes(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR42mP4z8BAEmIY1TCqYfhqAACQ+f8B8u7oVwAAAABJRU5ErkJggg=="
    )
)
_WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_PERSON: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One cassette: what is asked. `tool_result` answers the tool calls of the first turn, for a second one."""

    name: str
    route: str
    message: Any
    verb: Literal["chat", "stream", "embed"] = "chat"
    options: Mapping[str, Any] = field(default_factory=dict)
    tool_result: str | None = None
    fails: type[Exception] | None = None

    @property
    def path(self) -> Path:
        """Where it is recorded."""
        return FOLDER / f"{self.name}.yaml"

    @property
    def source(self) -> Any:
        """What the router is made from: the file for its routes, plain defaults for target strings."""
        return {"version": 1} if "/" in self.route else ROOT / "routes.yaml"

    def play(self, face: Face, router: Any) -> Any:
        """Ask; return the last response, a stream's pieces, or the error where one is expected."""
        try:
            return self._asked(face, router)
        except Exception as error:
            if self.fails is None or not isinstance(error, self.fails):
                raise
            return error

    def _asked(self, face: Face, router: Any) -> Any:
        if self.verb == "embed":
            return face.embed(router, self.route, self.message)
        if self.verb == "stream":
            return face.text(router, self.route, self.message, **self.options)
        reply = face.chat(router, self.route, self.message, **self.options)
        if self.tool_result is None:
            return reply
        answers = [{"role": "tool", "tool_call_id": call.id, "content": self.tool_result} for call in reply.tool_calls]
        turns = [{"role": "user", "content": self.message}, reply.message, *answers]
        return face.chat(router, self.route, turns, **self.options)


def _routes() -> list[Scenario]:
    return [
        Scenario("routes/summarize", "summarize", _TIDES),
        Scenario("routes/classify", "classify", "I was charged twice for March. Please give one of them back."),
        Scenario("routes/extract", "extract", _INVOICE),
        Scenario("routes/chat", "chat", "Tell me in one sentence why the sky is blue.", "stream"),
        Scenario("routes/vision", "vision", Message("user", (_RED, Text("What colour is this square?")))),
        Scenario("routes/embed", "embed", ["high tide", "low tide"], "embed"),
    ]


def _protocols() -> list[Scenario]:
    tools, schema = {"tools": [_WEATHER]}, {"schema": _PERSON}
    weather = "one tool: what is the weather in Oslo?"
    return [
        scenario
        for name, target in TARGETS.items()
        for scenario in (
            Scenario(f"{name}/chat", target, "What is the capital of France? One sentence."),
            Scenario(f"{name}/stream", target, "Tell me in one sentence why the sky is blue.", "stream"),
            Scenario(f"{name}/tools", target, weather, options=tools, tool_result="7 degrees"),
            Scenario(f"{name}/schema", target, "a person as JSON: Ada, 36 years old", options=schema),
            Scenario(f"{name}/error", _MISSING[name], "Hello, nobody is there?", fails=ModelNotFoundError),
        )
    ]


def _chains() -> list[Scenario]:
    chain = {"fallbacks": [_MISSING["google"], TARGETS["anthropic"]]}
    return [
        Scenario("fallback/chat", _MISSING["openai"], "Hello, nobody is there?", options=chain),
        Scenario("fallback/stream", _MISSING["openai"], "Hello, nobody is there?", "stream", options=chain),
    ]


SCENARIOS: Final = tuple(_routes() + _protocols() + _chains())
EXAMPLES: Final = ("async_fan_out", "fallback", "streaming", "switch_provider")  # each has a RECORDING
