"""What runs in a Dask worker: which records are the relays', and how they leave.

Nothing in the worker's own tree of loggers is changed. While there is a relay, `logging.Logger.getEffectiveLevel` tells
the lowest of the levels of the worker's own and of the relays' clients; and `callHandlers` hands a record to the relays
whose clients' levels let it through, and to the worker's own handlers if the worker's own level does.

A record belongs to the relay whose client has sent its task. One of no task, by `client.run` say, goes to all relays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import marshal
import os
import pickle
import struct
import sys
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from logging import Logger, LogRecord
from typing import Any

import dask
from distributed import Client
from distributed.comm import connect
from distributed.diagnostics.plugin import WorkerPlugin

from logpool._dask import distributed as private
from logpool._dask import ring as rings
from logpool._dask.scheduler import MESSAGE_TIME, OPERATION
from logpool._process import cpython, forks
from logpool._record.label import make_label, place_of
from logpool._worker.handler import Labelling, RelayHandler
from logpool._worker.own_context import values_since
from logpool._worker.settings import Snapshot

BATCH = 64 * 2**10
"""Bytes that are sent at most in one message."""

WINDOW = 4 * BATCH
"""Bytes that a worker may have sent of one ring before any is acknowledged. It bounds what the scheduler holds."""

MOST_UNANSWERED = 8
"""Messages of less than a batch of which the client has answered none. A scheduler that falls behind gets no more."""

LARGE = WINDOW // 2
"""Bytes of a frame from which on the client acknowledges pieces of it. Of others it acknowledges the whole. For a ring
that has no room for two such frames it is half of that."""

LAST_WAIT = 5.0
"""Seconds that a worker which is about to close, or whose relay ends, waits for the last acknowledgements."""

LEAST = 4096
"""Bytes that a ring has at least."""

OLD = 24 * 3600
"""Seconds after which a dead worker's records are removed that no worker has come for: their relay has ended."""

FRAME = struct.Struct("=IH")
"""Before each record: the bytes of label and record, and those of the label alone."""

MOST_LABEL = 2**15
"""Bytes of a label: context variables with larger values stay in the worker."""

NOT_RELAYED = frozenset({"distributed", "tornado", "asyncio"})
"""First parts of the names of loggers that tell about the cluster itself, and log on the relay's own way."""

process = uuid.uuid4().hex, os.getpid()
"""Which process this is, on all hosts."""

local_handlers: dict[str, Callable[[LogRecord], object]] = {}
"""By relay: what takes the records of workers that run in the client's own process. None: its loggers do."""

_own_level = Logger.getEffectiveLevel
_own_call = Logger.callHandlers
"""What was there before the first relay."""


class Task:
    """A task that runs in this process.

    Attributes:
        annotation: The relay's name, and the job's number and name, that its client has annotated it with.
        relay: The relay that gets its records; None: none, because its client has no relay.
        label: What travels with each of its records, unless it has set context variables.
    """

    __slots__ = ("_before", "_job", "annotation", "key", "label", "relay")

    def __init__(self, key: object, annotation: Any, relay: WorkerRelay | None) -> None:
        self.key = str(key)
        self.annotation = annotation
        self.relay = relay
        self._job = (annotation or {}).get("job") or (None, None)
        self._before = copy_context()
        self.label = marshal.dumps((self.key, *self._job, None))

    def current_label(self) -> bytes:
        """Return the label for a record that the calling thread logs now."""
        values = values_since(self._before)
        values = [item for item in values if (place := place_of(item[0])) is not None and _is_the_tasks(place[0])]
        if not values or _labelling.busy:
            return self.label
        _labelling.busy = True  # A value that logs while it is pickled, say.
        try:
            label = marshal.dumps((self.key, *self._job, make_label(None, values)))
        finally:
            _labelling.busy = False
        return label if len(label) <= MOST_LABEL else self.label


_NO_LABEL = marshal.dumps((None, None, None, None))


_labelling = Labelling()


def _is_the_tasks(module: str) -> bool:
    """Tell of a context variable's module whether it isn't one of those that run the task."""
    return module.partition(".")[0] not in {"dask", "distributed", "logpool"}


_task: ContextVar[Task | None] = ContextVar("logpool_dask_task", default=None)
"""The task that the calling code belongs to: also its coroutines."""

_relays: dict[str, WorkerRelay] = {}
"""Of this process, by a key of each. Replaced as a whole."""

