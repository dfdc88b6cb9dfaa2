"""Counting prompts: exact where the encoding is known, estimated everywhere else."""

from __future__ import annotations

import base64
import json
import os
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.tokens import TokenCounter, encoding
from llmrouter.tokens.counter import _weight
from llmrouter.tokens.families import family_of
from llmrouter.tokens.rough import RoughCounter
from llmrouter.types import Document, Image, Message, Part, Schema, Text, Tool, ToolCall

WEATHER = Tool(
    "get_weather",
    "Get the weather of a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city."},
            "unit": {"type": "string", "enum": ["C", "F"]},
        },
        "required": ["city"],
    },
)


@pytest.fixture
def counter() -> TokenCounter:
    return TokenCounter()


# ------------------------------------------------------------------------------------------------ exact or not


@pytest.mark.parametrize(
    "target",
    [
        "openai/gpt-4o",
        "openai/gpt-4o-mini-2024-07-18",
        "openai/chatgpt-4o-latest",
        "openai/gpt-4.1-nano",
        "openai/gpt-4.5-preview",
        "openai/gpt-5",
        "openai/gpt-5.6-luna",
        "openai/gpt-6-luna",
        "openai/gpt-6.1-sol",
        "openai/o1",
        "openai/o3-mini",
        "openai/o4-mini",
        "azure/gpt-5-mini",
        "openrouter/openai/gpt-6-sol",
        "openai/ft:gpt-4o-2024-08-06:org::id",
    ],
)
def test_models_of_o200k_are_counted_exactly(counter: TokenCounter, target: str) -> None:
    assert counter.count(target, [Message("user", "Hello there")]).exact


@pytest.mark.parametrize(
    "target",
    [
        "openai/gpt-4",
        "openai/gpt-4-turbo",
        "openai/gpt-4-0613",
        "openai/gpt-3.5-turbo",
        "openai/text-embedding-3-small",
        "groq/openai/gpt-oss-120b",
        "anthropic/claude-haiku-5-5",
        "google/gemini-3.8-flash",
        "local/llama3",
        "azure/our-deployment",
        "local/phi-o1",
    ],
)
def test_all_other_models_are_estimated(counter: TokenCounter, target: str) -> None:
    assert not counter.count(target, [Message("user", "Hello there")]).exact


def test_a_chat_costs_three_tokens_a_message_and_three_for_the_reply(counter: TokenCounter) -> None:
    messages = [Message("system", "Be brief."), Message("user", "hello world", name="ann")]
    texts = sum(map(encoding.count, ("system", "Be brief.", "user", "hello world", "ann")))
    assert counter.count("openai/gpt-4o", messages).tokens == 3 + 3 + 3 + 1 + texts


def test_from_gpt_5_on_the_reply_is_primed_with_two(counter: TokenCounter) -> None:
    messages = [Message("user", "hello world")]
    assert counter.count("openai/gpt-5", messages).tokens == counter.count("openai/gpt-4o", messages).tokens - 1


def test_text_parts_count_as_their_text(counter: TokenCounter) -> None:
    whole = counter.count("openai/gpt-4o", [Message("user", "hello world")])
    assert counter.count("openai/gpt-4o", [Message("user", (Text("hello"), Text(" world")))]) == whole


@pytest.mark.parametrize(
    "message",
    [
        Message("user", (Text("Look"), Image(url="https://example.org/a.png"))),
        Message("user", (Document(url="https://example.org/a.pdf"),)),
        Message("assistant", "", (ToolCall("1", "get_weather", '{"city":"Ulm"}'),)),
        Message("tool", "12 C", tool_call_id="1"),
    ],
)
def test_what_no_formula_covers_makes_the_count_an_estimate(counter: TokenCounter, message: Message) -> None:
    assert not counter.count("openai/gpt-4o", [message]).exact


