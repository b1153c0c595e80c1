"""The manager process where it is a program of its own."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import logpool
from conftest import Run
from logpool._parent import manager_process
from logpool._parent.manager import LogManager


def test_modules_beside_this_package_hide_none_of_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Path(logpool.__file__).parent, tmp_path / "logpool")
    (tmp_path / "typing.py").write_text("raise ImportError('an old backport')")
    monkeypatch.setattr(manager_process, "SOURCE_FOLDER", str(tmp_path))
    with LogManager(2**20, ctx=multiprocessing.get_context("spawn")) as manager:
        manager.queue.put(1)
        assert manager.queue.get(timeout=20) == 1


def test_a_process_that_cannot_be_started_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(multiprocessing.spawn, "get_executable", lambda: None)
    with pytest.raises(TypeError):
        LogManager(2**20, ctx=multiprocessing.get_context("spawn")).start()
    assert multiprocessing.active_children() == []
    assert os.listdir("/proc/self/fd") == before


def test_a_parent_that_is_killed_right_after_the_start_leaves_nothing_behind(run_program: Run, tmp_path: Path) -> None:
    ended = run_program(
        """
import multiprocessing, os, signal, tempfile
from multiprocessing import util
from logpool._parent.manager import LogManager

start = util.spawnv_passfds

def start_and_die(*arguments):
    start(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

util.spawnv_passfds = start_and_die
tempfile.tempdir = os.getcwd()
LogManager(2**20, ctx=multiprocessing.get_context("spawn")).start()
"""
    )
    # The manager process has a copy of stderr, so that ended when the process did.
    assert (ended.returncode, ended.stderr) == (-9, "")
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_the_program_ignores_the_environment_if_its_parent_does(tmp_path: Path) -> None:
    source = tmp_path / "program.py"
    source.write_text("""
import multiprocessing
from logpool._parent.manager import LogManager

with LogManager(2**20, ctx=multiprocessing.get_context("spawn")) as manager:
    manager.queue.put("through")
    print(manager.queue.get(timeout=20))
""")
    ended = subprocess.run(
        [sys.executable, "-E", str(source)],
        env={**os.environ, "PYTHONHOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("through\n", "")


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_a_program_without_stdin_has_a_manager_process_all_the_same(tmp_path: Path, start_method: str) -> None:
    source = tmp_path / "program.py"
    source.write_text("""
import multiprocessing, sys
from logpool._parent.manager import LogManager

with LogManager(2**20, ctx=multiprocessing.get_context(sys.argv[1])) as manager:
    manager.queue.put("through")
    print(manager.queue.get(timeout=20))
""")
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, str(source), start_method],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("through\n", "")
