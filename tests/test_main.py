"""`python -m logpool`: a program under it does all that it does without it, and its children's records are handled."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import START_METHODS, sockets_of_ours, wait_until_gone

each_start_method = pytest.mark.parametrize("method", START_METHODS)


def start(directory: Path, *command: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def run(directory: Path, *command: str) -> tuple[int, str, str]:
    with start(directory, *command) as program:
        output, errors = program.communicate(timeout=40)
    return program.returncode, output, errors


# The same as without.

SOURCES = {
    "an error": "def f():\n    1 / 0\ntry:\n    f()\nexcept ArithmeticError as error:\n    raise KeyError from error",
    "a syntax error": "x = = 3",
    "an exit": "import sys\nsys.exit(7)",
    "an exit with a message": "import sys\nsys.exit('message')",
    "Ctrl-C": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsignal.pause()",
    "SIGTERM": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()",
    "an exception hook": "import sys\nsys.excepthook = lambda kind, *_: print('hook', kind)\n1 / 0",
    "itself": (
        "import sys, pickle, multiprocessing\nclass C: pass\n"
        "print(sys.argv, __name__, __file__, __spec__ and __spec__.name, __package__, type(__loader__), sys.path[0])\n"
        "print(sys.modules['__main__'].C is C, pickle.loads(pickle.dumps(C)) is C)\n"
        "print(multiprocessing.active_children(), multiprocessing.get_start_method(allow_none=True))"
    ),
    "its end": (
        "import atexit, threading\natexit.register(print, 'exit function')\n"
        "threading.Thread(target=lambda: (threading.main_thread().join(), print('thread'))).start()\nprint('end')"
    ),
}


@pytest.mark.parametrize(
    ("what", "as_what"),
    [*((what, "file") for what in SOURCES), *((what, "module") for what in ("an error", "Ctrl-C", "itself"))],
)
def test_a_program_does_what_it_does_without(tmp_path: Path, what: str, as_what: str) -> None:
    (tmp_path / "program.py").write_text(SOURCES[what] + "\n")
    command = [*(["program.py"] if as_what == "file" else ["-m", "program"]), "-m", "--help"]
    found = run(tmp_path, "-m", "logpool", *command)
    assert found == run(tmp_path, *command)
    assert found != (0, "", "")


@pytest.mark.parametrize("what", ["folder", "archive", "empty", "missing", "missing.py"])
def test_folders_archives_and_what_is_missing_are_as_without(tmp_path: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text(SOURCES["itself"])
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.write(tmp_path / "folder" / "__main__.py", "__main__.py")
    command = ["-m", "package.missing"] if what == "missing" else [what, "argument"]
    assert run(tmp_path, "-m", "logpool", *command) == run(tmp_path, *command)


def test_help_says_in_five_lines_what_it_does(tmp_path: Path) -> None:
    code, output, errors = run(tmp_path, "-m", "logpool", "--help")
    assert (code, errors) == (0, "")
    usage, empty, *lines = output.splitlines()
    assert usage == "usage: python -m logpool (program.py | -m module) [argument ...]"
    assert empty == ""
    assert len(lines) == 5
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("arguments", [[], ["-x"], ["-m"]])
def test_without_a_program_it_says_so(tmp_path: Path, arguments: list[str]) -> None:
    code, output, errors = run(tmp_path, "-m", "logpool", *arguments)
    assert (code, output) == (2, "")
    assert errors.endswith("python -m logpool: error: a program is missing\n")


# Records.

PROGRAM = """
import logging, multiprocessing, os, sys
log = logging.getLogger(__name__)

class Argument:
    pass

def work(argument, depth):
    assert isinstance(argument, Argument)
    log.info("%s depth %d", multiprocessing.current_process().name, depth)
    if depth:
        child = context.Process(target=work, args=(argument, depth - 1))
        child.start()
        child.join()

context = multiprocessing.get_context(sys.argv[1])
logging.basicConfig(filename="app.log", filemode="w", level="INFO", format="%(name)s %(message)s")
log.info("imported")
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    children = [context.Process(target=work, args=(Argument(), 1)) for _ in range(2)]
    for child in children:
        child.start()
    {end}
"""


@each_start_method
@pytest.mark.parametrize("as_what", ["file", "module"])
def test_what_children_log_is_handled_by_the_program(tmp_path: Path, method: str, as_what: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(end="sys.exit(3)"))  # It leaves the joins to Python.
    command = ["program.py"] if as_what == "file" else ["-m", "program"]
    assert run(tmp_path, "-m", "logpool", *command, method) == (3, "", "")
    lines = (tmp_path / "app.log").read_text().splitlines()
    assert lines[0] == "__main__ imported"
    kind = {"fork": "ForkProcess", "forkserver": "ForkServerProcess", "spawn": "SpawnProcess"}[method]
    names = [(f"{kind}-{number}", 1) for number in (1, 2)] + [(f"{kind}-{number}:1", 0) for number in (1, 2)]
    assert sorted(lines[1:]) == sorted(f"__main__ {name} depth {depth}" for name, depth in names)
    assert sockets_of_ours() == []


WAITING = """
import logging, multiprocessing, os, signal, sys

def work(gate):
    try:
        logging.getLogger("app").info("working")
        signal.pause()
    except KeyboardInterrupt:
        logging.getLogger("app").info("interrupted")

if __name__ == "__main__":
    logging.basicConfig(filename="app.log", level="INFO", format="%(message)s")

    class Tell(logging.Handler):
        def emit(self, record):
            print(record.getMessage(), flush=True)

    logging.getLogger("app").addHandler(Tell())
    child = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(1,))
    child.start()
    child.join()
"""


@each_start_method
def test_ctrl_c_is_the_programs(tmp_path: Path, method: str) -> None:
    (tmp_path / "program.py").write_text(WAITING)
    with start(tmp_path, "-m", "logpool", "program.py", method, start_new_session=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "working\n"
        os.killpg(program.pid, signal.SIGINT)
        output, errors = program.communicate(timeout=40)
    assert program.returncode == -signal.SIGINT
    assert output == "interrupted\n"
    assert errors.startswith('Traceback (most recent call last):\n  File "' + str(tmp_path / "program.py"))
    assert errors.endswith("KeyboardInterrupt\n")
    assert (tmp_path / "app.log").read_text() == "working\ninterrupted\n"
    assert sockets_of_ours() == []


def test_nothing_is_left_of_a_program_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        WAITING.replace("child.join()", "print(child.pid, flush=True)\n    child.join()")
    )
    with start(tmp_path, "-m", "logpool", "program.py", "spawn") as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        assert program.stdout.readline() == "working\n"
        manager = manager_of(program.pid, pid)
        program.kill()
        os.kill(pid, signal.SIGKILL)
    wait_until_gone(manager)
    assert sockets_of_ours() == []


def manager_of(program: int, *others: int) -> int:
    (children,) = Path(f"/proc/{program}/task").glob(f"{program}/children")
    for pid in map(int, children.read_text().split()):
        if pid not in others and "resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    raise AssertionError("there is no manager process")


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_where_warnings_are_errors_it_runs(tmp_path: Path, method: str) -> None:
    if method == "fork" and sys.version_info >= (3, 12):
        pytest.skip("Python warns of the fork of a process that has a thread, or refuses it")
    (tmp_path / "program.py").write_text(PROGRAM.format(end=""))
    assert run(tmp_path, "-W", "error", "-m", "logpool", "program.py", method) == (0, "", "")
