"""Runs CPython's own tests of ProcessPoolExecutor, with this project's class in place of theirs or as they are.

    python tests/helpers/cpython_suite.py stock|logpool|compare

It wants a Python that ships the package `test.test_concurrent_futures`, in a virtual environment that it may put a
`.pth` file into: two of the tests start a fresh interpreter and import the class, by its name, from
`concurrent.futures`.

Prints the tests' own output, and as its last line a JSON object with the figures. `compare` runs both side by side, and
fails if a test does, or if this project's class causes a warning that the stock class doesn't: of dangling threads,
processes left to be reaped, leaked semaphores.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import unittest
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MODULES = ("test_process_pool", "test_shutdown", "test_init", "test_as_completed", "test_wait", "test_deadlock")

LEFT_OUT = {
    "test_python_finalization_error": (
        "It lets `threading` start one thread and no other, and expects a pool that breaks for want of the thread "
        "that feeds its call queue. Here the first thread is the listener's, the second the pool's own, and `submit` "
        "raises RuntimeError."
    ),
}
"""Tests that can't pass by their nature, each with the reason."""

LIMIT = 500
"""Seconds for each of the two, which take 100. The stock class of 3.13.0 hangs now and then: see
`cpython.feed_without_lock`."""

LEFTOVERS = re.compile(r"[Dd]angling thread|reap_children|leaked|failed to clean up|ResourceWarning|unraisable")

BOOTSTRAP = """\
import concurrent.futures
import logpool
concurrent.futures.LoggingProcessPoolExecutor = logpool.LoggingProcessPoolExecutor
"""


@contextlib.contextmanager
def class_in_concurrent_futures() -> Iterator[None]:
    """In this interpreter in place of the stock class, and by its own name in each that is started from here."""
    import logpool

    stock = concurrent.futures.ProcessPoolExecutor
    packages = Path(sysconfig.get_path("purelib"))
    module = packages / "logpool_in_concurrent_futures.py"
    starter = module.with_suffix(".pth")
    module.write_text(BOOTSTRAP)
    starter.write_text(f"import {module.stem}\n")
    concurrent.futures.ProcessPoolExecutor = logpool.LoggingProcessPoolExecutor
    try:
        yield
    finally:
        concurrent.futures.ProcessPoolExecutor = stock
        starter.unlink()
        module.unlink()


def look_for_children_later() -> None:
    """Have a test's end wait for the threads of its pools before it looks for children that nobody has waited for.

    Some tests leave that to a cleanup, which comes after the look. The manager process is such a child, for which the
    pool's thread is just about to wait; workers that the forkserver has started are none.
    """
    from test import support

    from logpool._parent.pool_thread import PoolThread

    look = support.reap_children

    def wait_and_look() -> None:
        for thread in threading.enumerate():
            if isinstance(thread, PoolThread):
                thread.join(support.SHORT_TIMEOUT)
        look()

    support.reap_children = wait_and_look


def tests_of(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    return [test for item in suite for test in (tests_of(item) if isinstance(item, unittest.TestSuite) else [item])]


def main() -> int:
    kind = sys.argv[1]
    if sys.prefix == sys.base_prefix:
        sys.exit("run this in a virtual environment")
    if kind == "compare":
        return compare()
    with class_in_concurrent_futures() if kind == "logpool" else contextlib.nullcontext():
        return run(kind)


def compare() -> int:
    started = {
        kind: subprocess.Popen(
            [sys.executable, "-u", __file__, kind],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        for kind in ("stock", "logpool")
    }
    outputs = {kind: output_of(process) for kind, process in started.items()}
    if outputs["stock"] is None:
        print(f"stock: has not ended in {LIMIT} seconds, and was killed")
    warned: dict[str, Counter[str]] = {"stock": Counter()}
    ok = started["logpool"].returncode == 0
    for kind, output in outputs.items():
        if output is None:
            continue
        lines = output.splitlines()
        warned[kind] = Counter(found.group() for line in lines if (found := LEFTOVERS.search(line)))
        try:
            figures = json.loads(lines[-1])
        except (IndexError, ValueError):
            print(output)
            ok = False
            continue
        failed = figures["failures"] + figures["errors"]
        print(
            f"{kind}: {figures['run']} run, {len(failed)} failed, {len(figures['skipped'])} skipped by CPython, "
            f"{len(figures['left_out'])} left out by name, {sum(warned[kind].values())} warnings of leftovers"
        )
        for name in figures["left_out"]:
            print("  left out:", name)
        if failed:
            print(output)
            ok = False
    for name, reason in LEFT_OUT.items():
        print(f"{name}: {reason}")
    if outputs["logpool"] is None:
        print(f"logpool: has not ended in {LIMIT} seconds, and was killed")
        return 1
    more = warned["logpool"] - warned["stock"]
    if more and outputs["stock"] is not None:
        print("leftovers that the stock class doesn't cause:", dict(more))
        print(outputs["logpool"])
        ok = False
    return int(not ok)


def output_of(process: subprocess.Popen[bytes]) -> str | None:
    """Return what a process has written when it has ended; None: it didn't in time."""
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    return output.decode(errors="replace")


def run(kind: str) -> int:
    if kind == "logpool":
        look_for_children_later()
    left_out: list[str] = []
    suite = unittest.TestSuite()
    for name in MODULES:
        module = importlib.import_module(f"test.test_concurrent_futures.{name}")
        loaded = unittest.TestSuite()
        for test in tests_of(unittest.defaultTestLoader.loadTestsFromModule(module)):
            if "ThreadPool" in type(test).__name__:
                continue
            if kind == "logpool" and test._testMethodName in LEFT_OUT:
                left_out.append(test.id())
                continue
            loaded.addTest(test)
        suite.addTest(loaded)
    warnings.simplefilter("default")
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    figures = {
        "class": kind,
        "run": result.testsRun,
        "failures": [test.id() for test, _ in result.failures],
        "errors": [test.id() for test, _ in result.errors],
        "skipped": sorted(f"{test.id()}: {why}" for test, why in result.skipped),
        "left_out": left_out,
    }
    print(json.dumps(figures))
    return not result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
