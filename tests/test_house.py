"""Which folder may import which: the path of a module tells in which process it runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import logpool

SOURCE = Path(logpool.__file__).parent

BELOW = {
    "_process": set(),
    "_record": {"_process"},
    "_transport": {"_record", "_process"},
    "_manager": {"_transport", "_record", "_process"},
    "_worker": {"_transport", "_record", "_process"},
    "_parent": {"_manager", "_worker", "_transport", "_record", "_process"},
    "_dask": {"_parent", "_worker", "_transport", "_record", "_process"},
}
"""What each folder may import from. The public modules may import from all."""


def imported_folders(module: Path) -> set[str]:
    """Return the folders of this package that a module imports from, wherever in its text."""
    folders = set()
    for node in ast.walk(ast.parse(module.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            first, _, rest = name.partition(".")
            if first == "logpool" and rest:
                folders.add(rest.partition(".")[0])
    return folders


@pytest.mark.parametrize("folder", BELOW)
def test_a_folder_imports_only_from_those_below_it(folder: str) -> None:
    modules = list((SOURCE / folder).glob("*.py"))
    assert modules
    for module in modules:
        assert imported_folders(module) <= BELOW[folder] | {folder}, module


def test_all_modules_but_the_public_ones_are_in_folders() -> None:
    assert {module.name for module in SOURCE.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "dask.py",
        "executor.py",
        "relay.py",
    }
    assert {folder.name for folder in SOURCE.iterdir() if folder.is_dir() and folder.name != "__pycache__"} == set(
        BELOW
    )


def test_a_dask_worker_imports_nothing_of_the_client_and_a_scheduler_nothing_at_all() -> None:
    assert imported_folders(SOURCE / "_dask" / "worker.py").isdisjoint({"_parent", "dask"})
    # It is pickled by value, for a scheduler that has no logpool.
    assert imported_folders(SOURCE / "_dask" / "scheduler.py") == set()


PRIVATE_NAMES_OF_OTHERS = {"cpython.py", "distributed.py"}
"""Where they stand, each under a plain name."""


def names_made_in(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def private_attributes_in(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield f"super().{node.attr}" if ast.unparse(node.value) == "super()" else node.attr


def test_private_names_of_others_are_used_in_one_module() -> None:
    modules = [path for path in SOURCE.rglob("*.py") if path.name not in PRIVATE_NAMES_OF_OTHERS]
    own = {name for module in modules for name in names_made_in(module)}
    own.add("_exit")  # Of `os`. It is documented.
    assert {(path.name, name) for path in modules for name in private_attributes_in(path) if name not in own} == set()


def loaded_by(*modules: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after it has imported some."""
    source = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=40, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("folder", ["_process", "_transport", "_manager"])
def test_what_moves_bytes_knows_nothing_of_logging(folder: str) -> None:
    # What cpython.py knows, the manager process doesn't import.
    names = {path.stem for path in (SOURCE / folder).glob("*.py")} - {"__init__", "cpython"}
    modules = [f"logpool.{folder}.{name}" for name in names]
    loaded = loaded_by(*modules)
    assert set(modules) <= loaded
    assert "logging" not in loaded


TAKES_LONG = {"asyncio", "hmac", "multiprocessing.managers", "multiprocessing.pool", "typing"}


@pytest.mark.parametrize("modules", [("logpool._manager.main",), ("logpool._worker.start", "logpool.relay")])
def test_a_start_loads_nothing_that_takes_long(modules: tuple[str, ...]) -> None:
    loaded = loaded_by(*modules)
    assert loaded.isdisjoint(TAKES_LONG)
    assert not any(name.startswith("logpool._parent") for name in loaded)


def test_the_executors_class_is_imported_without_what_an_executor_needs() -> None:
    loaded = loaded_by("logpool.executor", "logpool.relay")
    assert not any(name.startswith(("logpool._parent", "logpool._worker", "logpool._record")) for name in loaded)


def test_what_an_executor_needs_takes_not_long_either() -> None:
    assert loaded_by("logpool.executor", "logpool.relay", "logpool._parent.service").isdisjoint(TAKES_LONG)


def test_the_manager_process_needs_little_of_python() -> None:
    assert loaded_by("logpool._manager.main").isdisjoint({"multiprocessing", "pickle", "tempfile", "threading"})
