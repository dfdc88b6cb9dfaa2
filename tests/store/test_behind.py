"""Answers on their way to disk: found at once, written soon, lost by no ordinary end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llmrouter.store import behind
from llmrouter.store.behind import WriteBehind
from llmrouter.store.cache import DiskCache


def on_disk(folder: Path, key: str) -> bytes | None:
    cache = DiskCache(folder)
    try:
        entry = cache.get(key)
        return None if entry is None else entry.value
    finally:
        cache.close()


def until_on_disk(folder: Path, key: str) -> bytes | None:
    until = time.monotonic() + 5
    while on_disk(folder, key) is None and time.monotonic() < until:
        time.sleep(0.01)
    return on_disk(folder, key)


def test_what_was_set_is_found_at_once_and_soon_on_disk(tmp_path: Path) -> None:
    cache = WriteBehind(DiskCache(tmp_path))
    cache.set("k", b"v", 60.0)
    found = cache.get("k")
    assert found is not None
    assert (found.value, found.fresh) == (b"v", True)
    assert until_on_disk(tmp_path, "k") == b"v"
    cache.close()


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    cache = WriteBehind(DiskCache(tmp_path))
    for number in range(50):
        cache.set(str(number), b"v", None)
    cache.close()
    assert all(on_disk(tmp_path, str(number)) == b"v" for number in range(50))


def test_a_closed_one_can_be_used_again(tmp_path: Path) -> None:
    cache = WriteBehind(DiskCache(tmp_path))
    cache.close()
    cache.set("k", b"v", None)
    assert until_on_disk(tmp_path, "k") == b"v"
    cache.close()


def test_the_later_of_two_writes_stays(tmp_path: Path) -> None:
    cache = WriteBehind(DiskCache(tmp_path))
    cache.set("k", b"old", None)
    cache.set("k", b"new", None)
    found = cache.get("k")
    assert found is not None
    assert found.value == b"new"
    cache.close()
    assert on_disk(tmp_path, "k") == b"new"


def test_what_waits_has_its_age(tmp_path: Path) -> None:
    cache = WriteBehind(DiskCache(tmp_path / "file"))
    (tmp_path / "file").write_text("no directory, so that nothing is ever written")
    cache.set("k", b"v", 0.0, 60.0)
    found = cache.get("k")
    assert found is not None
    assert not found.fresh
    cache.close()


def test_more_than_fits_into_memory_is_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "_MOST_BYTES", 3)
    cache = WriteBehind(DiskCache(tmp_path))
    cache.set("k", b"four", None)
    assert cache.get("k") is None
    cache.close()


def test_the_thread_ends_without_work_and_starts_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "_IDLE_S", 0.01)
    cache = WriteBehind(DiskCache(tmp_path))
    for key in ("a", "b"):
        cache.set(key, b"v", None)
        assert until_on_disk(tmp_path, key) == b"v"
        until = time.monotonic() + 5
        while any(thread.name == "llmrouter-cache" for thread in threading.enumerate()):
            assert time.monotonic() < until
            time.sleep(0.01)
    cache.close()


def test_closing_waits_for_what_comes_afterwards(tmp_path: Path) -> None:
    cache = WriteBehind(DiskCache(tmp_path))
    done: list[bytes | None] = []

    def afterwards() -> None:
        time.sleep(0.05)
        done.append(on_disk(tmp_path, "k"))

    cache.set("k", b"v", None, 0.0, afterwards)
    until_on_disk(tmp_path, "k")
    cache.close()
    assert done == [b"v"]


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    cache = WriteBehind(DiskCache(tmp_path))

    def write(name: str) -> None:
        for number in range(50):
            cache.set(f"{name}-{number}", b"v", None)

    threads = [threading.Thread(target=write, args=(str(each),)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.close()
    assert all(on_disk(tmp_path, f"{each}-{number}") for each in range(4) for number in range(0, 50, 7))


def test_the_end_of_the_program_writes_what_waits(tmp_path: Path) -> None:
    program = (
        "from llmrouter.store.behind import WriteBehind; from llmrouter.store.cache import DiskCache; "
        f"cache = WriteBehind(DiskCache({str(tmp_path)!r})); cache.set('k', b'v', None)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert on_disk(tmp_path, "k") == b"v"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_writes_its_own(tmp_path: Path) -> None:
    cache = WriteBehind(DiskCache(tmp_path))
    cache.set("parent", b"v", None)
    child = os.fork()
    if child == 0:
        cache.set("child", b"v", None)
        cache.close()
        os._exit(0)
    os.waitpid(child, 0)
    cache.close()
    assert (on_disk(tmp_path, "parent"), on_disk(tmp_path, "child")) == (b"v", b"v")
