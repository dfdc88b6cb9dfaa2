"""The disk cache: what it returns, whom it trusts, and that no state of its directory ever costs a call."""

from __future__ import annotations

import errno
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llmrouter.store.cache import CacheStats, DiskCache, Entry

KEY = "a" * 64


class Payload:
    """Unpickling this creates the file it was made with."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(directory: Path) -> Iterator[DiskCache]:
    cache = DiskCache(directory, 2**26)
    yield cache
    cache.close()


def database(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(directory / "cache.db", isolation_level=None)


def execute(directory: Path, sql: str, *parameters: object) -> None:
    connection = database(directory)
    try:
        connection.execute(sql, parameters)
    finally:
        connection.close()


# ------------------------------------------------------------------------------------------------ entries


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


# ------------------------------------------------------------------------------------------------ trust


def test_a_pickle_planted_as_a_value_is_never_loaded(cache: DiskCache, directory: Path, tmp_path: Path) -> None:
    cache.set(KEY, b"v", 60)
    planted = pickle.dumps(Payload(tmp_path / "executed"))
    execute(directory, "UPDATE Cache SET mode = 4, value = ?", planted)
    assert cache.get(KEY) is None
    assert not (tmp_path / "executed").exists()


def test_a_pickle_planted_as_a_file_is_never_loaded(cache: DiskCache, directory: Path, tmp_path: Path) -> None:
    cache.set(KEY, b"v", 60)
    (directory / "planted.val").write_bytes(pickle.dumps(Payload(tmp_path / "executed")))
    execute(directory, "UPDATE Cache SET mode = 4, value = NULL, filename = 'planted.val'")
    assert cache.get(KEY) is None
    assert not (tmp_path / "executed").exists()


def test_a_pickle_planted_as_a_key_is_never_loaded(cache: DiskCache, directory: Path, tmp_path: Path) -> None:
    cache.set(KEY, b"v", 60)
    planted = pickle.dumps(Payload(tmp_path / "executed"))
    execute(
        directory, "INSERT INTO Cache (key, raw, store_time, expire_time, value) VALUES (?, 0, 0, 1, ?)", planted, b"v"
    )
    assert cache.get(KEY) is not None
    assert cache.stats().entries == 2
    assert cache._opened is not None
    with pytest.raises(Exception, match="not text"):
        list(cache._opened.database)
    assert cache.prune() == 1
    assert cache.clear() == 1
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("mode", [2, 3])
def test_a_row_cannot_choose_a_file_that_is_read(cache: DiskCache, directory: Path, tmp_path: Path, mode: int) -> None:
    outside = tmp_path / "outside"
    cache.set(KEY, b"v", 60)
    connection = database(directory)
    outside.write_bytes(connection.execute("SELECT value FROM Cache").fetchone()[0])
    connection.close()
    execute(directory, "UPDATE Cache SET mode = ?, value = NULL, filename = '../outside'", mode)
    assert cache.get(KEY) is None


def test_a_row_cannot_choose_a_file_that_is_deleted(cache: DiskCache, directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch()
    cache.set(KEY, b"v", 60)
    execute(directory, "UPDATE Cache SET filename = '../outside'")
    assert cache.clear() == 1
    assert outside.exists()


def test_keys_and_values_that_would_be_pickled_are_refused(cache: DiskCache, directory: Path) -> None:
    from llmrouter.store.disk import BytesDisk

    disk = BytesDisk(str(directory))
    with pytest.raises(TypeError, match="key is text"):
        disk.put((1, 2))
    with pytest.raises(TypeError, match="value is bytes"):
        disk.store({"a": 1}, False)


@pytest.mark.parametrize("blob", [b"", b"LLR1", b"LLR0" + bytes(40), b"\x80\x04N.", "text", 5])
def test_a_blob_in_another_form_is_a_miss(cache: DiskCache, directory: Path, blob: object) -> None:
    cache.set(KEY, b"v", 60)
    execute(directory, "UPDATE Cache SET value = ?", blob)
    assert cache.get(KEY) is None


def test_a_foreign_entry_is_replaced_by_the_next_set(cache: DiskCache, directory: Path) -> None:
    cache.set(KEY, b"v", 60)
    execute(directory, "UPDATE Cache SET mode = 4")
    assert cache.get(KEY) is None
    assert cache.set(KEY, b"again", 60)
    assert cache.get(KEY) is not None


def test_directory_and_files_are_ours_alone(cache: DiskCache, directory: Path) -> None:
    cache.set(KEY, b"v", 60)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_an_empty_directory_that_is_too_open_is_tightened(cache: DiskCache, directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    cache.set(KEY, b"v", 60)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_directory_with_other_things_is_left_as_it_is_with_a_warning(
    cache: DiskCache, directory: Path, warnings: list[str]
) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    (directory / "thesis.txt").touch()
    assert cache.set(KEY, b"v", 60)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o777
    assert "plant answers" in warnings[0]


# ------------------------------------------------------------------------------------------------ trouble


def test_a_corrupt_database_is_moved_aside_when_it_is_opened(
    cache: DiskCache, directory: Path, warnings: list[str]
) -> None:
    directory.mkdir(mode=0o700)
    (directory / "cache.db").write_bytes(b"this is no database" * 1000)
    assert cache.get(KEY) is None
    assert cache.set(KEY, b"v", 60)
    assert cache.get(KEY) is not None
    assert len(list(directory.glob("cache.db.corrupt-*"))) == 1
    assert len(warnings) == 1
    assert "corrupt" in warnings[0]


def test_a_database_that_breaks_while_it_is_open_is_moved_aside(
    cache: DiskCache, directory: Path, warnings: list[str]
) -> None:
    for number in range(200):
        cache.set(f"{number}", bytes(5000), 60)
    execute(directory, "PRAGMA wal_checkpoint(TRUNCATE)")
    with (directory / "cache.db").open("r+b") as file:
        file.write(b"garbage!" * 40_000)
    cache.set("other", b"v", 60)  # bumps what the connection believes to be current
    for number in range(200):
        assert cache.get(f"{number}") is None or not list(directory.glob("*.corrupt-*"))
    assert cache.set(KEY, b"v", 60)
    assert cache.get(KEY) is not None
    assert list(directory.glob("cache.db.corrupt-*"))
    assert sum("corrupt" in line for line in warnings) == 1


def test_a_database_cut_short_costs_no_call(cache: DiskCache, directory: Path) -> None:
    for number in range(50):
        cache.set(f"{number}", bytes(5000), 60)
    execute(directory, "PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(directory / "cache.db", 1000)
    for number in range(50):
        cache.get(f"{number}")
    cache.set(KEY, b"v", 60)


def test_only_the_latest_corrupt_file_is_kept_and_clear_removes_it(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    for stamp in ("20200101T000000Z", "20210101T000000Z"):
        (directory / f"cache.db.corrupt-{stamp}").touch()
    (directory / "cache.db").write_bytes(b"x" * 5000)
    cache = DiskCache(directory)
    cache.set(KEY, b"v", 60)
    assert len(list(directory.glob("*.corrupt-*"))) == 1
    cache.clear()
    assert not list(directory.glob("*.corrupt-*"))


def test_a_locked_database_costs_a_moment_and_one_warning(
    cache: DiskCache, directory: Path, warnings: list[str]
) -> None:
    cache.set(KEY, b"v", 60)
    other = database(directory)
    other.execute("BEGIN EXCLUSIVE")
    start = time.monotonic()
    assert not cache.set(KEY, b"new", 60)
    assert not cache.set(KEY, b"new", 60)
    assert time.monotonic() - start < 2
    other.close()
    assert len(warnings) == 1
    assert "locked" in warnings[0]
    assert cache.set(KEY, b"new", 60)


def test_a_database_locked_before_it_is_opened_costs_a_moment(directory: Path, warnings: list[str]) -> None:
    directory.mkdir(mode=0o700)
    other = database(directory)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    cache = DiskCache(directory)
    start = time.monotonic()
    assert cache.get(KEY) is None
    assert not cache.set(KEY, b"v", 60)
    assert time.monotonic() - start < 2
    other.close()
    assert len(warnings) == 1
    assert "locked" in warnings[0]


def test_a_thread_that_starts_while_the_database_is_locked_does_not_wait_long(
    cache: DiskCache, directory: Path
) -> None:
    cache.set(KEY, b"v", 60)
    cache.close()
    other = database(directory)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("UPDATE Settings SET value = value")
    start = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cache.get, KEY).result() is None
    assert time.monotonic() - start < 2
    other.close()


def test_a_path_below_a_regular_file_costs_a_warning(tmp_path: Path, warnings: list[str]) -> None:
    (tmp_path / "file").touch()
    cache = DiskCache(tmp_path / "file" / "cache")
    assert not cache.set(KEY, b"v", 60)
    assert cache.get(KEY) is None
    assert cache.stats().entries == 0
    assert len(warnings) == 1


def test_a_directory_in_place_of_the_database_costs_a_warning(directory: Path, warnings: list[str]) -> None:
    (directory / "cache.db").mkdir(parents=True)
    cache = DiskCache(directory)
    assert not cache.set(KEY, b"v", 60)
    assert cache.clear() == 0
    assert len(warnings) == 1


def test_a_deleted_directory_is_made_anew(cache: DiskCache, directory: Path, warnings: list[str]) -> None:
    cache.set(KEY, b"v", 60)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    assert cache.get(KEY) is None
    assert cache.set(KEY, b"v", 60)
    assert cache.get(KEY) is not None
    assert (directory / "cache.db").exists()
    assert len(warnings) == 1
    assert "deleted" in warnings[0]


def test_a_failed_opening_is_not_repeated_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskCache(tmp_path / "cache")
    tries = []

    def refuse() -> None:
        tries.append(1)
        raise OSError(errno.EROFS, "read-only file system")

    monkeypatch.setattr(cache, "_prepare_directory", refuse)
    for _ in range(10):
        cache.get(KEY)
    assert len(tries) == 1


def run_restricted(program: str, directory: Path, **options: Any) -> str:
    code = "import sys; from pathlib import Path; from llmrouter.store.cache import DiskCache\n" + textwrap.dedent(
        program
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return f"{done.stdout}{done.stderr}"


def test_a_read_only_directory_costs_one_warning(directory: Path) -> None:
    program = """
        import os, tempfile
        import diskcache, loguru, llmrouter.store.disk  # while the package can still be read
        loguru.logger.enable("llmrouter")
        if os.geteuid() == 0:  # root may write anywhere: go on as nobody
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        path = Path(tempfile.mkdtemp())
        path.chmod(0o500)
        cache = DiskCache(path)
        assert cache.set("k", b"v", 60) is False
        assert cache.get("k") is None
        path.rmdir()
    """
    output = run_restricted(program, directory)
    assert output.count("cannot be written to") == 1


def test_a_full_disk_costs_one_warning_and_entries_stay_readable(directory: Path) -> None:
    program = """
        import os, resource
        import loguru
        loguru.logger.enable("llmrouter")
        cache = DiskCache(Path(sys.argv[1]), 2**28)
        assert cache.set("small", b"v", 60)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, resource.RLIM_INFINITY))
        for number in range(5):
            assert cache.set(f"{number}", os.urandom(2**20), 60) is False
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        cache._rest_until = 0.0
        assert cache.get("small").value == b"v"
        assert cache.set("again", b"v", 60)
    """
    output = run_restricted(program, directory)
    assert output.count("WARNING") == 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_really_full_file_system_costs_one_warning(tiny_disk: Path, warnings: list[str]) -> None:
    cache = DiskCache(tiny_disk / "cache", 2**28)
    assert cache.set("small", b"v", 60)
    assert not cache.set("large", os.urandom(2**20), 60)
    assert not cache.set("large", os.urandom(2**20), 60)
    assert cache.get("small") is not None
    assert len(warnings) == 1
    assert "full" in warnings[0]
    cache.close()


# ------------------------------------------------------------------------------------------------ sharing


def test_threads_share_a_cache(cache: DiskCache) -> None:
    def use(number: int) -> Entry | None:
        cache.set(f"{number}", str(number).encode(), 60)
        return cache.get(f"{number}")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(use, range(200)))
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
