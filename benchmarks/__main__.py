"""The command: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine, pictures, report
from benchmarks.results import Part
from benchmarks.session import Session

PARTS = [
    "throughput",
    "survival",
    "kinds",
    "jobs",
    "worker_time",
    "latency",
    "below_level",
    "startup",
    "workers",
    "sizes",
    "busy_parent",
    "slow_handler",
    "idle",
    "cluster",
    "endurance",
]
"""In the order in which they run: what matters most comes first."""

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Runs what the command line asks for.

    Returns:
        The exit code: 1 if a measurement failed, 0 also for targets that were missed.
    """
    arguments = _arguments()
    session = Session(quick=arguments.quick, alone=arguments.only is not None)
    description: dict[str, Any] = {"machine": machine.describe(), "quick": arguments.quick}
    print(machine.caption(description["machine"]))
    parts: list[Part] = []
    for name in arguments.only or PARTS:
        try:
            part = importlib.import_module(f"benchmarks.parts.{name}").run(session)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            continue
        finally:
            session.clear()
        report.print_part(part)
        parts.append(part)
        # Each time, so that a run that is interrupted leaves what it has.
        report.write_json(_partial() / "results.json", description, parts)
    report.write_json(_directory(arguments) / "results.json", description, parts)
    for path in pictures.draw(_directory(arguments), description["machine"], parts):
        print(f"drawn: {path}")
    print(f"written: {_directory(arguments) / 'results.json'}, after {session.elapsed():.0f} s")
    for failure in session.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if session.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures logpool beside other ways.")
    parser.add_argument("--quick", action="store_true", help="rough figures in less than a minute")
    parser.add_argument("--only", metavar="NAME", choices=PARTS, action="append", help=f"one of {', '.join(PARTS)}")
    return parser.parse_args()


def _directory(arguments: argparse.Namespace) -> Path:
    """Returns where the results go. A full run's are kept; those of parts and rough runs must not replace them."""
    if not arguments.quick and arguments.only is None:
        return HERE
    return _partial()


def _partial() -> Path:
    partial = HERE / "partial"
    partial.mkdir(exist_ok=True)
    return partial


if __name__ == "__main__":
    sys.exit(main())
