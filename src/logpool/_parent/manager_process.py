"""How the manager process is started: forked, or as a program of its own.

    ForkedProcess.start     ── fork ──────────────────▶ serve_forked ──▶ serve
    ForkserverProcess.start ── forkserver ── fork ────▶ serve_forked ──▶ serve
    ProgramProcess.start    ── python -c ... ─────────▶ main ──────────▶ serve
                            ── pipe: sockets, key ────▶

A forkserver that is running forks it in a fifth of the CPU time that a program takes to start. None is started for
that: what it imports, and when, is the user's business.

Each has no descriptors but its own and the standard three. What `multiprocessing` starts by itself would keep all of
the parent's (fork), or import the user's main module (forkserver, spawn).
"""

from __future__ import annotations

import marshal
import os
import socket
import sys
from multiprocessing import process
from multiprocessing.context import BaseContext

from logpool._manager.main import Arguments, Sockets, serve, serve_forked
from logpool._process import cpython

SOURCE_FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""Where the package is. What else is there, in a folder of all that is installed, must hide no standard module."""

COMMAND = "import sys; sys.path.append(sys.argv[1]); from logpool._manager.main import main; main(int(sys.argv[2]))"

DESCRIPTORS = 8
"""How many descriptors the manager process opens before it serves the first workers: two selectors, and for each worker
a connection and the ends of a pipe."""

IN_FORKSERVER = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)  # What `serve` does comes after the imports.
import sys
sys.path.append({!r})
from multiprocessing.forkserver import get_inherited_fds
from logpool._manager.main import serve_forked
serve_forked(get_inherited_fds(), {!r})
"""


def check_descriptors(example: socket.socket) -> None:
    """Raise what the manager process, if it is forked, would else raise out of sight, later: too many open files."""
    copies: list[socket.socket] = []
    try:
        # No ExitStack: its `enter_context` imports a module in 3.15, which would fail for good where none is left.
        copies.extend(example.dup() for _ in range(DESCRIPTORS))
    finally:
        for copy in copies:
            copy.close()


def make_process(context: BaseContext, sockets: Sockets, arguments: Arguments, *, name: str) -> process.BaseProcess:
    """Return the manager process, not started.

    Args:
        context: Whose start method decides how it is started.
        sockets: As for `serve`.
        arguments: As for `serve`.
        name: The process's.
    """
    if sys.platform != "win32":
        method = context.get_start_method()
        if method == "fork":
            return ForkedProcess(sockets, arguments, name)
        if method == "forkserver" and cpython.has_forkserver():
            # Once more: a forkserver that is connected to, and not sent what it waits for, may end by that (3.14.10).
            check_descriptors(sockets.consumer)
            return ForkserverProcess(sockets, arguments, name)
        if not getattr(sys, "frozen", False):  # Else there is no interpreter that takes a command.
            return ProgramProcess(sockets, arguments, name)
    made: process.BaseProcess = context.Process(  # type: ignore[attr-defined]
        target=serve, args=(sockets, *arguments), name=name
    )
    return made


if sys.platform != "win32":

    class ManagerProcess(process.BaseProcess):
        """A process of `multiprocessing`, but for its start."""

        def __init__(self, sockets: Sockets, arguments: Arguments, name: str) -> None:
            super().__init__(name=name)
            self.sockets = sockets
            self.arguments = arguments

        def descriptors(self) -> list[int]:
            """Return the descriptors of the sockets, in the order in which `Sockets` takes them."""
            return [item.fileno() for item in (self.sockets.listening, self.sockets.sentinel, self.sockets.consumer)]

    class ForkedProcess(ManagerProcess, cpython.LaunchedProcess):
        """Forked. It keeps nothing of its parent's but what it needs."""

        def launch(self, its_end: int) -> int:
            """Fork the process, and return its pid."""
            pid = os.fork()
            if pid == 0:
                serve_forked(self.descriptors(), self.arguments, its_end)
            return pid

    class ForkserverProcess(ManagerProcess, cpython.ByForkserver):
        """Forked by the forkserver. It keeps nothing of that one's but what it needs."""

        def program(self) -> str:
            """Return what the process is to run."""
            return IN_FORKSERVER.format(SOURCE_FOLDER, self.arguments)

    class ProgramProcess(ManagerProcess, cpython.LaunchedProcess):
        """A program of its own, which is handed what it needs."""

        def launch(self, its_end: int) -> int:
            """Start the program, and return its pid."""
            from multiprocessing import spawn  # Here, because the program itself doesn't need it.

            descriptors = self.descriptors()
            # -S: what `site` imports isn't needed. -P: a module in the current directory hides no other.
            options = ["-S", "-P", *(["-E"] if sys.flags.ignore_environment else [])]
            read_end, write_end = os.pipe()
            try:
                with open(write_end, "wb") as pipe:
                    # Before it is started, so that it never finds less, whatever happens to this process. A pipe has
                    # room for that. (By `marshal`, which the interpreter has anyway.)
                    pipe.write(marshal.dumps((descriptors, self.arguments)))
                command = [spawn.get_executable(), *options, "-c", COMMAND, SOURCE_FOLDER, str(read_end)]
                return cpython.start_program(command, (read_end, its_end, *descriptors))
            finally:
                os.close(read_end)
