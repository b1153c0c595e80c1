"""LogQueue and the manager process behind it: a queue with a queue's interface, and its limits."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pickle
import queue
import random
import signal
import socket
import stat
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

from conftest import START_METHODS, Run, wait_until_gone
from jobs import put_marked, put_numbers, put_then_half_a_frame, put_until_refused
from logpool._manager import main as manager_main
from logpool._parent.manager import LogManager
from logpool._process import directory, signals
from logpool._transport import wire
from logpool._transport.handshake import HELLO_SIZE, PIPE
from logpool._transport.queue import LogQueue

MEBIBYTE = 2**20


@pytest.fixture
def manager() -> Iterator[LogManager]:
    started = LogManager(64 * MEBIBYTE)
    started.start()
    yield started
    started.shutdown()


@pytest.fixture(params=["pipes", "AF_UNIX", "AF_INET"])
def log_queue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogQueue]:
    """A queue by each kind of stream."""
    if request.param == "AF_INET":
        monkeypatch.setattr("tempfile.mkdtemp", no_room)
    if request.param == "AF_UNIX":
        monkeypatch.setattr("logpool._manager.reading_end.make", lambda: None)
    started = LogManager(64 * MEBIBYTE, multiprocessing.get_context("fork"))  # So that this holds for its process, too.
    started.start()
    assert isinstance(started.queue.address, str) == (request.param != "AF_INET")
    yield started.queue
    started.shutdown()


def no_room(*args: object, **kwargs: object) -> None:
    raise OSError(28, "No space left on device")


def manager_pid() -> int:
    (pid,) = [process.pid for process in multiprocessing.active_children() if process.name == "LogManager"]
    assert pid is not None
    return pid


def child(context: BaseContext, target: Any, *args: object) -> Any:
    process = context.Process(target=target, args=args)
    process.start()
    return process


@pytest.mark.parametrize("item", [b"", b"bytes", "text", None, {"a": [1, 2.5]}, b"x" * 3_000_000])
def test_what_is_put_is_got(log_queue: LogQueue, item: object) -> None:
    log_queue.put(item)
    assert log_queue.get(timeout=10) == item


def test_items_of_a_child_come_in_order(context: BaseContext, log_queue: LogQueue) -> None:
    process = child(context, put_numbers, log_queue, 2000)
    assert [log_queue.get(timeout=20)[0] for _ in range(2000)] == list(range(2000))
    process.join()


def test_large_items_of_several_children_do_not_mix(context: BaseContext, log_queue: LogQueue) -> None:
    processes = [child(context, put_marked, log_queue, mark, 20, 500_000) for mark in (b"a", b"b", b"c")]
    got = [log_queue.get(timeout=30) for _ in range(60)]
    for process in processes:
        process.join()
    assert sorted(got) == sorted(mark * 500_000 for mark in (b"a", b"b", b"c") for _ in range(20))


def test_an_empty_queue_says_so(log_queue: LogQueue) -> None:
    assert log_queue.empty()
    with pytest.raises(queue.Empty):
        log_queue.get_nowait()
    start = time.monotonic()
    with pytest.raises(queue.Empty):
        log_queue.get(timeout=0.05)
    assert time.monotonic() - start >= 0.05
    with pytest.raises(ValueError, match="non-negative"):
        log_queue.get(timeout=-1)
    log_queue.put("one")
    assert not log_queue.empty()
    assert log_queue.get_nowait() == "one"
    assert log_queue.empty()


def test_what_a_child_has_put_is_there_at_once(context: BaseContext, log_queue: LogQueue) -> None:
    for _ in range(2):
        child(context, put_numbers, log_queue, 1).join()
        assert log_queue.get_nowait() == (0, b"")


def test_a_getter_that_gave_up_takes_nothing_with_it(log_queue: LogQueue) -> None:
    for number in range(200):
        with pytest.raises(queue.Empty):
            log_queue.get(timeout=0)
        log_queue.put(number)
        assert log_queue.get(timeout=10) == number


def test_a_waiting_thread_does_not_hold_up_others(manager: LogManager, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[object] = []
    is_waiting = threading.Event()
    fill = manager.queue._fill

    def note_and_fill(*args: Any, **kwargs: Any) -> bool:
        is_waiting.set()
        return fill(*args, **kwargs)

    monkeypatch.setattr(manager.queue, "_fill", note_and_fill)
    waiting = threading.Thread(target=lambda: got.append(manager.queue.get()))
    waiting.start()
    assert is_waiting.wait(30)
    assert manager.queue.empty()
    with pytest.raises(queue.Empty):
        manager.queue.get(timeout=0.01)
    manager.queue.put("for the one that waits")
    waiting.join()
    assert got == ["for the one that waits"]


def test_a_put_of_the_process_that_gets_comes_after_all_that_was_put_before(
    context: BaseContext, log_queue: LogQueue
) -> None:
    for _ in range(2):
        processes = [child(context, put_numbers, log_queue, 50) for _ in range(2)]
        for process in processes:
            process.join()
        log_queue.put("last")
        assert [log_queue.get(timeout=10) for _ in range(101)][100] == "last"


def get_here(log_queue: LogQueue, errors: Any) -> None:
    for get in (log_queue.get, log_queue.get_nowait, log_queue.empty, log_queue.get_frames):
        try:
            errors.put(f"got {get()!r}")
        except RuntimeError as error:
            errors.put(str(error))


def test_only_the_process_that_made_the_queue_gets_from_it(context: BaseContext, manager: LogManager) -> None:
    errors = context.SimpleQueue()
    manager.queue.put("for this process")
    child(context, get_here, manager.queue, errors).join()
    assert {errors.get() for _ in range(4)} == {"only the process that made the log queue can get from it"}
    assert manager.queue.get(timeout=10) == "for this process"
    errors.close()


def test_an_item_that_is_too_large_is_refused_in_the_process_that_puts_it(
    manager: LogManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_BODY", 1000)
    with pytest.raises(ValueError, match="1,001 bytes is too large for the log queue, which takes 1,000"):
        manager.queue.put_record(bytes(1001))
    with pytest.raises(ValueError, match=r"1,\d\d\d bytes is too large"):
        manager.queue.put(b"x" * 1000)
    manager.queue.put_record(bytes(1000))
    assert manager.queue.get(timeout=10) == bytes(1000)


def test_the_backlog_is_bounded_and_nothing_is_dropped(context: BaseContext) -> None:
    manager = LogManager(4 * MEBIBYTE)
    manager.start()
    try:
        manager.queue.put("up")
        assert manager.queue.get(timeout=20) == "up"
        before = resident_bytes(manager_pid())
        process = child(context, put_numbers, manager.queue, 500, 100_000)  # 50 MB.
        # It can't end: beyond the backlog and the socket's buffer it has to wait.
        process.join(1)
        assert process.is_alive()
        assert resident_bytes(manager_pid()) - before < 6 * MEBIBYTE
        assert [manager.queue.get(timeout=20)[0] for _ in range(500)] == list(range(500))
        process.join()
    finally:
        manager.shutdown()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_backlog_of_one_byte_still_moves(context: BaseContext) -> None:
    manager = LogManager(1)
    manager.start()
    try:
        processes = [child(context, put_numbers, manager.queue, 100, 50_000) for _ in range(3)]
        got = [manager.queue.get(timeout=20)[0] for _ in range(300)]
        for process in processes:
            process.join()
        assert sorted(got) == sorted([*range(100)] * 3)
    finally:
        manager.shutdown()


def test_half_a_frame_goes_with_the_process_that_died(context: BaseContext, manager: LogManager) -> None:
    process = child(context, put_then_half_a_frame, manager.queue)
    process.join()
    child(context, put_numbers, manager.queue, 1).join()
    assert [manager.queue.get(timeout=10)[0] for _ in range(11)] == [*range(10), 0]
    assert manager.queue.empty()


def test_a_producer_that_puts_while_the_queue_ends_is_told_what_comes_out_no_more(
    context: BaseContext, log_queue: LogQueue
) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    processes = [child(context, put_until_refused, log_queue, mark, sender) for mark in range(3)]
    last = dict.fromkeys(range(3), -1)
    mark, number = log_queue.get(timeout=20)
    log_queue.end()
    with contextlib.suppress(queue.Empty):
        while True:
            assert number == last[mark] + 1
            last[mark] = number
            mark, number = log_queue.get(timeout=20)
    assert dict(receiver.recv() for _ in processes) == last
    for process in processes:
        process.join()


class Unimportable:
    """In the place of what the manager process calls first: it has lost the right to read files."""

    @staticmethod
    def ignore(names: tuple[str, ...]) -> None:
        signals.ignore(names)
        sys.meta_path.clear()


def test_a_manager_that_can_import_nothing_any_more_gives_all_it_has_to_the_end(
    context: BaseContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = LogManager(MEBIBYTE, multiprocessing.get_context("fork"))
    monkeypatch.setattr(manager_main, "signals", Unimportable)
    manager.start()
    try:
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = child(context, put_until_refused, manager.queue, 0, sender)
        got = [manager.queue.get(timeout=20)]
        manager.queue.end()
        with contextlib.suppress(queue.Empty):
            while True:
                got.append(manager.queue.get(timeout=20))
        assert got == [(0, number) for number in range(receiver.recv()[1] + 1)]
        process.join()
    finally:
        manager.shutdown()


def test_a_process_that_forks_gives_its_child_a_connection_of_its_own(manager: LogManager) -> None:
    putter = child(multiprocessing.get_context("spawn"), put_and_fork, manager.queue)
    putter.join()
    assert sorted(manager.queue.get(timeout=10) for _ in range(300)) == sorted([*range(100)] * 3)


def put_and_fork(log_queue: LogQueue) -> None:
    log_queue.put(0)
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            for number in range(100):
                log_queue.put(number)
            os._exit(0)
        pids.append(pid)
    for number in range(1, 100):
        log_queue.put(number)
    for pid in pids:
        os.waitpid(pid, 0)


@pytest.mark.parametrize("start_method", START_METHODS)
def test_a_manager_that_cannot_be_started_for_want_of_descriptors_leaves_no_file(
    run_program: Run, tmp_path: Path, start_method: str
) -> None:
    ended = run_program(
        """