_undo: list[Callable[[], None]] = []

_has_begun_to_capture = False
"""Whether warnings are captured in this process because a relay's client captures them."""


def is_this_process(other: tuple[str, int]) -> bool:
    """Tell whether a process, as it has told by `process`, is the calling one. A fork's child isn't its parent."""
    return other == process and os.getpid() == process[1]


class Levels:
    """The levels of a client's loggers."""

    def __init__(self, snapshot: Snapshot, root_level: int | None) -> None:
        """Take them from a snapshot of the client's logging.

        Args:
            snapshot: Of the client.
            root_level: The root logger's in its place; None: as the client has it.
        """
        self.captures_warnings = snapshot.captures_warnings
        self._states = snapshot.loggers
        self._root = snapshot.root if root_level is None else (root_level, *snapshot.root[1:])
        self._least = snapshot.disabled_level + 1
        self._known: dict[str, int] = {}

    def of(self, name: str) -> int:
        """Return the least level of records that the client's logger of that name would make."""
        level = self._known.get(name)
        if level is None:
            level = self._known[name] = self._find(name)
        return level

    def _find(self, name: str) -> int:
        state = self._root if name == "root" else self._states.get(name)
        if state is not None and state[1]:
            return sys.maxsize
        above = name
        while above and name != "root":
            state = self._states.get(above)
            if state is not None and state[0]:
                return max(state[0], self._least)
            above = above.rpartition(".")[0]
        return max(self._root[0], self._least)


def _is_relayed(name: str) -> bool:
    return name.partition(".")[0] not in NOT_RELAYED


def _level(logger: Logger) -> int:
    own = _own_level(logger)
    if not _is_relayed(logger.name):
        return own
    return min([own, *(relay.levels.of(logger.name) for relay in _relays.values() if not relay.is_local)])


def _call_handlers(logger: Logger, record: LogRecord) -> None:
    """Do what `logging.Logger.callHandlers` does, after the relays have got the record."""
    if not _is_relayed(logger.name):
        _own_call(logger, record)
        return
    task = _task.get()
    if task is None:
        # One of each relay: there may be several workers in this process. In the client's it may be the client's own.
        relays = list({relay.relay: relay for relay in _relays.values() if not relay.is_local}.values())
    else:
        relays = [] if task.relay is None else [task.relay]
    taken = False
    for relay in relays:
        if relay.is_local:
            if relay.handle_here(task, record):
                return
        elif record.levelno >= relay.levels.of(logger.name):
            relay.handler.emit(record)
            taken = True
    own_level = max(_own_level(logger), logging.root.manager.disable + 1)
    # The last resort is for records that nothing takes.
    if record.levelno >= own_level and not (taken and not logger.hasHandlers()):
        _own_call(logger, record)


def _send_graph(send: Callable[[], Any]) -> Any:
    """Send a graph from a task: what a task submits belongs to its client."""
    task = _task.get()
    if task is None or not task.annotation or OPERATION in dask.get_annotations():
        return send()
    with dask.annotate(**{OPERATION: task.annotation}):
        return send()


def _update_process() -> None:
    """Route this process's records if there is a relay, and else as it was before."""
    global _own_level, _own_call, _has_begun_to_capture
    if _relays and not _undo:
        _own_level, _own_call = Logger.getEffectiveLevel, Logger.callHandlers
        Logger.getEffectiveLevel = _level  # type: ignore[method-assign, assignment]
        Logger.callHandlers = _call_handlers  # type: ignore[method-assign, assignment]
        _undo.append(private.set_graph_hook(Client, _send_graph))
    elif not _relays and _undo:
        # Unless another library has put its own there since: that goes on calling these, which change nothing then.
        if Logger.getEffectiveLevel is _level:
            Logger.getEffectiveLevel = _own_level  # type: ignore[method-assign]
        if Logger.callHandlers is _call_handlers:
            Logger.callHandlers = _own_call  # type: ignore[method-assign]
        while _undo:
            _undo.pop()()
    captures = any(relay.levels.captures_warnings for relay in _relays.values() if not relay.is_local)
    if captures and not cpython.captures_warnings():
        logging.captureWarnings(True)
        _has_begun_to_capture = True
    elif not captures and _has_begun_to_capture:
        logging.captureWarnings(False)
        _has_begun_to_capture = False
    logging.root.setLevel(logging.root.level)  # Loggers forget which levels they have found enabled.


