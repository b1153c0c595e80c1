"""`SchedulerRelay`: passes on, in the scheduler, what one relay's workers and client say to each other.

It never looks into the records. The scheduler may have no logpool: this module is pickled by value (client.py), and so
imports nothing of this package.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from distributed.comm.addressing import get_address_host
from distributed.diagnostics.plugin import SchedulerPlugin

OPERATION = "logpool"
"""The operation, on the streams of workers and clients, of all that relays say."""

MESSAGE_TIME = 0.002
"""Seconds for which a worker that has sent a small message lets the others do the same. So all workers of a relay
together send 500 small messages a second at most, beside those before the end of a task."""

GRACE = 10.0
"""Seconds that a client whose connection was lost has to connect again, before its relay is removed."""


def dispatch(scheduler: Any, relay: str, do: str, **message: Any) -> None:
    """Hand a message to the relay that it is for. One that has ended is ignored.

    An unknown operation would end the worker's stream. So this is never removed from the scheduler.
    """
    plugin = scheduler.plugins.get(f"{OPERATION}-{relay}")
    if plugin is not None:
        getattr(plugin, f"on_{do}")(**message)


class SchedulerRelay(SchedulerPlugin):
    """What the scheduler does for one relay."""

    def __init__(self, relay: str, client: str, settings: bytes, grace: float = GRACE) -> None:
        """Create the plugin, in the client.

        Args:
            relay: The relay's name.
            client: The client's id.
            settings: What workers take over of the client's logging.
            grace: Seconds that the client has to connect again.
        """
        self.relay = relay
        self.name = f"{OPERATION}-{relay}"
        self.client = client
        self._settings = settings
        self._grace = grace
        self._flushes: dict[int, set[str]] = {}  # By number: the workers that haven't answered.
        self._passed: dict[str, Any] = {}  # By ring: events that aren't acknowledged, with the offsets behind them.
        self._end: asyncio.TimerHandle | None = None

    async def start(self, scheduler: Any) -> None:
        """Begin, on the scheduler."""
        import functools

        self._scheduler = scheduler
        scheduler.stream_handlers[OPERATION] = functools.partial(dispatch, scheduler)

    def _tell(self, worker: str, do: str, **message: Any) -> None:
        if worker in self._scheduler.stream_comms:
            self._scheduler.worker_send(worker, {"op": OPERATION, "relay": self.relay, "do": do, **message})

    def _tell_client(self, event: dict[str, Any]) -> None:
        self._scheduler.client_send(self.client, {"op": "event", "topic": self.name, "event": event})

    # What workers say.

    def on_records(self, ring: str, start: int, data: bytes, **message: Any) -> None:
        """Pass records on."""
        event = {"do": "records", "ring": ring, "start": start, "data": data, **message}
        self._passed.setdefault(ring, deque()).append((start + len(data), event))
        self._tell_client(event)

    def on_flushed(self, worker: str, number: int) -> None:
        """Note that a worker has sent all that was logged before a flush."""
        waiting = self._flushes.get(number)
        if waiting is not None:
            waiting.discard(worker)
            self._end_flush(number)

    # What the client says.

    def on_ack(self, client: str, worker: str, ring: str, offset: int) -> None:
        """Pass an acknowledgement on."""
        # Streams keep the last messages that they have sent, for debugging.
        passed = self._passed.get(ring, ())
        while passed and passed[0][0] <= offset:
            passed.popleft()[1]["data"] = b""
        if not passed:
            self._passed.pop(ring, None)
        pause = MESSAGE_TIME * len(self._scheduler.stream_comms)
        self._tell(worker, "ack", ring=ring, offset=offset, pause=pause)

    def on_flush(self, client: str, number: int) -> None:
        """Have all workers send what they have."""
        self._flushes[number] = set(self._scheduler.stream_comms)
        for worker in list(self._flushes[number]):
            self._tell(worker, "flush", number=number)
        self._end_flush(number)

    def on_settings(self, client: str, settings: bytes) -> None:
        """Have all workers take over what has changed of the client's logging."""
        self._settings = settings
        for worker in list(self._scheduler.stream_comms):
            self._tell(worker, "settings", settings=settings)

    def _end_flush(self, number: int) -> None:
        if not self._flushes[number]:
            del self._flushes[number]
            self._tell_client({"do": "flushed", "number": number})

    # What happens to the cluster.

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Have a new worker take over the newest settings: it has got the first ones with the plugin."""
        self._tell(worker, "settings", settings=self._settings)

    def remove_worker(self, scheduler: Any, worker: str, **kwargs: Any) -> None:
        """Have other workers on that host send what a worker that is gone has left there."""
        host = get_address_host(worker)
        for other in list(scheduler.stream_comms):
            if other != worker and get_address_host(other) == host:
                self._tell(other, "adopt")
        for number, waiting in list(self._flushes.items()):
            waiting.discard(worker)
            self._end_flush(number)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Remove the relay if its client doesn't come back."""
        if client == self.client and self._end is None:
            loop = asyncio.get_running_loop()
            self._end = loop.call_later(self._grace, lambda: self._background(self._remove()))

    def add_client(self, scheduler: Any, client: str) -> None:
        """Have records sent again that were lost with the connection of a client that comes back."""
        if client != self.client:
            return
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self._flushes.clear()
        self._passed.clear()
        # When the scheduler has the client's stream.
        asyncio.get_running_loop().call_soon(self._resend)

    def _resend(self) -> None:
        for worker in list(self._scheduler.stream_comms):
            self._tell(worker, "resend")

    def _background(self, coroutine: Any) -> None:
        self._task = asyncio.ensure_future(coroutine)

    async def _remove(self) -> None:
        scheduler = self._scheduler
        if self.name in scheduler.worker_plugins:
            await scheduler.unregister_worker_plugin(comm=None, name=self.name)
        if self.name in scheduler.plugins:
            scheduler.remove_plugin(self.name)

    async def close(self) -> None:
        """End with the scheduler."""
        if self._end is not None:
            self._end.cancel()
