"""What is left of a worker's records when it is killed, and what becomes of the others.

Everything here counts, and nothing is timed: so the ways run side by side.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import files, jobs, ways
from benchmarks.results import Part, at_most, make_table
from benchmarks.session import Session

COMPARED = [
    "logpool",
    "recipe",
    "multiprocessing_queue",
    "multiprocessing_logging",
    "loguru",
    "concurrent_log_handler",
    "logger_tt",
]

RECORDS = 1_000
"""That a worker logs before it is killed by the last of its own lines."""

OF_OTHER = 2_000
"""That another worker logs while one is killed."""

PATIENCE = 6.0
"""Seconds after which a worker that goes on logging is taken as stuck. It takes less than one."""

MESSAGE = re.compile(rb"(victim|other) (\d+)$", re.MULTILINE)

Prepare = Callable[[], object]
"""Called in a worker before it logs."""


@contextmanager
def _logpool(handler: logging.FileHandler) -> Iterator[Prepare]:
    from logpool import LogRelay

    logging.getLogger().addHandler(handler)
    with LogRelay() as relay:
        yield relay.install


@contextmanager
def _with_queue(handler: logging.FileHandler, queue: Any) -> Iterator[Prepare]:
    listener = logging.handlers.QueueListener(queue, handler)
    listener.start()
    yield lambda: logging.getLogger().addHandler(logging.handlers.QueueHandler(queue))
    listener.stop()


@contextmanager
def _recipe(handler: logging.FileHandler) -> Iterator[Prepare]:
    with multiprocessing.Manager() as manager, _with_queue(handler, manager.Queue(-1)) as prepare:
        yield prepare


@contextmanager
def _multiprocessing_logging(handler: logging.FileHandler) -> Iterator[Prepare]:
    from multiprocessing_logging import install_mp_handler

    logging.getLogger().addHandler(handler)
    install_mp_handler()
    yield bool


@contextmanager
def _concurrent_log_handler(handler: logging.FileHandler) -> Iterator[Prepare]:
    yield lambda: ways.log_to_shared_file(handler.baseFilename, jobs.RECORD_FORMAT)


@contextmanager
def _loguru(handler: logging.FileHandler) -> Iterator[Prepare]:
    from loguru import logger

    logger.remove()
    logger.add(handler.baseFilename, enqueue=True, format="{message}")
    yield bool


@contextmanager
def _logger_tt(handler: logging.FileHandler) -> Iterator[Prepare]:
    from logger_tt import setup_logging

    config = Path(handler.baseFilename).with_name("logger_tt.json")
    described = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "formatter": "plain", "filename": handler.baseFilename}},
        "loggers": {},
        "root": {"level": "INFO", "handlers": ["file"]},
        "logger_tt": {},
    }
    config.write_text(json.dumps(described))
    # The method by which the workers are started. It uses a multiprocessing.Queue then.
    setup_logging(str(config), use_multiprocessing="fork")
    yield bool


SETUPS: dict[str, Callable[[logging.FileHandler], AbstractContextManager[Prepare]]] = {
    "logpool": _logpool,
    "recipe": _recipe,
    "multiprocessing_queue": lambda handler: _with_queue(handler, multiprocessing.Queue(-1)),
    "multiprocessing_logging": _multiprocessing_logging,
    "concurrent_log_handler": _concurrent_log_handler,
    "loguru": _loguru,
    "logger_tt": _logger_tt,
}


def _logger_of(way: str) -> Callable[[str], object]:
    if way == "loguru":
        from loguru import logger

        return logger.info
    return logging.getLogger(jobs.LOGGER_NAME).info


def _work(way: str, prepare: Prepare, name: str, count: int, returned: Any) -> None:
    """Logs numbered records in a worker, and notes after each call how many have returned."""
    prepare()
    log = _logger_of(way)
    for number in range(1, count + 1):
        log(f"{name} {number}")
        returned.value = number


def _work_and_die(*args: Any) -> None:
    _work(*args)
    os.kill(os.getpid(), signal.SIGKILL)


def measure(way: str, at_random: bool, seed: int = 0) -> None:
    """Kills one worker. Prints what is left of its records, and of the other's, and ends the process.

    Args:
        way: The way of logging.
        at_random: Whether the worker is killed at a random moment, beside another that goes on.
        seed: Of the moment.
    """
    directory = tempfile.TemporaryDirectory()
    handler = files.make_handler(Path(directory.name, "log"))
    setup = SETUPS[way](handler)  # Kept, as it would be left if it were collected.
    prepare = setup.__enter__()
    by_victim, by_other = (multiprocessing.Value("Q", 0, lock=False) for _ in range(2))
    if at_random:
        other = multiprocessing.Process(target=_work, args=(way, prepare, "other", OF_OTHER, by_other))
        victim = multiprocessing.Process(target=_work, args=(way, prepare, "victim", sys.maxsize, by_victim))
        victim.start()
        other.start()
        while not (by_victim.value and by_other.value):
            time.sleep(0.001)
        time.sleep(random.Random(seed).uniform(0.005, 0.1))
        victim.kill()
        other.join(PATIENCE)
        stuck = other.is_alive()
    else:
        victim = multiprocessing.Process(target=_work_and_die, args=(way, prepare, "victim", RECORDS, by_victim))
        victim.start()
        stuck = False
    victim.join()
    logged = {"victim": by_victim.value, "other": by_other.value}
    files.LineCounter(Path(handler.baseFilename)).wait_for(sum(logged.values()))
    found: dict[str, set[int]] = {"victim": set(), "other": set()}
    for name, number in MESSAGE.findall(Path(handler.baseFilename).read_bytes()):
        found[name.decode()].add(int(number))
    # What returned is to be there. The call in which it was killed may have, or not.
    lost = {name: len(set(range(1, count + 1)) - found[name]) for name, count in logged.items()}
    print(json.dumps({"logged": logged, "lost": lost, "stuck": stuck}), flush=True)
    # What a way has started may wait for a dead worker by now, and can't be ended in good order.
    for child in multiprocessing.active_children():
        child.kill()
    directory.cleanup()
    os._exit(0)


def run(session: Session) -> Part:
    """Kills workers of each way.

    Args:
        session: The run.
    """
    names = ways.available(COMPARED)
    at_random = _take(session, names, session.choose(6, 1), at_random=True)
    after_all = _take(session, names, session.choose(2, 1), at_random=False)
    names = [name for name in names if at_random[name] and after_all[name]]
    arrived = {name: [1 - one["lost"]["victim"] / RECORDS for one in after_all[name]] for name in names}
    extra: dict[str, dict[str, float | str]] = {}
    for name in names:
        kills = at_random[name]
        extra[name] = {
            "killed at random: lost": sum(one["lost"]["victim"] for one in kills),
            "of": sum(one["logged"]["victim"] for one in kills),
            "other worker: lost": sum(one["lost"]["other"] for one in kills),
            "other worker never ends": f"{sum(one['stuck'] for one in kills)} of {len(kills)}",
        }
    shares = {name: [share * 100 for share in taken] for name, taken in arrived.items()}
    title = f"Of {RECORDS:,} records of a worker that is killed by SIGKILL when its last call has returned, there are"
    lost = {name: sum(one["lost"]["victim"] for one in [*at_random[name], *after_all[name]]) for name in names}
    return Part(
        "survival",
        "What survives SIGKILL",
        [make_table(title, "%", shares, ways.TITLES, None, extra)],
        [
            at_most("records lost of workers of logpool's that were killed", 0, lost["logpool"], "records"),
            at_most(
                "records lost of logpool's other worker",
                0,
                sum(one["lost"]["other"] for one in at_random["logpool"]),
                "records",
            ),
            at_most(
                "logpool's other worker that never ends", 0, sum(one["stuck"] for one in at_random["logpool"]), "kills"
            ),
        ],
    )


def _take(session: Session, names: list[str], rounds: int, *, at_random: bool) -> dict[str, list[dict[str, Any]]]:
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(rounds):
        session.show(f"survival: {'killed at random' if at_random else 'killed'}, round {number + 1} of {rounds}")
        trials = {
            name: session.start("survival", {"way": name, "at_random": at_random, "seed": number}) for name in names
        }
        for name, trial in trials.items():
            if (measured := session.finish(trial, f"survival {name}")) is not None:
                taken[name].append(measured)
    return taken
