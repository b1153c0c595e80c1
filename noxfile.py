"""Everything that is checked, by one command each: `nox --list`. The Pythons are those of the classifiers."""

from __future__ import annotations

from pathlib import Path

import nox

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))

QUICK = ["test_examples", "test_executor", "test_house", "test_mistakes", "test_public", "test_record", "test_relay"]
"""Tests that touch every part and take about a minute."""

nox.options.sessions = ["quick", "lint"]
nox.options.reuse_existing_virtualenvs = True


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python; `-- -m long` runs the long ones."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """Run the tests that touch every part and take about a minute."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs, *(f"tests/{name}.py" for name in QUICK))


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, mypy and pyright."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "ruff", "check", ".")
    session.run("python", "-m", "ruff", "format", "--check", ".")
    session.run("python", "-m", "mypy")
    session.run("python", "-m", "pyright")


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests, and say which lines of the parent, the workers and the manager process none of them reached."""
    session.install("-e", ".[test,coverage]")
    session.run("python", "-m", "coverage", "erase")
    session.run("python", "-m", "coverage", "run", "-m", "pytest", "-n", "2", *session.posargs)
    session.run("python", "-m", "coverage", "combine", "--quiet")
    session.run("python", "-m", "coverage", "report")


@nox.session
@nox.parametrize("distributed", ["distributed==2024.2.*", "distributed"])
def dask(session: nox.Session, distributed: str) -> None:
    """Run the tests of logpool.dask with the oldest distributed that is supported, and with the newest."""
    session.install("-e", ".[dask-test]", distributed)
    session.run("python", "-m", "pytest", *session.posargs, *sorted(map(str, Path("tests").glob("test_dask*.py"))))


@nox.session
def package(session: nox.Session) -> None:
    """Build the source distribution and the wheel, check them, and try them in an empty environment."""
    session.run(".ci/package", "python", external=True)


@nox.session(python=PYTHONS[-1])  # Older ones lack methods that the reference names.
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build. A warning is an error."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-E", "docs", "docs/_build")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; what follows `--` is passed on."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)
