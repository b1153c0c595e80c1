"""The pool's queues, through which a worker gets its jobs and hands over their results.

A worker takes its jobs from the pool's call queue. This is the one place that each job passes, with its number, before
it runs, and so where the worker learns what it runs, without a frame in a job's traceback or a wrapper to be pickled.
What the parent does with the same objects stands first in each class.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import select
from collections import deque
from collections.abc import Callable
from multiprocessing import connection
from types import FunctionType

from logpool._process import advice, cpython, directory
from logpool._process.hints import TYPE_CHECKING, Any
from logpool._worker import current_job, import_guard
from logpool._worker.current_job import safe_name_of

if TYPE_CHECKING:
    from logpool._transport.wire import Positions

logger = logging.getLogger("logpool")

MOST_AT_ONCE = getattr(select, "PIPE_BUF", 0) - 4
"""Most bytes of a job that a pipe has room for whenever it can be written into. Its length comes before it."""

# What `pickle` knows without asking any table of reducers, in which a program may have its own.

_ATOMS = frozenset({type(None), bool, float})

_SIZED = frozenset({str, bytes, tuple, list, dict})

_CONTAINERS = frozenset({tuple, list, dict})

_BY_NAME = frozenset({FunctionType, type})


class CallQueue(cpython.CallQueueHooks):
    """The pool's call queue, whose workers know what they run, and leave when their parent is gone.

    A pool doesn't tell which worker took which job, and leaves idle workers waiting for ever when it is killed.

    Attributes:
        on_drop: In the parent, called with the number of a job that can't be put.
        submitted: In the parent, in their order, of each job that isn't put yet: the `work_id`; the function that was
            submitted, as a library that replaces `ProcessPoolExecutor.submit` has another put in its place; and the
            number and snapshot of the parent's settings, where they had changed since the first submit.
        strangers: In the parent, how many workers there may be that the pool doesn't know: their start was interrupted.
    """

    strangers: int
    submitted: deque[tuple[int, Callable[..., object], tuple[int, bytes] | None]]
    on_drop: Callable[[int], object]

    _loaded: object = None  # The last function or class of which it is known that its module was imported.
    _poll_both: Callable[[], list[tuple[int, int]]] | None = None
    _sentinel = -1  # Its descriptor.
    _has_received = False

    @classmethod
    def patch(cls, call_queue: Any, on_drop: Callable[[int], object]) -> None:
        """Make a pool's call queue one of this class. Runs in the parent, before the first worker is started.

        Args:
            call_queue: As the pool has made it.
            on_drop: As above.
        """
        call_queue.submitted = deque()
        call_queue.strangers = 0
        call_queue.on_drop = on_drop
        # Else the thread that feeds the pipe ends also where it is the pickling of a job that raises this error.
        cpython.report_broken_pipe(call_queue)
        cpython.feed_without_lock(call_queue)  # The pool's wake-up is a `Wakeup`, which needs no other.
        call_queue.__class__ = cls

    # In the parent.

    def put(self, obj: Any, *args: Any, **kwargs: Any) -> None:
        """Put a job into the queue, in the order in which they were submitted; or None, which has a worker leave.

        Args:
            obj: The job as the pool has it.
            *args: As for any queue.
            **kwargs: As for any queue.
        """
        if obj is not None:
            while self.submitted and self.submitted[0][0] <= obj.work_id:  # Less: of a job that was cancelled.
                number, function, settings = self.submitted.popleft()
                if number == obj.work_id and function is not obj.fn:
                    obj.name = safe_name_of(function)
                if number == obj.work_id and settings is not None:
                    obj.settings = settings
        if not self._put_at_once(obj, *args, **kwargs):
            super().put(obj, *args, **kwargs)

    def _put_at_once(self, obj: Any, *args: Any, **kwargs: Any) -> bool:
        """Put a small plain job without the thread that feeds the pipe, which saves one of a job's wake-ups.

        Returns:
            False if it is for that thread: to put it might have the pool's thread wait, for room in the pipe, or for
            the program's code, by which an object may be pickled.
        """
        return (
            (obj is None or self._is_plain(obj))
            and _has_room(self.writing_end.fileno())
            and self.put_at_once(obj, MOST_AT_ONCE, *args, **kwargs)
        )

    def _is_plain(self, job: Any) -> bool:
        """Tell whether a job is small, and pickled without any code of the program's, and without waiting for any."""
        left: list[Any] = [job.fn, job.args, job.kwargs]
        size = 0
        for _ in range(MOST_AT_ONCE):
            if not left:
                return cpython.pickles_as_usual()
            value = left.pop()
            kind = type(value)
            if kind in _ATOMS:
                continue
            if kind is int:
                size += value.bit_length() // 8
            elif kind in _SIZED:
                size += len(value)
            elif kind is functools.partial:
                left += value.func, value.args, value.keywords, value.__dict__
            elif kind not in _BY_NAME or not self._is_loaded(value):
                return False
            if size > MOST_AT_ONCE:
                return False
            if kind in _CONTAINERS:
                left.extend(value)
            if kind is dict:
                left.extend(value.values())
        return False

    def _is_loaded(self, named: Any) -> bool:
        """Tell whether the module of a function or class was imported, so that to pickle it waits for no import."""
        if named is not self._loaded:
            if type(named.__module__) is not str or not cpython.is_loaded(named.__module__):
                return False
            self._loaded = named
        return True

    def dismiss_strangers(self) -> None:
        """Put one more None for each worker that may be a stranger, as far as there is room.

        A stranger would otherwise take the None that is meant for a worker which the pool knows, and waits for.
        """
        with contextlib.suppress(queue.Full):
            while self.strangers:
                self.put(None, block=False)
                self.strangers -= 1

    def on_feeder_error(self, error: Exception, obj: Any, *args: Any, **kwargs: Any) -> None:
        """Fail the job's future, and have the calling thread go on."""
        # What has been pickled, and so is no job any more, can't be written because the pool is broken; then all
        # futures fail by that.
        if isinstance(error, OSError) and not cpython.is_job(obj):
            return
        work_id: Any = getattr(obj, "work_id", None)
        work_item = self.pending_work_items.get(work_id)
        if work_id is not None:
            self.on_drop(work_id + 1)
            advice.add_note_on_job(error, work_id + 1)
        try:
            super().on_feeder_error(error, obj, *args, **kwargs)
        except BaseException:  # A callback's SystemExit, say. It would end the thread, and no other job would be run.
            logger.exception("A job can't be pickled, and to say so failed.")
            if work_item is not None and not work_item.future.done():
                work_item.future.set_exception(error)

    # In a worker.

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for the next job.

        Args:
            *args: As for any queue.
            **kwargs: As for any queue.

        Returns:
            The job as the pool has it; None: the worker is to leave.

        Raises:
            SystemExit: The parent is gone.
        """
        current_job.end()
        self._has_received = False
        import_guard.thread.loads = True
        try:
            item: Any = super().get(*args, **kwargs)
        except (Exception, SystemExit) as error:
            if self._has_received:  # Else the parent is gone, or nothing came.
                # The worker ends by this, and the pool breaks.
                logger.exception("A worker can't load a job that it was given.")
                current_job.leave("ended because it can't load a job:", error)
            raise
        finally:
            import_guard.thread.loads = False
        if item is not None:
            current_job.apply_settings(getattr(item, "settings", None))
            current_job.begin(item.work_id + 1, getattr(item, "name", None) or safe_name_of(item.fn))
        return item

    def receive(self) -> bytes:
        """Wait, with the lock that lets one worker at a time do so, for a job or the parent's end."""
        sentinel = current_job.parent_sentinel
        if self._poll_both is None and hasattr(select, "poll") and sentinel is not None:
            poller = select.poll()
            poller.register(self.reading_end.fileno(), select.POLLIN)
            poller.register(sentinel.fileno(), select.POLLIN)
            self._poll_both = poller.poll
            self._sentinel = sentinel.fileno()
        if self._poll_both is not None and self._sentinel in dict(self._poll_both()):
            # The parent may have been killed before it started the manager, whose this is to remove.
            directory.remove(current_job.directory)
            raise SystemExit(0)
        data = super().receive()
        self._has_received = True
        return data


