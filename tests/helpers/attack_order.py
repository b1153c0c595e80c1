"""Attacks on the order of records and results, with parts of pools that are killed and handlers that misbehave.

In each round a pool runs some jobs, each of which logs some records. Meanwhile a worker is killed, or the manager
process, or the listener is stopped, or nothing happens; and the handler is fast, or slow, or raises, or submits jobs
itself. When a future has a result, its callback looks whether all records of its job have been handled.

    python tests/helpers/attack_order.py --jobs 10000 --seed 1

prints how many jobs there were, how many results came before a record of theirs, and how many futures had no end. Once
the manager is killed or the listener stopped, results don't wait any more, and are counted by themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import logging
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from logpool import LoggingProcessPoolExecutor

START_METHODS = ("fork", "forkserver", "spawn")

NAME = "attack"

WAIT = 60.0
"""Seconds after which a future that has no result counts as one that never will."""

ACTS = ("nothing", "nothing", "kill a worker", "kill the manager", "stop the listener", "shut down")

HANDLERS = ("fast", "slow", "raises", "submits")


def work(job: int, records: int, size: int) -> tuple[int, int]:
    logger = logging.getLogger(NAME)
    for number in range(records):
        logger.info("%d %d %s", job, number, "x" * size)
    return job, records


class Handler(logging.Handler):
    """Counts the records of each job, and misbehaves."""

    def __init__(self, kind: str, chance: random.Random, executor: LoggingProcessPoolExecutor) -> None:
        super().__init__()
        self.kind = kind
        self.chance = chance
        self.executor = executor
        self.handled: Counter[int] = Counter()

    def handle(self, record: logging.LogRecord) -> bool:
        assert isinstance(record.args, tuple)
        job: Any = record.args[0]
        try:
            if self.kind == "slow":
                time.sleep(0.0005)  # Slow is what it is: nothing is waited for.
            elif self.kind == "raises" and self.chance.random() < 0.3:
                raise SystemExit("an attack")
            elif self.kind == "submits" and job >= 0 and self.chance.random() < 0.05:
                with contextlib.suppress(BrokenProcessPool, RuntimeError):  # The pool is broken, or was shut down.
                    self.executor.submit(work, -1, 2, 10).result()
        finally:
            self.handled[job] += 1
        return True


class Round:
    """One pool, its handler, and what becomes of its jobs."""

    def __init__(self, seed: int, jobs: int, found: Counter[str]) -> None:
        self.chance = random.Random(seed)
        self.count = jobs
        self.found = found
        self.is_free = False  # Whether results need not wait any more.
        self.done = 0
        self.act_at = self.chance.randrange(jobs)
        self.act = self.chance.choice(ACTS)
        self.acting = threading.Event()

    def run(self) -> None:
        method, kind = self.chance.choice(START_METHODS), self.chance.choice(HANDLERS)
        workers = self.chance.randint(1, 3)
        self.what = f"{method}, {workers} workers, handler {kind}, {self.act}"
        with LoggingProcessPoolExecutor(workers, multiprocessing.get_context(method)) as executor:
            self.handler = Handler(kind, self.chance, executor)
            logger = logging.getLogger(NAME)
            logger.handlers[:] = [self.handler]
            attacker = threading.Thread(target=self._attack, args=(executor,))
            attacker.start()
            futures: list[Future[tuple[int, int]]] = []
            for job in range(self.count):
                records, size = self.chance.choice((0, 1, 1, 2, 5, 20)), self.chance.choice((1, 100, 20_000))
                try:
                    future = executor.submit(work, job, records, size)
                except (BrokenProcessPool, RuntimeError):
                    break
                future.add_done_callback(self._check)
                futures.append(future)
            deadline = time.monotonic() + WAIT
            for future in futures:
                # Not `wait`: for futures that a pool has cancelled when it was shut down, that waits for ever.
                with contextlib.suppress(CancelledError, BrokenProcessPool):
                    try:
                        future.result(max(0.0, deadline - time.monotonic()))
                    except TimeoutError:
                        self.found["futures without an end"] += 1
                        print("no end:", self.what, flush=True)
            self.acting.set()
            attacker.join()
        self.found["jobs"] += len(futures)
        self.found["rounds"] += 1

    def _check(self, future: Future[tuple[int, int]]) -> None:
        is_free = self.is_free
        if future.cancelled() or future.exception() is not None:
            self.found["jobs without a result"] += 1
        else:
            job, records = future.result()
            if self.handler.handled[job] < records:
                self.found["results that need not wait" if is_free else "results before their records"] += 1
                if not is_free:
                    print("too early:", self.what, job, flush=True)
        self.done += 1
        if self.done >= self.act_at:
            self.acting.set()

    def _attack(self, executor: LoggingProcessPoolExecutor) -> None:
        self.acting.wait()
        children = {child.name: child for child in multiprocessing.active_children()}
        if self.act == "kill a worker":
            workers = [child for name, child in children.items() if name != "LogManager"]
            if workers and (pid := self.chance.choice(workers).pid) is not None:
                thread = executor._executor_manager_thread
                os.kill(pid, signal.SIGKILL)
                # A stock pool that is shut down before it has noticed may wait for ever: the worker had a lock.
                thread.join()
        elif self.act == "kill the manager":
            self.is_free = True
            if (pid := children["LogManager"].pid) is not None:
                os.kill(pid, signal.SIGKILL)
        elif self.act == "stop the listener":
            self.is_free = True
            executor.log_listener.stop()
        elif self.act == "shut down":
            executor.shutdown(wait=False, cancel_futures=self.chance.random() < 0.5)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    logging.getLogger("logpool").addHandler(logging.NullHandler())
    logging.getLogger("logpool").propagate = False
    logging.getLogger(NAME).setLevel(logging.INFO)
    logging.getLogger(NAME).propagate = False
    logging.raiseExceptions = False
    # Workers whose manager was killed write all their records to stderr.
    stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    found: Counter[str] = Counter()
    seed = options.seed
    while found["jobs"] < options.jobs:
        # A hang is a failure: all stacks are printed, and this ends.
        faulthandler.dump_traceback_later(3 * WAIT, exit=True, file=stderr)
        Round(seed, 200, found).run()
        seed += 1
    faulthandler.cancel_dump_traceback_later()
    for what, count in sorted(found.items()):
        print(f"{count:8} {what}")
    return int(bool(found["futures without an end"] or found["results before their records"]))


if __name__ == "__main__":
    raise SystemExit(main())