def test_tools_and_schemas_are_added_and_make_the_count_an_estimate(counter: TokenCounter) -> None:
    messages = [Message("user", "hello world")]
    plain = counter.count("openai/gpt-4o", messages)
    tools = counter.count("openai/gpt-4o", messages, [WEATHER])
    schema = counter.count("openai/gpt-4o", messages, (), Schema({"type": "object", "properties": {}}))
    assert plain.exact
    assert not tools.exact
    assert not schema.exact
    assert tools.tokens > plain.tokens + 30
    assert schema.tokens > plain.tokens


def test_tools_of_odd_form_are_counted_without_an_error(counter: TokenCounter) -> None:
    odd: dict[str, Any] = {"properties": {"a": True, "b": {"type": ["string", "null"], "enum": [1, None]}, "c": {}}}
    nested = {"type": "object", "properties": {"x": {"type": "object", "properties": {"y": {"type": "string"}}}}}
    tools = [Tool("a", parameters=odd), Tool("b", parameters={}), Tool("c", parameters=nested)]
    for target in ("openai/gpt-4o", "anthropic/claude-opus-5"):
        assert counter.count(target, [], tools).tokens > 40


def test_a_prompt_of_claude_is_estimated_on_the_high_side(counter: TokenCounter) -> None:
    counted = counter.measure("anthropic/claude-sonnet-4-5", [Message("user", "word " * 1000)])
    assert counted.tokens > counted.counted * family_of("anthropic/claude-sonnet-4-5").prior


def test_learning_moves_the_estimate_of_that_model_alone(counter: TokenCounter) -> None:
    messages = [Message("user", "word " * 1000)]
    before = counter.count("local/llama", messages).tokens
    for _ in range(10):
        measured = counter.measure("local/llama", messages)
        counter.learn("local/llama", measured.counted, measured.counted * 2)
    assert counter.count("local/llama", messages).tokens > 1.6 * before
    assert counter.count("local/qwen", messages).tokens == before


def test_learning_never_touches_an_exact_count(counter: TokenCounter) -> None:
    messages = [Message("user", "word " * 1000)]
    exact = counter.count("openai/gpt-4o", messages)
    counter.learn("openai/gpt-4o", exact.tokens, exact.tokens * 3)
    assert counter.count("openai/gpt-4o", messages) == exact


# ------------------------------------------------------------------------------------------------ images, documents


def png(width: int, height: int) -> Image:
    return Image.from_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height))


def gif(width: int, height: int) -> Image:
    return Image.from_bytes(b"GIF89a" + struct.pack("<HH", width, height))


def jpeg(width: int, height: int) -> Image:
    exif = b"\xff\xe1" + struct.pack(">H", 3000) + bytes(2998)
    return Image.from_bytes(b"\xff\xd8" + exif + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + bytes(12))


def webp(width: int, height: int) -> Image:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return Image.from_bytes(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size)


def webp_lossless(width: int, height: int) -> Image:
    bits = (width - 1) | (height - 1) << 14
    return Image.from_bytes(b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + bits.to_bytes(4, "little"))


