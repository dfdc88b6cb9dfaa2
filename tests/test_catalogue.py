"""The catalogue of models, and the capabilities file behind it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from llmrouter import InvalidRequestError, Router
from llmrouter.catalogue import CAPABILITIES, Catalogue, Endpoint, capabilities, families
from llmrouter.prices import PriceTable

ALL = Catalogue()


# ------------------------------------------------------------------------------------------------ models


def test_the_built_in_providers_are_listed_by_target() -> None:
    models = ALL.models()
    assert [info.target for info in models] == sorted(info.target for info in models)
    assert {info.provider for info in models} == {"openai", "anthropic", "google"}
    assert all(info.price is not None for info in models)


def test_one_provider_can_be_listed() -> None:
    assert {info.provider for info in ALL.models("anthropic")} == {"anthropic"}


def test_a_provider_of_the_file_is_listed_under_its_own_name() -> None:
    catalogue = Catalogue({"fast": Endpoint("openai", "https://api.groq.com/openai/v1")})
    models = catalogue.models()
    assert models
    assert all(info.target.startswith("fast/") for info in models)


def test_a_local_server_has_nothing_to_list() -> None:
    assert Catalogue({"local": Endpoint("openai", "http://127.0.0.1:11434/v1")}).models() == []


def test_an_unknown_provider_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        ALL.models("nobody")


def test_gemini_api_lists_no_claude_and_vertex_does() -> None:
    assert not any("claude" in info.model for info in ALL.models("google"))
    assert any("claude" in info.model for info in Catalogue({"gcp": Endpoint("vertex")}).models())


# ------------------------------------------------------------------------------------------------ one model


def test_what_is_known_of_a_model() -> None:
    info = ALL.model_info("anthropic/claude-haiku-5-5")
    assert (info.provider, info.model) == ("anthropic", "claude-haiku-5-5")
    assert info.context_window == 1_000_000
    assert info.max_output_tokens == 128_000
    assert info.price is not None
    assert info.price.input == Decimal("0.1")
    assert info.capabilities == frozenset(("tools", "images", "documents", "schema", "reasoning"))
    assert not info.deprecated


def test_of_an_unknown_model_nothing_is_claimed_and_nothing_held_against_it() -> None:
    info = ALL.model_info("local/mystery")
    assert (info.context_window, info.max_output_tokens, info.price, info.capabilities) == (None, None, None, None)
    assert info.lacks({"tools", "images"}) == frozenset()


def test_a_known_model_says_what_it_lacks() -> None:
    assert ALL.model_info("openai/gpt-3.5-turbo").lacks({"tools", "images"}) == {"images"}


def test_prices_of_the_file_are_shown() -> None:
    catalogue = Catalogue(prices=PriceTable({"openai/gpt-6-luna": {"input": 42, "output": 43}}))
    price = catalogue.model_info("openai/gpt-6-luna").price
    assert price is not None
    assert price.input == 42


def test_a_dated_price_is_shown_for_its_day() -> None:
    old = ALL.model_info("openai/o3", now=datetime(2025, 6, 1, tzinfo=UTC)).price
    assert old is not None
    assert old.input == 10


# ------------------------------------------------------------------------------------------------ recommend


def test_recommendations_have_all_that_is_needed_cheapest_first() -> None:
    found = ALL.recommend(needs=["tools", "images", "reasoning"])
    costs = [3 * info.price.input + info.price.output for info in found if info.price is not None]
    assert costs == sorted(costs)
    assert all(
        info.capabilities is not None and {"tools", "images", "reasoning"} <= info.capabilities for info in found
    )


def test_a_single_need_may_be_a_plain_string() -> None:
    assert ALL.recommend(needs="tools") == ALL.recommend(needs=["tools"])


def test_budgets_are_thirds_of_what_fits() -> None:
    everything = ALL.recommend(["tools"])
    low, medium, high = (ALL.recommend(["tools"], budget=budget) for budget in ("low", "medium", "high"))
    assert everything == high
    assert low == everything[: len(low)]
    assert medium == everything[: len(medium)]
    assert (len(low), len(medium)) == (-(-len(everything) // 3), -(-2 * len(everything) // 3))


def test_bounds_on_price_and_window_hold() -> None:
    found = ALL.recommend(max_input_price=0.3, min_context=500_000)
    assert found
    for info in found:
        assert info.price is not None
        assert info.price.input <= Decimal("0.3")
        assert (info.context_window or 0) >= 500_000


def test_a_window_may_be_written_as_in_the_file() -> None:
    assert ALL.recommend(min_context="500k") == ALL.recommend(min_context=500_000)


@pytest.mark.parametrize("bound", [{"max_input_price": "cheap"}, {"max_input_price": -1}, {"min_context": "wide"}])
def test_a_bound_that_is_no_number_is_named(bound: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(bound))):
        ALL.recommend(**bound)


def test_a_provider_that_is_not_there_is_told_with_those_that_are() -> None:
    with Router({"providers": {"fast": {"kind": "groq"}}}) as router:
        assert router.models("fast")
        with pytest.raises(InvalidRequestError, match=r"no provider named 'fats'; did you mean 'fast'\?"):
            router.models("fats")
        with pytest.raises(InvalidRequestError, match="known: anthropic, fast, google, openai"):
            router.models("nobody")


def test_only_usable_providers_are_recommended() -> None:
    assert {info.provider for info in ALL.recommend(usable_providers={"google"})} == {"google"}
    assert ALL.recommend(usable_providers=()) == []


def test_embedding_models_come_only_when_asked_for() -> None:
    assert not any("embedding" in info.model for info in ALL.recommend())
    embedding = ALL.recommend(["embeddings"])
    assert embedding
    assert all(info.capabilities == frozenset(("embeddings",)) for info in embedding)


def test_retired_models_are_listed_and_never_recommended() -> None:
    assert "anthropic/claude-2" in {info.target for info in ALL.models()}
    assert not any(info.deprecated for info in ALL.recommend())


def test_an_unknown_need_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"telepathy.*tools"):
        ALL.recommend(["telepathy"])


def test_an_unknown_budget_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="low, medium or high"):
        ALL.recommend(budget="tiny")  # type: ignore[arg-type]  # the mistake under test


# ------------------------------------------------------------------------------------------------ the file


def test_every_row_names_a_source_and_a_date_that_has_passed() -> None:
    for family in families():
        assert re.match(r"https://\S+$", family.source), family.pattern.pattern
        assert date.fromisoformat(family.date) <= datetime.now(UTC).date()


def test_every_row_uses_known_words_only() -> None:
    for family in families():
        assert family.has <= CAPABILITIES, family.pattern.pattern
        assert not {"temperature", "temperature_without_reasoning"} <= family.has


@pytest.mark.parametrize(
    ("model", "has", "lacks"),
    [
        ("gpt-4o", {"tools", "images", "schema", "temperature"}, {"reasoning"}),
        ("gpt-4o-mini-2024-07-18", {"tools", "images"}, {"reasoning"}),
        ("ft:gpt-4o-mini-2024-07-18:org::id", {"tools"}, {"reasoning"}),
        ("gpt-4.1-nano", {"tools", "images", "schema"}, {"reasoning"}),
        ("gpt-3.5-turbo-0125", {"tools", "temperature"}, {"images", "schema"}),
        ("o1-mini", {"reasoning"}, {"tools", "schema", "images"}),
        ("o3-mini", {"tools", "schema"}, {"images", "temperature"}),
        ("o4-mini", {"tools", "images"}, {"temperature"}),
        ("gpt-5", {"reasoning", "tools"}, {"temperature", "temperature_without_reasoning"}),
        ("gpt-5.1-codex-mini", {"reasoning", "tools"}, {"temperature", "temperature_without_reasoning"}),
        ("gpt-5.4-2026-03-05", {"temperature_without_reasoning"}, {"temperature"}),
        ("gpt-6-luna", {"images", "schema", "temperature_without_reasoning"}, {"temperature"}),
        ("gpt-6-astra", {"tools"}, {"temperature", "temperature_without_reasoning"}),
        ("gpt-6.1-sol", {"tools"}, {"temperature_without_reasoning"}),
        ("openai/gpt-6-luna", {"tools"}, {"temperature"}),
        ("text-embedding-3-small", {"embeddings"}, {"tools", "temperature"}),
        ("gpt-4o-audio-preview", set(), {"images"}),
        ("claude-3-haiku-20240307", {"images", "tools"}, {"documents", "reasoning"}),
        ("claude-sonnet-4-20250514", {"reasoning", "temperature"}, {"schema"}),
        ("claude-sonnet-4-5-20250929", {"schema", "temperature"}, set()),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", {"schema"}, set()),
        ("anthropic/claude-haiku-4.5", {"schema"}, set()),
        ("claude-opus-4-7", {"schema", "reasoning"}, {"temperature"}),
        ("claude-haiku-5-5", {"schema", "reasoning"}, {"temperature"}),
        ("claude-fable-5-2", {"tools"}, {"temperature"}),
        ("gemini-2.0-flash", {"tools", "schema"}, {"reasoning"}),
        ("gemini-3.8-flash", {"tools", "schema", "reasoning", "temperature"}, {"embeddings"}),
        ("gemini-embedding-001", {"embeddings"}, {"tools"}),
        ("gemini-3.8-flash-tts", set(), {"tools"}),
    ],
)
def test_what_a_family_can_do(model: str, has: set[str], lacks: set[str]) -> None:
    known = capabilities(model)
    assert known is not None
    assert has <= known
    assert not lacks & known


@pytest.mark.parametrize(
    "model", ["llama-3.3-70b", "mistral-large", "our-deployment", "gpt-5.5-cyber", "gemini-4-argon"]
)
def test_families_that_the_file_does_not_know_are_unknown(model: str) -> None:
    assert capabilities(model) is None
