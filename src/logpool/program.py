"""The manager process as a program of its own: how it is started where the start method is spawn.

    parent process                              manager process
    ServerProcess.start ── python -c ... ──────▶ main ──▶ serve (server.py)
                        ── pipe: key, ... ─────▶

`multiprocessing` would import the user's main module there, and all that this imports, as a worker must. The manager
needs nothing of it: no object of the user's ever gets there. So it is up in less time, takes less memory, and what a
main module does when it is imported is done once less.

Knows nothing of logging.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import sys
from multiprocessing import process, util

from logpool.server import Sockets, serve

if sys.platform != "win32":
    from multiprocessing import popen_fork

    class ServerProcess(process.BaseProcess):
        """A process of `multiprocessing`, but for its start."""

        def __init__(self, sockets: Sockets, directory: str | None, backlog: int, name: str) -> None:
            """Prepares the process.

            Args:
                sockets: As for `serve`.
                directory: As for `serve`.
                backlog: As for `serve`.
                name: The process's.
            """
            super().__init__(name=name)
            self.descriptors = [item.fileno() for item in (sockets.listening, sockets.lifeline, sockets.reader)]
            self.options = (directory, backlog)

        # Private, but what each context's class of processes sets. There is no public way to have a process among the
        # children that `multiprocessing` knows, and to wait for its end with a timeout and without polling, and to say
        # how it is started.
        @staticmethod
        def _Popen(process_object: process.BaseProcess) -> Launch:  # noqa: N802
            return Launch(process_object)

    class Launch(popen_fork.Popen):
        """Starts the program, and hands it what it needs."""

        def _launch(self, process_object: process.BaseProcess) -> None:
            from multiprocessing import spawn  # Here, because the program itself doesn't need it.

            assert isinstance(process_object, ServerProcess)
            needs = pickle.dumps((bytes(process_object.authkey), process_object.descriptors, process_object.options))
            # -S: what `site` imports isn't needed. -P: a module in the current directory hides no other.
            options = ["-S", "-P", *(["-E"] if sys.flags.ignore_environment else [])]
            with contextlib.ExitStack() as theirs, contextlib.ExitStack() as on_error:
                read_end, write_end = os.pipe()
                theirs.callback(os.close, read_end)
                with open(write_end, "wb") as pipe:
                    # Before it is started, so that it never finds less, whatever happens to this process. A pipe has
                    # room for that.
                    pipe.write(needs)
                # It ends when the process does, which is what `join` waits for.
                self.sentinel, its_end = os.pipe()
                theirs.callback(os.close, its_end)
                on_error.callback(os.close, self.sentinel)
                command = [spawn.get_executable(), *options, "-c", COMMAND, SOURCE_FOLDER, str(read_end)]
                self.pid = util.spawnv_passfds(
                    os.fsencode(command[0]),
                    [os.fsencode(part) for part in command],
                    (read_end, its_end, *process_object.descriptors),
                )
                on_error.pop_all()
            self.finalizer = util.Finalize(self, os.close, (self.sentinel,))


SOURCE_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""Where this package is. What else is there, in a folder of all that is installed, must hide no standard module."""

COMMAND = "import sys; sys.path.append(sys.argv[1]); from logpool.program import main; main(int(sys.argv[2]))"


def serves(start_method: str) -> bool:
    """Tells whether the manager process is to be started in this way.

    Args:
        start_method: Of the context.
    """
    # A program that was frozen into one file has no interpreter that takes a command.
    return start_method == "spawn" and sys.platform != "win32" and not getattr(sys, "frozen", False)


def main(pipe: int) -> None:
    """What the program does.

    Args:
        pipe: The descriptor from which it learns what it needs.
    """
    with open(pipe, "rb") as source:
        authkey, descriptors, (directory, backlog) = pickle.load(source)
    process.current_process().authkey = authkey
    serve(Sockets(*(socket.socket(fileno=descriptor) for descriptor in descriptors)), directory, backlog)
    # As a forked process ends: nothing is left to be done, and the parent waits.
    os._exit(0)
