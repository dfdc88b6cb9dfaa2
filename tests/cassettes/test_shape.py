"""A committed answer has the members, and the types, of what the providers really sent in the same protocol.

The recordings of real exchanges are no part of this repository: where they are absent, these tests skip.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import pytest
import yaml

from tests.cassettes.scenarios import FOLDER, SCENARIOS, Scenario
from tests.servers.wire import load

Shape: TypeAlias = Mapping[str, frozenset[str]]  # the JSON types under each path, such as `usage.total_tokens`

# The real answers of each kind: a member that all of them have is required, and any of their types is right.
REAL: Final = {
    "openai": ("openai/chat-plain", "openai/chat-tool-call", "openai/chat-reasoning-effort"),
    "openai stream": ("openai/chat-stream-include-usage",),
    "openai error": ("openai/chat-err-404-model",),
    "embeddings": ("openai/embed-single",),
    "anthropic": ("anthropic/plain-haiku45-headers", "anthropic/tool-use"),
    "anthropic stream": ("anthropic/stream",),
    "anthropic error": ("anthropic/err-404",),
    "google": ("gemini/plain-35flash", "gemini/tool-call"),
    "google stream": ("gemini/stream-sse",),
    "google error": ("gemini/err-404",),
}
# Required members that a cassette lacks, and members of another type, by kind and path: why.
_UNTHINKING: Final = "the real answers were thought about, ours are not; Gemini counts no thoughts then"
DIFFERENT: Final[Mapping[str, Mapping[str, str]]] = {
    "openai stream": {"obfuscation": "random padding against listeners on the line; nobody reads it"},
    "embeddings": {"data[].embedding": "the real ones were asked for in base64, ours as numbers"},
    "anthropic": {"content[].text": "the real calls come with a sentence before them, ours without one"},
    "anthropic stream": {"usage.input_tokens": "the last event repeats the count of the first one"},
    "google": {
        "candidates[].content.parts[].thoughtSignature": "aimock signs nothing for Gemini, and we make no signature up",
        "usageMetadata.thoughtsTokenCount": _UNTHINKING,
    },
    "google stream": {"usageMetadata.thoughtsTokenCount": _UNTHINKING},
}


def _kind(uri: str, body: str) -> str:
    if "/embeddings" in uri:
        return "embeddings"
    protocol = "anthropic" if uri.endswith("/messages") else "google" if ":" in uri.partition("//")[2] else "openai"
    if body.startswith(("data:", "event:")):
        return f"{protocol} stream"
    return f"{protocol} error" if "error" in json.loads(body) else protocol


def _bodies(body: str) -> list[Any]:
    """Return what a body says: its JSON, or that of all its events."""
    if not body.startswith(("data:", "event:")):
        return [json.loads(body)]
    return [json.loads(line[5:]) for line in body.splitlines() if line.startswith("data: {")]


def _walked(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    yield path, "number" if type(value) in (int, float) else type(value).__name__
    if isinstance(value, dict):
        for name, held in value.items():
            yield from _walked(held, f"{path}.{name}" if path else name)
    if isinstance(value, list):
        for item in value:
            yield from _walked(item, f"{path}[]")


def _shape(body: str) -> Shape:
    """Return the types under each path. What a tool is called with is its own affair."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for each in _bodies(body):
        for path, kind in _walked(each):
            if ".args." not in path and ".input." not in path:
                found[path].add(kind)
    return {path: frozenset(kinds) for path, kinds in found.items()}


def _recorded(scenario: Scenario) -> list[tuple[str, Shape]]:
    """Return the kind and the shape of every answer in a cassette."""
    tape = yaml.safe_load(scenario.path.read_text("utf-8"))["interactions"]
    said = [(each["request"]["uri"], each["response"]["body"]["string"]) for each in tape]
    return [(_kind(uri, body), _shape(body)) for uri, body in said]


def _real(kind: str) -> tuple[frozenset[str], Shape]:
    """Return the required paths of a kind of answer, and the types under every path."""
    shapes = [_shape(load(case)[0].body.decode()) for case in REAL[kind]]
    required = frozenset.intersection(*(frozenset(shape) for shape in shapes))
    known = {path: frozenset().union(*(each.get(path, ()) for each in shapes)) for shape in shapes for path in shape}
    return required, known


def _differences(kind: str, shape: Shape) -> set[str]:
    """Return the required paths that are missing, and those of a type that no real answer has there."""
    required, known = _real(kind)
    mistyped = {path for path, types in shape.items() if path in known and not types <= known[path]}
    return set(required - shape.keys()) | mistyped


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_committed_answer_has_the_shape_of_a_real_one(scenario: Scenario) -> None:
    for kind, shape in _recorded(scenario):
        assert _differences(kind, shape) - DIFFERENT.get(kind, {}).keys() == set(), kind


def test_every_difference_is_still_one() -> None:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for scenario in SCENARIOS:
        for kind, shape in _recorded(scenario):
            found[kind] |= _differences(kind, shape)
    assert {kind: set(paths) for kind, paths in DIFFERENT.items()} == {
        kind: each for kind, each in found.items() if each
    }


def test_no_answer_is_free_of_tokens() -> None:
    counts = ("prompt_tokens", "input_tokens", "promptTokenCount")
    for path in FOLDER.rglob("*.yaml"):
        text = path.read_text("utf-8")
        assert not any(f'"{name}": 0' in text or f'"{name}":0' in text for name in counts), path
