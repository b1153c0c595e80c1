"""The private names of CPython that the library uses, all of them, each under a plain name and with the reason.

There is one only where nothing public serves. All were checked on CPython 3.11.7, 3.12.1, 3.13.0, 3.14.10 and 3.15.2,
which agree unless it says otherwise. `tests/test_cpython.py` has a test for each: a Python that moves a name fails
there, by name.

The classes are bases: a private method becomes a hook to be overridden. Arguments that CPython passes to such a method
are passed on, also those that this module doesn't know: a later version may add some.

Processes of any role may import this, except the manager process, which needs none of it and would have to wait for
`concurrent.futures`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # Typeshed doesn't know it.
import collections
import contextlib
import functools
import itertools
import logging
import os
import pickle
import queue
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, process
from multiprocessing import connection, queues, util
from multiprocessing import process as processes
from multiprocessing.reduction import ForkingPickler, _reduce_partial  # type: ignore[attr-defined]
from types import ModuleType

from logpool._process.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

# The executor.


class ExecutorHooks(ProcessPoolExecutor):
    """An executor whose subclass is told what its pool is about to do.

    That subclass is public, and a program may derive from it. So the hooks have names that no program has.
    """

    def _logpool_around_worker_start(self) -> contextlib.AbstractContextManager[None]:
        """Return what must be entered before a worker is started, and left after."""
        return contextlib.nullcontext()

    def _logpool_before_pool_thread(self, thread: Any) -> None:
        """Do what must come before the pool's thread is started, in `submit`, under the pool's lock.

        Args:
            thread: The thread. If this raises anything, the pool has none yet; the next `submit` makes another.
        """

    # Assigned by the constructor and by `shutdown` (None), and by `submit` (the thread, which it then starts). No other
    # place knows the thread before it runs.
    @property
    def _executor_manager_thread(self) -> Any:  # Typeshed has another type for it.
        return self.__pool_thread

    @_executor_manager_thread.setter
    def _executor_manager_thread(self, thread: Any) -> None:
        if thread is not None:
            self._logpool_before_pool_thread(thread)
        self.__pool_thread = thread

    # The one method that starts a worker, whether `submit` or the pool's thread wants it. (In 3.14.10 and 3.15.2, the
    # thread replaces those that have left by `max_tasks_per_child` without it, in `_replace_dead_worker`.)
    def _spawn_process(self, *args: Any, **kwargs: Any) -> None:
        with self._logpool_around_worker_start():
            super()._spawn_process(*args, **kwargs)  # type: ignore[misc]  # Typeshed doesn't know it.

    # Called by `submit`; in older Pythons (3.11 to 3.13) also by the pool's thread where a worker has left by
    # `max_tasks_per_child`, and then it raises TypeError once the executor was shut down without waiting.
    def _adjust_process_count(self, *args: Any, **kwargs: Any) -> None:
        if self._processes is not None:
            super()._adjust_process_count(*args, **kwargs)


def start_method_of(executor: Any) -> str:
    """Return the name of the method by which workers are started."""
    method: str = executor._mp_context.get_start_method()
    return method


def call_queue_of(executor: Any) -> Any:
    """Return the queue by which the workers get their jobs; None after `shutdown`."""
    return executor._call_queue


def result_queue_of(executor: Any) -> Any:
    """Return the queue by which the workers hand over results; None after `shutdown`."""
    return executor._result_queue


def wakeup_of(executor: Any) -> Any:
    """Return what wakes the pool's thread up; None after `shutdown`."""
    return executor._executor_manager_thread_wakeup


def pool_thread_of(executor: Any) -> Any:
    """Return the pool's thread; None before the first `submit`, and after `shutdown`."""
    return executor._executor_manager_thread


def workers_of(executor: Any) -> Any:
    """Return the dictionary of the workers by their pids; None after `shutdown`."""
    return executor._processes


def job_count_of(executor: Any) -> int:
    """Return how many jobs were submitted, which is the `work_id` of the next.

    Counting them elsewhere would go wrong when a `submit` fails half-way.
    """
    count: int = executor._queue_count
    return count


def finish_count(executor: Any, work_id: int) -> bool:
    """Count a job whose `submit` was interrupted, if that has got as far as to note the job.

    Else the next job would have the same `work_id`.

    Returns:
        Whether it has.
    """
    if work_id not in executor._pending_work_items:
        return False
    executor._queue_count = work_id + 1
    return True


