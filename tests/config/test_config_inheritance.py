"""What routes inherit from `defaults` and rungs from their route."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from llmrouter.config.inherit import ad_hoc, chain, resolved
from llmrouter.config.loader import load
from llmrouter.config.models import RouteConfig


def route(defaults: dict[str, Any], own: dict[str, Any]) -> RouteConfig:
    data = {"defaults": defaults, "routes": {"r": {"model": "openai/m", **own}}}
    return resolved(load(data, {}).config, "r")


def test_maps_merge_key_by_key() -> None:
    timeouts = route({"timeouts": {"connect": "1s", "attempt": "9s"}}, {"timeouts": {"attempt": "2s"}}).timeouts
    assert (timeouts.connect, timeouts.attempt, timeouts.idle) == (1.0, 2.0, None)


def test_lists_and_single_values_replace() -> None:
    found = route({"params": {"stop": ["a", "b"]}, "deadline": "9s"}, {"params": {"stop": "c"}, "deadline": "1s"})
    assert (found.params.stop, found.deadline) == (("c",), 1.0)


def test_what_neither_says_is_not_set() -> None:
    found = route({}, {})
    assert found.timeouts.model_fields_set == set()
    assert found.deadline is None
    assert (found.retry.attempts, found.retry.initial, found.retry.max) == (3, 0.5, 20.0)


def test_what_the_file_set_can_be_told_from_defaults() -> None:
    found = route({"timeouts": {"first_token": "3s"}}, {"timeouts": {"attempt": "1s"}})
    assert found.timeouts.model_fields_set == {"first_token", "attempt"}


def test_extra_parameters_merge_at_every_depth() -> None:
    extra = route({"params": {"extra": {"a": {"x": 1, "y": 1}}}}, {"params": {"extra": {"a": {"y": 2}, "b": 3}}}).params
    assert extra.extra == {"a": {"x": 1, "y": 2}, "b": 3}


def test_error_classes_merge_key_by_key() -> None:
    found = route({"on": {"timeout": "stop", "server": "next"}}, {"on": {"timeout": "retry"}})
    assert dict(found.on) == {"timeout": "retry", "server": "next"}


@pytest.mark.parametrize("key", ["cache", "breaker", "hedge", "spend_limit"])
def test_false_turns_an_inherited_section_off(key: str) -> None:
    sections = {"cache": {"ttl": "1h"}, "breaker": {"failures": 2}, "hedge": {"after": "1s"}, "spend_limit": {"usd": 1}}
    assert getattr(route(sections, {key: False}), key) is None
    assert getattr(route(sections, {}), key) is not None


def test_true_turns_a_section_on_with_what_is_inherited() -> None:
    cache = route({"cache": {"ttl": "1h"}}, {"cache": True}).cache
    assert cache is not None
    assert cache.ttl == 3600.0


def test_an_empty_key_inherits() -> None:
    assert route({"deadline": "9s", "cache": "1h"}, {"deadline": None, "cache": None}).deadline == 9.0


def test_a_target_alone_is_a_route_with_the_defaults() -> None:
    found = ad_hoc(load({"defaults": {"deadline": "9s", "params": {"seed": 4}}}, {}).config, "anthropic/n")
    assert (found.model.model, found.deadline, found.params.seed, found.fallbacks) == ("anthropic/n", 9.0, 4, ())


def test_a_rung_inherits_from_its_route_and_the_defaults() -> None:
    own = {
        "params": {"temperature": 0.2},
        "retry": {"max": "9s"},
        "fallbacks": [{"model": "google/n", "params": {"temperature": 0}, "timeouts": {"attempt": "2s"}, "weight": 3}],
    }
    defaults = {"params": {"seed": 1}, "timeouts": {"connect": "1s"}, "retry": {"attempts": 5}}
    first, second = chain(route(defaults, own))
    assert (first.model, first.params.temperature, first.params.seed, first.weight) == ("openai/m", 0.2, 1, 1.0)
    assert (second.params.temperature, second.params.seed) == (0.0, 1)
    assert (second.timeouts.connect, second.timeouts.attempt) == (1.0, 2.0)
    assert (second.retry.attempts, second.retry.max, second.weight) == (5, 9.0, 3.0)


def test_the_model_of_a_route_may_be_a_map() -> None:
    (rung,) = chain(route({}, {"model": {"model": "openai/n", "api": "responses", "retry": {"attempts": 1}}}))
    assert (rung.model, rung.api, rung.retry.attempts) == ("openai/n", "responses", 1)


def test_resolving_leaves_the_configuration_as_it_was() -> None:
    config = load({"defaults": {"deadline": "9s"}, "routes": {"r": {"model": "openai/m"}}}, {}).config
    resolved(config, "r")
    assert config.routes["r"].deadline is None


def test_an_unknown_route_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        resolved(load({}, {}).config, "nowhere")


LIMITS = st.dictionaries(st.sampled_from(["connect", "attempt", "first_token", "idle", "total"]), st.integers(1, 99))


@given(LIMITS, LIMITS)
def test_merging_timeouts_is_merging_maps(defaults: dict[str, int], own: dict[str, int]) -> None:
    found = route({"timeouts": defaults}, {"timeouts": own}).timeouts
    assert found.model_dump(exclude_unset=True) == {**defaults, **own}
