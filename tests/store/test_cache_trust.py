"""The disk cache: whom it trusts."""

from __future__ import annotations

import pickle
import stat
from pathlib import Path

import pytest

from llmrouter.store.cache import DiskCache
from tests.store.planting import KEY, Payload, database, execute


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
