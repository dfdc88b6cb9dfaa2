"""What each generation of Claude accepts on the wire, read from the model's id.

Anthropic removes parameters as models advance and answers 400 where one is sent anyway. The generation decides, not a
list of ids: a model that came out yesterday is treated like the newest one known. Sources: Anthropic's migration
guides per model, "Thinking" and "Preserved thinking" of its documentation, and the types of its SDK (all Nov 2026).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Generation: TypeAlias = tuple[int, int]
ThinkingOff: TypeAlias = Literal["omit", "disabled", "between_tools", "never"]

_SEPARATORS: Final = re.compile(r"[-@.:_/]")
_NEWEST: Final[Generation] = (99, 0)  # a Claude whose id has no number: a preview, hence recent


@dataclass(frozen=True, slots=True)
class ClaudeTraits:
    """What one model accepts.

    `max_tokens` is what we ask for when the caller sets no limit (the API requires one; thinking counts towards it).
    `adaptive`: thinking is steered by effort; `budgets`: by a number of tokens. `thinking_off` is how to ask for an
    answer without thinking: leave it out, one of the API's words, or never (then low effort is the nearest thing).
    """

    max_tokens: int
    adaptive: bool
    budgets: bool
    thinking_off: ThinkingOff
    hides_thinking: bool  # thinking text comes only when `display` asks for it
    binds_thinking: bool  # a replayed thinking block is refused after any change of what precedes it
    prefill: bool  # continues a trailing assistant message
    inline_system: bool  # system messages between the others
    forced_tools: bool  # tool_choice any or tool
    native_schema: bool  # output_config.format, strict tools


@functools.lru_cache(maxsize=256)
def traits(model: str) -> ClaudeTraits:
    """Return what `model` accepts; ids of Bedrock and Vertex are understood, as are dated ids and aliases.

    A model that is not a Claude (another vendor behind the same protocol) gets the oldest, most widely copied form.
    """
    family, at = _parse(model)
    frontier = family in ("fable", "mythos")
    return ClaudeTraits(
        max_tokens=_max_tokens(at),
        adaptive=at >= (4, 6),
        budgets=at < (4, 7),
        thinking_off=_thinking_off(family, at),
        hides_thinking=at >= (4, 7),
        binds_thinking=at >= ((5, 1) if frontier else (5, 5)),
        prefill=at < (4, 6),
        inline_system=at >= (4, 8),
        forced_tools=family == "haiku" or at < ((5, 1) if frontier else (5, 5)),
        native_schema=at >= (4, 5) or (family, at) == ("opus", (4, 1)),
    )


def _parse(model: str) -> tuple[str, Generation]:
    """Return the family and generation of `us.anthropic.claude-sonnet-4-5-20250929-v1:0`: sonnet, (4, 5)."""
    _, claude, tail = model.lower().partition("claude")
    if not claude:
        return "", (0, 0)
    family = ""
    numbers: list[int] = []
    for word in _SEPARATORS.split(tail.lstrip("-")):
        if word.isdecimal() and len(word) <= 2 and len(numbers) < 2:  # longer numbers are dates
            numbers.append(int(word))
        elif word.isalpha() and not family and word not in ("latest", "preview"):
            family = word
        else:
            break
    if not numbers:
        return family, _NEWEST if family != "instant" else (1, 0)
    return family, (numbers[0], numbers[1] if len(numbers) > 1 else 0)


def _max_tokens(at: Generation) -> int:
    if at >= (4, 7):
        return 16_384  # they think unasked, and thinking counts
    return 8_192 if at >= (3, 5) else 4_096  # 4,096 is the most that Claude 3 allows


def _thinking_off(family: str, at: Generation) -> ThinkingOff:
    if at < (5, 0):
        return "omit"  # they think only when asked
    if family in ("fable", "mythos"):
        return "never"
    if family == "haiku" or at < (5, 5):
        return "disabled"
    return "between_tools" if family == "sonnet" else "never"
