"""What a user sees of the package: its names, its version, its help."""

from __future__ import annotations

import inspect
import pydoc
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import logpool
from conftest import Run

ROOT = Path(__file__).parent.parent

CLASSES = ["JobFuture", "LogQueue", "LogRelay", "LoggingProcessPoolExecutor", "RelayListener"]


def test_a_fresh_import_shows_what_is_public_and_nothing_else() -> None:
    source = (
        "import logpool; print(*dir(logpool)); from logpool import *; print(LogRelay.__name__); print(*dir(logpool))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=40, check=True)
    names = " ".join([*sorted(CLASSES), "__version__"])
    assert done.stdout.splitlines() == [names, "LogRelay", names]


@pytest.mark.parametrize("name", CLASSES)
def test_each_public_class_tells_what_it_is_for(name: str) -> None:
    public = getattr(logpool, name)
    assert inspect.isclass(public)
    assert public.__name__ == name
    assert inspect.getdoc(public)
    for method, value in vars(public).items():
        if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            assert inspect.getdoc(value), method


def test_a_name_that_does_not_exist_says_so() -> None:
    with pytest.raises(AttributeError, match="module 'logpool' has no attribute 'QueueListener'"):
        logpool.QueueListener  # noqa: B018


def test_help_has_the_classes_and_the_version() -> None:
    text = pydoc.plain(pydoc.render_doc(logpool))
    assert all(f"class {name}(" in text for name in CLASSES)
    assert logpool.__version__ in text


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "logpool.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", logpool.__version__)


@pytest.mark.parametrize("name", ["LogRelay", "LoggingProcessPoolExecutor"])
def test_the_example_in_the_docstring_runs(run_program: Run, tmp_path: Path, name: str) -> None:
    text = inspect.getdoc(getattr(logpool, name))
    assert text is not None
    example = textwrap.dedent("".join(re.findall(r"^    .*\n?|^\n", text, re.MULTILINE)))
    ended = run_program(example)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "[0, 2, 4, 6, 8]\n"
    assert (tmp_path / "shop.log").read_text().count("INFO:shop:doubling ") == 5