def _has_room(pipe: int) -> bool:
    """Tell whether a write of MOST_AT_ONCE bytes into a pipe doesn't wait."""
    if not hasattr(select, "poll"):
        return False
    poller = select.poll()
    poller.register(pipe, select.POLLOUT)
    return poller.poll(0) == [(pipe, select.POLLOUT)]


class ResultQueue(cpython.ResultQueueHooks):
    """The pool's result queue, on which no worker waits for a parent that is gone.

    A result that is larger than the pipe waits until it is read. The workers themselves hold copies of the reading end,
    so that a worker whose parent was killed would wait for ever.

    A job's result comes behind its records: where this worker has logged since its last result, the result's attribute
    `log_positions` says up to where. The parent keeps the result back until it has handled as much (`_parent/jobs.py`).
    """

    _positions: Positions = ()  # What no result that was written has said yet.

    @classmethod
    def patch(cls, result_queue: Any) -> None:
        """Make a pool's result queue one of this class. Runs in the parent, before the first worker is started.

        Args:
            result_queue: As the pool has made it.
        """
        result_queue.__class__ = cls

    def put(self, obj: Any, *args: Any, **kwargs: Any) -> None:
        """Hand a result to the parent, with what it needs to handle the records first. Only workers call this.

        Args:
            obj: As the pool has it.
            *args: As the base class has them.
            **kwargs: As the base class has them.

        Raises:
            SystemExit: The parent is gone.
            BaseException: What pickling raises.
        """
        if not isinstance(self.writer, ResultWriter):
            self.reader.close()
            self.writer = ResultWriter(self.writer)
        log_queue = current_job.log_queue
        if not cpython.is_result(obj) or log_queue is None:
            super().put(obj, *args, **kwargs)
            return
        self._positions += log_queue.positions()
        if self._positions:
            obj.log_positions = self._positions
        try:
            data = self.pickled(obj)
        except Exception as error:  # The pool sends this in the place of the result.
            advice.add_note_on_result(error, obj.work_id + 1)
            raise
        if more := log_queue.positions():  # An object has logged when it was pickled.
            self._positions += more
            obj.log_positions = self._positions
            data = self.pickled(obj)
        self.put_pickled(data)
        self._positions = ()


class ResultWriter:
    """A worker's writing end of the result queue."""

    def __init__(self, writer: connection.Connection) -> None:
        self._writer = writer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def send_bytes(self, *args: Any) -> None:
        """Write, as the connection does.

        Raises:
            SystemExit: Nothing has the reading end: the parent is gone.
        """
        try:
            self._writer.send_bytes(*args)
            return
        except BrokenPipeError:
            pass
        # Not while that is being handled: it would keep a buffer, which complains on stderr when the interpreter ends.
        raise SystemExit(0)
