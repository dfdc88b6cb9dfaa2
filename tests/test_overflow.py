"""Fitting a prompt into its token budget."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given, strategies as st

from llmrouter.errors import ContextLengthError
from llmrouter.policy.overflow import MARK, Fitted, fit, turns_of
from llmrouter.types import Image, Message, Private, Text, ToolCall

PICTURE = Image(url="https://example.org/a.png")


def count(messages: Sequence[Message]) -> int:
    """A toy tokenizer: four characters a token, three tokens a message, fifty a picture."""
    return 3 + sum(
        3 + (len(m.text) + 3) // 4 + 50 * sum(isinstance(part, Image) for part in m.parts) + 5 * len(m.tool_calls)
        for m in messages
    )


def system(text: str = "Be brief.") -> Message:
    return Message("system", text)


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str, *calls: str) -> Message:
    return Message("assistant", text, tuple(ToolCall(call, "look", "{}") for call in calls))


def result(call: str, text: str = "found") -> Message:
    return Message("tool", text, tool_call_id=call)


TALK = (
    system(),
    user("first " * 20),
    assistant("", "a", "b"),
    result("a"),
    result("b"),
    assistant("done " * 20),
    user("second " * 20),
    assistant("yes " * 20),
    user("third?"),
)


@pytest.mark.parametrize("overflow", ["drop_oldest", "truncate_middle", "error"])
def test_what_fits_is_left_alone(overflow: str) -> None:
    fitted = fit(TALK, count(TALK), overflow, count)
    assert fitted.messages is TALK
    assert fitted.trim is None
    assert fitted.tokens == count(TALK)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="drop_newest"):
        fit(TALK, 10, "drop_newest", count)


def test_error_raises_with_both_numbers_and_what_to_do() -> None:
    with pytest.raises(ContextLengthError, match="token_budget") as caught:
        fit(TALK, 40, "error", count)
    assert (caught.value.tokens_used, caught.value.max_tokens) == (count(TALK), 40)


# ------------------------------------------------------------------------------------------------ drop_oldest


def test_the_oldest_turn_goes_first_and_whole() -> None:
    fitted = fit(TALK, count(TALK) - 1, "drop_oldest", count)
    assert fitted.messages == (TALK[0], *TALK[6:])
    assert fitted.trim is not None
    assert fitted.trim.messages_dropped == 5
    assert fitted.trim.tokens_before == count(TALK)
    assert fitted.trim.tokens_after == fitted.tokens == count(fitted.messages)


def test_no_more_turns_go_than_must() -> None:
    exactly = (TALK[0], *TALK[6:])
    assert fit(TALK, count(exactly), "drop_oldest", count).messages == exactly
    assert fit(TALK, count(exactly) - 1, "drop_oldest", count).messages == (TALK[0], TALK[8])


def test_a_last_turn_that_is_too_long_is_an_error_that_names_the_way_out() -> None:
    with pytest.raises(ContextLengthError, match="truncate_middle") as caught:
        fit((system(), user("a"), user("long " * 100)), 30, "drop_oldest", count)
    assert caught.value.max_tokens == 30
    assert (caught.value.tokens_used or 0) > 30


def test_the_last_turn_keeps_the_tool_calls_after_its_user_message() -> None:
    talk = (user("old " * 50), assistant("x"), user("new"), assistant("", "a"), result("a"))
    assert fit(talk, count(talk) - 1, "drop_oldest", count).messages == talk[2:]


def test_a_greeting_before_the_first_user_message_is_a_turn_of_its_own() -> None:
    talk = (system(), assistant("Welcome! " * 20), user("hi"))
    assert fit(talk, count(talk) - 1, "drop_oldest", count).messages == (talk[0], talk[2])


def test_system_messages_in_the_middle_stay() -> None:
    talk = (user("old " * 50), system("From now on: verse."), assistant("ok"), user("go"))
    assert fit(talk, count(talk) - 1, "drop_oldest", count).messages == (talk[1], talk[3])


def test_a_result_that_comes_a_turn_late_keeps_both_turns_together() -> None:
    talk = (user("old"), assistant("", "a"), user("still there?"), result("a"), assistant("yes"), user("go"))
    assert turns_of(talk) == [0, 0, 0, 0, 0, 1]


def test_an_id_that_is_used_again_belongs_to_the_latest_call() -> None:
    turn = (user("look"), assistant("", "call_0"), result("call_0"))
    assert turns_of((*turn, *turn, *turn)) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_conversation_without_a_user_message_cannot_shrink() -> None:
    with pytest.raises(ContextLengthError):
        fit((system(), assistant("long " * 50)), 20, "drop_oldest", count)


def test_counting_happens_a_logarithmic_number_of_times() -> None:
    talk = tuple(user("word " * 10) for _ in range(1_000))
    calls = []

    def counted(messages: Sequence[Message]) -> int:
        calls.append(1)
        return count(messages)

    fit(talk, 500, "drop_oldest", counted)
    assert len(calls) <= 14


# ------------------------------------------------------------------------------------------------ truncate_middle


def test_the_middle_of_the_longest_message_is_cut_and_marked() -> None:
    talk = (user("short"), user("start " + "x" * 4_000 + " end"))
    fitted = fit(talk, 300, "truncate_middle", count)
    text = fitted.messages[1].text
    assert text.startswith("start ")
    assert text.endswith(" end")
    assert MARK in text
    assert fitted.messages[0] is talk[0]
    assert 280 <= fitted.tokens <= 300
    assert fitted.trim is not None
    assert fitted.trim.characters_cut == len(talk[1].text) - (len(text) - len(MARK))
    assert fitted.trim.messages_dropped == 0


def test_the_next_longest_is_cut_when_one_is_not_enough() -> None:
    talk = (user("a" * 4_000), user("b" * 3_000), user("c" * 40))
    fitted = fit(talk, 400, "truncate_middle", count)
    assert len(fitted.messages[0].text) < 100
    assert MARK in fitted.messages[1].text
    assert fitted.messages[2] is talk[2]
    assert fitted.tokens <= 400


def test_system_messages_are_cut_last() -> None:
    talk = (system("s" * 5_000), user("u" * 2_000))
    fitted = fit(talk, 1_400, "truncate_middle", count)
    assert fitted.messages[0] is talk[0]
    fitted = fit(talk, 900, "truncate_middle", count)
    assert MARK in fitted.messages[0].text


def test_a_changed_message_loses_its_private_parts_and_keeps_its_tool_calls() -> None:
    signed = Message("assistant", "t" * 2_000, (ToolCall("a", "look", "{}"),), private=(Private("anthropic", [1]),))
    talk = (user("u"), signed, result("a"), Message("assistant", "ok", private=(Private("anthropic", [2]),)))
    fitted = fit(talk, 200, "truncate_middle", count)
    assert fitted.messages[1].private == ()
    assert fitted.messages[1].tool_calls == signed.tool_calls
    assert fitted.messages[2:] == talk[2:]


def test_of_a_message_in_parts_the_longest_text_is_cut_and_the_rest_stays() -> None:
    parts = (Text("look at this"), PICTURE, Text("w" * 4_000, cache=True))
    fitted = fit((Message("user", parts),), 300, "truncate_middle", count)
    kept = fitted.messages[0].content
    assert kept[:2] == parts[:2]
    assert isinstance(kept[2], Text)
    assert kept[2].cache


def test_what_no_cut_can_make_fit_is_an_error() -> None:
    with pytest.raises(ContextLengthError, match="not enough") as caught:
        fit((Message("user", (PICTURE, Text("w" * 4_000))),), 40, "truncate_middle", count)
    assert caught.value.max_tokens == 40


def test_a_cut_needs_few_counts() -> None:
    calls = []

    def counted(messages: Sequence[Message]) -> int:
        calls.append(1)
        return count(messages)

    fit((user("word " * 100_000),), 5_000, "truncate_middle", counted)
    assert len(calls) <= 8


def test_a_real_tokenizer_comes_close_to_the_budget() -> None:
    from llmrouter.tokens import TokenCounter

    counter = TokenCounter()
    text = "The quick brown fox. " * 200 + "1234567 " * 400 + "漢字かな" * 300
    fitted = fit((user(text),), 1_000, "truncate_middle", lambda m: counter.count("openai/gpt-4o", m).tokens)
    assert 900 <= fitted.tokens <= 1_000
    assert counter.count("openai/gpt-4o", fitted.messages).tokens == fitted.tokens


# ------------------------------------------------------------------------------------------------ properties

lengths = st.integers(0, 300)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Well-formed conversations: every result follows its call, ids may come again, text is told apart by position."""
    messages: list[Message] = []
    for turn in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 3)) == 0:
            messages.append(system(f"s{turn} " + "s" * draw(lengths)))
        messages.append(user(f"u{turn} " + "u" * draw(lengths)))
        if draw(st.booleans()):
            calls = [f"{draw(st.sampled_from(['x', turn]))}-{at}" for at in range(draw(st.integers(1, 3)))]
            messages.append(assistant("a" * draw(lengths), *calls))
            messages += [result(call, f"r{turn} " + "r" * draw(lengths)) for call in calls]
        if draw(st.booleans()):
            messages.append(assistant(f"a{turn} " + "a" * draw(lengths)))
    return tuple(messages)


