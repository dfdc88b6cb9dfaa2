"""What the recorded exchanges of Anthropic say, read by hand."""

from __future__ import annotations

from dataclasses import dataclass

from llmrouter.errors import (
    AuthenticationError,
    ContextLengthError,
    ModelNotFoundError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    ServerError,
)
from llmrouter.types import FinishReason, Usage


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: how its text begins and ends, its usage, why it ended, and the rest of it."""

    case: str
    exchange: int  # its place in the case, from 0
    model: str
    begins: str
    ends: str
    usage: Usage
    finish: FinishReason = "stop"
    reason: str = "end_turn"  # the provider's own word
    calls: tuple[tuple[str, str, str], ...] = ()  # id, name, and how the arguments begin
    reasoning: str | None = None  # how it begins
    private: tuple[str, ...] = ()  # types of the blocks that go back verbatim


@dataclass(frozen=True, slots=True)
class Failed:
    """A failure: its class, the provider's code, the seconds it asked to wait, and the tokens it names."""

    case: str
    exchange: int
    error: type[ProviderError]
    code: str
    retry_after: float | None = None
    tokens: tuple[int, int] | None = None  # used, allowed
    in_stream: bool = False


ADVISED = ("thinking", "text", "server_tool_use", "advisor_tool_result", "text")

