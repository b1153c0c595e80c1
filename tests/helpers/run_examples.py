"""Runs the examples, and the programs of README and docs, as a user does: each in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = CHECKOUT / "examples"

WORKER_NAMES = {
    "fork": r"ForkProcess-\d+",
    "forkserver": r"ForkServerProcess-\d+",
    "spawn": r"SpawnProcess-\d+",
}


def user_environment() -> dict[str, str]:
    """Return the environment without what pytest and Python are told by it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}


def run(example: str, cwd: Path, *arguments: str) -> str:
    """Runs an example, and returns what it wrote to stdout. It must write nothing to stderr."""
    completed = run_python(cwd, str(EXAMPLES / example), *arguments)
    assert (completed.returncode, completed.stderr) == (0, "")
    return completed.stdout


def run_python(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=user_environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
