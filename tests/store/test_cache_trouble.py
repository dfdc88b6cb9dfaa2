"""The disk cache: no state of its directory ever costs a call."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmrouter.store.cache import DiskCache, Write
from tests.store.planting import KEY, database, execute, run_restricted


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


def test_a_thread_that_starts_while_somebody_writes_reads_at_once(
    cache: DiskCache, directory: Path, warnings: list[str]
) -> None:
    cache.set(KEY, b"v", 60)
    other = database(directory)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cache.get, KEY).result() is not None
    other.close()
    assert not warnings


def test_what_is_written_behind_calls_waits_longer_for_others(cache: DiskCache, directory: Path) -> None:
    cache.set(KEY, b"v", 60)
    other = database(directory)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        stored = pool.submit(cache.set_all, {KEY: Write(b"new", 60, 0.0, time.time())})
        time.sleep(0.5)  # longer than anything on the way of a call waits
        other.close()
        assert stored.result()


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
