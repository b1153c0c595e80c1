"""`python -m logpool program.py`: runs a program under a relay that serves all of its child processes.

The program is the main module, as if Python had been started with it: for what it imports and pickles, and for children
that import it again. What it raises goes on to the interpreter, which prints it and ends as it would. The relay ends
after all that the interpreter waits for at its exit: the program's threads, its child processes, its exit functions.
"""

from __future__ import annotations

import io
import logging  # noqa: F401  # Before `multiprocessing`: handlers are closed after the relay has ended.
import os
import sys
import zipfile
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType

from logpool._process import cpython
from logpool.relay import LogRelay

USAGE = "usage: python -m logpool (program.py | -m module) [argument ...]"

HELP = f"""{USAGE}

Run a program, and have the records that its child processes log handled by the
main process, by the loggers, handlers and filters that are set up there. That
goes for each process that multiprocessing starts, for whatever pool or library,
and for the children of that; with fork, forkserver and spawn. All else is as
with `python program.py ...` or `python -m module ...`."""

MISUSED = 2
"""The exit code for a file that can't be opened, and for other arguments that are wrong, as Python has it."""


def main() -> None:
    """Run the program that the command line names."""
    _, *command = sys.argv
    if command[:1] in (["-h"], ["--help"]):
        print(HELP)
        return
    is_module = command[:1] == ["-m"]
    del command[: int(is_module)]
    if not command or (command[0].startswith("-") and not is_module):
        print(f"{USAGE}\npython -m logpool: error: a program is missing", file=sys.stderr)
        sys.exit(MISUSED)
    LogRelay(all_children=True).__enter__()  # It ends when the interpreter exits.
    sys.argv[:] = command
    try:
        if is_module:
            _new_main_module()
            cpython.module_runner()(command[0])
        elif os.path.isdir(command[0]) or zipfile.is_zipfile(command[0]):
            _new_main_module()
            _set_first_path(os.path.abspath(command[0]))
            cpython.module_runner()("__main__", alter_argv=False)
        else:
            _run_file(command[0])
    except SystemExit:
        raise
    except BaseException:
        _hide_frames_of_ours()
        raise


def _run_file(path: str) -> None:
    absolute = os.path.abspath(path)
    try:
        with io.open_code(absolute) as file:
            source = file.read()
    except OSError as error:
        print(
            f"{sys.executable}: can't open file {absolute!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr
        )
        sys.exit(MISUSED)
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    names = vars(_new_main_module())
    names["__file__"] = absolute
    names["__loader__"] = SourceFileLoader("__main__", absolute)
    exec(compile(source, absolute, "exec", dont_inherit=True), names)


def _set_first_path(path: str) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = path


def _new_main_module() -> ModuleType:
    """Put a new module into the place of this one, and return it."""
    module = sys.modules["__main__"] = ModuleType("__main__")
    vars(module)["__builtins__"] = sys.modules["builtins"]
    return module


def _hide_frames_of_ours() -> None:
    """Have the interpreter print the current error as if the program ran without this module."""
    hook = sys.excepthook

    def print_without(kind: type[BaseException], value: BaseException, traceback: TracebackType | None) -> None:
        program = rest = traceback
        while rest is not None:
            if rest.tb_frame.f_code.co_filename == __file__:
                program = rest.tb_next
            rest = rest.tb_next
        sys.last_traceback = value.__traceback__ = program
        hook(kind, value, program)

    sys.excepthook = print_without


if __name__ == "__main__":
    main()
