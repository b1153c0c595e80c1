"""What happens when a process forks: locks, descriptors, and threads that fork at the same time."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path

import pytest

import jobs
from conftest import Records, Run
from logpool import LoggingProcessPoolExecutor, LogRelay
from logpool._process import forks

THREADS_THAT_FORK = """
import importlib, logging, multiprocessing, sys, threading

for name in sys.argv[1].split(","):
    importlib.import_module(name)

import logpool

def work(number):
    logging.getLogger("app").info("%d", number)
    return number

def use_pools(kind, results):
    fork = multiprocessing.get_context("fork")
    for number in range(8):
        if kind == "executor":
            with logpool.LoggingProcessPoolExecutor(1, fork) as executor:
                results.append(executor.submit(work, number).result())
        elif kind == "relay":
            with logpool.LogRelay(fork) as relay, fork.Pool(1, initializer=relay.install) as pool:
                results.append(pool.apply(work, (number,)))
        else:
            process = fork.Process(target=int)
            process.start()
            process.join()
            results.append(number)

results = []
threads = [threading.Thread(target=use_pools, args=(kind, results)) for kind in ("executor", "relay", "process") * 2]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(results))
"""

MODULES = ("logpool.executor", "concurrent.futures.thread", "logpool.relay")


@pytest.mark.parametrize("order", [",".join(order) for order in itertools.permutations(MODULES)])
def test_threads_that_fork_at_the_same_time_do_not_wait_for_each_other(run_program: Run, order: str) -> None:
    ended = run_program(THREADS_THAT_FORK, order)
    assert ended.stdout == "48\n", ended.stderr


WAITING_HOOK = """
import os, sys, threading, time

lock = threading.Lock()

def register():
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

if sys.argv[1] == "before":
    register()
from logpool._process import forks
if sys.argv[1] == "after":
    register()

inside = threading.Event()

def wait_for_the_hook():
    with forks.no_concurrent_fork():
        inside.set()
        with lock:  # Never to be done, but by a signal handler, say, or when garbage is collected.
            pass

def fork():
    if os.fork() == 0:
        os._exit(0)
    os.wait()

with lock:
    waiting = threading.Thread(target=wait_for_the_hook)
    waiting.start()
    inside.wait()
    forking = threading.Thread(target=fork)
    forking.start()
waiting.join()
forking.join()
print("ended")
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_lock_of_another_hook_that_is_wanted_meanwhile_delays_a_fork_and_no_more(
    run_program: Run, order: str
) -> None:
    ended = run_program(WAITING_HOOK, order)
    assert ended.stdout == "ended\n", ended.stderr


def test_a_fork_waits_for_all_handlers_together_no_longer_than_for_one(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "TIMEOUT", 0.5)
    go_on = threading.Event()
    records.on_message["slow"] = go_on.wait
    slow = [Records() for _ in range(3)]
    for handler in slow:
        handler.on_message["slow"] = go_on.wait
    with (
        LogRelay(handlers=slow[:1]) as one,
        LogRelay(handlers=slow[1:2]) as two,
        LogRelay(handlers=slow[2:]) as three,
    ):
        for relay in (one, two, three):
            relay.queue.put(logging.makeLogRecord({"msg": "slow", "levelno": 20}))
        for handler in slow:
            handler.wait_for("slow")
        before = time.monotonic()
        process = multiprocessing.get_context("fork").Process(target=int)
        process.start()
        waited = time.monotonic() - before
        go_on.set()
        process.join()
    assert 0.5 <= waited < 1.0


def open_on(pid: int) -> dict[int, str]:
    return {int(name): os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has open is listed in /proc")
@pytest.mark.parametrize(("start_method", "pipes"), [("fork", 2), ("forkserver", 1)])
def test_a_forked_manager_process_has_nothing_open_but_its_own(
    start_method: str, pipes: int, tmp_path: Path, records: Records
) -> None:
    reader, writer = os.pipe()
    with (
        (tmp_path / "file").open("w"),
        LoggingProcessPoolExecutor(1, multiprocessing.get_context(start_method)) as executor,
    ):
        executor.submit(jobs.log, "connected").result()
        (manager,) = [child for child in multiprocessing.active_children() if child.name == "LogManager"]
        assert manager.pid is not None
        kinds = [what.partition("[")[0] for number, what in sorted(open_on(manager.pid).items()) if number > 2]
    # A worker's pipe, and with fork the one that tells the parent of the end.
    assert sorted(kinds) == ["anon_inode:"] * 2 + ["pipe:"] * pipes + ["socket:"] * 3
    os.close(reader)
    os.close(writer)
