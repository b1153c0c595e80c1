"""Frames: how items are cut out of a stream of bytes."""

from __future__ import annotations

import logging
import pickle
import random

import pytest

from logpool import frames
from logpool.items import decode, encode, header_of
from logpool.record import flatten


def items_of(block: bytes | bytearray) -> list[object]:
    return [decode(frame) for frame in frames.split(block)]


def stream_of(items: list[object]) -> bytes:
    return b"".join(part for item in items for part in encode(item))


ITEMS: list[object] = [b"", b"bytes", None, "text", {"a": 1}, b"x" * 70_000, b"y" * 1_000_000, 2.5]

READ_SIZE = 100_000


def test_items_travel_as_pickles_and_records_as_they_are() -> None:
    block = stream_of(ITEMS)
    assert items_of(block) == ITEMS
    flat = flatten(logging.makeLogRecord({"msg": "text"}))
    (frame, *pickles) = frames.split(header_of(flat) + flat + block)
    assert frame == (flat, False)
    assert decode(frame).msg == "text"
    assert all(pickled for _, pickled in pickles)


@pytest.mark.parametrize("seed", range(50))
def test_whole_frames_come_out_of_a_stream_however_it_is_cut(seed: int) -> None:
    choice = random.Random(seed)
    items = [choice.choice(ITEMS) for _ in range(30)]
    stream = memoryview(stream_of(items))
    assembler = frames.Assembler(READ_SIZE)
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
    assembler = frames.Assembler(READ_SIZE)
    for index in range(len(frame) - 1):
        assert assembler.feed(frame[index : index + 1]) == b""
    assert assembler.feed(frame[-1:]) == frame


def test_a_length_that_nothing_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="2,147,483,647 bytes where at most 268,435,456 are allowed"):
        frames.Assembler(READ_SIZE).feed(memoryview(b"\xff\xff\xff\xff"))


def test_what_cannot_be_pickled_raises_where_it_is_put() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        encode(lambda: None)