class _Fork(forks.ForkAware):
    def after_fork_in_child(self) -> None:
        """Leave a child's logging as it would be without relays: it has none of their threads."""
        global _relays
        _relays = {}
        _task.set(None)
        _update_process()


_fork = _Fork()
forks.register(_fork)


class _Changed(threading.Condition):
    """A condition that knows which thread is at work under it."""

    owner = 0

    def __enter__(self) -> bool:
        entered = super().__enter__()
        self.owner = threading.get_ident()
        return entered

    def __exit__(self, *args: Any) -> None:
        self.owner = 0
        super().__exit__(*args)

    def wait_for_change(self) -> None:
        self.owner = 0
        self.wait()
        self.owner = threading.get_ident()


class Outbox:
    """Sends what is in a ring, and writes into it if it is this process's own.

    After each message there is a pause, which only a whole batch of records, or the end of a task, cuts short. So a
    relay that has little to say says it at once, and one that has much says it in large messages. The pause is longer
    where there are more workers, so that together they don't cost the scheduler more (scheduler.py).

    All methods but `put_record` are the loop's.

    Attributes:
        ring: The ring.
        large: Bytes of a frame from which on pieces of it are acknowledged.
    """

    def __init__(self, ring: rings.Ring, send: Callable[[int, bytes], dict[str, Any]]) -> None:
        """Make an outbox.

        Args:
            ring: The ring, which it owns from now on.
            send: Called in the loop with an offset and the bytes from there on. Returns the message.
        """
        self.ring = ring
        self.large = min(LARGE, ring.capacity // 2)
        self._batch = min(BATCH, ring.capacity // 2)
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._changed = _Changed()  # Guards all that follows, and the ring.
        self._sent = ring.acked
        self._messages: deque[tuple[int, dict[str, Any]]] = deque()  # With the offsets behind them.
        self._pause = MESSAGE_TIME  # Seconds.
        self._pauses = False
        self._unanswered = 0  # Messages. The client answers each, if only by what it has acknowledged before.
        self._is_due = False  # Whether the loop has been told to send.
        self._is_writing = False  # Whether a thread is in the midst of a frame.
        # What was logged where nothing could be written: by the loop's own thread while there was no room, or by
        # garbage that was collected in the midst of something here.
        self._overflow: deque[bytes | memoryview] = deque()
        self._is_closed = False
        self._waiting: list[tuple[int, asyncio.Future[None], bool]] = []
        self._large: deque[tuple[int, int]] = deque()  # Where large frames begin and end.

    # A queue, for RelayHandler.

    def put_record(self, flat: bytes) -> None:
        """Write a record. If there is no room, wait; but the loop's thread can't, and keeps it in memory.

        Raises:
            OSError: The relay has ended.
        """
        task = _task.get()
        label = _NO_LABEL if task is None else task.current_label()
        frame = b"".join((FRAME.pack(len(label) + len(flat), len(label)), label, flat))
        if self._changed.owner == threading.get_ident():
            self._overflow.append(frame)
            return
        with self._changed:
            if self._is_closed:
                raise OSError("the relay has ended")
            self._empty_overflow()
            if not self._is_writing and not self._overflow and len(frame) <= self.ring.room:
                self._begin(frame)
                self.ring.write(frame)
            elif threading.get_ident() == self._thread:
                self._overflow.append(frame)
                self._empty_overflow()
            else:
                self._write(frame)
            if self._is_due or not self._may_send():
                return
            self._is_due = True
        self._loop.call_soon_threadsafe(self._send_due)

    def _write(self, frame: bytes) -> None:
        """Write a frame piece by piece, as there is room. The caller has the lock."""
        while self._is_writing or self._overflow:
            self._wait()
        self._is_writing = True
        self._begin(frame)
        try:
            view = memoryview(frame)
            while view:
                count = self.ring.write(view)
                view = view[count:]
                if view:
                    self._loop.call_soon_threadsafe(self._send_due)
                    self._wait()
        finally:
            self._is_writing = False
            if not self._is_closed:
                self._empty_overflow()
            self._changed.notify_all()

    def _begin(self, frame: bytes) -> None:
        """Note where a large frame is, of which the client acknowledges pieces."""
        if len(frame) > self.large:
            self._large.append((self.ring.written, self.ring.written + len(frame)))

    def _wait(self) -> None:
        self._changed.wait_for_change()
        if self._is_closed:
            raise OSError("the relay has ended")

    # The loop.

    def _may_send(self) -> bool:
        left = self.ring.written - self._sent
        return left >= self._batch or (left > 0 and not self._pauses and self._unanswered < MOST_UNANSWERED)

    def _send_due(self) -> None:
        with self._changed:
            self._is_due = False
            due = not self._is_closed and self._may_send()
        if due:
            self.flush()

    def flush(self) -> None:
        """Send what there is, as far as the window lets it."""
        while not self._is_closed:
            with self._changed:
                start = self._sent
                stop = min(start + BATCH, self.ring.written, self.ring.acked + WINDOW)
                if start >= stop:
                    break
                data = self.ring.read(start, stop)
                self._sent = stop
                self._unanswered += 1
                if not self._pauses:
                    self._pauses = True
                    self._loop.call_later(self._pause, self._end_pause)
            self._messages.append((stop, self._send(start, data)))
        self._tell()

    def _end_pause(self) -> None:
        self._pauses = False
        self._send_due()

    def acknowledge(self, offset: int, pause: float) -> None:
        """Take an answer: the client has handled what came before an offset.

        Args:
            offset: The offset.
            pause: Seconds that are to be between messages from now on.
        """
        with self._changed:
            self._pause = pause
            self._unanswered = max(0, self._unanswered - 1)
            self.ring.acknowledge(offset)
            # Streams keep the last messages that they have sent, for debugging.
            while self._messages and self._messages[0][0] <= offset:
                self._messages.popleft()[1]["data"] = b""
            while self._large and self._large[0][1] <= self.ring.acked:
                self._large.popleft()
            self._sent = max(self._sent, self.ring.acked)
            self._empty_overflow()
            self._changed.notify_all()
            due = self._may_send() or bool(self._waiting)
        if due:
            self.flush()

    def _empty_overflow(self) -> None:
        while self._overflow and not self._is_writing:
            frame = self._overflow.popleft()
            if isinstance(frame, bytes):
                self._begin(frame)
            count = self.ring.write(frame)
            if count < len(frame):
                self._overflow.appendleft(memoryview(frame)[count:])  # The rest of one that has begun.
                return

    def resend(self) -> None:
        """Send again what wasn't acknowledged: it may have been lost with a connection."""
        with self._changed:
            self._sent = self.ring.acked
            self._unanswered = 0
            self._messages.clear()
        self.flush()

    def when_sent(self) -> asyncio.Future[None] | None:
        """Send all that was written before. Return what to wait for, or None if it is done."""
        return self._when(acked=False)

    def when_acked(self) -> asyncio.Future[None] | None:
        """Send all that was written before. Return what to wait for until it has been handled; None: it has been."""
        return self._when(acked=True)

    def _when(self, *, acked: bool) -> asyncio.Future[None] | None:
        with self._changed:
            self._empty_overflow()
            goal = self.ring.written + sum(map(len, list(self._overflow)))
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((goal, future, acked))
        self.flush()
        return None if future.done() else future

    def _tell(self) -> None:
        """Tell those that wait how far it has come."""
        if not self._waiting:
            return
        left = []
        for goal, future, acked in self._waiting:
            if goal <= (self.ring.acked if acked else self._sent) or self._is_closed:
                if not future.done():
                    future.set_result(None)
            else:
                left.append((goal, future, acked))
        self._waiting = left

    @property
    def is_empty(self) -> bool:
        """Whether all has been acknowledged."""
        return self.ring.acked == self.ring.written and not self._overflow

    def close(self, *, keep: bool) -> bytes:
        """Close the ring. Threads that wait for room get an OSError.

        Args:
            keep: Whether another process shall send what is left.

        Returns:
            What wasn't acknowledged.
        """
        with self._changed:
            if self._is_closed:
                return b""
            self._is_closed = True
            start = next((stop for begin, stop in self._large if begin < self.ring.acked < stop), self.ring.acked)
            left = b"".join((self.ring.read(self.ring.acked, self.ring.written), *self._overflow))
            left = left[start - self.ring.acked :]
            self.ring.close(remove=not (keep and left))
            self._changed.notify_all()
        self._tell()
        return left


class WorkerRelay(WorkerPlugin):
    """What a worker does for one relay."""

    idempotent = True  # A client that connects again registers it again.

    handler: RelayHandler

    def __init__(
        self, relay: str, client: tuple[str, int], settings: bytes, root_level: int | None, backlog: int
    ) -> None:
        """Create the plugin, in the client.

        Args:
            relay: The relay's name.
            client: The client's process.
            settings: A pickled snapshot of its logging.
            root_level: The root level in the place of the client's; None: the client's.
            backlog: Bytes that are held before tasks that log wait.
        """
        self.relay = relay
        self.name = f"{OPERATION}-{relay}"
        self._client = client
        self._settings = settings
        self._root_level = root_level
        self._backlog = backlog

    async def setup(self, worker: Any) -> None:
        """Begin, on a worker."""
        self._worker = worker
        self._is_set_up = False
        self.is_local = is_this_process(self._client)
        self.levels = Levels(pickle.loads(self._settings), self._root_level)
        self._outboxes: dict[str, Outbox] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # First: an operation that a worker doesn't know would end its stream.
        self._dispatch = worker.stream_handlers.setdefault(OPERATION, _Dispatch())
        if not self.is_local:
            name = f"{self.relay}-{uuid.uuid4().hex}"
            ring = rings.create(directory(), name, max(self._backlog, LEAST), worker.address)
            self._outbox = self._outboxes[name] = self._open(name, ring)
            self.handler = RelayHandler(self._outbox)  # type: ignore[arg-type]  # It has what a handler needs.
        self._dispatch.relays[self.relay] = self
        self._undo_execute = _hook(worker)
        global _relays
        _relays = {**_relays, f"{self.name} {id(worker)}": self}
        self._is_set_up = True
        _update_process()
        if not self.is_local:
            self.on_adopt()

    def _open(self, name: str, ring: rings.Ring) -> Outbox:
        def send(start: int, data: bytes) -> dict[str, Any]:
            fields = {"ring": name, "start": start, "data": data, "origin": ring.origin, "large": outbox.large}
            message = {"op": OPERATION, "relay": self.relay, "do": "records", **fields}
            with contextlib.suppress(Exception):  # The stream is closed. What is in the ring stays there.
                self._worker.batched_stream.send(message)
            return message

        outbox = Outbox(ring, send)
        return outbox

    async def teardown(self, worker: Any) -> None:
        """End: the relay has ended, or the worker closes."""
        if not self._is_set_up:
            return
        self._is_set_up = False
        global _relays
        _relays = {key: relay for key, relay in _relays.items() if relay is not self}
        _update_process()
        self._undo_execute()
        # What is left of a worker that closes is for another one, if there is still a scheduler that knows of others.
        keep = worker.status.name != "running"
        stream = worker.batched_stream
        if stream.comm is not None and stream.comm.closed():
            keep = keep and await _is_scheduler_there(worker)
        else:
            waits = [future for outbox in self._outboxes.values() if (future := outbox.when_acked()) is not None]
            if waits:
                await asyncio.wait(waits, timeout=LAST_WAIT)
        del self._dispatch.relays[self.relay]
        for outbox in self._outboxes.values():
            left = outbox.close(keep=keep)
            if left and not keep:
                write_to_stderr(left)

    def handle_here(self, task: Task | None, record: LogRecord) -> bool:
        """Handle a record in the client's own process. Return whether no logger is to handle it."""
        fields = {"worker": self._worker.address, "taskKey": None if task is None else task.key}
        job = None if task is None else (task.annotation or {}).get("job")
        if job:
            fields |= {"jobId": job[0], "jobName": job[1]}
        for name, value in fields.items():
            record.__dict__.setdefault(name, value)
        handle = local_handlers.get(self.relay)
        if handle is not None:
            handle(record)
        return handle is not None

    # What the scheduler and the client say.

    def on_ack(self, ring: str, offset: int, pause: float) -> None:
        """Make room for what has been handled."""
        outbox = self._outboxes.get(ring)
        if outbox is None:
            return
        outbox.acknowledge(offset, pause)
        if outbox is not self._outbox and outbox.is_empty:
            outbox.close(keep=False)
            del self._outboxes[ring]

    def on_settings(self, settings: bytes) -> None:
        """Take over what has changed of the client's logging."""
        if settings != self._settings:
            self._settings = settings
            self.levels = Levels(pickle.loads(settings), self._root_level)
            _update_process()

    def on_flush(self, number: int) -> None:
        """Send all, and say when that is done."""
        waits = [future for outbox in self._outboxes.values() if (future := outbox.when_sent()) is not None]
        answer = {"op": OPERATION, "relay": self.relay, "do": "flushed", "number": number}
        if not waits:
            self._worker.batched_stream.send(answer)
            return

        async def say() -> None:
            await asyncio.wait(waits)
            with contextlib.suppress(Exception):
                self._worker.batched_stream.send(answer)

        task = asyncio.ensure_future(say())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def on_resend(self) -> None:
        """Send again what wasn't acknowledged."""
        for outbox in list(self._outboxes.values()):
            outbox.resend()

    def on_adopt(self) -> None:
        """Send what dead workers of this host have left."""
        if self.is_local:
            return
        rings.remove_old(directory(), OLD)
        for name, ring in rings.adopt(directory(), f"{self.relay}-"):
            if ring.acked == ring.written:
                ring.close(remove=True)
            else:
                self._outboxes[name] = self._open(name, ring)
                self._outboxes[name].flush()

    async def drain(self) -> None:
        """Wait until all that was logged before has been sent: before the message that a task is done."""
        if self._is_set_up and not self.is_local and (wait := self._outbox.when_sent()) is not None:
            await wait


class _Dispatch:
    """Hands a message from the scheduler to the relay that it is for. One that has ended is ignored."""

    def __init__(self) -> None:
        # Not the worker's own list of plugins: one that is being removed still waits for acknowledgements.
        self.relays: dict[str, WorkerRelay] = {}

    def __call__(self, relay: str, do: str, **message: Any) -> None:
        if relay in self.relays:
            getattr(self.relays[relay], f"on_{do}")(**message)


async def _is_scheduler_there(worker: Any) -> bool:
    """Tell whether the scheduler of a worker that has lost its connection can be reached."""
    try:
        comm = await connect(worker.scheduler.address, timeout=1, **worker.connection_args)
    except Exception:  # Of whatever transport.
        return False
    await comm.close()
    return True


_hooks: dict[int, list[Any]] = {}
"""By a worker's id: how many relays need its `execute` to be hooked, and what undoes that."""


def _hook(worker: Any) -> Callable[[], None]:
    hook = _hooks.get(id(worker))
    if hook is None:

        async def execute(run: Callable[..., Any], key: Any, **kwargs: Any) -> Any:
            return await _execute(worker, run, key, **kwargs)

        hook = _hooks[id(worker)] = [0, private.set_execute_hook(worker, execute)]
    hook[0] += 1

    def undo() -> None:
        hook[0] -= 1
        if not hook[0]:
            del _hooks[id(worker)]
            hook[1]()

    return undo


async def _execute(worker: Any, run: Callable[..., Any], key: Any, **kwargs: Any) -> Any:
    """Run a task, in a context that tells which it is, and then send its records."""
    annotation = private.annotations_of(worker, key).get(OPERATION)
    relay = _relays.get(f"{OPERATION}-{annotation['relay']} {id(worker)}") if annotation else None
    _task.set(Task(key, annotation, relay))  # This coroutine has a context of its own.
    result = await run(key, **kwargs)
    if relay is not None:
        await relay.drain()
    return result


def directory() -> str:
    """Return the directory of this host's rings."""
    place = dask.config.get("temporary-directory", None) or tempfile.gettempdir()
    return os.path.join(place, f"logpool-dask-{os.getuid()}")


def split(data: bytes | memoryview) -> tuple[list[tuple[bytes, memoryview]], int]:
    """Split bytes into frames.

    Returns:
        Labels and records, and the bytes that they took: what is left is the beginning of another.
    """
    view = memoryview(data)
    frames = []
    place = 0
    while len(view) - place >= FRAME.size:
        size, label_size = FRAME.unpack_from(view, place)
        body = place + FRAME.size
        if len(view) - body < size:
            break
        frames.append((bytes(view[body : body + label_size]), view[body + label_size : body + size]))
        place = body + size
    return frames, place


def write_to_stderr(data: bytes) -> None:
    """Write records to stderr that can't be handed to the client."""
    from logpool._record.rebuild import rebuild

    formatter = logging.Formatter(logging.BASIC_FORMAT)
    for _, flat in split(data)[0]:
        with contextlib.suppress(Exception):
            sys.stderr.write(formatter.format(rebuild(flat)) + "\n")
    with contextlib.suppress(Exception):
        sys.stderr.flush()