class WorkIds(collections.deque[int]):
    """The numbers of the jobs that the pool's thread has yet to put into the call queue, as `submit` puts them.

    The pool has a `queue.Queue`, whose lock stays held where Ctrl-C comes just when `submit` has taken it: then the
    pool's thread waits for that for ever. Here `put` is a single call in C, which nothing interrupts, and which takes a
    tenth of the time.
    """

    put = collections.deque.append

    def get(self, block: bool = False) -> int:
        """Take the first number. The pool's thread doesn't wait for one.

        Raises:
            queue.Empty: There is none.
        """
        if self:
            return self.popleft()
        raise queue.Empty

    get_nowait = get

    @classmethod
    def patch(cls, executor: Any) -> None:
        """Take the place of a pool's own. Runs before the pool has a thread, which takes it over.

        Args:
            executor: As the pool has made it.
        """
        executor._work_ids = cls()


def spawn_worker(executor: Any) -> None:
    """Start a worker. The caller has the pool's lock."""
    executor._spawn_process()


def break_executor(executor: Any, why: str) -> None:
    """Have `submit` raise `BrokenProcessPool` from now on.

    Args:
        executor: The executor.
        why: The error's text.
    """
    executor._broken = why


process_chunk = process._process_chunk
"""What `Executor.map` submits a partial of, with the user's function as its first argument."""


class FutureHooks(Future["T"]):
    """A future whose subclass is told when it is asked for anything.

    The hook has an underscore because that subclass is public.
    """

    def _on_use(self) -> None:
        """Do what must be done before a thread asks or waits for anything of the future."""

    # Whatever a future is asked, by its methods or by `wait` and `as_completed`, takes this lock first. Type checkers
    # are to see the attribute: a property isn't what typeshed's `as_completed` takes.
    if not TYPE_CHECKING:

        @property
        def _condition(self):
            self._on_use()
            return self.__dict__["_condition"]


# The pool's thread.

ThreadWakeup = process._ThreadWakeup
"""The class of `wakeup_of`: `wakeup()` is called in any thread, `close()` in the pool's when that ends."""


def reading_end_of(wakeup: Any) -> Any:
    """Return the connection that can be read when a `ThreadWakeup` was called. `clear()` reads it empty."""
    return wakeup._reader


def is_closed(wakeup: Any) -> bool:
    """Return whether a `ThreadWakeup` was closed."""
    closed: bool = wakeup._closed
    return closed


def result_reader_of(result_queue: Any) -> Any:
    """Return the connection from which the pool's thread reads results."""
    return result_queue._reader


def has_lock(wakeup: Any) -> bool:
    """Return whether a `ThreadWakeup` may be closed and used at once: from 3.12.8, 3.13.1 and 3.14 on."""
    return hasattr(wakeup, "_lock")


class PoolThreadHooks(process._ExecutorManagerThread):
    """The pool's thread, which outlives all else of the pool, with names for what its `run` calls.

    Nothing public tells that a pool has ended, or that a worker has died, or which, before the pool has ended them all.
    These methods can be extended as they are: `wait_result_broken_or_wakeup`, `process_result_item`,
    `flag_executor_shutting_down`, `terminate_broken` and `shutdown_workers`. Attributes: `executor_reference` (weak),
    `processes` (as `workers_of`), `call_queue`, `thread_wakeup`, `shutdown_lock` (the pool's lock), and
    `pending_work_items`: by `work_id`, an object for each job that isn't done, with its `future`; and `work_ids_queue`,
    the executor's `WorkIds`.
    """

    def replace_dead_worker(self, *args: Any, **kwargs: Any) -> Any:
        """Start a worker in the place of one that has left, or break the pool, if there are jobs left for it.

        Called if REPLACES_DEAD_WORKERS.
        """
        return super()._replace_dead_worker(*args, **kwargs)  # type: ignore[misc]  # Typeshed doesn't know it.

    def _replace_dead_worker(self, *args: Any, **kwargs: Any) -> Any:
        return self.replace_dead_worker(*args, **kwargs)

    def join_internals(self, *args: Any, **kwargs: Any) -> None:
        """Join the workers, after `shutdown_workers` has been called unless the pool is broken.

        Pythons before 3.12 don't call this. There a pool that breaks, too, calls `shutdown_workers`, which comes right
        before the workers are joined.
        """
        super()._join_executor_internals(*args, **kwargs)  # type: ignore[misc]  # Typeshed doesn't know it.

    def _join_executor_internals(self, *args: Any, **kwargs: Any) -> None:
        self.join_internals(*args, **kwargs)


