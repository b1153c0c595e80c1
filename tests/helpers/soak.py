"""An hour, or however long, of pools, jobs, faults and slow handlers at random.

    python tests/helpers/soak.py --minutes 60

Round after round a pool of a random kind runs jobs that log numbered records, from threads and forked children as well,
while something random happens to it. In the end it says what became of all records, and what is left. Its exit code
is 1 if a record was lost, doubled or garbled, if something hung, or if something is left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.context import BaseContext

import harness
from harness import Figures, Ledger, Leftovers
from logpool import LoggingProcessPoolExecutor

STREAMS = 48
"""Most that a round has."""

FAULTS = (
    "nothing",
    "nothing",
    "a worker is killed",
    "a worker is terminated",
    "a worker exits",
    "a worker has a segmentation fault",
    "a worker stands still for a while",
    "the manager is killed",
    "no job",
    "exit without waiting",
)


class Round:
    """One pool's life."""

    def __init__(self, number: int, chance: random.Random, directory: str, helpers: set[int]) -> None:
        self.chance = chance
        self.helpers = helpers
        self.directory = directory
        self.start_method = harness.START_METHODS[number % 3]
        self.context: BaseContext = get_context(self.start_method)
        self.fault = chance.choice(FAULTS)
        self.network = chance.random() < 0.1
        self.delay = chance.choice((0.0, 0.0, 0.0, 0.0002, 0.001))
        self.workers = chance.randint(1, 4)
        self.backlog = chance.choice((1, 2**20, 64 * 2**20))
        self.ledger = Ledger(os.path.join(directory, "tally"), STREAMS, self.delay)
        self.error = os.path.join(directory, "stderr")
        self.breaks = self.fault.startswith("a worker") and "stands" not in self.fault
        self._stream = 0

    def __str__(self) -> str:
        network = ", over the network" if self.network else ""
        return (
            f"{self.start_method}, {self.workers} workers, backlog {self.backlog:,}, "
            f"{self.delay * 1000} ms a record{network}; {self.fault}"
        )

    def run(self) -> Figures:
        """Runs it.

        Returns:
            What became of its records.
        """
        with harness.handled_by(self.ledger):
            executor = self._make()
            futures = []
            if self.fault != "no job":
                futures = [executor.submit(*self._job()) for _ in range(self.chance.randint(1, 8))]
                if self.fault in ("a worker is killed", "a worker is terminated"):
                    # So that there is something to break. An idle worker that dies just when the pool is being shut
                    # down makes the standard library's own pool hang, if it was the one that waited for a job.
                    futures.append(executor.submit(harness.log_stream, self.ledger.path, self._take()))
            if self.fault == "exit without waiting":
                pool_thread = executor._executor_manager_thread
                executor.shutdown(wait=False)
                if pool_thread is not None:
                    pool_thread.join()
            else:
                self._do_harm(executor, futures)
                errors = harness.errors_of(futures)
                executor.shutdown()
                if any(not isinstance(error, BrokenProcessPool) for error in errors if error is not None):
                    print(errors, file=sys.stderr)
                    self.ledger.garbled += 1
                if not self.breaks and any(errors):
                    print("broken", errors, file=sys.stderr)
                    self.ledger.garbled += 1
        harness.wait_for_all_but(self.helpers)
        figures = self.ledger.settle(gone=self.fault == "the manager is killed", error=self.error)
        figures.tried = int(self.fault not in ("nothing", "no job", "exit without waiting"))
        figures.wrong += self._wrong_reports()
        return figures

    def _make(self) -> LoggingProcessPoolExecutor:
        usual = tempfile.tempdir
        if self.network:
            # No directory, so no place for a socket but the loopback interface.
            tempfile.tempdir = os.path.join(self.directory, "no such directory")
        try:
            return LoggingProcessPoolExecutor(
                self.workers, self.context, harness.write_stderr_to, (self.error,), log_backlog=self.backlog
            )
        finally:
            tempfile.tempdir = usual

    def _take(self, count: int = 1) -> int:
        first = self._stream
        self._stream += count
        return first

    def _job(self) -> tuple[Callable[..., object], ...]:
        path, count = self.ledger.path, self.chance.randint(1, 150)
        kind = self.chance.randrange(8)
        if kind == 0:
            threads = self.chance.randint(2, 5)
            return harness.log_streams_from_threads, path, self._take(threads), threads, count
        if kind == 1:
            return harness.log_stream_of_a_fork, path, self._take(), count
        # Under fork alone, or each would take as long as all the rest. And not where the worker may be killed: what a
        # process has not yet handled of its own workers' records goes with it, as with any parent.
        if kind == 2 and self.start_method == "fork" and not self.breaks:
            return harness.log_nested, "fork", 1, path, self._take(), count
        return harness.log_stream, path, self._take(), count

    def _do_harm(self, executor: LoggingProcessPoolExecutor, futures: list[object]) -> None:
        if not futures:
            return
        path = self.ledger.path
        if self.fault in ("a worker exits", "a worker has a segmentation fault"):
            how = "exit" if self.fault == "a worker exits" else "SIGSEGV"
            # Broken already: an earlier job's worker may be the one that has died.
            with contextlib.suppress(BrokenProcessPool):
                executor.submit(harness.crash_after, path, self._take(), self.chance.randint(0, 20), how)
            return
        harness.random_moment(self.chance, 0.2 if self.start_method == "spawn" else 0.05)
        with contextlib.suppress(ProcessLookupError):
            if self.fault == "the manager is killed":
                os.kill(harness.manager().pid, signal.SIGKILL)
                return
            workers = harness.workers()
            if not workers:
                return
            pid = self.chance.choice(workers).pid
            if self.fault == "a worker is killed":
                os.kill(pid, signal.SIGKILL)
            elif self.fault == "a worker is terminated":
                os.kill(pid, signal.SIGTERM)
            elif self.fault == "a worker stands still for a while":
                os.kill(pid, signal.SIGSTOP)
                harness.random_moment(self.chance, 0.1)
                os.kill(pid, signal.SIGCONT)

    def _wrong_reports(self) -> int:
        """Counts what the library's own log said too often or not at all."""
        levels = Counter(report.levelname for report in self.ledger.reports)
        if self.fault == "the manager is killed":
            expected = [{"ERROR": 1}]
        elif self.breaks:
            expected = [{"CRITICAL": 1}]
        else:
            expected = [{}]
        if dict(levels) in expected:
            return 0
        print(self, [report.getMessage()[:200] for report in self.ledger.reports], file=sys.stderr, flush=True)
        return 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs pools, and faults, at random.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    directory = harness.set_apart()
    helpers = set(harness.family())
    chance = random.Random(options.seed)
    total, seen = Figures(), Counter[str]()
    current: list[Round] = []

    def say() -> None:
        print(f"{total}; in this round: {current[-1] if current else None}", flush=True)

    watchdog = harness.Watchdog(say, limit=180)

    def run_round(number: int) -> None:
        current[:] = [Round(number, chance, directory, helpers)]
        with watchdog:
            try:
                figures = current[0].run()
            except BaseException:
                say()
                raise
        if not figures.is_clean:
            print(f"round {number}: {figures}; {current[0]}", file=sys.stderr, flush=True)
        seen[current[0].fault] += 1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(current[0].error)
        nonlocal total
        total += figures

    # First a few rounds that don't count: what Python imports and keeps at first use is no leftover.
    for number in range(30):
        run_round(number)
    total, before = Figures(), Leftovers.now()
    seen.clear()
    print(f"seed {options.seed}, {options.minutes} minutes; before: {before}", flush=True)
    start = said = time.monotonic()
    while time.monotonic() < start + 60 * options.minutes:
        run_round(sum(seen.values()))
        if time.monotonic() > said + 15:
            said = time.monotonic()
            print(f"{(said - start) / 60:.1f} minutes, {seen.total()} rounds: {total}", flush=True)
    after = Leftovers.now()
    print(f"rounds: {seen.total()}; " + ", ".join(f"{fault} {count}" for fault, count in sorted(seen.items())))
    print(f"records: {total}")
    print("hangs: 0")
    print(f"before: {before}\nafter:  {after}")
    return int(not total.is_clean or not after.is_no_more_than(before))


if __name__ == "__main__":
    sys.exit(main())