import multiprocessing, os, resource, sys, tempfile
from multiprocessing import forkserver, resource_tracker
from logpool._parent.manager import LogManager

if __name__ == "__main__":
    resource_tracker.ensure_running()
    forkserver.ensure_running()
    os.mkdir("temporary")
    tempfile.tempdir = "temporary"
    used = len(os.listdir("/proc/self/fd")) - 1
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    errors = []
    for spare in range(25):
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, hard))
        try:
            LogManager(2**20, ctx=multiprocessing.get_context(sys.argv[1])).start()
        except OSError as error:
            errors.append(error)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(0 < len(errors) < 25, {error.errno for error in errors})
""",
        start_method,
    )
    assert ended.stdout == "True {24}\n"
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_directory_has_an_absolute_path_also_where_the_temporary_one_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", ".")
    made = directory.make()
    assert made is not None
    assert os.path.isabs(made)
    directory.remove(made)


def test_a_file_that_comes_while_the_directory_is_removed_is_removed_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path := tmp_path / "directory").mkdir()
    (path / "first").touch()
    rmdir = os.rmdir
    later = ["second", "third"]

    def add_a_file_then_remove(removed: str) -> None:
        if later:
            (path / later.pop()).touch()
        rmdir(removed)

    monkeypatch.setattr(os, "rmdir", add_a_file_then_remove)
    directory.remove(str(path))
    assert not path.exists()
    directory.remove(str(path))  # It may be gone.


def test_managers_that_are_started_at_once_hold_nothing_of_each_other(context: BaseContext) -> None:
    for _ in range(5):
        managers = [LogManager(MEBIBYTE, ctx=context) for _ in range(4)]
        threads = [threading.Thread(target=manager.start) for manager in managers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for manager in managers:
            # Answered by a process that is up, and so has dropped its copies of what is the others'.
            with pytest.raises(queue.Empty):
                manager.queue.get_nowait()
        for process in [child for child in multiprocessing.active_children() if child.name == "LogManager"]:
            process.kill()
            process.join()
            # Whose it was is told by what happens now: a put to a manager that is gone raises, and waits for nobody.
            (gone,) = (manager for manager in managers if raises(manager.queue))
            gone.shutdown()
            managers.remove(gone)
        assert managers == []


def raises(log_queue: LogQueue) -> bool:
    try:
        log_queue.put(1)
    except (OSError, EOFError):
        return True
    return False


class InterruptError(Exception):
    """Raised by a signal handler."""


@contextlib.contextmanager
def called_by_a_timer(handler: Callable[..., object], seconds: float) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_handler_may_put_in_the_middle_of_a_put_of_a_process_that_gets(manager: LogManager) -> None:
    got: list[Any] = []

    def get_until_none() -> None:
        while (item := manager.queue.get(timeout=30)) is not None:
            got.append(item)

    getter = threading.Thread(target=get_until_none)
    getter.start()
    numbers = itertools.count()
    put: list[int] = []

    def put_one_more(*_: object) -> None:
        number = next(numbers)
        manager.queue.put(number)
        put.append(number)
        signal.setitimer(signal.ITIMER_REAL, 0.001)

    with called_by_a_timer(put_one_more, 0.001):
        for number in range(20):
            manager.queue.put((number, b"x" * 8_000_000))
    manager.queue.put(None)
    getter.join()
    assert [item[0] for item in got if isinstance(item, tuple)] == list(range(20))
    assert len(put) > 20
    assert sorted(item for item in got if isinstance(item, int)) == sorted(put)


def test_a_put_of_the_process_that_gets_that_is_interrupted_comes_out_all_the_same(manager: LogManager) -> None:
    def interrupt(*_: object) -> None:
        raise InterruptError

    manager.queue.put("up")
    assert manager.queue.get(timeout=10) == "up"
    large = b"x" * 8_000_000
    os.kill(manager_pid(), signal.SIGSTOP)  # So that it can't be out before the timer strikes.
    with pytest.raises(InterruptError), called_by_a_timer(interrupt, 0.2):
        manager.queue.put(large)
    os.kill(manager_pid(), signal.SIGCONT)
    manager.queue.put("next")
    assert manager.queue.get(timeout=30) == large
    assert manager.queue.get(timeout=30) == "next"


def test_a_get_that_is_interrupted_while_it_receives_costs_no_item(manager: LogManager) -> None:
    interrupts = 0

    def interrupt(_: int, frame: types.FrameType | None) -> None:
        nonlocal interrupts
        if frame is not None and frame.f_code.co_name == "_receive_all":
            interrupts += 1
            raise InterruptError

    choice = random.Random(0)
    numbers = iter(range(1000))
    while interrupts < 10:
        number = next(numbers)
        manager.queue.put((number, b"x" * 8_000_000))
        got = None
        while got is None:
            # About as long as it takes until the answer comes.
            with contextlib.suppress(InterruptError), called_by_a_timer(interrupt, choice.uniform(0.001, 0.03)):
                got = manager.queue.get(timeout=30)[0]
        assert got == number


def test_an_answer_for_which_an_interrupted_get_had_asked_before_costs_no_item(manager: LogManager) -> None:
    consumer = manager.queue._consumer
    assert consumer is not None
    for number in range(2):
        manager.queue.put(number)
        consumer.request(wire.ASK)
    # The manager lets a producer in when it has answered.
    producer: LogQueue = pickle.loads(pickle.dumps(manager.queue))
    producer.put(2)
    producer.close()
    assert [manager.queue.get(timeout=10) for _ in range(3)] == [0, 1, 2]


def test_a_large_put_while_an_answer_is_on_its_way_does_not_wait_for_itself(manager: LogManager) -> None:
    large = bytes(20_000_000)
    consumer = manager.queue._consumer
    assert consumer is not None
    consumer.request(wire.ASK)  # As when `get` is interrupted then.
    consumer.asked = True
    for number in range(3):
        manager.queue.put((number, large))
    assert [manager.queue.get(timeout=20)[0] for _ in range(3)] == [0, 1, 2]


def test_closing_the_queue_tells_a_thread_that_waits_for_an_item(manager: LogManager) -> None:
    errors: queue.Queue[BaseException] = queue.Queue()

    def get() -> None:
        try:
            manager.queue.get(timeout=30)
        except (OSError, EOFError) as error:
            errors.put(error)

    getter = threading.Thread(target=get)
    getter.start()
    manager.queue.close()
    assert errors.get(timeout=20)
    getter.join()


def test_a_queue_whose_manager_is_gone_raises(manager: LogManager) -> None:
    log_queue = manager.queue
    log_queue.put(1)
    manager.shutdown()
    with pytest.raises((OSError, EOFError)):
        log_queue.put(2)
    with pytest.raises((OSError, EOFError)):
        log_queue.get()


def test_a_start_does_not_wait_for_the_manager_process_which_a_put_finds(context: BaseContext) -> None:
    with LogManager(MEBIBYTE, ctx=context) as manager:
        manager.queue.put(1)
        assert manager.queue.get(timeout=20) == 1
    assert multiprocessing.active_children() == []
    manager.shutdown()


def test_nobody_else_can_reach_the_socket(manager: LogManager) -> None:
    assert isinstance(manager.queue.address, str)
    directory = Path(manager.queue.address).parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert directory.stat().st_uid == os.getuid()
    manager.shutdown()
    assert not directory.exists()


def connect_plainly(address: Any) -> socket.socket:
    plain = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    plain.connect(address)
    return plain


@pytest.mark.parametrize(
    "said",
    [b"", PIPE, b"garbage" * 1000, bytes(HELLO_SIZE), PIPE + bytes(HELLO_SIZE - 1)],
    ids=["nothing", "half of it", "garbage", "no kind", "another key"],
)
def test_who_has_no_key_is_refused_and_holds_up_nobody(log_queue: LogQueue, said: bytes) -> None:
    strangers = [connect_plainly(log_queue.address) for _ in range(5)]
    for stranger in strangers:
        try:
            stranger.sendall(said)
        except OSError:  # It may have been refused before it had said all.
            assert said
    log_queue.put("heard")
    assert log_queue.get(timeout=10) == "heard"
    for stranger in strangers:
        stranger.close()


def test_a_manager_without_descriptors_goes_on_when_there_are_some_again() -> None:
    context = multiprocessing.get_context("fork")
    parent, end = context.Pipe()
    process = child(context, fill_a_manager, end)
    assert parent.poll(40)
    assert parent.recv() == "heard"
    process.join()
    parent.close()
    end.close()


def fill_a_manager(end: Any) -> None:
    import resource

    manager = LogManager(MEBIBYTE)
    used = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 25, hard))  # The manager's as well, when it starts.
    manager.start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    strangers = [connect_plainly(manager.queue.address) for _ in range(60)]
    accepted = 0
    for stranger in strangers:
        stranger.settimeout(1)  # There is no sign of not being accepted but that nothing comes.
        try:
            accepted += len(stranger.recv(1))
        except TimeoutError:
            break
    assert 0 < accepted < len(strangers)
    for stranger in strangers:
        stranger.close()
    manager.queue.put("heard")
    end.send(manager.queue.get())
    manager.shutdown()


def test_a_short_path_is_found_where_the_temporary_one_is_too_long_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (long := tmp_path / ("x" * 120)).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with LogManager(MEBIBYTE) as manager:
        assert isinstance(manager.queue.address, str)
        assert manager.directory is not None
        manager.queue.put("heard")
        assert manager.queue.get(timeout=10) == "heard"
    assert not Path(manager.directory).exists()


def test_the_manager_leaves_when_its_parent_is_killed(context: BaseContext) -> None:
    reader, writer = context.Pipe(duplex=False)
    parent = child(context, start_a_manager_and_wait, writer)
    pid, address, other_child = reader.recv()
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    try:
        wait_until_gone(pid)
    finally:
        os.kill(other_child, signal.SIGKILL)
    assert not Path(address).parent.exists()
    reader.close()
    writer.close()


def start_a_manager_and_wait(writer: Any) -> None:
    manager = LogManager(MEBIBYTE)
    manager.start()
    manager.queue.put(1)
    # A child that inherits all descriptors, and outlives its parent, must not keep the manager.
    other_child = os.fork()
    if other_child:
        writer.send((manager_pid(), manager.queue.address, other_child))
    signal.pause()


def test_the_manager_ignores_what_a_terminal_sends_to_all(context: BaseContext) -> None:
    with LogManager(MEBIBYTE, ctx=context) as manager:
        manager.queue.put("before")
        assert manager.queue.get(timeout=10) == "before"  # So it is up.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            os.kill(manager_pid(), number)
        manager.queue.put("after")
        assert manager.queue.get(timeout=10) == "after"


def test_the_manager_survives_an_interrupt_while_it_is_being_started() -> None:
    with LogManager(MEBIBYTE, ctx=multiprocessing.get_context("spawn")) as manager:
        os.kill(manager_pid(), signal.SIGINT)  # Its interpreter takes longer to start.
        manager.queue.put(1)
        assert manager.queue.get(timeout=10) == 1
