"""What runs in a Dask client: it hands the records of its tasks to this process's logging."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import marshal
import pickle
import queue
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import Any

import cloudpickle
import dask
from distributed import Client
from distributed.diagnostics.plugin import SchedulerPlugin

from logpool._dask import distributed as private
from logpool._dask import ring as rings
from logpool._dask import scheduler as scheduler_module
from logpool._dask import worker as worker_module
from logpool._dask.scheduler import OPERATION, SchedulerRelay
from logpool._dask.worker import FRAME, WorkerRelay, split
from logpool._parent.arguments import check_backlog, check_handlers, check_level
from logpool._parent.dispatcher import Dispatcher
from logpool._parent.settings_watch import SettingsWatch
from logpool._record.label import read_label
from logpool._record.rebuild import rebuild
from logpool._worker.settings import Snapshot

DEFAULT_BACKLOG = 4 * 2**20
"""Bytes that each worker holds before its tasks wait: 4 MiB."""

STUCK = 10.0
"""Seconds after which a handler that goes on handling one record doesn't keep futures waiting any longer."""

logger = logging.getLogger("logpool")


class _ByValue(SchedulerPlugin):
    """Pickles the scheduler's plugin with its code, as the scheduler may have no logpool."""

    idempotent = True  # A client that connects again registers it again.

    def __init__(self, plugin: SchedulerRelay) -> None:
        self.plugin = plugin
        self.name = plugin.name

    def __reduce__(self) -> Any:
        cloudpickle.register_pickle_by_value(scheduler_module)
        try:
            return pickle.loads, (cloudpickle.dumps(self.plugin),)
        finally:
            cloudpickle.unregister_pickle_by_value(scheduler_module)


class Inbox:
    """The frames of one ring, as they come in: each byte once, in order.

    Attributes:
        offset: All bytes before it have come.
    """

    def __init__(self, large: int) -> None:
        """Begin with the ring's first byte.

        Args:
            large: Bytes of a frame from which on pieces of it may be acknowledged.
        """
        self.offset = 0
        self._large = large
        self._rest = b""

    def add(self, start: int, data: bytes) -> list[tuple[bytes, memoryview]]:
        """Take bytes from an offset on. Return the frames that are complete now."""
        if start > self.offset:  # What is missing was lost with a connection, and is sent again.
            return []
        data = data[self.offset - start :]
        self.offset += len(data)
        data = self._rest + data if self._rest else data
        frames, place = split(data)
        self._rest = data[place:]
        return frames

    @property
    def handled(self) -> int:
        """What may be acknowledged: all but the frame that isn't complete, of which the rest is to come."""
        rest = self._rest
        if len(rest) >= FRAME.size and FRAME.size + FRAME.unpack_from(rest)[0] > self._large:
            return self.offset
        return self.offset - len(rest)


class _Flush:
    def __init__(self) -> None:
        self.over = threading.Event()
        self.reached = False


