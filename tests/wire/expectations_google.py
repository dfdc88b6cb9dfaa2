"""What the recorded exchanges of the Gemini API and of Vertex AI say, read by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from llmrouter.errors import (
    AuthenticationError,
    ContentFilterError,
    ModelNotFoundError,
    ProviderError,
    RateLimitError,
    ServerError,
)
from llmrouter.types import FinishReason, Usage


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: how its text begins, its usage (`uncached, output, cache read, cache write`), and the rest of it."""

    case: str
    exchange: int  # its place in the case, from 0
    begins: str
    usage: Usage | None
    finish: FinishReason = "stop"
    model: str = "gemini-2.5-flash"
    calls: tuple[tuple[str, str], ...] = ()  # name and arguments
    reasoning: str | None = None  # how it begins
    private: bool = False  # whether something must go back to this provider verbatim


@dataclass(frozen=True, slots=True)
class Failed:
    """A failure, or a blocked prompt: its class, Google's code, and the seconds it asked to wait."""

    case: str
    exchange: int
    error: type[ProviderError]
    code: str | None
    retry_after: float | None = None


ROWS: Final[tuple[Said | Failed, ...]] = (
    Said(
        "gemini/cached-explicit-headers", 1, "The RubyLLM release engineering handbook", Usage(13, 171, 9609, 0, 0, 136)
    ),
    Failed("gemini/err-400-invalid-key", 0, AuthenticationError, "INVALID_ARGUMENT"),
    Failed("gemini/err-404", 0, ModelNotFoundError, "NOT_FOUND"),
    Failed("gemini/err-404", 1, ModelNotFoundError, "NOT_FOUND"),
    Failed("gemini/err-429", 0, RateLimitError, "RESOURCE_EXHAUSTED", retry_after=48.0),
    Failed("gemini/err-500", 0, ServerError, "INTERNAL"),
    Said("gemini/finish-max-tokens", 0, "Here is a list of all 50 U", Usage(9, 48, reasoning_tokens=38), "length"),
    Said("gemini/finish-safety", 0, "", Usage(14, 0), "content_filter", "gemini-1.5-flash"),
    Said("gemini/plain-35flash", 0, "4", Usage(15, 73, reasoning_tokens=72), model="gemini-3.5-flash", private=True),
    Failed("gemini/prompt-block-prohibited", 0, ContentFilterError, "PROHIBITED_CONTENT"),
    Said(
        "gemini/schema",
        0,
        '{"name":"Zephyr The Rocket Barkington","age":4,',
        Usage(5, 503, reasoning_tokens=453),
        model="gemini-3.6-flash",
        reasoning="**Defining the Core Dog**",
        private=True,
    ),
    Said(
        "gemini/stream-json-array",
        0,
        "Scoop",
        Usage(11, 293, reasoning_tokens=291),
        model="gemini-3.6-flash",
        reasoning="**Considering the Constraint**",
        private=True,
    ),
    Said("gemini/stream-sse", 0, "1, 2, 3", Usage(8, 27, reasoning_tokens=20)),
    Said(
        "gemini/thinking",
        0,
        "5 + 3 = 8",
        Usage(9, 40, reasoning_tokens=33),
        model="gemini-3-flash-preview",
        reasoning="**A Simple Calculation**",
        private=True,
    ),
    Said(
        "gemini/thinking",
        1,
        "8 ",
        Usage(105, 55, reasoning_tokens=47),
        model="gemini-3-flash-preview",
        reasoning="**My Current Calculation**",
        private=True,
    ),
    Said(
        "gemini/thinking-stockvcr",
        0,
        '{\n  "integer_a": 2,',
        Usage(13, 339, reasoning_tokens=309),
        model="gemini-3-pro-preview",
        reasoning="**My Thought Process: Generating a JSON",
        private=True,
    ),
    Said(
        "gemini/thinking-stockvcr",
        1,
        '{\n"integer_a": 2,\n',
        Usage(13, 307, reasoning_tokens=280),
        model="gemini-3-pro-preview",
        private=True,
    ),
    Said(
        "gemini/tool-call",
        0,
        "",
        Usage(29, 114, reasoning_tokens=102),
        "tool_calls",
        "gemini-3-flash-preview",
        calls=(("get_user_country", "{}"),),
        private=True,
    ),
    Said(
        "gemini/tool-call",
        1,
        '{\n  "city": "Mexico City",',
        Usage(161, 72, reasoning_tokens=51),
        model="gemini-3-flash-preview",
        private=True,
    ),
    Said(
        "gemini/tool-call-stream-thought-signature",
        0,
        "",
        Usage(29, 212, reasoning_tokens=202),
        "tool_calls",
        "gemini-3-pro-preview",
        calls=(("get_country", "{}"),),
        private=True,
    ),
    Said(
        "gemini/tool-call-stream-thought-signature",
        1,
        "The capital of Mexico is Mexico City.",
        Usage(257, 8),
        model="gemini-3-pro-preview",
    ),
    Said("gemini/vision-inline", 0, "The image displays a three-dimensional", Usage(266, 179, reasoning_tokens=145)),
    Said("vertex/finish-model-armor", 0, "", Usage(19, 33, reasoning_tokens=27), "content_filter"),
    Failed("vertex/prompt-block-model-armor", 1, ContentFilterError, "MODEL_ARMOR"),
)

NOT_SPOKEN: Final[Mapping[tuple[str, int], str]] = {
    ("gemini/cached-explicit-headers", 0): "making an explicit cache is the user's; we only name it",
    ("gemini/cached-explicit-headers", 2): "so is prolonging it",
    ("gemini/cached-explicit-headers", 3): "so is deleting it",
    ("gemini/count-tokens", 0): "countTokens is not asked: counting never touches the network",
    ("gemini/count-tokens", 1): "countTokens is not asked: counting never touches the network",
    ("gemini/embed-single", 0): "an embedding; it has a test of its own",
    ("gemini/err-400-thinking-level", 0): "two error bodies in one envelope; they have a test of their own",
    ("vertex/prompt-block-model-armor", 0): "the token server's answer, which google-auth reads",
}