REPLACES_DEAD_WORKERS = hasattr(process._ExecutorManagerThread, "_replace_dead_worker")
"""Whether the thread replaces a worker that has left by `max_tasks_per_child`, and breaks the pool where it can't. It
does in 3.14.10 and 3.15.2."""


def remote_traceback(text: str) -> Exception:
    """Return an error that is printed as this text, for the cause of another: as the pool says why it is broken."""
    return process._RemoteTraceback(text)  # type: ignore[arg-type]  # Typeshed has another type for it.


# The pool's queues.


class CallQueueHooks(process._SafeQueue):
    """The pool's call queue, whose subclass does the reading, may write by itself, and is told what can't be sent.

    Nothing public says which worker takes which job. A worker calls `get` for an object with `work_id` (from 0) and
    `fn`; the parent puts it, and `pending_work_items` is the pool's, as the thread has it.
    """

    pending_work_items: dict[int, Any]
    _reader: connection.Connection
    _writer: connection.Connection
    _sem: Any
    _send_bytes: Any
    _thread: Any
    _closed: bool
    _ignore_epipe: bool

    _to_feed = 0  # How many objects the thread that feeds the pipe was given,
    _fed = 0  # and with how many it has done.

    def put(self, *args: Any, **kwargs: Any) -> None:
        """Have the thread that feeds the pipe pickle an object and write it. One thread alone puts."""
        self._start_to_feed()
        super().put(*args, **kwargs)
        self._to_feed += 1

    def put_at_once(self, obj: object, most: int, block: bool = True, timeout: float | None = None) -> bool:
        """Do what `put` does, but in the calling thread.

        Args:
            obj: What to put. To pickle it takes no time worth mentioning.
            most: Bytes that can be written without a wait.
            block: As for any queue.
            timeout: As for any queue.

        Returns:
            False if it is for `put`: the other thread still has an object, which this one would overtake; or it is too
            large; or it can't be pickled, which that thread tells.

        Raises:
            queue.Full: As any queue raises it.
        """
        with contextlib.suppress(RuntimeError):  # An interpreter that exits starts none. It isn't needed for this.
            self._start_to_feed()
        if self._to_feed != self._fed or self._closed:
            return False
        # As in the other thread. A copy: the view that `dumps` returns must not come into a cycle of references, by an
        # error's traceback say, whose collection crashes 3.12.1, and is complained of by newer ones.
        try:
            data = bytes(queues._ForkingPickler.dumps(obj))  # type: ignore[attr-defined]  # Typeshed doesn't know it.
        except Exception:
            return False
        if len(data) > most:
            return False
        if not self._sem.acquire(block, timeout):
            raise queue.Full
        try:
            self._writer.send_bytes(data)
        except OSError as error:
            self._sem.release()
            self.on_feeder_error(error, data)
        return True

    def _start_to_feed(self) -> None:
        # With the first object, as in the base class, though it may not be needed: later, when the interpreter exits,
        # no thread can be started.
        if self._thread is None and not self._closed:
            send_bytes = self._send_bytes
            self._send_bytes = self._feed_bytes  # For the thread, which takes it over.
            try:
                self._start_thread()  # type: ignore[attr-defined]  # Typeshed doesn't know it.
            except BaseException:
                self._thread = None  # As newer Pythons do (3.12): else the next object would be left lying.
                raise
            finally:
                self._send_bytes = send_bytes  # Else the queue would be in a cycle, and its semaphores with it.

    def _feed_bytes(self, data: Any) -> None:
        self._writer.send_bytes(data)
        self._fed += 1

    @property
    def writing_end(self) -> connection.Connection:
        """The connection into which jobs are written."""
        return self._writer

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for the next object, and return it."""
        # Each time, because the attribute is set anew after a fork, and where the queue is unpickled.
        self._recv_bytes = self.receive
        return super().get(*args, **kwargs)

    def receive(self) -> bytes:
        """Wait for the next object's bytes. Called by `get`, with the lock that lets one worker at a time do so."""
        return self._reader.recv_bytes()

    @property
    def reading_end(self) -> connection.Connection:
        """The connection from which workers read."""
        return self._reader

    def on_feeder_error(self, error: Exception, obj: Any, *args: Any, **kwargs: Any) -> None:
        """Fail the job's future. Called in the thread that feeds the pipe, or by `put_at_once`.

        Args:
            error: What pickling or writing raised.
            obj: What couldn't be pickled; or bytes, pickled before, that couldn't be written.
            *args: As the base class has them.
            **kwargs: As the base class has them.
        """
        super()._on_queue_feeder_error(error, obj, *args, **kwargs)

    def _on_queue_feeder_error(self, e: Exception, obj: Any, *args: Any, **kwargs: Any) -> None:
        self._fed += 1
        self.on_feeder_error(e, obj, *args, **kwargs)


