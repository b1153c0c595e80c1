"""A Dask cluster of real processes on the loopback interface: `dask scheduler` and `dask worker`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

HELPERS = Path(__file__).parent

# Ends with the tests, however they end.
TOGETHER = "import ctypes; ctypes.CDLL(None).prctl(1, 9); "

SCHEDULER = "from distributed.cli.dask_scheduler import main; main()"
SCHEDULER_WITHOUT_LOGPOOL = f"import sys; sys.modules['logpool'] = None; {SCHEDULER}"
WORKER = "from distributed.cli.dask_worker import main; main()"
WORKER_WITHOUT_LOGPOOL = f"import sys; sys.modules['logpool'] = None; {WORKER}"


class Process:
    """A process of a cluster, whose stderr is kept."""

    def __init__(self, source: str, *arguments: str) -> None:
        paths = [*sys.path, str(HELPERS)]
        self.popen = subprocess.Popen(
            [sys.executable, "-c", TOGETHER + source, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONWARNINGS": "default"},
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self.lines.append("")  # The end.
            self._news.notify_all()

    @property
    def stderr(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        def find() -> re.Match[str] | None:
            return re.search(pattern, self.stderr)

        with self._news:
            assert self._news.wait_for(lambda: find() or "" in self.lines, timeout=40), self.stderr
            found = find()
        assert found is not None, self.stderr
        return found

    def kill(self) -> None:
        """Ends the process alone, by SIGKILL."""
        self.popen.kill()

    def end(self) -> None:
        """Ends it with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._reader.join()
        assert self.popen.stderr is not None
        self.popen.stderr.close()


class Cluster:
    """Processes that are ended with it."""

    def __init__(self, *, source: str = SCHEDULER, security: tuple[str, ...] = ()) -> None:
        self.processes: list[Process] = []
        self._security = security
        self.scheduler = self._start(source, "--port", "0", "--dashboard-address", ":0", "--no-dashboard", *security)
        self.address = self.scheduler.wait_for(r"Scheduler at:\s+(\S+)")[1]

    def _start(self, source: str, *arguments: str) -> Process:
        process = Process(source, "--host", "127.0.0.1", *arguments)
        self.processes.append(process)
        return process

    def add_worker(
        self, name: str, *arguments: str, nanny: bool = False, wait: bool = True, source: str = WORKER
    ) -> Process:
        how = ["--nanny" if nanny else "--no-nanny", "--nthreads", "2", "--name", name, "--dashboard-address", ":0"]
        worker = self._start(source, self.address, *how, *self._security, *arguments)
        if wait:
            worker.wait_for("Registered to")
        return worker

    def close(self) -> None:
        for process in reversed(self.processes):
            process.end()


@contextlib.contextmanager
def cluster(
    *names: str, source: str = SCHEDULER, security: tuple[str, ...] = (), nanny: bool = False
) -> Iterator[Cluster]:
    made = Cluster(source=source, security=security)
    try:
        workers = [made.add_worker(name, nanny=nanny, wait=False) for name in names]
        for worker in workers:
            worker.wait_for("Registered to")
        yield made
    finally:
        made.close()
