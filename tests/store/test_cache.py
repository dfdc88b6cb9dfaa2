"""The disk cache: what it returns, and who shares it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmrouter.store.cache import CacheStats, DiskCache, Entry
from tests.store.planting import KEY, database, execute, run_restricted


def test_making_a_cache_touches_no_disk(directory: Path) -> None:
    DiskCache(directory, 2**20)
    assert not directory.exists()


def test_making_a_cache_does_not_import_diskcache() -> None:
    program = "import sys, llmrouter.store.cache as c; c.DiskCache('/nowhere'); sys.exit('diskcache' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_is_set_is_returned_fresh(cache: DiskCache) -> None:
    assert cache.set(KEY, b"\x00value", 60)
    entry = cache.get(KEY)
    assert entry is not None
    assert entry.value == b"\x00value"
    assert entry.fresh
    assert 0 <= entry.age_s < 5


def test_an_unknown_key_is_none(cache: DiskCache) -> None:
    assert cache.get(KEY) is None


def test_an_expired_entry_that_is_kept_comes_back_not_fresh(cache: DiskCache) -> None:
    cache.set(KEY, b"v", 0.01, stale_s=60)
    time.sleep(0.02)
    entry = cache.get(KEY)
    assert entry is not None
    assert not entry.fresh
    assert entry.age_s >= 0.02


def test_an_entry_past_its_stale_time_is_gone(cache: DiskCache) -> None:
    cache.set(KEY, b"v", 0.01, stale_s=0.01)
    time.sleep(0.05)
    assert cache.get(KEY) is None


def test_no_ttl_is_for_ever(cache: DiskCache) -> None:
    cache.set(KEY, b"v", None)
    entry = cache.get(KEY)
    assert entry is not None
    assert entry.fresh


def test_nothing_is_stored_without_a_time_to_live(cache: DiskCache) -> None:
    assert not cache.set(KEY, b"v", 0)
    assert cache.get(KEY) is None


def test_set_replaces(cache: DiskCache) -> None:
    cache.set(KEY, b"old", 60)
    cache.set(KEY, b"new", 60)
    entry = cache.get(KEY)
    assert entry is not None
    assert entry.value == b"new"


def test_a_clock_that_went_back_gives_age_zero(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.set(KEY, b"v", 60)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    entry = cache.get(KEY)
    assert entry is not None
    assert entry.age_s == 0


def test_large_values_stay_in_the_database_and_survive_reopening(cache: DiskCache, directory: Path) -> None:
    value = os.urandom(3 * 2**20)
    assert cache.set(KEY, value, 60)
    cache.close()
    entry = DiskCache(directory, 2**26).get(KEY)
    assert entry is not None
    assert entry.value == value
    assert all(path.name.startswith("cache.db") for path in directory.iterdir())


def test_a_value_too_large_for_the_cache_is_refused_with_a_warning(directory: Path, warnings: list[str]) -> None:
    assert not DiskCache(directory, 2**20).set(KEY, bytes(2**20), 60)
    assert "is not cached" in warnings[0]


def test_delete_tells_whether_there_was_one(cache: DiskCache) -> None:
    cache.set(KEY, b"v", 60)
    assert cache.delete(KEY)
    assert not cache.delete(KEY)
    assert cache.get(KEY) is None


def test_clear_returns_how_many_entries_there_were(cache: DiskCache) -> None:
    for number in range(3):
        cache.set(f"{number}", b"v", 60)
    assert cache.clear() == 3
    assert cache.stats().entries == 0


def test_prune_removes_expired_entries_only(cache: DiskCache) -> None:
    cache.set("kept", b"v", 60)
    cache.set("gone", b"v", 0.01)
    time.sleep(0.02)
    assert cache.prune() == 1
    assert cache.get("kept") is not None


def test_prune_brings_the_cache_below_its_limit(directory: Path) -> None:
    big = DiskCache(directory, 2**26)
    for number in range(100):
        big.set(f"{number}", os.urandom(20_000), 60)
    big.close()
    small = DiskCache(directory, 2**19)
    assert small.prune() > 0
    assert small.stats().bytes <= 2**19


def test_writing_keeps_the_cache_near_its_limit(directory: Path) -> None:
    cache = DiskCache(directory, 2**19)
    for number in range(100):
        cache.set(f"{number}", os.urandom(20_000), 60)
    assert cache.stats().bytes <= 2**19 + 2**16
    assert cache.get("99") is not None


def test_stats_tell_size_and_use(cache: DiskCache, directory: Path) -> None:
    cache.set(KEY, b"v", 60)
    cache.get(KEY)
    cache.get("other")
    stats = cache.stats()
    assert (stats.entries, stats.hits, stats.misses) == (1, 1, 1)
    assert (stats.directory, stats.size_limit) == (directory, 2**26)
    assert stats.bytes > 0


def test_looking_at_a_cache_that_does_not_exist_creates_nothing(cache: DiskCache, directory: Path) -> None:
    assert cache.stats() == CacheStats(directory, 0, 0, 2**26, 0, 0)
    assert (cache.clear(), cache.prune(), cache.delete(KEY)) == (0, 0, False)
    assert not directory.exists()


def test_a_closed_cache_opens_again(cache: DiskCache) -> None:
    cache.set(KEY, b"v", 60)
    cache.close()
    cache.close()
    assert cache.get(KEY) is not None


def test_the_size_limit_given_wins_over_the_one_stored(directory: Path) -> None:
    first = DiskCache(directory, 2**26)
    first.set(KEY, b"v", 60)
    first.close()
    again = DiskCache(directory, 2**22)
    again.get(KEY)
    assert again._opened is not None
    assert again._opened.database.size_limit == 2**22


def test_settings_planted_in_the_database_are_not_used(cache: DiskCache, directory: Path) -> None:
    cache.set(KEY, b"v", 60)
    cache.close()
    execute(directory, "INSERT OR REPLACE INTO Settings VALUES ('eviction_policy', 'nonsense')")
    execute(directory, "INSERT OR REPLACE INTO Settings VALUES ('sqlite_user_version', 7)")
    assert cache.get(KEY) is not None
    cache.close()
    connection = database(directory)
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


def test_threads_share_a_cache(directory: Path) -> None:
    cache = DiskCache(directory, timeout=30)  # on a crowded machine eight writers may take turns for long

    def use(number: int) -> Entry | None:
        cache.set(f"{number}", str(number).encode(), 60)
        return cache.get(f"{number}")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(use, range(200)))
    cache.close()
    assert [entry.value for entry in found if entry] == [str(number).encode() for number in range(200)]


def test_closing_closes_the_connections_of_all_threads(cache: DiskCache, directory: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    release = threading.Event()
    ready = threading.Barrier(4)

    def use() -> None:
        cache.set(threading.current_thread().name, b"v", 60)
        ready.wait()
        release.wait()

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait()
    cache.close()
    still_open = [fd for fd in descriptors.iterdir() if str(directory) in os.path.realpath(fd)]
    release.set()
    for thread in threads:
        thread.join()
    assert still_open == []


def test_a_forked_child_and_its_parent_both_go_on(directory: Path) -> None:
    program = """
        import os
        cache = DiskCache(Path(sys.argv[1]))
        cache.set("parent", b"v", 60)
        child = os.fork()
        if child == 0:
            ok = cache.get("parent") is not None and cache.set("child", b"v", 60)
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert cache.get("child") is not None
        assert cache.set("later", b"v", 60)
    """
    assert run_restricted(program, directory) == ""


def test_processes_that_start_together_all_get_a_cache(directory: Path) -> None:
    program = (
        "import sys; from llmrouter.store.cache import DiskCache; c = DiskCache(sys.argv[1], timeout=5)\n"
        "sys.exit(not all(c.set(f'{sys.argv[2]}-{n}', b'v', 60) for n in range(20)))"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(directory), str(number)]) for number in range(4)]
    assert [process.wait() for process in started] == [0, 0, 0, 0]
    assert DiskCache(directory).stats().entries == 80
