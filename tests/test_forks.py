"""A forked child finds free what other threads of its parent held: `llmrouter.forks`."""

from __future__ import annotations

import os

import pytest

from tests.processes import worker

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
]

ASKS = """
from llmrouter import forks
def child_takes(*locks):
    child = os.fork()
    if child == 0:
        os._exit(0 if all(lock.acquire(timeout=5) for lock in locks) else 3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
stop = threading.Event()
def holding(*locks):
    def hold():
        while not stop.is_set():
            for lock in locks:
                lock.acquire()
            time.sleep(0.001)
            for lock in locks:
                lock.release()
            time.sleep(0.0001)
    thread = threading.Thread(target=hold)
    thread.start()
    return thread
start()
"""


def told(lines: str) -> object:
    with worker(ASKS + lines, None) as started:
        value = started.heard()
        assert started.ended() == 0, started.said
    return value


def test_a_lock_that_another_thread_keeps_taking_is_free_in_every_child() -> None:
    lines = """
lock = forks.lock()
thread = holding(lock)
statuses = [child_takes(lock) for _ in range(20)]
stop.set()
thread.join()
tell(statuses)
"""
    assert told(lines) == [0] * 20


def test_locks_that_threads_take_in_opposite_orders_are_free_in_every_child() -> None:
    lines = """
locks = [forks.lock(), forks.rlock()]
guard = forks.lock()  # the threads do not block each other
def both(first, second):
    while not stop.is_set():
        with guard, first:
            with second:
                time.sleep(0.001)
        time.sleep(0.0001)
threads = [threading.Thread(target=both, args=pair) for pair in (locks, locks[::-1])]
for thread in threads:
    thread.start()
statuses = [child_takes(guard, *locks) for _ in range(20)]
stop.set()
for thread in threads:
    thread.join()
tell(statuses)
"""
    assert told(lines) == [0] * 20


def test_the_locks_of_many_busy_threads_are_all_free_in_every_child() -> None:
    lines = """
locks = [forks.lock() for _ in range(12)]
def busy(lock):
    while not stop.is_set():
        with lock:
            time.sleep(0.002)
threads = [threading.Thread(target=busy, args=[lock]) for lock in locks]
for thread in threads:
    thread.start()
statuses = [child_takes(*locks) for _ in range(10)]
stop.set()
for thread in threads:
    thread.join()
tell(statuses)
"""
    assert told(lines) == [0] * 10


def test_a_lock_that_is_never_let_go_holds_up_a_fork_for_a_moment_only() -> None:
    lines = """
stuck, other = forks.lock(), forks.lock()
stuck.acquire()
started = time.monotonic()
status = child_takes(other)
tell([status, time.monotonic() - started < 4, other.locked()])
"""
    assert told(lines) == [0, True, False]


def test_threads_that_fork_at_once_each_have_a_child_that_can_go_on() -> None:
    lines = """
lock = forks.lock()
thread = holding(lock)
with ThreadPoolExecutor(4) as pool:
    statuses = list(pool.map(lambda _: child_takes(lock), range(12)))
stop.set()
thread.join()
tell([statuses, lock.locked()])
"""
    assert told(lines) == [[0] * 12, False]


def test_a_child_can_fork_in_its_turn() -> None:
    lines = """
lock = forks.rlock()
child = os.fork()
if child == 0:
    os._exit(child_takes(lock))
tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert told(lines) == 0
