"""Whatever set-up code runs again in a worker, a program's output is the same as with threads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import START_METHODS
from programs import EXPECTED, POOLS, PROGRAMS


def start(program: str, start_method: str, directory: Path) -> subprocess.Popen[str]:
    directory.mkdir()
    (directory / "pools.py").write_text(POOLS)
    for number, module in enumerate(re.split(r"^--- ?", program, flags=re.MULTILINE)):
        name, _, source = ("main" + "\n" + module if number == 0 else module).partition("\n")
        (directory / f"{name}.py").write_text(source)
    return subprocess.Popen(
        [sys.executable, "main.py", start_method],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output(started: subprocess.Popen[str], directory: Path) -> list[str]:
    """Return what a program printed and wrote, line by line. Order is another matter."""
    printed, _ = started.communicate(timeout=40)
    lines = [
        f"{'time' if file.stem.isdigit() else file.stem}.log: {line}"
        for file in directory.glob("*.log")
        for line in file.read_text().splitlines()
    ]
    return sorted([*printed.splitlines(), *lines])


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_output_is_the_same_as_with_threads(name: str, tmp_path: Path) -> None:
    started = {method: start(PROGRAMS[name], method, tmp_path / method) for method in ("thread", *START_METHODS)}
    outputs = {method: output(program, tmp_path / method) for method, program in started.items()}
    expected = EXPECTED.get(name, outputs.pop("thread"))
    assert expected
    outputs.pop("thread", None)
    assert outputs == dict.fromkeys(START_METHODS, expected)
