"""`Assembler`: cuts a producer's stream of bytes, as it comes, after the last whole frame."""

from __future__ import annotations

from logpool._transport.wire import HEADER, LENGTH, MAX_BODY


class Assembler:
    """Cuts a stream of bytes, as it comes, after the last whole frame.

    Each byte is looked at once: a frame of megabytes that comes in small pieces costs no more than one in a piece. A
    frame that is larger than what is read at once gets memory of its own, into which the rest of it is read.

    Attributes:
        frames: How many have become whole.
    """

    def __init__(self, read_size: int) -> None:
        """Prepare for the beginning of a stream.

        Args:
            read_size: Bytes that are read at once.
        """
        self.frames = 0
        self._read_size = read_size
        self._partial = bytearray()
        self._needed = HEADER.size  # Bytes that _partial must have before it is worth another look.
        self._rest: memoryview | None = None  # Of a large frame: what of its memory hasn't been read yet.

    def room(self) -> memoryview | None:
        """Return where the next bytes are to be read to, for `filled`; None: anywhere, for `feed`."""
        return None if self._rest is None else self._rest[: self._read_size]

    def filled(self, size: int) -> bytes | bytearray:
        """Take the next bytes of the stream, which are where `room` said.

        Args:
            size: How many bytes.

        Returns:
            The large frame, if it is whole by now; else nothing.
        """
        assert self._rest is not None
        self._rest = self._rest[size:]
        if self._rest:
            return b""
        self._rest = None
        frame, self._partial = self._partial, bytearray()
        self._needed = HEADER.size
        self.frames += 1
        return frame

    def feed(self, data: memoryview) -> bytes | bytearray:
        """Take the next bytes of the stream.

        Args:
            data: Bytes as they were read. They are copied.

        Returns:
            All frames that are whole by now, as one block; empty if there is none.

        Raises:
            ValueError: The stream is no stream of frames, or a frame is larger than MAX_BODY.
            MemoryError: There is no memory for a frame.
        """
        partial = self._partial
        if not partial:
            end = self._end_of_whole_frames(data)
            partial += data[end:]
            self._make_room()
            return bytes(data[:end])
        partial += data
        if len(partial) < self._needed:
            return b""
        end = self._end_of_whole_frames(partial)
        # Handed over without a copy, because it may be large.
        self._partial = partial[end:]
        del partial[end:]
        self._make_room()
        return partial

    def _make_room(self) -> None:
        if self._needed > self._read_size:
            read = len(self._partial)
            frame = bytearray(self._needed)
            frame[:read] = self._partial
            self._partial = frame
            self._rest = memoryview(frame)[read:]

    def _end_of_whole_frames(self, data: bytearray | memoryview) -> int:
        unpack_from = HEADER.unpack_from
        start, end = 0, len(data)
        frames = 0
        while True:
            if end - start < HEADER.size:
                self._needed = HEADER.size
                break
            length = unpack_from(data, start)[0] & LENGTH
            if length > MAX_BODY:
                raise ValueError(f"a frame of {length:,} bytes where at most {MAX_BODY:,} are allowed")
            stop = start + HEADER.size + length
            if stop > end:
                self._needed = stop - start
                break
            start = stop
            frames += 1
        self.frames += frames
        return start
