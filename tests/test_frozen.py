"""Records that are made quickly are frozen dataclasses like any other."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given, strategies as st

from llmrouter.frozen import quickly_made
from llmrouter.types import Attempt, Completion, Message, Response, Usage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ordinary:
    number: int
    text: str = "none"
    items: tuple[int, ...] = ()


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    number: int
    text: str = "none"
    items: tuple[int, ...] = ()


@quickly_made
@dataclass(frozen=True, slots=True)
class Box(Generic[T]):
    content: T
    label: str = ""


@quickly_made
@dataclass(frozen=True, slots=True)
class Made:
    number: int
    items: list[int] = field(default_factory=list)


class Labelled(Quick):
    """A subclass, which has a dictionary where its base has none."""


@dataclass(frozen=True, slots=True)
class Wider(Quick):
    more: int = 0


@given(st.integers(), st.text(), st.lists(st.integers()).map(tuple))
def test_its_fields_are_those_of_the_ordinary_one(number: int, text: str, items: tuple[int, ...]) -> None:
    quick, ordinary = Quick(number, text, items=items), Ordinary(number, text, items=items)
    assert dataclasses.astuple(quick) == dataclasses.astuple(ordinary)
    assert repr(quick) == repr(ordinary).replace("Ordinary", "Quick")


def test_it_is_frozen() -> None:
    quick = Quick(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        quick.number = 2  # type: ignore[misc]


def test_its_class_is_its_own() -> None:
    assert type(Quick(1)) is Quick
    assert type(Box(1)) is Box


def test_it_has_no_dictionary() -> None:
    assert not hasattr(Quick(1), "__dict__")


def test_it_is_equal_and_hashed_by_its_fields() -> None:
    assert Quick(1, "a") == Quick(1, "a") != Quick(2, "a")
    assert len({Quick(1), Quick(1), Quick(2)}) == 2


def test_it_can_be_copied_pickled_and_replaced() -> None:
    quick = Quick(1, "a", (2,))
    assert copy.deepcopy(quick) == quick == pickle.loads(pickle.dumps(quick))
    assert dataclasses.replace(quick, number=2) == Quick(2, "a", (2,))


def test_its_signature_is_that_of_the_ordinary_one() -> None:
    assert str(inspect.signature(Quick)) == str(inspect.signature(Ordinary))


@pytest.mark.parametrize("wrong", [(), (1, "a", (), 4)])
def test_wrong_arguments_raise_as_ever(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="__init__"):
        Quick(*wrong)


def test_a_subclass_keeps_its_class_and_its_fields() -> None:
    labelled, wider = Labelled(1, "a"), Wider(1, "a", (), 3)
    assert type(labelled) is Labelled
    assert (type(wider), wider.text, wider.more) == (Wider, "a", 3)


def test_a_field_from_a_factory_is_made_anew_for_each() -> None:
    first, second, third = Made(1), Made(1), Made(1, [2])
    assert (first.items, third.items) == ([], [2])
    assert first.items is not second.items


def test_what_may_follow_the_filling_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Followed:
        number: int

        def __post_init__(self) -> None: ...

    with pytest.raises(TypeError, match="Followed: every field"):
        quickly_made(Followed)


@pytest.mark.parametrize("cls", [Attempt, Completion, Message, Response, Usage])
def test_what_users_hold_is_frozen(cls: type[Any]) -> None:
    given = [None for each in dataclasses.fields(cls) if each.default is dataclasses.MISSING]
    record = cls(*given)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(cls)[0].name, 1)
