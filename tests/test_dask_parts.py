"""The parts of a cluster's relay, each by itself; and what is used of distributed's private names."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

import dask
from distributed import Client, LocalCluster

from logpool._dask import distributed as private
from logpool._dask import ring as rings
from logpool._dask import worker as worker_module
from logpool._dask.client import Inbox
from logpool._dask.worker import BATCH, FRAME, LARGE, MOST_UNANSWERED, WINDOW, Levels, Outbox, split
from logpool._worker.settings import Snapshot

PAUSE = 0.002


def frame(data: bytes, label: bytes = b"label") -> bytes:
    return FRAME.pack(len(label) + len(data), len(label)) + label + data


def contents(frames: list[tuple[bytes, memoryview]]) -> list[bytes]:
    return [bytes(flat) for _, flat in frames]


# The inbox.


def test_frames_come_out_of_any_pieces_once_and_in_order() -> None:
    source = random.Random(1)
    sent = [source.randbytes(source.randrange(200)) for _ in range(300)]
    stream = b"".join(map(frame, sent))
    inbox, came = Inbox(LARGE), []
    while inbox.offset < len(stream):
        # What has been sent before is sent again, and more than was sent before is missing, now and then.
        start = max(0, inbox.offset + source.randrange(-300, 50))
        came += contents(inbox.add(start, stream[start : start + source.randrange(1000)]))
        assert inbox.handled <= inbox.offset
    assert came == sent
    assert inbox.handled == len(stream)


def test_pieces_of_large_frames_are_acknowledged_and_of_small_ones_not() -> None:
    inbox = Inbox(LARGE)
    small, large = frame(b"x" * 1000), frame(b"x" * LARGE)
    inbox.add(0, small + large[:100])
    assert inbox.handled == len(small) + 100
    inbox.add(len(small) + 100, large[100:] + small[:500])
    assert inbox.handled == len(small) + len(large)


def test_what_is_split() -> None:
    data = frame(b"one") + frame(b"") + frame(b"three")
    frames, taken = split(data[:-1])
    assert contents(frames) == [b"one", b""]
    assert taken == len(frame(b"one") + frame(b""))
    assert frames[0][0] == b"label"


# The outbox.


class Cluster:
    """An outbox, and a client at its other end."""

    def __init__(self, tmp_path: Path, capacity: int) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.outbox = Outbox(rings.create(str(tmp_path / "rings"), "one", capacity, ""), self._send)
        self.inbox = Inbox(self.outbox.large)
        self.came: list[bytes] = []
        self.count = 0
        self.arrival = asyncio.Event()

    def _send(self, start: int, data: bytes) -> dict[str, Any]:
        self.count += 1
        self.sent.append((start, data))
        self.arrival.set()
        return {"data": data}

    def answer(self) -> None:
        """Handles one message."""
        self.came += contents(self.inbox.add(*self.sent.pop(0)))
        self.outbox.acknowledge(self.inbox.handled, PAUSE)

    async def answer_until(self, done: Callable[[], bool]) -> None:
        while not done():
            if not self.sent:
                self.arrival.clear()
                await self.arrival.wait()
            self.answer()


def run(tmp_path: Path, test: Callable[[Cluster], Coroutine[Any, Any, None]], capacity: int = 2**20) -> None:
    async def main() -> None:
        made = Cluster(tmp_path, capacity)
        try:
            await test(made)
        finally:
            made.outbox.close(keep=False)

    asyncio.run(main())


def put_all(cluster: Cluster, items: list[bytes]) -> threading.Thread:
    def put() -> None:
        for item in items:
            cluster.outbox.put_record(item)

    thread = threading.Thread(target=put)
    thread.start()
    return thread


def test_the_first_record_is_sent_at_once_and_others_after_a_pause(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        for number in range(100):
            cluster.outbox.put_record(b"%d" % number)
            await asyncio.sleep(0)
        await cluster.answer_until(lambda: len(cluster.came) == 100)
        assert cluster.came == [b"%d" % number for number in range(100)]
        assert cluster.count < 20
        assert cluster.sent == []

    run(tmp_path, test)


def test_no_small_messages_are_sent_to_a_client_that_does_not_answer(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.outbox._pause = 0.0
        for number in range(100):
            cluster.outbox.put_record(b"%d" % number)
            await asyncio.sleep(0.001)
        assert len(cluster.sent) == MOST_UNANSWERED
        await cluster.answer_until(lambda: len(cluster.came) == 100)

    run(tmp_path, test)


def test_no_more_is_sent_than_the_window_lets(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        for _ in range(200):
            cluster.outbox.put_record(b"x" * 4000)
        waits = cluster.outbox.when_sent()
        assert waits is not None
        assert all(len(data) <= BATCH for _, data in cluster.sent)
        assert sum(len(data) for _, data in cluster.sent) == WINDOW
        await cluster.answer_until(waits.done)
        assert cluster.outbox.when_sent() is None
        await cluster.answer_until(lambda: len(cluster.came) == 200)
        assert cluster.outbox.when_acked() is None

    run(tmp_path, test)


@pytest.mark.parametrize("capacity", [64, 5000, 2**20])
def test_threads_wait_for_room_and_nothing_is_lost(tmp_path: Path, capacity: int) -> None:
    source = random.Random(capacity)
    count = 300 if capacity > 64 else 30
    items = [
        [b"%d %d " % (each, number) + source.randbytes(source.randrange(400)) for number in range(count)]
        for each in range(3)
    ]

    async def test(cluster: Cluster) -> None:
        threads = [put_all(cluster, each) for each in items]
        own = [b"loop %d" % number for number in range(50)]
        for item in own:
            cluster.outbox.put_record(item)  # Never waits.
            await asyncio.sleep(0)
        await cluster.answer_until(lambda: len(cluster.came) == 3 * count + 50)
        for thread in threads:
            thread.join()
        for expected in (*items, own):
            known = set(expected)
            assert [item for item in cluster.came if item in known] == expected
        assert cluster.outbox.is_empty

    run(tmp_path, test, capacity)


def test_a_record_larger_than_window_and_ring(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        thread = put_all(cluster, [b"x" * (3 * WINDOW), b"small"])
        await cluster.answer_until(lambda: len(cluster.came) == 2)
        thread.join()
        cluster.outbox.put_record(b"y" * (3 * WINDOW))  # By the loop's own thread.
        await cluster.answer_until(lambda: len(cluster.came) == 3)
        assert [len(item) for item in cluster.came] == [3 * WINDOW, 5, 3 * WINDOW]

    run(tmp_path, test, WINDOW)


def test_garbage_that_logs_while_it_is_collected_in_the_midst_of_a_write(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        ring = cluster.outbox.ring
        write = ring.write

        def write_and_collect(data: bytes | memoryview) -> int:
            ring.write = write  # type: ignore[method-assign]
            cluster.outbox.put_record(b"by garbage")
            return write(data)

        ring.write = write_and_collect  # type: ignore[method-assign]
        cluster.outbox.put_record(b"one")
        cluster.outbox.put_record(b"two")
        await cluster.answer_until(lambda: len(cluster.came) == 3)
        assert cluster.came == [b"one", b"by garbage", b"two"]

    run(tmp_path, test)


def test_what_was_lost_is_sent_again(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        for number in range(1000):
            cluster.outbox.put_record(b"%d" % number + b"x" * 100)
        cluster.outbox.flush()
        cluster.answer()
        cluster.sent.clear()  # The connection is cut.
        cluster.outbox.resend()
        await cluster.answer_until(lambda: len(cluster.came) == 1000)
        assert [item.rstrip(b"x") for item in cluster.came] == [b"%d" % number for number in range(1000)]

    run(tmp_path, test)


def test_what_is_left_at_the_end_are_whole_frames(tmp_path: Path) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.outbox.put_record(b"x" * (LARGE + BATCH))
        cluster.outbox.put_record(b"small")
        cluster.outbox.flush()
        cluster.answer()  # A piece of the large one.
        assert cluster.outbox.ring.acked == BATCH
        left, rest = split(cluster.outbox.close(keep=False))
        assert contents(left) == [b"small"]
        assert rest
        with pytest.raises(OSError, match="ended"):
            cluster.outbox.put_record(b"too late")

    run(tmp_path, test)


def test_threads_that_wait_are_told_of_the_end(tmp_path: Path) -> None:
    errors: list[str] = []

    async def test(cluster: Cluster) -> None:
        waiting = asyncio.Event()
        loop, wait = asyncio.get_running_loop(), cluster.outbox._wait

        def put() -> None:
            try:
                cluster.outbox.put_record(b"x" * 1000)
            except OSError as error:
                errors.append(str(error))

        def tell_and_wait() -> None:
            loop.call_soon_threadsafe(waiting.set)
            wait()

        cluster.outbox._wait = tell_and_wait  # type: ignore[method-assign]
        thread = threading.Thread(target=put)
        thread.start()
        await waiting.wait()
        cluster.outbox.close(keep=False)
        thread.join()

    run(tmp_path, test, 500)
    assert errors == ["the relay has ended"]


# Levels.


def test_levels_are_those_of_the_snapshot() -> None:
    names = {"levels": 0, "levels.high": 40, "levels.high.child": 0, "levels.high.low": 10, "levels.off": 0}
    logger = {name: logging.getLogger(name) for name in names}
    logger["levels.off"].disabled = True
    for name, level in names.items():
        logger[name].setLevel(level)
    levels = Levels(Snapshot(), None)
    for name in [*names, "levels.unknown", "levels.high.unknown.below", "root"]:
        for level in (10, 20, 30, 40):
            assert (level >= levels.of(name)) == logging.getLogger(name).isEnabledFor(level), (name, level)
    assert Levels(Snapshot(), 7).of("levels") == 7
    logging.disable(logging.WARNING)
    try:
        levels = Levels(Snapshot(), None)
        assert [levels.of(name) for name in ("levels", "levels.high")] == [31, 40]
    finally:
        logging.disable(logging.NOTSET)


def test_a_process_is_known_by_what_it_has_told() -> None:
    assert worker_module.is_this_process(worker_module.process)
    assert not worker_module.is_this_process(("another", worker_module.process[1]))


# Private names of distributed.


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as made,
    ):
        called = threading.Event()
        made.submit(len, ()).add_done_callback(lambda future: called.set())
        called.wait()
        yield made


def test_all_ways_to_submit_pass_the_graph_hook(client: Client) -> None:
    sent = []

    def around(send: Callable[[], Any]) -> Any:
        sent.append(len(sent))
        return send()

    undo = private.set_graph_hook(client, around)
    try:
        client.submit(len, (), pure=False).result()
        client.gather(client.map(len, [()], pure=False))
        dask.delayed(len)(()).compute(scheduler=client)
        client.persist(dask.delayed(len)([1]))
        client.get_executor(pure=False).submit(len, ()).result()
    finally:
        undo()
    assert len(sent) == 5
    assert "_graph_to_futures" not in vars(client)


def test_annotations_reach_the_worker_and_execute_can_be_hooked(client: Client) -> None:
    [worker] = client.cluster.workers.values()
    seen = []

    async def around(execute: Callable[..., Any], key: Any, **kwargs: Any) -> Any:
        seen.append((key, private.annotations_of(worker, key).get("mine")))
        return await execute(key, **kwargs)

    undo = private.set_execute_hook(worker, around)
    try:
        with dask.annotate(mine={"relay": "name", "job": None}):
            future = client.submit(len, (), pure=False)
        assert future.result() == 0
    finally:
        undo()
    assert seen == [(future.key, {"relay": "name", "job": None})]
    assert "execute" not in vars(worker)
    assert private.annotations_of(worker, "unknown") == {}


def test_a_clients_messages_keep_their_order(client: Client) -> None:
    came: list[int] = []
    scheduler = client.cluster.scheduler
    done = threading.Event()

    def take(number: int, client: str) -> None:
        came.append(number)
        if number == 99:
            done.set()

    scheduler.stream_handlers["test-of-order"] = take
    for number in range(100):
        private.send_to_scheduler(client, {"op": "test-of-order", "number": number})
    assert done.wait(30)
    del scheduler.stream_handlers["test-of-order"]
    assert came == list(range(100))


def test_connection_hooks(client: Client) -> None:
    lost, restored, closed = threading.Event(), threading.Event(), threading.Event()

    async def restore() -> None:
        restored.set()

    with Client(client.cluster, set_as_default=False) as other:
        undo = private.set_connection_hooks(other, lost=lost.set, restored=restore, closed=closed.set)
        other.loop.add_callback(other.scheduler_comm.comm.abort)
        assert lost.wait(30)
        assert restored.wait(30)
        assert not closed.is_set()
    assert closed.is_set()
    undo()
    assert "_close" not in vars(other)
