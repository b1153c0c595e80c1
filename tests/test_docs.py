"""The documentation: each program writes what is shown below it, and what the pages name and link to is there.

A program is a block of Python that has a main guard. What it writes to the console is in the next block of text, and
what it writes to files in blocks that have the file's name as their caption. Programs that need other packages are run
by test_third_party.py.
"""

from __future__ import annotations

import ast
import logging
import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from logging.handlers import RotatingFileHandler
from multiprocessing.synchronize import Semaphore
from pathlib import Path

import pytest

from documents import DOCS, PAGES, Program, check_program, module_of_the_tutorial, programs_of
from logpool import LoggingProcessPoolExecutor
from run_examples import CHECKOUT, run_python

PROGRAMS = [program for page in PAGES for program in programs_of(page)]


@pytest.mark.parametrize(
    "program", [program for program in PROGRAMS if not program.packages], ids=lambda program: program.name
)
def test_a_program_writes_what_is_below_it(program: Program, tmp_path: Path) -> None:
    check_program(program, tmp_path)


def test_a_test_in_the_docs_passes(tmp_path: Path) -> None:
    page = (DOCS / "how-to" / "programs.md").read_text()
    (test,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def test_" in block)
    (tmp_path / "test_docs.py").write_text(test)
    (tmp_path / "shop.py").write_text(module_of_the_tutorial())
    completed = run_python(tmp_path, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert completed.returncode == 0, completed.stdout
    assert "1 passed" in completed.stdout


def test_each_test_that_the_docs_name_is_there() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", page.read_text())}
    assert len(named) > 100
    there = {(path.name, "") for path in Path(__file__).parent.glob("test_*.py")}
    for path in Path(__file__).parent.glob("test_*.py"):
        functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
        there |= {(path.name, function.name) for function in functions}
    assert sorted(named - there) == []


def test_each_benchmark_that_the_docs_name_is_there() -> None:
    named = {name for page in PAGES for name in re.findall(r"benchmark `(\w+)`", page.read_text())}
    assert named
    assert sorted(name for name in named if not (CHECKOUT / "benchmarks" / "parts" / f"{name}.py").exists()) == []


def test_each_file_that_the_docs_link_to_is_there() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())]
    assert links
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


def test_each_text_that_bounds_an_included_part_is_there() -> None:
    included = [
        (page, path, text)
        for page in PAGES
        for path, options in re.findall(
            r"^```\{(?:literal)?include\} (\S+)\n((?::.*\n)*)", page.read_text(), re.MULTILINE
        )
        for text in re.findall(r"^:(?:start|end)-\w+: (.*)$", options, re.MULTILINE)
    ]
    assert included
    assert [
        (path, text) for page, path, text in included if text.strip('"') not in (page.parent / path).read_text()
    ] == []


def test_each_example_is_in_the_table() -> None:
    table = (DOCS / "how-to" / "index.md").read_text().partition("## Examples")[2]
    names = {path.name for path in (CHECKOUT / "examples").iterdir()} - {"__pycache__", "logs"}
    assert set(re.findall(r"^\| \[?`(\w+(?:\.py)?)/?`", table, re.MULTILINE)) == names


# What README and docs say of the stock class.

rotated = logging.getLogger("test_docs.rotated")

turns: list[Semaphore] = []
"""What two forked workers wait for, so that they log in turns."""


def log_lines(first: int, last: int) -> None:
    for number in range(first, last):
        rotated.info("line %04d", number)


def log_before_and_after() -> None:
    between, after = turns
    log_lines(0, 90)
    between.release()
    assert after.acquire(timeout=40)
    log_lines(110, 130)


def log_between() -> None:
    between, after = turns
    assert between.acquire(timeout=40)
    log_lines(90, 110)
    after.release()


@pytest.mark.parametrize(("make", "lines"), [(ProcessPoolExecutor, 30), (LoggingProcessPoolExecutor, 130)])
def test_a_file_that_forked_workers_rotate_loses_lines_and_the_parents_does_not(
    make: Callable[..., Executor], lines: int, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    handler = RotatingFileHandler(tmp_path / "shop.log", maxBytes=1001, backupCount=1)  # 100 lines of 10 bytes.
    rotated.addHandler(handler)
    rotated.setLevel("INFO")
    rotated.propagate = False
    turns.extend([context.Semaphore(0), context.Semaphore(0)])
    try:
        with make(2, context) as executor:
            for future in [executor.submit(log_before_and_after), executor.submit(log_between)]:
                future.result()
    finally:
        turns.clear()
        rotated.removeHandler(handler)
        handler.close()
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.iterdir()) == lines
