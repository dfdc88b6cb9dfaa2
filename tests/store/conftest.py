"""A disk cache in a folder that the test may spoil, and a key of shared state that no other test uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmrouter.store.cache import DiskCache
from tests.store.state_records import fresh_key


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(directory: Path) -> Iterator[DiskCache]:
    cache = DiskCache(directory, 2**26)
    yield cache
    cache.close()


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return fresh_key("test")