def webp_lossy(width: int, height: int) -> Image:
    frame = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return Image.from_bytes(b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0" + frame)


def cost_of(part: Part, target: str) -> int:
    counter = TokenCounter()
    bare = counter.measure(target, [Message("user", ())]).counted
    return counter.measure(target, [Message("user", (part,))]).counted - bare


@pytest.mark.parametrize("make", [png, gif, jpeg, webp, webp_lossless, webp_lossy])
def test_the_size_of_an_image_is_read_from_its_header(make: Any) -> None:
    assert cost_of(make(1024, 1024), "openai/gpt-4o") == 85 + 4 * 170
    assert cost_of(make(2048, 4096), "openai/gpt-4o") == 85 + 6 * 170


def test_a_small_image_is_one_tile() -> None:
    assert cost_of(png(100, 60), "openai/gpt-4o") == 85 + 170


def test_low_detail_costs_the_base_only() -> None:
    image = Image.from_bytes(base64.b64decode(png(4000, 4000).data or ""), detail="low")
    assert cost_of(image, "openai/gpt-4o") == 85


@pytest.mark.parametrize(
    ("target", "tokens"),
    [
        ("openai/gpt-4.1-mini", 1659),  # 1024 patches x 1.62
        ("openai/gpt-6-luna", 1229),  # 1024 patches x 1.2
        ("anthropic/claude-sonnet-4-5", 1403),  # width x height / 750, and a few
        ("google/gemini-2.5-flash", 1032),  # 4 tiles x 258
        ("google/gemini-3.8-flash", 1120),
        ("local/llava", 765),
    ],
)
def test_each_maker_has_its_own_formula(target: str, tokens: int) -> None:
    assert cost_of(png(1024, 1024), target) == tokens


@pytest.mark.parametrize(
    "image",
    [
        Image(url="https://example.org/a.png"),
        Image(data="####", media_type="image/png"),
        Image(data="", media_type="image/png"),
        Image(data=base64.b64encode(b"\xff\xd8\xff").decode(), media_type="image/jpeg"),
        Image(data=base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(), media_type="image/png"),
        png(0, 10),
    ],
)
def test_an_image_of_unknown_size_counts_as_a_middling_one(image: Image) -> None:
    assert cost_of(image, "openai/gpt-4o") == 765


def test_a_pdf_counts_by_its_pages() -> None:
    page = b"<< /Type /Page /Parent 1 0 R >>\n"
    pdf = Document.from_bytes(b"%PDF-1.7\n<< /Type /Pages /Count 3 >>\n" + 3 * page)
    one = Document(url="https://example.org/a.pdf")
    assert cost_of(pdf, "openai/gpt-4o") == 3 * cost_of(one, "openai/gpt-4o")


def test_a_text_document_counts_as_its_text() -> None:
    text = "The quick brown fox. " * 50
    assert cost_of(Document.from_bytes(text.encode(), "text/plain"), "openai/gpt-4o") == encoding.count(text)


# ------------------------------------------------------------------------------------------------ speed


def test_a_growing_conversation_is_not_counted_anew(monkeypatch: pytest.MonkeyPatch, counter: TokenCounter) -> None:
    counted: list[str] = []
    count = encoding.count

    def spied(text: str) -> int:
        counted.append(text)
        return count(text)

    monkeypatch.setattr(encoding, "count", spied)
    history = [Message("user", f"{at} " + "word " * 200) for at in range(20)]
    for turn in range(1, 21):
        counter.count("openai/gpt-4o", history[:turn])
    assert sum(len(text) > 64 for text in counted) == 20


def test_the_cache_is_bounded_by_bytes() -> None:
    counter = TokenCounter(cache_bytes=10_000)
    for at in range(100):
        counter.count_text(f"{at} " + "x " * 500)
    assert 0 < sum(map(len, counter._cache)) <= counter._used <= 10_000


def test_a_text_larger_than_the_cache_is_counted_and_not_kept() -> None:
    counter = TokenCounter(cache_bytes=1_000)
    assert counter.count_text("word " * 1_000) == encoding.count("word " * 1_000)
    assert counter._used == 0


def test_a_hundred_kilobytes_count_in_milliseconds(counter: TokenCounter) -> None:
    counter.count_text("warm up")
    text = "The quick brown fox jumps over 1,234 lazy dogs.\n" * 2_100
    began = time.perf_counter()
    counter.count_text(text)
    assert time.perf_counter() - began < 0.25  # 5 ms where nothing else runs


def test_threads_may_share_a_counter_and_its_cache() -> None:
    counter = TokenCounter(cache_bytes=20_000)
    texts = [f"{at} " + "word " * 100 for at in range(60)]
    expected = [encoding.count(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: [counter.count_text(text) for text in texts], range(16)))
    assert all(result == expected for result in results)
    assert counter._used == sum(map(_weight, counter._cache))


# ------------------------------------------------------------------------------------------------ against providers


def wire_folder() -> Path:
    return Path(os.environ.get("LLMROUTER_WIRE") or Path(__file__).parents[3] / "shared" / "wire")


def recorded_chats() -> list[tuple[str, str, list[Message], int]]:
    """Return name, target, messages and reported prompt tokens of OpenAI chats that are nothing but text."""
    found = []
    for path in sorted(wire_folder().glob("openai/chat-*.json")):
        for exchange in json.loads(path.read_text(encoding="utf-8"))["exchanges"]:
            try:
                asked = json.loads(exchange["request"]["body"])
                usage = json.loads(exchange["response"]["body"])["usage"]
            except (ValueError, TypeError, KeyError):
                continue
            if asked.keys() & {"tools", "response_format"}:
                continue
            messages = [_message(message) for message in asked["messages"]]
            if None not in messages:
                kept = [message for message in messages if message is not None]
                found.append((path.stem, f"openai/{asked['model']}", kept, int(usage["prompt_tokens"])))
    return found


def _message(wire: dict[str, Any]) -> Message | None:
    content = wire.get("content")
    if isinstance(content, list):
        content = "".join(part["text"] for part in content) if all("text" in part for part in content) else None
    if not isinstance(content, str) or wire.get("tool_calls") or wire["role"] == "tool":
        return None
    return Message("system" if wire["role"] == "developer" else wire["role"], content)


def test_exact_counts_are_what_openai_reported(counter: TokenCounter) -> None:
    if not wire_folder().is_dir():
        pytest.skip("no recorded exchanges: set LLMROUTER_WIRE to their folder")
    checked = set()
    for name, target, messages, reported in recorded_chats():
        count = counter.count(target, messages)
        if count.exact:
            assert (name, count.tokens) == (name, reported)
            checked.add(name)
    assert len(checked) >= 5


# ------------------------------------------------------------------------------------------------ without counting

TARGETS = st.sampled_from(["openai/gpt-6-luna", "anthropic/claude-haiku-4-5", "google/gemini-3-flash", "local/llama"])
TALKS = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=200)), max_size=5
)


