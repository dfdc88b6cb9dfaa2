"""Leases: one holder at a time, for as long as it lives."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmrouter.policy.leases import Leases, StateLeases
from llmrouter.store import lease_file
from llmrouter.store.lease_file import FileLeases
from llmrouter.store.state import BackedState, MemoryState
from llmrouter.store.state_file import FileBackend

NOW = 1_800_000_000.0
LOCKED = pytest.param("locks", marks=pytest.mark.skipif(not lease_file.supported(), reason="no such locks here"))


@pytest.fixture(params=["memory", LOCKED])
def leases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Leases]:
    found: Leases = StateLeases(MemoryState()) if request.param == "memory" else FileLeases(tmp_path)
    yield found
    found.close()


def test_only_one_holds_a_lease(leases: Leases) -> None:
    assert leases.take("k", NOW) is not None
    assert leases.take("k", NOW) is None
    assert leases.take("other", NOW) is not None


def test_a_lease_that_was_given_back_can_be_taken(leases: Leases) -> None:
    lease = leases.take("k", NOW)
    assert lease is not None
    lease.give_back(NOW)
    assert leases.take("k", NOW) is not None


def test_a_lease_that_is_given_back_twice_stays_with_its_new_holder(leases: Leases) -> None:
    lease = leases.take("k", NOW)
    assert lease is not None
    lease.give_back(NOW)
    assert leases.take("k", NOW) is not None
    lease.give_back(NOW)
    assert leases.take("k", NOW) is None


def test_sixteen_threads_that_ask_at_once_get_one_lease(leases: Leases) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: leases.take("k", NOW), range(64)))
    assert sum(lease is not None for lease in found) == 1


def test_a_lease_nobody_renews_passes_to_the_next(tmp_path: Path) -> None:
    state = BackedState(FileBackend(tmp_path), beat_s=60.0)
    leases = StateLeases(state)
    assert leases.take("k", NOW) is not None
    assert leases.take("k", NOW + 9.9) is None
    assert leases.take("k", NOW + 10) is not None
    state.close()


def test_a_late_return_does_not_take_the_lease_from_its_new_holder(tmp_path: Path) -> None:
    state = BackedState(FileBackend(tmp_path), beat_s=60.0)
    leases = StateLeases(state)
    late = leases.take("k", NOW)
    assert late is not None
    assert leases.take("k", NOW + 11) is not None
    late.give_back(NOW + 12)
    assert leases.take("k", NOW + 12) is None
    state.close()