ROWS: tuple[Said | Failed, ...] = (
    Said("cache-create-read-opus48", 0, "claude-opus-4-8", "OK", "OK", Usage(2, 4, cache_write_tokens=1590)),
    Said("cache-create-read-opus48", 1, "claude-opus-4-8", "OK", "OK", Usage(2, 4, cache_read_tokens=1590)),
    Said(
        "cache-stream",
        0,
        "claude-3-5-sonnet-20240620",
        "Here are concise summaries of the three articles:\n\n1.",
        "long-term payoffs.",
        Usage(4, 201, cache_write_tokens=1165),
    ),
    Said(
        "cache-stream",
        1,
        "claude-3-5-sonnet-20240620",
        "Here are concise summaries of the three articles:\n\n1.",
        "pays off in the long run.",
        Usage(4, 221, cache_read_tokens=1165),
    ),
    Failed("err-400-prompt-too-long", 0, ContextLengthError, "invalid_request_error", tokens=(3_333_404, 200_000)),
    Failed("err-401", 0, AuthenticationError, "authentication_error"),
    Failed("err-404", 0, ModelNotFoundError, "not_found_error"),
    Failed("err-404", 1, ModelNotFoundError, "not_found_error"),
    Failed("err-429-retry-after", 0, RateLimitError, "rate_limit_error", retry_after=47),
    Failed("err-429-retry-after-then-ok", 0, RateLimitError, "rate_limit_error", retry_after=4),
    Said(
        "err-429-retry-after-then-ok",
        1,
        "claude-haiku-4-5-20251001",
        "2 + 2 = 4\n\nThis is",
        "basic math problem.",
        Usage(571, 35),
    ),
    Failed("err-500", 0, ServerError, "api_error"),
    Said(
        "err-529-overloaded",
        0,
        "claude-3-5-haiku-20241022",
        "I'll help you get",
        "provided coordinates.",
        Usage(389, 90),
        "tool_calls",
        "tool_use",
        calls=(("toolu_01TYBwp3UmcWbnmtjzUzsuVc", "weather", '{"latitude": "52.5200", "longitude": "13.4050"}'),),
    ),
    Failed("err-529-overloaded", 1, OverloadedError, "overloaded_error"),
    Said(
        "err-overloaded-midstream",
        0,
        "claude-3-5-haiku-20241022",
        "I'll help you check",
        "provided coordinates.",
        Usage(389, 90),
        "tool_calls",
        "tool_use",
        calls=(("toolu_01Fz8thWa34ANXwjNcmWuovG", "weather", '{"latitude": "52.5200", "longitude": "13.4050"}'),),
    ),
    Failed("err-overloaded-midstream", 1, OverloadedError, "overloaded_error", in_stream=True),
    Said(
        "ok-200-with-retry-after",
        0,
        "claude-sonnet-4-5-20250929",
        '{"joke": "Why did the developer',
        '"rating": 7}',
        Usage(222, 39),
    ),
    Said(
        "plain-haiku45-headers",
        0,
        "claude-haiku-4-5-20251001",
        "The capital of France",
        "is Paris.",
        Usage(14, 10),
    ),
    Said(
        "plain-stop-sequence",
        0,
        "claude-sonnet-4-20250514",
        "4200 + 42 = ",
        "42 = ",
        Usage(17, 12),
        reason="stop_sequence",
    ),
    Said(
        "refusal-in-content",
        0,
        "claude-sonnet-4-20250514",
        "",
        "",
        Usage(416, 141),
        "tool_calls",
        "tool_use",
        calls=(
            (
                "toolu_013QmyepYLU1FKkpJwdxwH8P",
                "__mirascope_formatted_output_tool__",
                '{"instructions": "I cannot and will not provide',
            ),
        ),
    ),
    Said(
        "schema-stream",
        0,
        "claude-sonnet-4-5-20250929",
        '{"name": "Biscuit", "age": 4, "bio": "',
        'under the bed."}',
        Usage(230, 94),
    ),
    Said(
        "stop-max-tokens",
        0,
        "claude-sonnet-4-20250514",
        "Here are all 50 U.S. states",
        "8. Delaware\n9",
        Usage(15, 50),
        "length",
        "max_tokens",
    ),
    Said("stream", 0, "claude-sonnet-4-5-20250929", "- Captain", "\n- Scoop", Usage(17, 10)),
    Said("stream", 1, "claude-sonnet-4-5-20250929", "- Capitaine", "\n- Bec (beak)", Usage(32, 16)),
    Said(
        "thinking",
        0,
        "claude-opus-4-6",
        "\n\n2 + 2",
        "= **4**",
        Usage(31, 30),
        reasoning="4",
        private=("text", "thinking", "text"),
    ),
    Said(
        "thinking-opus5",
        0,
        "claude-opus-5",
        "## Step 1: Set up the problem",
        "confirming the answer.",
        Usage(51, 1699, reasoning_tokens=139),
        reasoning="I need to find all roots of this cubic",
        private=("thinking", "text"),
    ),
    Said(
        "thinking-stream",
        0,
        "claude-haiku-4-5-20251001",
        "1. **Pouch** - references",
        'take on "pelican"',
        Usage(46, 133),
        reasoning="The user wants two names for a pet pelican, and",
        private=("thinking", "text"),
    ),
    Said(
        "tool-use",
        0,
        "claude-sonnet-4-5-20250929",
        "I'll retrieve the file",
        "for you now.",
        Usage(558, 46),
        "tool_calls",
        "tool_use",
        calls=(("toolu_01KKAHFrjia45tqbHAoEDy4T", "get_file", "{}"),),
    ),
    Said(
        "tool-use-stream",
        0,
        "claude-haiku-4-5-20251001",
        "",
        "",
        Usage(543, 40),
        "tool_calls",
        "tool_use",
        calls=(("toolu_01CzN6riCPqw4pVSuTd9Dwn7", "pelican_name_generator", "{}"),),
    ),
    Said(
        "usage-iterations-advisor",
        0,
        "claude-sonnet-5",
        'Task: answer "What\'s 2+2?"',
        "2 + 2 = 4",
        Usage(2390, 121, reasoning_tokens=28, others=(("claude-opus-4-8", Usage(2518, 22)),)),
        private=ADVISED,
    ),
    Said(
        "usage-iterations-advisor-stream",
        0,
        "claude-sonnet-5",
        'The task asks "What\'s 2+2?"',
        "The answer is **4**.",
        Usage(2411, 145, reasoning_tokens=47, others=(("claude-opus-4-8", Usage(2543, 18)),)),
        private=ADVISED,
    ),
    Said(
        "vision-base64",
        0,
        "claude-sonnet-4-20250514",
        "This is the Wikipedia logo",
        "from around the world.",
        Usage(34, 36),
    ),
)

NOT_SPOKEN = {
    "bedrock/converse-tools": "Bedrock's Converse API; Claude is asked there in its own protocol, through InvokeModel",
}