def pairs(messages: Sequence[Message]) -> tuple[int, int]:
    return sum(len(m.tool_calls) for m in messages), sum(m.role == "tool" for m in messages)


def attempt(messages: tuple[Message, ...], limit: int, overflow: str) -> Fitted | ContextLengthError:
    try:
        return fit(messages, limit, overflow, count)
    except ContextLengthError as error:
        return error


def last_turn(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return messages[max((at for at, message in enumerate(messages) if message.role == "user"), default=0) :]


@given(conversations(), st.integers(0, 600))
def test_dropping_raises_only_when_what_must_stay_is_too_long(messages: tuple[Message, ...], limit: int) -> None:
    must_stay = [m for m in messages[: -len(last_turn(messages)) or None] if m.role == "system"]
    least = count((*must_stay, *last_turn(messages)))
    fitted = attempt(messages, limit, "drop_oldest")
    if isinstance(fitted, ContextLengthError):
        assert (fitted.tokens_used, fitted.max_tokens) == (least, limit)
    assert isinstance(fitted, ContextLengthError) == (least > limit)


@given(conversations(), st.integers(0, 600))
def test_dropping_keeps_what_must_stay(messages: tuple[Message, ...], limit: int) -> None:
    fitted = attempt(messages, limit, "drop_oldest")
    assume(isinstance(fitted, Fitted))
    assert isinstance(fitted, Fitted)
    kept = fitted.messages
    assert count(kept) == fitted.tokens <= limit
    assert [m for m in kept if m.role == "system"] == [m for m in messages if m.role == "system"]
    assert last_turn(kept) == last_turn(messages)
    assert pairs(kept)[0] == pairs(kept)[1]
    rest = iter(messages)
    assert all(any(m is other for other in rest) for m in kept), "the order changed"
    assert (fitted.trim is None) == (kept == messages)
    assert fit(kept, limit, "drop_oldest", count).messages == kept


@given(conversations(), st.integers(0, 600))
def test_cutting_fits_and_changes_texts_only(messages: tuple[Message, ...], limit: int) -> None:
    fitted = attempt(messages, limit, "truncate_middle")
    assume(isinstance(fitted, Fitted))
    assert isinstance(fitted, Fitted)
    assert count(fitted.messages) == fitted.tokens <= limit
    assert len(fitted.messages) == len(messages)
    for old, new in zip(messages, fitted.messages, strict=True):
        assert (old.role, old.tool_calls, old.tool_call_id) == (new.role, new.tool_calls, new.tool_call_id)
        if new is not old:
            head, _, tail = new.text.partition(MARK)
            assert old.text.startswith(head)
            assert old.text.endswith(tail)
            assert len(head) + len(tail) < len(old.text)
    assert (fitted.trim is None) == (fitted.messages == messages)
    assert fit(fitted.messages, limit, "truncate_middle", count).messages == fitted.messages
