"""Takes programs out of the documentation, and runs them."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import NamedTuple

from run_examples import CHECKOUT, run_python

DOCS = CHECKOUT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)

BLOCK = re.compile(r"^```(?:\{code-block\} )?(\w+)\n(?::caption: ([^\n]*)\n\n?)?(.*?)^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


class Program(NamedTuple):
    """A program, and what it writes."""

    name: str
    """The page's name and the heading above the program."""
    source: str
    console: str
    files: dict[str, str]

    @property
    def packages(self) -> list[str]:
        """The packages that it imports besides the standard library, logpool and the module of the tutorial."""
        names = set()
        for node in ast.walk(ast.parse(self.source)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
        known = {*sys.stdlib_module_names, "logpool", "shop"}
        extras = {"distributed"} if "logpool.dask" in names else set()
        return sorted(extras | {name.partition(".")[0] for name in names} - known)


def programs_of(page: Path) -> list[Program]:
    """Return the programs of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    # Headings in blocks are comments.
    headings = [(match.start(), match[1]) for match in HEADING.finditer(BLOCK.sub(lambda m: " " * len(m[0]), text))]
    found: list[Program] = []
    is_below = False
    for match in BLOCK.finditer(text):
        language, caption, body = match.groups()
        if language != "text":
            is_below = language == "python" and "__main__" in body
            if is_below:
                heading = [heading for start, heading in headings if start < match.start()][-1]
                found.append(Program(f"{page.stem}: {heading}", body, "", {}))
        elif is_below and caption:
            found[-1].files[caption] = body
        elif is_below:
            found[-1] = found[-1]._replace(console=body)
    return found


README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
README_BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
"""Language and text of each block in README.md."""


def program_of_readme() -> Program:
    """Return README's first program, and what it writes."""
    source = next(text for language, text in README_BLOCKS if language == "python" and "__main__" in text)
    return Program("README", source, [text for language, text in README_BLOCKS if language == "text"][1], {})


def module_of_the_tutorial() -> str:
    """Return the text of shop.py, which many programs import."""
    tutorial = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    return next(match[3] for match in BLOCK.finditer(tutorial) if match[2] == "shop.py")


def comparable(text: str) -> list[str]:
    """Return the lines of an output in an order that tells nothing, with one name for all workers."""
    text = re.sub(r"\b\w*(Process|PoolWorker)-\d+|\bDask Worker process \(from Nanny\)", "WORKER", text)
    text = re.sub(r"\(pid \d+\)", "(pid PID)", text)
    return sorted(re.sub(r"\b\d\d:\d\d:\d\d\b", "TIME", line) for line in text.splitlines())


def check_program(program: Program, directory: Path) -> None:
    """Runs a program, and compares what it writes with what the page says."""
    (directory / "shop.py").write_text(module_of_the_tutorial(), encoding="utf-8")
    (directory / "program.py").write_text(program.source, encoding="utf-8")
    completed = run_python(directory, "program.py")
    console = completed.stdout + completed.stderr
    assert completed.returncode == 0, console
    assert comparable(console) == comparable(program.console)
    for name, text in program.files.items():
        assert (directory / name).read_text() == text
