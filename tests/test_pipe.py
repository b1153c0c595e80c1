"""Pipes as streams of frames: what a socket does else."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logpool._manager import reading_end
from logpool._manager.reading_end import ReadingEnd
from logpool._transport import pipe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no other system has such pipes")

NOBODY = 65534
"""A user."""

Ends = tuple[ReadingEnd, pipe.WritingEnd]


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = reading_end.make()
    assert made is not None
    yield made
    for end in made:
        end.close()


def read(end: ReadingEnd) -> bytes:
    buffer = memoryview(bytearray(2 * pipe.CAPACITY))
    return bytes(buffer[: end.recv_into(buffer)])


def test_what_is_left_in_a_pipe_can_be_read_although_nobody_may_write_any_more(ends: Ends) -> None:
    reading, writing = ends
    writing.sendall(b"before")
    assert not reading.shutdown()
    assert read(reading) == b"before"
    assert reading.shutdown()
    with pytest.raises(BrokenPipeError):
        writing.sendall(b"after")


def test_a_pipe_whose_writer_is_gone_can_be_shut_down(ends: Ends) -> None:
    reading, writing = ends
    writing.close()
    assert reading.shutdown()
    assert reading.fileno() == -1


def test_more_than_a_pipe_holds_gets_through_while_signals_interrupt(ends: Ends) -> None:
    reading, writing = ends
    data = os.urandom(1000) * 5000
    got = bytearray()

    def read_all() -> None:
        while block := read(reading):
            got.extend(block)

    reader = threading.Thread(target=read_all)
    ticks: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: ticks.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        reader.start()
        while len(ticks) < 20:
            writing.sendall(data)
            expected = len(got)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        writing.close()
        reader.join()
    assert expected
    assert got == data * (len(got) // len(data))


def test_nothing_is_written_into_a_file_that_has_got_the_pipes_descriptor(ends: Ends, tmp_path: Path) -> None:
    _, writing = ends
    descriptor = writing.fileno()
    with (tmp_path / "file").open("wb") as file:
        os.dup2(file.fileno(), descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            writing.sendall(b"frame")
        writing.close()
        os.write(descriptor, b"of another")  # It wasn't closed.
        os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"of another"


def test_nothing_is_written_into_another_pipe_that_has_got_the_descriptor(ends: Ends) -> None:
    _, writing = ends
    descriptor = writing.fileno()
    another_reading, another_writing = os.pipe()
    os.dup2(another_writing, descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        writing.sendall(b"frame")
    os.close(another_writing)
    os.close(descriptor)  # It wasn't closed.
    assert os.read(another_reading, 1) == b""
    os.close(another_reading)


def test_what_is_left_of_a_write_does_not_go_into_a_pipe_that_got_the_descriptor_meanwhile(ends: Ends) -> None:
    _, writing = ends
    other_ends: list[Ends] = []

    def close_and_make_another(*_: object) -> None:
        number = writing.fileno()
        writing.close()
        made = reading_end.make()
        assert made is not None
        assert number in (end.fileno() for end in made)
        other_ends.append(made)

    before = signal.signal(signal.SIGALRM, close_and_make_another)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            writing.sendall(bytes(2 * pipe.CAPACITY))  # It waits, as nobody reads, and is interrupted by the handler.
    finally:
        signal.signal(signal.SIGALRM, before)
    ((other_reading, other_writing),) = other_ends
    other_writing.close()
    assert read(other_reading) == b""
    other_reading.close()


def test_an_end_that_is_handed_on_is_not_inherited_by_programs(ends: Ends) -> None:
    reading, writing = ends
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reading_end.send(writing, ours)
        received = pipe.receive(theirs)
        assert not os.get_inheritable(received.fileno())
        received.sendall(b"frame")
        assert read(reading) == b"frame"
        received.close()
        assert read(reading) == b""


def test_who_waits_for_an_end_of_one_who_is_gone_is_told() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(EOFError):
        pipe.receive(theirs)


def exit_code_of(target: Callable[[], None]) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=target)
    process.start()
    process.join()
    return process.exitcode


def all_there_are() -> list[Ends]:
    return list(iter(reading_end.make, None))  # It doesn't see that None ends it.


def test_there_is_no_pipe_where_no_descriptors_are_left() -> None:
    assert exit_code_of(use_up_descriptors) == 0


def use_up_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (30, hard))
    made = all_there_are()
    assert 0 < len(made) < 15


def test_there_is_no_pipe_where_those_of_the_user_hold_as_much_as_they_may() -> None:
    assert exit_code_of(use_up_memory) == 0


def use_up_memory() -> None:
    limit = int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text()) * os.sysconf("SC_PAGE_SIZE")
    most = limit // pipe.CAPACITY
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if os.getuid() == 0:  # Who may do all has no limit.
        os.setuid(NOBODY)
    made = all_there_are()
    descriptors = os.pipe()  # So it wasn't for want of those.
    assert 0 < len(made) <= most
    for descriptor in descriptors:
        os.close(descriptor)