def report_broken_pipe(call_queue: Any) -> None:
    """Have `on_feeder_error` called also for a broken pipe, by which the feeding thread ends else, in silence."""
    call_queue._ignore_epipe = False


def feed_without_lock(call_queue: Any) -> None:
    """Have `on_feeder_error` not wait for the pool's lock, which is there to protect the wake-up that it makes.

    Pythons from 3.12 to 3.12.7, and 3.13.0, end a pool with that lock held while they wait for the thread that feeds
    the pipe: for ever where that is just waiting for the lock. Newer ones take none: their wake-up has its own.
    """
    if hasattr(call_queue, "shutdown_lock"):
        call_queue.shutdown_lock = contextlib.nullcontext()


def pickles_as_usual() -> bool:
    """Return whether the call queue pickles by the pickler that it has had from the start, and partials as ever."""
    pickler: Any = queues._ForkingPickler  # type: ignore[attr-defined]  # Typeshed doesn't know it.
    reducers = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    return pickler is ForkingPickler and reducers.get(functools.partial) is _reduce_partial


def is_loaded(module: str) -> bool:
    """Return whether a module, and each package that it is in, was imported, so that an import of it waits for nothing.

    Nothing public tells that an import goes on. `pickle` imports the modules of functions and classes.
    """
    while True:
        found = sys.modules.get(module)
        if type(found) is not ModuleType or getattr(found.__dict__.get("__spec__"), "_initializing", False):
            return False
        module, dot, _ = module.rpartition(".")
        if not dot:
            return True


def is_job(obj: object) -> bool:
    """Return whether this is what the parent puts into the call queue for a job."""
    return isinstance(obj, process._CallItem)


def is_result(obj: object) -> bool:
    """Return whether this is what a worker puts into the result queue for a job. It has the job's `work_id`, from 0.

    It is pickled with all its attributes, also those that are added.
    """
    return isinstance(obj, process._ResultItem)


def close_reading_end(call_queue: Any) -> None:
    """Close this process's reading end of the call queue, so that no write waits for workers that have ended."""
    call_queue._reader.close()


class ResultQueueHooks(queues.SimpleQueue):  # type: ignore[type-arg]
    """The pool's result queue, with the connections that it is made of.

    Only their owner can keep a writer from waiting for a reader that is gone. `put` writes what it has pickled before,
    by `writer.send_bytes`.
    """

    _reader: connection.Connection
    _writer: Any
    _wlock: Any

    def pickled(self, obj: object) -> Any:
        """Return what `put` writes for an object."""
        return ForkingPickler.dumps(obj)

    def put_pickled(self, data: Any) -> None:
        """Write it, with the lock that lets one worker at a time do so, where the system needs one."""
        with contextlib.nullcontext() if self._wlock is None else self._wlock:
            self._writer.send_bytes(data)

    @property
    def reader(self) -> connection.Connection:
        """The reading end."""
        return self._reader

    @property
    def writer(self) -> Any:
        """The writing end, or what was put in its place."""
        return self._writer

    @writer.setter
    def writer(self, writer: Any) -> None:
        self._writer = writer


# Processes of `multiprocessing`.


def forget_child(child: processes.BaseProcess | None) -> None:
    """Take a process out of the children that `multiprocessing` knows in this one, if it is there.

    `multiprocessing` forgets its children in those that it forks itself; in any other, when it exits, it prints that it
    can't join them.
    """
    processes._children.discard(child)  # type: ignore[attr-defined]


def give_number_back(child: processes.BaseProcess) -> None:
    """Have the process object that is made next get the number of one that was just made, by which it is named."""
    made: Any = child
    processes._process_counter = itertools.count(made._identity[-1])  # type: ignore[attr-defined]


