"""What a process puts into the log queue, as a frame, and back. Runs where items are put and got, not between.

Knows nothing of logging, sockets or processes.
"""

from __future__ import annotations

import pickle

from logpool.frames import HEADER, MAX_BODY, PICKLED, Frame
from logpool.hints import Any


def encode(item: object) -> tuple[bytes, bytes]:
    """Makes a frame of an item.

    Args:
        item: Bytes are taken as they are, anything else is pickled.

    Returns:
        Header and body.

    Raises:
        ValueError: The item is larger than MAX_BODY.
        Exception: What pickling raises.
    """
    if type(item) is bytes:
        length = flagged = len(item)
        body = item
    else:
        body = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        length = len(body)
        flagged = length | PICKLED
    if length > MAX_BODY:
        raise ValueError(f"an item of {length:,} bytes is too large for the log queue, which takes {MAX_BODY:,}")
    return HEADER.pack(flagged), body


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
    return pickle.loads(body) if pickled else bytes(body)
