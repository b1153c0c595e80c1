"""Whatever set-up code runs again in a worker, a program's output is the same as with threads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import START_METHODS
from programs import EXPECTED, POOLS, PROGRAMS

GROUPS = [list(PROGRAMS)[first : first + 6] for first in range(0, len(PROGRAMS), 6)]

RUNNER = Path(__file__).parent / "helpers" / "run_programs.py"


def write(program: str, directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "pools.py").write_text(POOLS)
    for number, module in enumerate(re.split(r"^--- ?", program, flags=re.MULTILINE)):
        name, _, source = ("main\n" + module if number == 0 else module).partition("\n")
        (directory / f"{name}.py").write_text(source)


def output(directory: Path) -> list[str]:
    """Return what a program printed and wrote, line by line. The order is another matter."""
    lines = (directory / "output").read_text().splitlines()
    for path in directory.glob("*.log"):
        name = "time" if path.stem.isdigit() else path.stem
        lines += [f"{name}.log: {line}" for line in path.read_text().splitlines()]
    return sorted(lines)


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_the_output_is_the_same_as_with_threads(names: list[str], tmp_path: Path) -> None:
    methods = ("thread", *START_METHODS)
    directories = {method: [tmp_path / method / str(number) for number in range(len(names))] for method in methods}
    runners = []
    for method in methods:
        for name, directory in zip(names, directories[method]):
            write(PROGRAMS[name], directory)
        runners.append(subprocess.Popen([sys.executable, str(RUNNER), method, *map(str, directories[method])]))
    for runner in runners:
        assert runner.wait() == 0
    outputs = {method: dict(zip(names, map(output, directories[method]))) for method in methods}
    expected = {name: EXPECTED.get(name, outputs["thread"][name]) for name in names}
    assert all(expected.values())
    assert {method: outputs[method] for method in START_METHODS} == dict.fromkeys(START_METHODS, expected)
