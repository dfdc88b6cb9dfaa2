"""What happens to a prompt that is longer than its token budget. Pure: the caller brings the counting.

`drop_oldest` drops whole turns, the oldest first. A turn begins at a user message and holds everything up to the next
one; what stands before the first user message is a turn of its own. System messages and the last turn always stay, and
a tool's result always shares the fate of the call it answers.
`truncate_middle` cuts the middle out of the longest text, then of the next longest; system messages only when nothing
else is left to cut.
`error` refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from llmrouter.errors import ContextLengthError
from llmrouter.types import Message, Part, Text, Trim

Count: TypeAlias = Callable[[Sequence[Message]], int]
Place: TypeAlias = tuple[int, int | None]  # a message, and the part of it that is a text (None: its whole content)

MARK: Final = " … "
_LEAST_KEPT: Final = 64  # characters: a text is not cut below this
_PRECISION: Final = 0.01  # of the text's length: how close to the limit a cut comes


@dataclass(frozen=True, slots=True)
class Fitted:
    """Messages that fit, what was removed to get there (None: nothing), and their tokens."""

    messages: tuple[Message, ...]
    trim: Trim | None
    tokens: int


def fit(messages: tuple[Message, ...], limit: int, overflow: str, count: Count) -> Fitted:
    """Return the messages, trimmed by the policy `overflow` until `count` of them is at most `limit` tokens.

    `count` must not grow when messages or text are taken away; it is called a number of times that grows with the
    logarithm of the prompt. Raises ContextLengthError (with `tokens_used` and `max_tokens`) when the policy is `error`
    or cannot make it fit, and ValueError for an unknown policy.
    """
    before = count(messages)
    if before <= limit:
        return Fitted(messages, None, before)
    if overflow == "error":
        raise _too_long(before, limit, "shorten it, raise token_budget.input, or set token_budget.overflow")
    if overflow == "drop_oldest":
        return _drop_oldest(messages, limit, count, before)
    if overflow == "truncate_middle":
        return _truncate_middle(messages, limit, count, before)
    raise ValueError(f"unknown overflow policy {overflow!r}: use drop_oldest, truncate_middle or error")


def _too_long(tokens: int, limit: int, remedy: str) -> ContextLengthError:
    error = ContextLengthError(f"the prompt has {tokens} tokens and its budget is {limit}; {remedy}")
    error.tokens_used, error.max_tokens = tokens, limit
    return error


# ------------------------------------------------------------------------------------------------ drop_oldest


def _drop_oldest(messages: tuple[Message, ...], limit: int, count: Count, before: int) -> Fitted:
    turns = turns_of(messages)
    last = max(turns, default=0)

    def without(oldest: int) -> tuple[Message, ...]:
        return tuple(m for m, turn in zip(messages, turns, strict=True) if turn < 0 or turn >= oldest)

    tokens = count(without(last))
    if tokens > limit:
        remedy = (
            "what may not be dropped (system messages and the last turn) is too long; overflow: truncate_middle cuts"
        )
        raise _too_long(tokens, limit, f"{remedy} inside of messages")
    too_few, enough = 0, last  # turns to drop: the fewest that do
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        size = count(without(middle))
        if size <= limit:
            enough, tokens = middle, size
        else:
            too_few = middle
    kept = without(enough)
    return Fitted(kept, Trim(before, tokens, messages_dropped=len(messages) - len(kept)), tokens)


def turns_of(messages: Sequence[Message]) -> list[int]:
    """Return for each message the number of its turn, from 0, or -1 for a system message, which is in none.

    A result that comes turns after its call joins all turns between them into one.
    """
    turns: list[int] = []
    callers: dict[str, int] = {}  # where each tool call, by its id, was last asked for
    current = -1
    for at, message in enumerate(messages):
        if message.role == "system":
            turns.append(-1)
            continue
        if message.role == "user" or current < 0:
            current += 1
        turns.append(current)
        callers.update((call.id, at) for call in message.tool_calls)
        caller = callers.get(message.tool_call_id or "")
        if message.role == "tool" and caller is not None and turns[caller] < current:
            current = turns[caller]
            turns = [min(turn, current) for turn in turns]
    return turns


# ------------------------------------------------------------------------------------------------ truncate_middle


def _truncate_middle(messages: tuple[Message, ...], limit: int, count: Count, before: int) -> Fitted:
    cut, characters = messages, 0
    for place in _longest_first(messages):
        text = _text_at(messages, place)
        shortest = _with_text(cut, place, _shortened(text, _LEAST_KEPT))
        tokens = count(shortest)
        if tokens > limit:
            cut, characters = shortest, characters + len(text) - _LEAST_KEPT
            continue
        kept, tokens = _most_kept(cut, place, limit, count, tokens)
        trim = Trim(before, tokens, characters_cut=characters + len(text) - kept)
        return Fitted(_with_text(cut, place, _shortened(text, kept)), trim, tokens)
    raise _too_long(count(cut), limit, "cutting its texts is not enough: it has too many messages, images or tools")


def _most_kept(messages: tuple[Message, ...], place: Place, limit: int, count: Count, fewest: int) -> tuple[int, int]:
    """Find how many characters of the text at `place` can stay, and the tokens then: nearly the most that fit.

    `fewest` is the count with the least kept, which fits. Guesses by the tokens per character seen so far, and halves
    the rest when a guess turns out too high.
    """
    text = _text_at(messages, place)
    fits, fails, tokens = _LEAST_KEPT, len(text), fewest
    most = count(messages)
    while fails - fits > max(8, int(len(text) * _PRECISION)):
        share = (limit - tokens) / max(1, most - tokens)
        guess = fits + int((fails - fits) * min(max(share, 0.05), 0.95) * 0.995)
        guess = min(max(guess, fits + 1), fails - 1)
        size = count(_with_text(messages, place, _shortened(text, guess)))
        if size <= limit:
            if limit - size <= limit * _PRECISION:
                return guess, size
            fits, tokens = guess, size
        else:
            fails, most = guess, size
    return fits, tokens


def _longest_first(messages: tuple[Message, ...]) -> list[Place]:
    """List the texts that can be cut: the longest first, those of system messages after all others."""
    places = [place for place in _places(messages) if len(_text_at(messages, place)) > _LEAST_KEPT + len(MARK)]
    return sorted(places, key=lambda place: (messages[place[0]].role == "system", -len(_text_at(messages, place))))


def _places(messages: tuple[Message, ...]) -> Iterator[Place]:
    for at, message in enumerate(messages):
        if isinstance(message.content, str):
            yield at, None
        else:
            yield from ((at, index) for index, part in enumerate(message.content) if isinstance(part, Text))


def _text_at(messages: tuple[Message, ...], place: Place) -> str:
    at, index = place
    content = messages[at].content
    if isinstance(content, str):
        return content
    part = content[index or 0]
    return part.text if isinstance(part, Text) else ""


def _shortened(text: str, kept: int) -> str:
    """Keep the first and the last half of `kept` characters, with a mark between them."""
    tail = kept // 2
    return f"{text[: kept - tail]}{MARK}{text[len(text) - tail :]}"


def _with_text(messages: tuple[Message, ...], place: Place, text: str) -> tuple[Message, ...]:
    """Put `text` in its place. What a provider signed no longer holds for a changed message: `private` is dropped."""
    at, index = place
    message = messages[at]
    content: str | tuple[Part, ...] = text
    if not isinstance(message.content, str):
        old = enumerate(message.content)
        content = tuple(replace(part, text=text) if i == index and isinstance(part, Text) else part for i, part in old)
    return (*messages[:at], replace(message, content=content, private=()), *messages[at + 1 :])