if sys.platform != "win32":
    from multiprocessing import popen_fork

    class LaunchedProcess(processes.BaseProcess):
        """A process of `multiprocessing`, whose subclass starts it.

        There is no public way to have a process among the children that `multiprocessing` knows, and to wait for its
        end with a timeout and without polling, and to say how it is started. These names are what each context's class
        of processes sets (`_Popen`) and extends (`Popen._launch`).
        """

        def launch(self, its_end: int) -> int:
            """Start the process, and return its pid.

            Args:
                its_end: A descriptor that the process has to keep until it ends. This process closes its own.
            """
            raise NotImplementedError

        @staticmethod
        def _Popen(process_obj: processes.BaseProcess) -> popen_fork.Popen:  # noqa: N802
            return _Launch(process_obj)

    class _Launch(popen_fork.Popen):
        def _launch(self, process_obj: processes.BaseProcess) -> None:
            assert isinstance(process_obj, LaunchedProcess)
            # It ends when the process does, which is what `join` waits for.
            self.sentinel, its_end = os.pipe()
            self.finalizer = util.Finalize(self, os.close, (self.sentinel,))
            try:
                self.pid = process_obj.launch(its_end)
            except BaseException:
                self.finalizer()
                raise
            finally:
                os.close(its_end)

    def has_forkserver() -> bool:
        """Return whether this process has started a forkserver. Nothing public tells, without starting one."""
        forkserver: Any = sys.modules.get("multiprocessing.forkserver")
        return forkserver is not None and forkserver._forkserver._forkserver_pid is not None

    class ByForkserver(processes.BaseProcess):
        """A process of `multiprocessing` that the forkserver forks, and whose subclass says what it runs.

        What the context's class of processes does (`_Popen`, `Popen._launch`) sends the process object, and what the
        child needs to import the main module. The child unpickles what it is sent, so that this can be a program.
        """

        def descriptors(self) -> list[int]:
            """Return what the process is to have. It gets them by `multiprocessing.forkserver.get_inherited_fds`."""
            raise NotImplementedError

        def program(self) -> str:
            """Return the source of what it is to run. It must not return."""
            raise NotImplementedError

        @staticmethod
        def _Popen(process_obj: processes.BaseProcess) -> popen_fork.Popen:  # noqa: N802
            # Here, because a program that uses another start method doesn't need them.
            from multiprocessing import forkserver, popen_forkserver

            class Launch(popen_forkserver.Popen):
                def _launch(self, process_obj: processes.BaseProcess) -> None:
                    assert isinstance(process_obj, ByForkserver)
                    self.sentinel, pipe = forkserver.connect_to_new_process(process_obj.descriptors())
                    self.finalizer = util.Finalize(self, os.close, (self.sentinel,))
                    try:
                        with open(pipe, "wb") as sent:
                            sent.write(pickle.dumps(_Program(process_obj.program())))
                        self.pid = forkserver.read_signed(self.sentinel)
                    except BaseException:
                        self.finalizer()
                        raise

            return Launch(process_obj)

    class _Program:
        """Is executed when it is unpickled."""

        def __init__(self, source: str) -> None:
            self._source = source

        def __reduce__(self) -> tuple[Callable[..., None], tuple[str, dict[str, Any]]]:
            return exec, (self._source, {})

    def start_program(command: list[str], descriptors: tuple[int, ...]) -> int:
        """Start a program that has these descriptors and the standard three, and return its pid.

        `subprocess` would wait for the program's start, and want to be the one that reaps it.
        """
        return util.spawnv_passfds(os.fsencode(command[0]), [os.fsencode(part) for part in command], descriptors)


def inherited_settings() -> dict[str, Any]:
    """Return the dictionary of what each child that `multiprocessing` starts inherits, as `authkey`; not a copy.

    A child that isn't forked unpickles it before all else: nothing else of ours is reached before the main module.
    """
    settings: dict[str, Any] = processes.current_process()._config  # type: ignore[attr-defined]
    return settings


def settings_of(child: processes.BaseProcess) -> dict[str, Any]:
    """Return the dictionary of what a child inherits, which was copied when the process object was made; not a copy."""
    settings: dict[str, Any] = child._config  # type: ignore[attr-defined]
    return settings


def unstarted_children() -> list[processes.BaseProcess]:
    """Return the process objects that this process has made and not started, which have inherited what was there."""
    made: list[Any] = list(processes._dangling)  # type: ignore[attr-defined]
    return [item for item in made if item._popen is None and item._parent_pid == os.getpid()]