@given(target=TARGETS, talk=TALKS, bound=st.integers(0, 3_000))
def test_what_is_surely_within_a_bound_counts_to_no_more(target: str, talk: list[Message], bound: int) -> None:
    counter = TokenCounter()
    if counter.surely_within(target, talk, (), None, bound):
        assert counter.count(target, talk).tokens <= bound


@pytest.mark.parametrize("target", ["openai/gpt-6-luna", "anthropic/claude-haiku-4-5"])
def test_a_short_text_is_surely_within_a_large_bound(counter: TokenCounter, target: str) -> None:
    assert counter.surely_within(target, [Message("user", "How are you?")], (), None, 8_000)


def test_only_plain_text_is_judged_by_its_length(counter: TokenCounter) -> None:
    hello = Message("user", "hello")
    picture = Message("user", (Image(data="AAAA", media_type="image/png"),))
    called = Message("assistant", "", tool_calls=(ToolCall("1", "f", "{}"),))
    named = Message("user", "hello", name="n" * 10_000)
    for talk, tools, schema in (
        ([hello], (WEATHER,), None),
        ([hello], (), Schema({"type": "object"}, "s")),
        ([picture], (), None),
        ([called], (), None),
        ([named], (), None),
    ):
        assert not counter.surely_within("openai/gpt-6-luna", talk, tools, schema, 10**6)


# ------------------------------------------------------------------------------------------------ roughly


def test_a_rough_count_reads_no_text(counter: TokenCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(encoding, "count")
    rough = RoughCounter(counter)
    assert rough.count_text("") == 0
    assert rough.count_text("a" * 9) == 3
    assert rough.count_text("日本語") == 3
    assert rough.count_text("\ud800") == 1


def test_a_rough_count_of_what_was_counted_before_is_exact(counter: TokenCounter) -> None:
    text = "a b c d e f g h"
    assert RoughCounter(counter).count_text(text) != counter.count_text(text)
    assert RoughCounter(counter).count_text(text) == counter.count_text(text)


@given(st.text(max_size=300))
def test_a_rough_count_is_within_reach_of_the_real_one(text: str) -> None:
    rough, real = RoughCounter(TokenCounter()).count_text(text), TokenCounter().count_text(text)
    assert rough <= len(text.encode("utf-8", "replace"))
    assert bool(rough) == bool(real)
