"""Cache keys: whatever changes what is sent changes the key, and nothing else does."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given, strategies as st

from llmrouter.errors import InvalidRequestError
from llmrouter.store.keys import EXCLUDED, cache_key, target_prefix

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.text(max_size=8).filter(lambda name: name not in EXCLUDED), values, max_size=5)


def shown(value: Any) -> str:
    """Tell 1, 1.0, true and "1" apart, and 0.0 from -0.0; dicts do not depend on their order."""
    if isinstance(value, dict):
        return f"{{{sorted((name, shown(inner)) for name, inner in value.items())}}}"
    if isinstance(value, list):
        return repr([shown(inner) for inner in value])
    return repr(value)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [place for name, child in inner for place in places(child, (*path, name))]
    return [path, *found] if path else found


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    target = changed
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return changed


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(inner) for name, inner in reversed(list(value.items()))}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


@given(bodies, values, st.data())
def test_changing_any_value_anywhere_changes_the_key(body: dict[str, Any], value: Any, data: st.DataObject) -> None:
    found = places(body)
    assume(found)
    changed = replaced(body, data.draw(st.sampled_from(found)), value)
    assert (cache_key("p", body) == cache_key("p", changed)) == (shown(body) == shown(changed))


@given(bodies, st.data())
def test_removing_a_field_changes_the_key(body: dict[str, Any], data: st.DataObject) -> None:
    assume(body)
    name = data.draw(st.sampled_from(sorted(body)))
    rest = {other: value for other, value in body.items() if other != name}
    assert cache_key("p", body) != cache_key("p", rest)


@given(bodies, bodies)
def test_keys_are_equal_only_for_equal_bodies(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (cache_key("p", one) == cache_key("p", other)) == (shown(one) == shown(other))


@given(bodies)
def test_the_order_of_fields_does_not_matter(body: dict[str, Any]) -> None:
    assert cache_key("p", body) == cache_key("p", reordered(body))


@given(st.lists(values, min_size=2, max_size=5))
def test_the_order_of_a_list_matters(items: list[Any]) -> None:
    backwards = items[::-1]
    assume(shown(items) != shown(backwards))
    assert cache_key("p", {"messages": items}) != cache_key("p", {"messages": backwards})


@given(bodies, st.sampled_from(sorted(EXCLUDED)), values)
def test_stream_flags_and_client_metadata_do_not_matter(body: dict[str, Any], name: str, value: Any) -> None:
    assert cache_key("p", {**body, name: value}) == cache_key("p", body)


@pytest.mark.parametrize("name", sorted(EXCLUDED))
def test_the_same_names_deeper_inside_do_matter(name: str) -> None:
    assert cache_key("p", {"tools": [{name: 1}]}) != cache_key("p", {"tools": [{name: 2}]})


@given(st.text(), st.text(), bodies)
def test_another_prefix_is_another_key(one: str, other: str, body: dict[str, Any]) -> None:
    assert (cache_key(one, body) == cache_key(other, body)) == (one == other)


def test_a_prefix_cannot_be_taken_for_the_beginning_of_a_body() -> None:
    assert cache_key('{"a":1}', {}) != cache_key("", {"a": 1})
    assert cache_key('{"a"', {}) != cache_key('{"a":', {})


def test_text_and_bytes_of_a_prefix_are_the_same() -> None:
    assert cache_key("ä", {"a": 1}) == cache_key("ä".encode(), {"a": 1})


@pytest.mark.parametrize("other", [1.0, True, "1", [1], None])
def test_a_number_differs_from_what_only_looks_like_it(other: object) -> None:
    assert cache_key("p", {"n": 1}) != cache_key("p", {"n": other})


def test_a_tuple_is_a_list() -> None:
    assert cache_key("p", {"stop": ("a", "b")}) == cache_key("p", {"stop": ["a", "b"]})


def test_lone_surrogates_are_kept_apart_from_what_they_would_make_together() -> None:
    assert cache_key("p", {"t": "\ud83d\ude00"}) != cache_key("p", {"t": "\U0001f600"})


@pytest.mark.parametrize("value", [b"bytes", float("nan"), float("inf"), {1, 2}, object()])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequestError, match="not plain JSON"):
        cache_key("p", {"messages": [{"content": value}]})


def test_a_body_that_contains_itself_is_refused() -> None:
    body: dict[str, Any] = {}
    body["self"] = body
    with pytest.raises(InvalidRequestError):
        cache_key("p", body)


def test_a_key_is_the_same_in_every_process() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Grüße"}], "temperature": 0.2, "stream": True}
    assert cache_key("p", body) == cache_key("p", json.loads(json.dumps(body)))
    assert cache_key("p", body) == "17b0163a331d4aa8507dd694a279851707df4b9f8f77962b553ca5ba732b8995"


def test_every_part_of_a_target_is_in_its_prefix() -> None:
    base = ("openai", "https://a", "chat", "m")
    changed = [(*base[:i], "other", *base[i + 1 :]) for i in range(4)]
    assert (
        len({target_prefix(*base), target_prefix("openai", None, "chat", "m"), *(target_prefix(*c) for c in changed)})
        == 6
    )
