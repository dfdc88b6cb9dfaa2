"""Summaries and embeddings without a network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.offline import DEFAULT_DIMENSIONS, embed, summarize

ARTICLE = Path(__file__).parent.parent / "examples" / "article.txt"


def ask(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def story(*sentences: str) -> str:
    """Return a text in which `sentences` lie among filler, so that all but them may be dropped."""
    return " ".join([*sentences, "Nothing to see.", "Blue sky.", "Green grass.", "Old dogs sleep.", "Cats purr."])


@pytest.fixture(scope="module")
def article() -> str:
    return ARTICLE.read_text(encoding="utf-8")


def test_the_article_is_summarised_by_four_of_its_sentences_in_their_order(article: str) -> None:
    summary = summarize(ask(article))
    flat = " ".join(article.split())
    found = [flat.index(sentence.strip()) for sentence in summary.replace(". ", ".\n").splitlines()]
    assert len(found) == 4
    assert found == sorted(found)
    assert "spring tides" in summary
    assert "How the tides work" not in summary


def test_a_summary_is_the_same_every_time(article: str) -> None:
    assert summarize(ask(article)) == summarize(ask(article))


@pytest.mark.parametrize("max_tokens", [10, 25, 60, 100, 200])
def test_a_summary_keeps_to_max_tokens_in_whole_sentences(article: str, max_tokens: int) -> None:
    summary = summarize(ask(article), max_tokens=max_tokens)
    assert 0 < len(summary) <= 4 * max_tokens
    assert summary.endswith(".")


def test_more_sentences_can_be_asked_for(article: str) -> None:
    assert len(summarize(ask(article), sentences=8)) > len(summarize(ask(article), sentences=2))


@pytest.mark.parametrize("text", ["", "  \n\t ", "One short line", "A sentence. And a second one!", "no punctuation"])
def test_a_short_text_is_returned_as_it_is(text: str) -> None:
    assert summarize(ask(text)) == text.strip()


def test_without_a_user_message_there_is_nothing_to_summarise() -> None:
    assert summarize([]) == ""
    assert summarize([{"role": "system", "content": "Be brief."}]) == ""


def test_the_last_user_message_is_summarised() -> None:
    messages = [
        *ask("First."),
        {"role": "assistant", "content": "Yes?"},
        *ask("Second."),
        {"role": "tool", "content": "x"},
    ]
    assert summarize(messages) == "Second."


def test_text_parts_are_joined_and_other_parts_left_out() -> None:
    parts = [{"type": "text", "text": "One."}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "Two."}]
    assert summarize([{"role": "user", "content": parts}]) == "One.\nTwo."


def test_a_user_message_without_content_is_empty() -> None:
    assert summarize([{"role": "user", "content": None}]) == ""


def test_parameters_of_language_models_are_ignored() -> None:
    assert summarize(ask("Hello."), temperature=0.2, top_p=1, stop=["x"], seed=1) == "Hello."


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. Rivers of the river office paid $3.50 per river to J. S. Bach for a river map.",
        "The river rose by 3.14 metres, e.g. at the river bridge, and the office saw the river at 5 p.m. on Monday.",
        "“Is the river rising?” asked the river office of the river people near the river.",
        "The river office (see Fig. 2 and No. 5 of the river map) left the U.S. for another river.",
        "The river office says river.example.org/rivers.html has the river map of the river.",
    ],
)
def test_a_sentence_is_not_split_at_every_dot(sentence: str) -> None:
    assert summarize(ask(story(sentence)), sentences=1) == sentence


def test_a_sentence_may_end_in_a_quotation_mark() -> None:
    text = story(
        'The keeper said "the lighthouse light is a lighthouse light."', "The lighthouse lamp lit the lighthouse."
    )
    assert '."\n' not in summarize(ask(text), sentences=2)
    assert summarize(ask(text), sentences=1).endswith(('light."', "the lighthouse."))


def test_japanese_and_chinese_sentences_are_found_and_joined_without_spaces() -> None:
    text = "東京の天気は晴れです。東京の天気は明日も晴れです。犬が好き。猫も好き。鳥もいる。魚もいる。"
    summary = summarize(ask(text), sentences=2)
    assert summary.count("。") == 2
    assert " " not in summary
    assert summary.startswith("東京の天気")


def test_chinese_characters_count_as_a_token_each() -> None:
    assert len(summarize(ask("长江是中国最长的河流。" * 3 + "黄河是第二长的河流。" * 50), max_tokens=12)) <= 12


def test_other_scripts_are_summarised() -> None:
    text = "Москва стоит на реке Москве. Кошка спит. Пёс лает. Дождь идёт. Ветер дует. Река Москва впадает в Оку."
    assert "Моск" in summarize(ask(text), sentences=1)


def test_bullets_keep_their_lines() -> None:
    text = "Plans:\n- The garden needs garden water\n- Bread\n- The garden gate needs garden paint\n- Milk\n- Eggs\n"
    assert summarize(ask(text), sentences=2) == (
        "- The garden needs garden water\n- The garden gate needs garden paint"
    )


def test_lines_without_punctuation_are_taken_one_by_one() -> None:
    text = "\n".join(["the engine of the engine room", "a", "b", "c", "d", "e", "the engine stopped"])
    assert summarize(ask(text), sentences=1) == "the engine of the engine room"


def test_a_heading_is_not_part_of_the_summary() -> None:
    text = "# Rivers rivers rivers\n\nRivers\n\n" + story("Rivers carry water to the sea.")
    assert summarize(ask(text), sentences=1) == "Rivers carry water to the sea."


def test_one_endless_sentence_is_cut_between_words() -> None:
    summary = summarize(ask("word " * 10_000), max_tokens=10)
    assert summary.endswith("word…")
    assert len(summary) <= 40


def test_a_budget_too_small_for_anything_gives_nothing() -> None:
    assert summarize(ask("Something to say. " * 9), max_tokens=0) == ""


@given(st.text(max_size=300), st.integers(0, 40), st.integers(1, 5))
def test_no_text_breaks_it_and_no_summary_is_too_long(text: str, max_tokens: int, sentences: int) -> None:
    summary = summarize(ask(text), max_tokens=max_tokens, sentences=sentences)
    assert len(summary) <= 4 * max_tokens


@pytest.mark.parametrize("piece", ["word ", "Word.\n", "- item\n", "a. ", "x", "字", "e.g. ", "\n", "word\n"])
def test_a_megabyte_of_anything_is_summarised(piece: str) -> None:
    assert len(summarize(ask(piece * (2**20 // len(piece.encode()))), max_tokens=400)) <= 1600


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@given(st.lists(st.text(max_size=50), max_size=4), st.integers(1, 64))
def test_embeddings_have_length_one_and_the_size_asked_for(texts: list[str], dimensions: int) -> None:
    vectors = embed(texts, dimensions=dimensions)
    assert [len(vector) for vector in vectors] == [dimensions] * len(texts)
    assert all(math.isclose(math.hypot(*vector), 1.0) for vector in vectors)


def test_an_embedding_is_the_same_in_every_process() -> None:
    vector = embed(["tide"], dimensions=4)[0]
    assert vector == pytest.approx([0.0, 0.57735, 0.57735, 0.57735])


def test_embeddings_have_256_dimensions_by_default() -> None:
    assert len(embed(["a"])[0]) == DEFAULT_DIMENSIONS == 256


def test_texts_that_share_words_are_nearer_than_others() -> None:
    tide, tides, bread = embed(["the height of the tide", "how high are the tides", "a recipe for rye bread"])
    assert cosine(tide, tides) > cosine(tide, bread) + 0.1


def test_an_empty_text_has_an_embedding() -> None:
    assert math.hypot(*embed([""])[0]) == 1.0


def test_dimensions_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        embed(["a"], dimensions=0)
