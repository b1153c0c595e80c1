"""How the manager process is started: forked, or as a program of its own.

    ForkedProcess.start  ── fork ───────────────▶ serve
    ProgramProcess.start ── python -c ... ──────▶ main ──▶ serve
                         ── pipe: sockets, key ─▶

Either has no descriptors but its own and the standard three. What `multiprocessing` starts by itself would keep all of
the parent's (fork), or import the user's main module (forkserver, spawn).
"""

from __future__ import annotations

import gc
import marshal
import os
import sys
from multiprocessing import process
from multiprocessing.context import BaseContext

from logpool._manager.main import Sockets, serve
from logpool._process import cpython

Arguments = tuple[str | None, bytes, int]
"""What `serve` takes besides the sockets."""

SOURCE_FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""Where the package is. What else is there, in a folder of all that is installed, must hide no standard module."""

COMMAND = "import sys; sys.path.append(sys.argv[1]); from logpool._manager.main import main; main(int(sys.argv[2]))"


def make_process(context: BaseContext, sockets: Sockets, arguments: Arguments, *, name: str) -> process.BaseProcess:
    """Return the manager process, not started.

    Args:
        context: Whose start method decides how it is started.
        sockets: As for `serve`.
        arguments: As for `serve`.
        name: The process's.
    """
    if sys.platform != "win32":
        if context.get_start_method() == "fork":
            return ForkedProcess(sockets, arguments, name)
        if not getattr(sys, "frozen", False):  # Else there is no interpreter that takes a command.
            return ProgramProcess(sockets, arguments, name)
    made: process.BaseProcess = context.Process(  # type: ignore[attr-defined]
        target=serve, args=(sockets, *arguments), name=name
    )
    return made


if sys.platform != "win32":

    class ManagerProcess(cpython.LaunchedProcess):
        """A process of `multiprocessing`, but for its start."""

        def __init__(self, sockets: Sockets, arguments: Arguments, name: str) -> None:
            super().__init__(name=name)
            self.sockets = sockets
            self.arguments = arguments

        def descriptors(self) -> list[int]:
            """Return the descriptors of the sockets, in the order in which `Sockets` takes them."""
            return [item.fileno() for item in (self.sockets.listening, self.sockets.sentinel, self.sockets.consumer)]

    class ForkedProcess(ManagerProcess):
        """Forked. It keeps nothing of its parent's but what it needs."""

        def launch(self, its_end: int) -> int:
            """Fork the process, and return its pid."""
            pid = os.fork()
            if pid == 0:
                _serve_and_exit(self, its_end)
            return pid

    class ProgramProcess(ManagerProcess):
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

    def _serve_and_exit(server: ForkedProcess, its_end: int) -> None:
        """Do what the forked process does. Doesn't return: what the parent was doing isn't this process's."""
        code = 1
        try:
            # What the parent's memory holds is never freed here: an object whose descriptor is closed below would close
            # the one that has got its number.
            gc.freeze()
            own = {its_end, *server.descriptors()}
            _close_all_but({0, 1, 2} | own)
            if 0 not in own:  # Or this program was started without stdin.
                nothing = os.open(os.devnull, os.O_RDONLY)  # In its place, as in each child of `multiprocessing`.
                os.dup2(nothing, 0)
            serve(server.sockets, *server.arguments)
            code = 0
        except BaseException:
            sys.__excepthook__(*sys.exc_info())
        finally:
            os._exit(code)

    def _close_all_but(kept: set[int]) -> None:
        ends = sorted(kept)
        for one, next_one in zip(ends, [*ends[1:], _descriptor_limit(ends[-1] + 1)]):
            if one + 1 < next_one:
                os.closerange(one + 1, next_one)

    def _descriptor_limit(least: int) -> int:
        """Return a number that is greater than that of any descriptor."""
        # The limit may be a thousand million, and some systems close one number after the other.
        try:
            return max(map(int, os.listdir("/dev/fd")), default=least) + 1
        except OSError:
            return os.sysconf("SC_OPEN_MAX")