def preload_instead(module: str, other: str) -> None:
    """Have a forkserver that is started from now on import another module in the place of one.

    From 3.14 on it imports the main module beforehand, for all its children.
    """
    # Only if it is loaded: what starts a forkserver has loaded it.
    forkserver: Any = sys.modules.get("multiprocessing.forkserver")
    if forkserver is not None:
        server = forkserver._forkserver
        server._preload_modules = [other if name == module else name for name in server._preload_modules]


def is_inheriting() -> bool:
    """Return whether this process still unpickles what it was started with, or imports the main module."""
    return getattr(processes.current_process(), "_inheriting", False)


@contextlib.contextmanager
def inheriting() -> Iterator[None]:
    """Have `multiprocessing` refuse to start processes meanwhile, as in a child that imports the main module."""
    current: Any = processes.current_process()
    current._inheriting = True
    try:
        yield
    finally:
        del current._inheriting


# Signals.

if sys.platform != "win32":

    def mask_signals(how: int, signals: Collection[int]) -> set[int]:
        """Do what `signal.pthread_sigmask` does, which makes an enum's member of each signal that it returns.

        With `signal.getsignal`, which does the same, that takes as long as the start of a thread.
        """
        before: set[int] = _signal.pthread_sigmask(how, signals)
        return before

    def handled_signals(signals: Collection[int]) -> set[int]:
        """Return those of some signals that Python code handles."""
        # No loop in Python: handlers run at its jumps, too, some of which CPython (3.13) leaves out of a `try`.
        return set(filter(_is_handled, signals))

    def _is_handled(number: int) -> bool:
        return callable(_signal.getsignal(number))


# The main module.


def path_to_preload() -> str | None:
    """Return the path of the main module that a forkserver is about to preload; None if this isn't called by that.

    A forkserver has it in a variable of the function that imports what it preloads, and nowhere else.
    """
    frame = sys._getframe()
    while (caller := frame.f_back) is not None:
        frame = caller
        if "main_path" in frame.f_locals:
            path: str | None = frame.f_locals["main_path"]
            return path
    return None


def module_runner() -> Callable[..., None]:
    """Return what `python -m` calls: with a module's name, it runs that in the globals of `sys.modules["__main__"]`.

    With "__main__" and `alter_argv=False` that is the `__main__` of the folder or archive which is first in `sys.path`.
    `runpy.run_module` has a main module only until it returns, when threads may still run, and other error messages.
    """
    import runpy  # Here, because a worker doesn't need it.

    run: Callable[..., None] = runpy._run_module_as_main  # type: ignore[attr-defined]
    return run


# Logging.

handler_references: list[Any] = logging._handlerList  # type: ignore[attr-defined]
"""Weak references to all handlers, in the order in which they were made. `dictConfig` and `logging.shutdown` flush and
close those that are in it."""


def level_names() -> dict[int, str]:
    """Return the names of levels, as `logging.addLevelName` changes them; not a copy."""
    return logging._levelToName


def template_of(formatter: logging.Formatter) -> str:
    """Return what a formatter formats records by, in the style that it has."""
    return formatter._style._fmt


def captures_warnings() -> bool:
    """Return whether `logging.captureWarnings` is on."""
    return warnings.showwarning is logging._showwarning  # type: ignore[attr-defined]


def level_cache() -> dict[Any, Any]:
    """Return the root logger's cache, which every `setLevel` of any logger and `logging.disable` empty.

    Nothing public tells that a level has changed.
    """
    cache: dict[Any, Any] = logging.root._cache  # type: ignore[attr-defined]
    return cache


log_method: Any = logging.Logger._log
"""What the methods of a logger by which one logs call, and what calls the logger's `handle`."""

open_file: Any = logging.FileHandler._open
"""The method by which `FileHandler` and those derived from it open their files."""


def set_open_file(method: Any) -> None:
    """Replace that method."""
    logging.FileHandler._open = method  # type: ignore[method-assign]


def replace_disabling(make: Callable[[Any], Any]) -> None:
    """Replace the function by which `dictConfig` and `fileConfig` disable loggers that they don't name.

    Args:
        make: Makes the new one of CPython's own. Its first argument is the list of their names.
    """
    config: Any = sys.modules.get("logging.config")
    if config is not None:
        original = getattr(config._handle_existing_loggers, "original", config._handle_existing_loggers)
        config._handle_existing_loggers = make(original)
        config._handle_existing_loggers.original = original
