"""Takes measurements in fresh interpreters, in turn, and shows how far it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

TIMEOUT = 90.0
"""Seconds after which a measurement is given up. None comes near it unless a way of logging hangs."""

TIMEOUT_ALONE = 900.0
"""The same where one part was asked for by name, which may take its time."""

Samples = dict[str, list[dict[str, Any]]]
"""For each name what was measured, round by round. A round in which something failed is in none of the lists."""


class Session:
    """One run of the command."""

    def __init__(self, *, quick: bool, alone: bool) -> None:
        """Makes a session.

        Args:
            quick: Whether rough figures will do.
            alone: Whether one part was asked for by name, which may take its time.
        """
        self.quick = quick
        self.alone = alone
        self.failures: list[str] = []
        self._start = time.monotonic()

    def choose(self, full: int, quick: int) -> int:
        """Returns the first number in a full run, the second in a quick one."""
        return quick if self.quick else full

    def interleave(self, part: str, settings: dict[str, dict[str, Any]], rounds: int) -> Samples:
        """Takes the same measurements in each of several rounds, so that all suffer alike from what else goes on.

        Args:
            part: The module in `parts` whose `measure` is called.
            settings: Its arguments, by names of the caller's choice.
            rounds: How many rounds.

        Returns:
            What was measured. All lists are of the same length, and the same index is the same round.
        """
        samples: Samples = {name: [] for name in settings}
        names = list(settings)
        for number in range(rounds):
            one_round = {}
            # Each round begins with another one, so that none always comes behind the same.
            turn = number % len(names)
            for position, name in enumerate(names[turn:] + names[:turn], 1):
                self.show(f"{part}: round {number + 1} of {rounds}, {position} of {len(names)}: {name}")
                measured = self.measure(part, settings[name])
                if measured is not None:
                    one_round[name] = measured
            if len(one_round) == len(names):
                for name, measured in one_round.items():
                    samples[name].append(measured)
        if any(not taken for taken in samples.values()):
            raise RuntimeError(f"{part}: no round went through: {self.failures[-1]}")
        return samples

    def measure(self, part: str, settings: dict[str, Any]) -> dict[str, Any] | None:
        """Takes one measurement in an interpreter of its own.

        Args:
            part: The module in `parts` whose `measure` is called.
            settings: Its arguments.

        Returns:
            What it returned; None if it failed, which is added to `failures`.
        """
        trial = self.start(part, settings)
        return self.finish(trial, f"{part} {settings}")

    def start(self, part: str, settings: dict[str, Any]) -> subprocess.Popen[str]:
        """Starts a measurement. As `measure` does, for several at a time.

        Args:
            part: The module in `parts` whose `measure` is called.
            settings: Its arguments.
        """
        return subprocess.Popen(
            # Python warns of forks beside threads, which most of the ways of logging cause.
            [sys.executable, "-W", "ignore", "-m", "benchmarks.trial", part, json.dumps(settings)],
            cwd=ROOT,
            # Start-up is measured as it is where packages are installed: with their bytecode.
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, trial: subprocess.Popen[str], name: str) -> dict[str, Any] | None:
        """Waits for a measurement.

        Args:
            trial: What `start` returned.
            name: For the message, should it fail.
        """
        limit = TIMEOUT_ALONE if self.alone else TIMEOUT
        try:
            output, errors = trial.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(trial.pid, signal.SIGKILL)  # It leads a group of its own, its workers are in it.
            trial.communicate()
            self.failures.append(f"{name}: took more than {limit:.0f} s")
            return None
        except BaseException:
            os.killpg(trial.pid, signal.SIGKILL)
            raise
        if trial.returncode != 0:
            last_line = (errors.strip().splitlines() or ["no message"])[-1]
            self.failures.append(f"{name}: {last_line}")
            return None
        measured: dict[str, Any] = json.loads(output)
        return measured

    def elapsed(self) -> float:
        """Returns for how many seconds this has been going on."""
        return time.monotonic() - self._start

    def show(self, text: str) -> None:
        """Shows what is going on.

        Args:
            text: Says it.
        """
        elapsed = f"{self.elapsed():4.0f} s  "
        if sys.stderr.isatty():
            print(f"\r\033[K{elapsed}{text}", end="", file=sys.stderr, flush=True)
        else:
            print(elapsed + text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Makes room for other output on a terminal."""
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
