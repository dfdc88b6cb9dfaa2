"""Leases in the locked bytes of a file, among routers, threads and processes of one machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmrouter.store import lease_file
from llmrouter.store.lease_file import FILE, FileLeases

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(not lease_file.supported(), reason="no open file description locks here"),
]

NOW = 1_800_000_000.0
HOLDER = """
import sys, time
from llmrouter.store.lease_file import FileLeases
leases = FileLeases(sys.argv[1])
assert leases.take("k", 0.0)
print("held", flush=True)
"""


@contextmanager
def process(directory: Path, lines: str) -> Iterator[subprocess.Popen[str]]:
    """Run the lines in a process that holds "k"."""
    started = subprocess.Popen(
        [sys.executable, "-c", HOLDER + lines, directory], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == "held\n"
        yield started
    finally:
        started.kill()
        started.communicate()


def free_within(leases: FileLeases, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if leases.take("k", NOW) is not None:
            return True
        time.sleep(0.01)
    return False


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_making_leases_touches_no_disk(tmp_path: Path) -> None:
    FileLeases(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_two_routers_of_one_process_are_strangers(tmp_path: Path) -> None:
    one, other = FileLeases(tmp_path), FileLeases(tmp_path)
    lease = one.take("k", NOW)
    assert lease is not None
    assert other.take("k", NOW) is None
    lease.give_back(NOW)
    assert other.take("k", NOW) is not None


def test_another_process_is_kept_out_until_the_lease_is_given_back(tmp_path: Path) -> None:
    leases = FileLeases(tmp_path)
    with process(tmp_path, "input(); leases._held['k'].give_back(0.0); print('free', flush=True); input()") as holder:
        assert leases.take("k", NOW) is None
        assert leases.take("other", NOW) is not None
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "free\n"
        assert leases.take("k", NOW) is not None


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    leases = FileLeases(tmp_path)
    with process(tmp_path, "time.sleep(60)") as holder:
        assert leases.take("k", NOW) is None
        holder.kill()
        holder.wait()
        assert leases.take("k", NOW) is not None


def test_a_child_that_outlives_its_killed_parent_holds_nothing_of_it(tmp_path: Path) -> None:
    leases = FileLeases(tmp_path)
    forks = """
import os
if os.fork() == 0:
    os.close(0)
    os.close(1)
    time.sleep(20)
    os._exit(0)
print("forked", flush=True)
time.sleep(60)
"""
    with process(tmp_path, forks) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "forked\n"
        holder.kill()
        holder.wait()
        assert free_within(leases, 5.0)


def test_a_child_takes_leases_of_its_own(tmp_path: Path) -> None:
    forks = """
import os
child = os.fork()
if child == 0:
    os._exit(0 if leases.take("k", 0.0) is None and leases.take("mine", 0.0) else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
    with process(tmp_path, forks) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "0\n"


def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    one, other = FileLeases(tmp_path), FileLeases(tmp_path)
    assert one.take("before", NOW)
    (tmp_path / FILE).unlink()
    assert one.take("k", NOW) is not None
    assert other.take("k", NOW) is None


def test_closed_leases_can_be_used_again(tmp_path: Path) -> None:
    leases = FileLeases(tmp_path)
    lease = leases.take("k", NOW)
    assert lease is not None
    lease.give_back(NOW)
    leases.close()
    assert leases.take("k", NOW) is not None


def test_what_is_held_stays_held_when_the_leases_are_closed(tmp_path: Path) -> None:
    leases = FileLeases(tmp_path)
    assert leases.take("k", NOW)
    leases.close()
    assert FileLeases(tmp_path).take("k", NOW) is None


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    FileLeases(tmp_path / "new").take("k", NOW)
    assert (tmp_path / "new" / FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_leases_let_go_of_close_their_file(tmp_path: Path) -> None:
    before = _descriptors()
    for _ in range(20):
        FileLeases(tmp_path).take("k", NOW)
    assert _descriptors() <= before + 1


def test_a_directory_that_cannot_be_used_costs_one_warning_and_no_lease(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("")
    leases = FileLeases(tmp_path / "file")
    for lease in (leases.take("k", NOW), leases.take("other", NOW)):
        assert lease is not None
        lease.give_back(NOW)
    assert leases.take("k", NOW) is not None
    assert len(said) == 1
    assert FILE in said[0]
