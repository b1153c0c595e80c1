"""What is put into the log queue, as a frame, and back: flattened records as they are, anything else as a pickle.

Runs where items are put and got, not between.
"""

from __future__ import annotations

import pickle

from logpool.frames import HEADER, MAX_BODY, PICKLED, Frame
from logpool.hints import Any
from logpool.record import rebuild


def encode(item: object) -> tuple[bytes, bytes]:
    """Makes a frame of an item.

    Args:
        item: Anything that can be pickled.

    Returns:
        Header and body.

    Raises:
        ValueError: The item is larger than MAX_BODY.
        Exception: What pickling raises.
    """
    body = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
    return header_of(body, PICKLED), body


def header_of(body: bytes, flag: int = 0) -> bytes:
    """Makes a frame's header.

    Args:
        body: The frame's: of a record, as `record.flatten` makes it, or a pickle.
        flag: PICKLED for the second.

    Raises:
        ValueError: The body is larger than MAX_BODY.
    """
    length = len(body)
    if length > MAX_BODY:
        raise ValueError(f"an item of {length:,} bytes is too large for the log queue, which takes {MAX_BODY:,}")
    return HEADER.pack(length | flag)


def decode(frame: Frame) -> Any:
    """Makes of a frame what was put into the queue.

    Args:
        frame: Body and flag, as `split` yields them.

    Returns:
        The item.

    Raises:
        Exception: What unpickling raises, for an item whose class this process can't import, for example.
    """
    body, pickled = frame
    return pickle.loads(body) if pickled else rebuild(body)