class ClusterRelay:
    """The client's side of a relay.

    Attributes:
        client: The client.
        contexts: Those in which jobs were submitted that aren't done, by the jobs' numbers.
    """

    def __init__(
        self, client: Client, handlers: Iterable[logging.Handler] | None, level: int | str | None, backlog: int
    ) -> None:
        """Check the arguments, which are those of `relay_logs`. Nothing is started."""
        if not isinstance(client, Client):
            raise TypeError(f"client must be a distributed.Client, not {client!r}")
        self.client = client
        self.contexts: dict[int, Context] = {}
        self._relay = uuid.uuid4().hex
        self._topic = f"{OPERATION}-{self._relay}"
        self._handlers = check_handlers(handlers)
        self._level = check_level(level)
        self._backlog = check_backlog(backlog)
        self._dispatcher = Dispatcher(self._handlers)
        self._watch = SettingsWatch()
        self._settings = b""
        self._inboxes: dict[str, Inbox] = {}
        self._batches: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._progress = 0  # How many records have been handled.
        self._stuck_at = -1  # What `_progress` was when a handler was found stuck.
        self._flushes: dict[int, _Flush] = {}
        self._numbers = itertools.count()
        self._is_connected = False
        self._undo = contextlib.ExitStack()
        self._closing = threading.Lock()
        self._has_ended = False
        self._is_over = threading.Event()

    # Start and end.

    def start(self) -> None:
        """Start the listener's thread, and have all workers relay.

        Raises:
            RuntimeError: It was started before; the client isn't connected, or is asynchronous; or a worker has no
                logpool.
        """
        client = self.client
        if self._thread is not None:
            raise RuntimeError("a relay can only be started once")
        if client.asynchronous:
            raise RuntimeError("the client is asynchronous, but a relay waits: use a client that isn't")
        if client.status != "running":
            raise RuntimeError(f"the client is not connected to a scheduler: its status is {client.status!r}")
        self._watch.changes()
        self._context = copy_context()
        self._settings = pickle.dumps(Snapshot())
        self._thread = threading.Thread(target=self._run, name="logpool-dask-listener", daemon=True)
        self._thread.start()
        self._is_connected = True
        try:
            if self._handlers is not None:
                worker_module.local_handlers[self._relay] = self._dispatcher.handle
                self._undo.callback(worker_module.local_handlers.pop, self._relay)
            client.subscribe_topic(self._topic, _Weakly(self))
            self._undo.callback(
                private.set_connection_hooks(client, lost=self._lost, restored=self._restored, closed=self._closed)
            )
            for plugin in self._plugins():
                client.register_plugin(plugin)
        except BaseException as error:
            self.close(wait=False)
            if "No module named 'logpool" in str(error):  # A worker's error is of another class here.
                raise RuntimeError("a worker has no logpool: install logpool-executor where workers run") from error
            raise

    def _plugins(self) -> tuple[_ByValue, WorkerRelay]:
        return (
            _ByValue(SchedulerRelay(self._relay, self.client.id, self._settings, scheduler_module.GRACE)),
            WorkerRelay(self._relay, worker_module.process, self._settings, self._level, self._backlog),
        )

    def close(self, *, wait: bool = True) -> None:
        """Handle what all finished tasks have logged, then end all that was started.

        It may be called again, and waits then for what another thread has begun.

        Args:
            wait: Whether to wait for records that are on their way.
        """
        if self._thread is None:
            return
        with self._closing:
            is_first = not self._has_ended
            self._has_ended = True
        wait = wait and not self.is_current_thread()
        if not is_first:
            if wait:
                self._is_over.wait()
            return
        try:
            if wait:
                self._flush(None)
        finally:
            try:
                self._end()
            finally:
                self._is_over.set()

    def _end(self) -> None:
        assert self._thread is not None
        self._watch.close()
        for unregister in (self.client.unregister_worker_plugin, self.client.unregister_scheduler_plugin):
            # A scheduler that is gone has nothing that must be removed.
            if self._is_connected:
                with contextlib.suppress(Exception):
                    unregister(self._topic)
        if self._is_connected:
            with contextlib.suppress(Exception):
                self.client.unsubscribe_topic(self._topic)
        self._undo.close()
        self._batches.put(self._adopt)
        self._batches.put(None)
        if not self.is_current_thread():
            self._thread.join()

    def _adopt(self) -> None:
        """Handle what dead workers have left on this host, and no other worker has sent."""
        for name, ring in rings.adopt(worker_module.directory(), f"{self._relay}-"):
            self._handle(name, ring.origin, 0, ring.acked, ring.read(ring.acked, ring.written))
            ring.close(remove=True)

    # What the client submits.

    def annotation(self, job: tuple[int, str] | None = None) -> dict[str, Any]:
        """Return what tells workers that a task is this relay's. Workers get the newest levels before the task.

        Args:
            job: The number and the name of the job that the task is; None: it is no job.
        """
        changes = self._watch.changes()
        if changes is not None and changes[1] != self._settings and self._is_connected:
            self._settings = changes[1]
            private.send_to_scheduler(self.client, self._message("settings", settings=self._settings))
        return {OPERATION: {"relay": self._relay, "job": job}}

    def take_all(self) -> None:
        """Take the records of all that the client submits from now on."""
        undo = private.set_graph_hook(self.client, self._send_graph)
        self._undo.callback(undo)

    def _send_graph(self, send: Callable[[], Any]) -> Any:
        # It may have ended while a later one, which ends after it, goes on calling this.
        if self._has_ended or OPERATION in dask.get_annotations():
            return send()
        with dask.annotate(**self.annotation()):
            return send()

    def _message(self, do: str, **fields: Any) -> dict[str, Any]:
        return {"op": OPERATION, "relay": self._relay, "do": do, **fields}

    # The client's loop.

    async def on_event(self, event: dict[str, Any]) -> None:
        """Take what the scheduler has passed on. What comes behind it, results say, waits until that is handled."""
        if event["do"] == "flushed":
            self._batches.put(functools.partial(self._end_flush, event["number"], reached=True))
            return
        future = asyncio.get_running_loop().create_future()
        self._batches.put(functools.partial(self._take, future, event))
        while not future.done() and self._stuck_at != (progress := self._progress):
            done, _ = await asyncio.wait([future], timeout=STUCK)
            if not done and self._progress == progress:
                self._stuck_at = progress  # Its handler may wait for something that comes behind.

    def _acknowledge(self, future: asyncio.Future[None], event: dict[str, Any], offset: int) -> None:
        if not future.done():
            future.set_result(None)
        with contextlib.suppress(Exception):  # The client is closed.
            private.send_to_scheduler(
                self.client, self._message("ack", worker=event["worker"], ring=event["ring"], offset=offset)
            )

    def _lost(self) -> None:
        self._is_connected = False
        for number in list(self._flushes):
            self._end_flush(number, reached=False)
        text = "The connection to the Dask scheduler is lost. Records that are on their way wait in the workers."
        self._batches.put(functools.partial(self._dispatcher.report, logging.WARNING, text))

    async def _restored(self) -> None:
        try:
            # The scheduler has them still, unless it is another one, or it has taken too long.
            for plugin in self._plugins():
                await self.client.register_plugin(plugin)
            self._is_connected = True
        except Exception as error:
            text = f"The connection to the Dask scheduler is there again, but no records will come: {error!r}"
            self._batches.put(functools.partial(self._dispatcher.report, logging.ERROR, text))

    def _closed(self) -> None:
        self._is_connected = False
        for number in list(self._flushes):
            self._end_flush(number, reached=False)

    # Flushes.

    def is_current_thread(self) -> bool:
        """Tell whether the caller is a handler that this relay is just calling."""
        return threading.current_thread() is self._thread

    def flush(self, timeout: float | None) -> bool:
        """Do what `LogRelay.flush` does."""
        if self._thread is None:
            raise RuntimeError("the relay is not started: use it as a context manager")
        if self.is_current_thread():
            raise RuntimeError("cannot wait for the log listener in its own thread")
        if self.client.asynchronous:
            raise RuntimeError("cannot wait for the log listener in the client's event loop")
        return self._flush(timeout) if not self._has_ended else self._is_connected

    def _flush(self, timeout: float | None) -> bool:
        number = next(self._numbers)
        flush = self._flushes[number] = _Flush()
        try:
            # In this order: the connection may be lost meanwhile.
            if not self._is_connected:
                return False
            private.send_to_scheduler(self.client, self._message("flush", number=number))
            flush.over.wait(timeout)
        except Exception:  # The client is closed.
            return False
        finally:
            self._flushes.pop(number, None)
        return flush.reached

    def _end_flush(self, number: int, *, reached: bool) -> None:
        flush = self._flushes.get(number)
        if flush is not None:
            flush.reached = reached
            flush.over.set()

    # The listener's thread.

    def _run(self) -> None:
        while (act := self._batches.get()) is not None:
            try:
                act()
            except BaseException:
                self._dispatcher.report(logging.ERROR, "Records of a Dask worker were lost.", exc_info=True)

    def _take(self, future: asyncio.Future[None], event: dict[str, Any]) -> None:
        ring = event["ring"]
        try:
            self._handle(ring, event["origin"], event["large"], event["start"], event["data"])
        finally:
            with contextlib.suppress(RuntimeError):  # The loop is closed.
                future.get_loop().call_soon_threadsafe(self._acknowledge, future, event, self._inboxes[ring].handled)

    def _handle(self, ring: str, origin: str, large: int, start: int, data: bytes) -> None:
        inbox = self._inboxes.get(ring)
        if inbox is None:
            inbox = self._inboxes[ring] = Inbox(large)
        last, key, number, name, values = None, None, None, None, None
        for label, flat in inbox.add(start, data):
            try:
                record = rebuild(flat)
                if label != last:
                    key, number, name, values = marshal.loads(label)
                    last = label
            except BaseException:
                self._dispatcher.report(
                    logging.ERROR, "A record was lost: it can't be rebuilt in this process.", exc_info=True
                )
                continue
            fields = record.__dict__
            fields.setdefault("worker", origin)
            fields.setdefault("taskKey", key)
            context = self._context
            if number is not None:
                fields.setdefault("jobId", number)
                fields.setdefault("jobName", name)
                context = self.contexts.get(number, context)
            if values is None:
                context.run(self._dispatcher.handle, record)
            else:
                context.copy().run(self._handle_with, values, record)
            self._progress += 1

    def _handle_with(self, values: bytes, record: logging.LogRecord) -> None:
        """Handle a record in a context of its own, with the variables that its task has set."""
        for variable, value in read_label(values)[1]:
            variable.set(value)
        self._dispatcher.handle(record)


class _Weakly:
    """Hands events to a relay as long as there is one: a client keeps the functions that have subscribed."""

    def __init__(self, relay: ClusterRelay) -> None:
        self._relay = weakref.ref(relay)

    async def __call__(self, event: dict[str, Any]) -> None:
        relay = self._relay()
        if relay is not None:
            await relay.on_event(event)
