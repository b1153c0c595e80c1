"""How frames are cut out of a stream of bytes, and taken apart."""

from __future__ import annotations

import pickle
import random

import pytest

from logpool._manager.assembler import Assembler
from logpool._transport.wire import PICKLED, header_of, split


def items_of(block: bytes | bytearray) -> list[object]:
    return [pickle.loads(body) for body, _ in split(bytes(block))]


def stream_of(items: list[object]) -> bytes:
    bodies = [pickle.dumps(item) for item in items]
    return b"".join(header_of(body, PICKLED) + body for body in bodies)


ITEMS: list[object] = [b"", b"bytes", None, "text", {"a": 1}, b"x" * 70_000, b"y" * 1_000_000, 2.5]

READ_SIZE = 100_000


def test_a_block_is_taken_apart_into_bodies_and_whether_each_is_a_pickle() -> None:
    block = stream_of(ITEMS)
    assert items_of(block) == ITEMS
    (frame, *pickles) = split(header_of(b"flat") + b"flat" + block)
    assert frame == (b"flat", False)
    assert all(pickled for _, pickled in pickles)


@pytest.mark.parametrize("seed", range(50))
def test_whole_frames_come_out_of_a_stream_however_it_is_cut(seed: int) -> None:
    choice = random.Random(seed)
    items = [choice.choice(ITEMS) for _ in range(30)]
    stream = memoryview(stream_of(items))
    assembler = Assembler(READ_SIZE)
    got: list[object] = []
    position = 0
    while position < len(stream):
        size = choice.choice([1, 2, 3, 4, 5, 100, 5000, READ_SIZE])
        room = assembler.room()
        if room is None:
            piece = stream[position : position + size]
            block = assembler.feed(piece)
        else:
            piece = stream[position : position + min(size, len(room))]
            room[: len(piece)] = piece
            block = assembler.filled(len(piece))
        got += items_of(block)
        position += len(piece)
    assert got == items


def test_a_block_never_ends_within_a_frame() -> None:
    frame = memoryview(stream_of([b"x" * 100]))
    assembler = Assembler(READ_SIZE)
    for index in range(len(frame) - 1):
        assert assembler.feed(frame[index : index + 1]) == b""
    assert assembler.feed(frame[-1:]) == frame


def test_a_length_that_nothing_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="536,870,911 bytes where at most 268,435,456 are allowed"):
        Assembler(READ_SIZE).feed(memoryview(b"\xff\xff\xff\xff"))
